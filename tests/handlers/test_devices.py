"""Devices, as they are inside: made, owned, bound, and never outside the rootfs."""

from __future__ import annotations

import os

import pytest

from runstate import DEVNULL, PIPE, STDOUT
from runstate.errors import ConfigInvalid, OperationFailed
from tests import host

pytestmark = pytest.mark.root

STAT = ("stat", "-c", "%F %t:%T %a %u:%g")
USER_NAMESPACE = {
    "linux.namespaces": [
        {"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
    ],
    "linux.uidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}],
    "linux.gidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}],
}


def device(path, kind="c", major=1, minor=3, **more):
    numbers = {} if kind == "p" else {"major": major, "minor": minor}
    return {"path": path, "type": kind, **numbers, **more}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (device("/dev/x"), "character special file 1:3 666 0:0"),
        (device("/dev/x", "u", 10, 229), "character special file a:e5 666 0:0"),
        (device("/dev/x", "b", 7, 300), "block special file 7:12c 666 0:0"),
        (device("/dev/x", "p"), "fifo 0:0 666 0:0"),
        (
            device("/dev/x", fileMode=0o640, uid=7, gid=8),
            "character special file 1:3 640 7:8",
        ),
        (device("/dev/x", fileMode=0), "character special file 1:3 0 0:0"),
        (device("/dev/x", fileMode=0o2777), "character special file 1:3 2777 0:0"),
        (device("/dev/x", fileMode=0o20622), "character special file 1:3 622 0:0"),
        (device("/dev/x", "p", fileMode=0o777, gid=9), "fifo 0:0 777 0:9"),
    ],
)
def test_a_device_has_its_type_numbers_mode_and_owner(containers, asked, expected):
    assert containers.says(*STAT, "/dev/x", **{"linux.devices": [asked]}).strip() == expected


def test_a_device_may_be_anywhere_and_its_directories_are_made(containers):
    devices = [device("/some/new/place/null"), device("/dev/a/b/zero", minor=5)]
    script = "echo gone > /some/new/place/null && head -c 3 /dev/a/b/zero | od -An -tx1"
    changes = {
        "linux.devices": devices,
        "linux.resources.devices": [{"allow": True, "access": "rwm"}],
    }
    assert containers.says("sh", "-c", script, **changes).split() == ["00"] * 3


def test_a_device_that_each_container_has_may_be_listed_with_another_mode(containers):
    devices = [device("/dev//null", fileMode=0o600, uid=3)]
    said = containers.says(*STAT, "/dev/null", "/dev/zero", **{"linux.devices": devices})
    assert said.splitlines() == [
        "character special file 1:3 600 3:0",
        "character special file 1:5 666 0:0",
    ]


def test_the_devices_and_links_that_each_container_has(containers):
    names = ("null", "zero", "full", "random", "urandom", "tty")
    said = containers.says("stat", "-c", "%F %t:%T %a", *(f"/dev/{name}" for name in names))
    numbers = ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0")
    assert said.splitlines() == [f"character special file {n} 666" for n in numbers]
    links = ("fd", "stdin", "stdout", "stderr", "ptmx")
    said = containers.says("readlink", *(f"/dev/{name}" for name in links))
    assert said.split() == [
        "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx",
    ]  # fmt: skip


# --- what stands there already ------------------------------------------------------------------


def test_another_file_in_the_way_is_an_error_and_stays(containers, own_rootfs):
    (own_rootfs / "file").write_text("precious")
    with pytest.raises(OperationFailed, match="something else stands there") as caught:
        containers.running(rootfs=own_rootfs, **{"linux.devices": [device("/file")]})
    assert "character device 1:3 /file" in str(caught.value)
    assert (own_rootfs / "file").read_text() == "precious"


def test_the_same_device_gives_way_and_has_the_mode_that_is_asked_for(containers, own_rootfs):
    os.mknod(own_rootfs / "null", 0o20600, os.makedev(1, 3))
    devices = [device("/null", fileMode=0o622)]
    says = containers.says("stat", "-c", "%a", "/null", rootfs=own_rootfs,
                           **{"linux.devices": devices})  # fmt: skip
    assert says.strip() == "622"


def test_another_device_in_the_way_is_an_error(containers, own_rootfs):
    os.mknod(own_rootfs / "null", 0o20600, os.makedev(1, 5))
    with pytest.raises(OperationFailed, match="something else stands there"):
        containers.running(rootfs=own_rootfs, **{"linux.devices": [device("/null")]})


def test_a_stale_file_gives_way_to_a_device_that_each_container_has(containers, own_rootfs):
    (own_rootfs / "dev" / "null").write_text("a stray redirection")
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    said = containers.says("stat", "-c", "%t:%T", "/dev/null", rootfs=own_rootfs, mounts=mounts)
    assert said.strip() == "1:3"


@pytest.mark.parametrize("link", ["/etc", "../../../../../../etc"])
def test_a_symlink_leads_a_device_nowhere_outside_the_rootfs(containers, own_rootfs, link):
    (own_rootfs / "way").symlink_to(link)
    name = f"made-by-{host.MARK}"
    with containers.running(rootfs=own_rootfs, **{"linux.devices": [device(f"/way/{name}", "p")]}):
        assert not os.path.lexists(f"/etc/{name}")
        assert (own_rootfs / "etc" / name).is_fifo()


def test_a_symlink_to_a_directory_of_the_host_alone_leads_to_one_inside(
    containers, own_rootfs, tmp_path
):
    (tmp_path / "outside").mkdir()
    (own_rootfs / "way").symlink_to(tmp_path / "outside")
    with containers.running(rootfs=own_rootfs, **{"linux.devices": [device("/way/x", "p")]}):
        assert os.listdir(tmp_path / "outside") == []
        assert (own_rootfs / str(tmp_path / "outside").lstrip("/") / "x").is_fifo()


def test_a_symlink_in_the_place_of_a_device_is_not_followed(containers, own_rootfs, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("whole")
    (own_rootfs / "x").symlink_to(victim)
    with pytest.raises(OperationFailed, match="something else stands there"):
        containers.running(rootfs=own_rootfs, **{"linux.devices": [device("/x")]})
    assert victim.read_text() == "whole"


# --- the host's nodes ---------------------------------------------------------------------------


def test_in_a_user_namespace_devices_are_the_hosts(containers):
    devices = [device("/dev/elsewhere", minor=7), device("/dev/pipe", "p")]
    script = "stat -c '%F %t:%T' /dev/elsewhere /dev/pipe /dev/null; cp /etc/passwd /dev/elsewhere"
    config = containers.config("sh", "-c", script, **{"linux.devices": devices}, **USER_NAMESPACE)
    with containers.factory.run(
        host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    ) as container:
        said = container.stdout.read().decode().splitlines()
    assert said[:3] == [
        "character special file 1:7",
        "fifo 0:0",
        "character special file 1:3",
    ]
    assert "No space left on device" in said[3]


def test_what_a_bound_device_does_not_have_is_noticed(containers):
    devices = [device("/dev/full", minor=7, fileMode=0o600), device("/dev/zero", minor=5)]
    with containers.running(**{"linux.devices": devices}, **USER_NAMESPACE) as container:
        (notice,) = [n for n in container.notices if n.startswith("devices:")]
        assert notice == "devices: /dev/full: the host's own, with the mode and owner it has there"


def test_in_a_user_namespace_a_device_that_the_host_has_not_is_refused(containers):
    devices = [device("/dev/x", major=4000, minor=1)]
    with pytest.raises(ConfigInvalid, match=r"\$\.linux\.devices\[0\].*no c 4000:1"):
        containers.running(**{"linux.devices": devices}, **USER_NAMESPACE)


def test_without_cap_mknod_devices_are_the_hosts(containers, without):
    config = containers.config(
        *STAT, "/dev/null", "/dev/fuse", **{"linux.devices": [device("/dev/fuse", "c", 10, 229)]}
    )
    found = os.stat("/dev/fuse")
    done = without("mknod", config)
    assert done.returncode == 0, done.stderr
    mode = found.st_mode & 0o777
    assert done.stdout.splitlines() == [
        "character special file 1:3 666 0:0",
        f"character special file a:e5 {mode:o} {found.st_uid}:{found.st_gid}",
    ]


def test_nothing_is_made_in_a_dev_that_is_bound(containers, tmp_path):
    dev = tmp_path / "dev"
    dev.mkdir()
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "bind", "source": str(dev), "options": ["rbind"]},
    ]
    devices = [device("/dev/x"), device("/outside-of-dev")]
    said = containers.says(
        "stat", "-c", "%t:%T", "/outside-of-dev", mounts=mounts, **{"linux.devices": devices}
    )
    assert said.strip() == "1:3"
    assert os.listdir(dev) == []
