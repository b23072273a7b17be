"""Whom a program runs as, in which environment and directory: init's and further ones."""

from __future__ import annotations

import os

import attrs
import pytest

from runstate import DEVNULL, PIPE, STDOUT
from runstate.config import User
from runstate.errors import ConfigInvalid, OperationFailed
from tests import host

pytestmark = pytest.mark.root

WHO = ("sh", "-c", "id -u; id -g; id -G; umask")
ALL_NAMESPACES = [
    {"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
]


def mapped(size):
    """A user namespace whose ids 0 and up are the host's."""
    mapping = [{"containerID": 0, "hostID": 0, "size": size}]
    return {
        "linux.namespaces": ALL_NAMESPACES,
        "linux.uidMappings": mapping,
        "linux.gidMappings": mapping,
    }


# --- user ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespaces", [{}, mapped(65536)], ids=["host's", "own"])
def test_a_user_has_its_ids_groups_and_umask(containers, further, namespaces):
    user = {"uid": 1234, "gid": 4321, "additionalGids": [7, 4321, 2**15], "umask": 0o27}
    expected = ["1234", "4321", "4321 7 32768", "0027"]
    assert containers.says(*WHO, **{"process.user": user}, **namespaces).splitlines() == expected
    container = containers.running(**namespaces)
    assert further(container, *WHO, user=user).splitlines() == expected


@pytest.mark.parametrize("namespaces", [{}, mapped(65536)], ids=["host's", "own"])
def test_without_groups_nobody_has_those_of_the_caller(containers, further, namespaces):
    former = os.getgroups()
    os.setgroups([5, 6])
    try:
        assert containers.says("id", "-G", **namespaces).split() == ["0"]
        container = containers.running(**namespaces)
        assert further(container, "id", "-G").split() == ["0"]
    finally:
        os.setgroups(former)


def test_another_user_of_a_further_process_has_the_program_s_umask(containers):
    container = containers.running(**{"process.user": {"uid": 0, "gid": 0, "umask": 0o77}})
    done = container.exec(WHO, user=(3, 4), capture_output=True, text=True)
    assert done.stdout.splitlines() == ["3", "4", "4", "0077"]


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ({"uid": 10, "gid": 0}, "uid"),
        ({"uid": 0, "gid": 10}, "gid"),
        ({"uid": 9, "gid": 9, "additionalGids": [9, 10]}, r"additionalGids\[1\]"),
    ],
)
def test_an_id_that_is_not_mapped_is_refused_before_any_effect(containers, further, user, path):
    expected = rf"\$\.process\.user\.{path}: expected an id that the container has by linux\."
    mount = {"destination": "/proc", "type": "proc", "source": "proc"}
    small = mapped(10) | {"mounts": [mount]}
    with pytest.raises(ConfigInvalid, match=expected):
        containers.running(**{"process.user": user}, **small)
    container = containers.running(**small)
    with pytest.raises(ConfigInvalid, match=expected):
        further(container, "true", user=user)
    assert container.processes() == [container.pid]


def test_a_user_can_open_its_own_pipes(containers, further):
    user = {"uid": 1234, "gid": 1234}
    script = "echo out >/dev/stdout; echo error >/dev/stderr"
    said = containers.says("sh", "-c", script, **{"process.user": user})
    assert said.splitlines() == ["out", "error"]
    assert further(containers.running(), "sh", "-c", script, user=user) == "out\n"


def test_a_user_of_other_ids_can_open_its_own_pipes(containers, own_rootfs, further):
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    changes = mapped(1) | {"linux.uidMappings": mapping, "linux.gidMappings": mapping}
    user = {"uid": 1234, "gid": 1234}
    script = ("/bin/sh", "-c", "echo out >/dev/stdout; echo error >/dev/stderr")
    said = containers.says(*script, rootfs=own_rootfs, **{"process.user": user}, **changes)
    assert said.splitlines() == ["out", "error"]
    container = containers.running("/bin/sleep", "1000", rootfs=own_rootfs, **changes)
    assert further(container, *script, user=user) == "out\n"


def test_a_file_as_standard_output_stays_its_owner_s(containers, tmp_path):
    config = containers.config("true", **{"process.user": {"uid": 1234, "gid": 1234}})
    with (
        open(tmp_path / "out", "w", encoding="ascii") as file,
        containers.factory.run(host.new_id(), config, stdin=DEVNULL, stdout=file) as container,
    ):
        container.wait(10)
        assert os.fstat(file.fileno()).st_uid == 0


# --- environment --------------------------------------------------------------------------------


def environment(output):
    return dict(line.split("=", 1) for line in output.splitlines())


@pytest.mark.parametrize(
    ("uid", "env", "home"),
    [
        (0, [], "/root"),
        (1, [], "/usr/sbin"),
        (1, ["HOME="], "/usr/sbin"),
        (1, ["HOME=/x"], "/x"),
        (54321, [], "/"),
    ],
)
def test_home_is_the_one_of_the_container_s_passwd(containers, further, uid, env, home):
    changes = {"env": ["PATH=/bin:/usr/bin", *env], "user": {"uid": uid, "gid": 0}}
    said = containers.says("env", **{f"process.{name}": value for name, value in changes.items()})
    assert environment(said)["HOME"] == home
    assert environment(further(containers.running(), "env", **changes))["HOME"] == home


def plain(text):
    return lambda path: path.write_bytes(text)


def fifo(path):
    os.mkfifo(path)


def sparse(path):
    path.touch()
    os.truncate(path, 1 << 40)


def link(target):
    return lambda path: path.symlink_to(target)


PASSWDS = {
    "missing": (lambda _path: None, "/"),
    "a directory": (lambda path: path.mkdir(), "/"),
    "a fifo": (fifo, "/"),
    "a socket's link": (link("/proc/self/fd/0"), "/"),
    "a link out of the root": (link("../../../../../../../../etc/passwd"), "/"),
    "a link to itself": (link("passwd"), "/"),
    "a device": (lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)), "/"),
    "a link inside": (link("/tmp/passwd"), "/inside"),
    "huge, without a line": (lambda path: path.write_bytes(b"x" * (2 << 20)), "/"),
    "sparse without an end": (sparse, "/"),
    "malformed": (plain(b"\n::\na:b\nx:x:7\n\xff\xfe:x:7:7:\n:::::::::\nz:x:007:7::/w:\n"), "/"),
    "with an empty home": (plain(b"x:x:7:7:x::/bin/sh\n"), "/"),
    "with a NUL byte": (plain(b"x:x:7:7:x:/a\0b:/bin/sh\n"), "/"),
    "without a shell": (plain(b"x:x:7:7:x:/w"), "/w"),
    "of two users": (plain(b"x:x:7:7:x:/first:\ny:x:7:7:x:/second:\n"), "/first"),
    "not of UTF-8": (plain(b"x:x:7:7:x:/\xff:\n"), "/\udcff"),
}


@pytest.mark.parametrize("name", PASSWDS)
def test_a_hostile_passwd_does_no_harm(containers, own_rootfs, name):
    make, home = PASSWDS[name]
    path = own_rootfs / "etc" / "passwd"
    path.unlink()
    (own_rootfs / "tmp" / "passwd").write_text("x:x:7:7:x:/inside:\n")
    make(path)
    config = containers.config(
        "/bin/env", rootfs=own_rootfs, **{"process.user": {"uid": 7, "gid": 7}}
    )
    with containers.factory.run(
        host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    ) as container:
        said = container.stdout.read().decode("utf-8", "surrogateescape")
    assert environment(said)["HOME"] == home


def test_of_a_variable_that_is_there_twice_the_last_counts(containers, further):
    env = ["A=1", "PATH=/nowhere", "B==x=", "A=2", "PATH=/usr/bin:/bin"]
    expected = {"A": "2", "B": "=x=", "PATH": "/usr/bin:/bin"}
    said = environment(containers.says("env", **{"process.env": env}))
    assert {name: said[name] for name in expected} == expected
    said = environment(further(containers.running(), "env", env=env))
    assert {name: said[name] for name in expected} == expected


def test_the_program_is_found_by_the_container_s_path(containers, own_rootfs, further):
    (own_rootfs / "own").mkdir()
    (own_rootfs / "own" / "tool").write_text("#!/bin/sh\necho it is $0\n")
    (own_rootfs / "own" / "tool").chmod(0o755)
    env = ["PATH=/bin:/own"]
    said = containers.says("tool", rootfs=own_rootfs, **{"process.env": env})
    assert said == "it is /own/tool\n"
    container = containers.running("/bin/sleep", "1000", rootfs=own_rootfs)
    assert further(container, "tool", env=env) == "it is /own/tool\n"
    with pytest.raises(OperationFailed, match=r"no such executable in \$PATH \(/bin\)"):
        further(container, "tool", env=["PATH=/bin"])


# --- working directory --------------------------------------------------------------------------


def test_a_working_directory_is_made_and_root_s(containers, own_rootfs):
    user = {"uid": 1234, "gid": 1234, "umask": 0o77}
    changes = {"process.cwd": "/a/new/place", "process.user": user}
    said = containers.says("/bin/sh", "-c", "pwd", rootfs=own_rootfs, **changes)
    assert said == "/a/new/place\n"
    for name in ("a", "a/new", "a/new/place"):
        found = os.stat(own_rootfs / name)
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o755, 0, 0)


def test_a_working_directory_is_not_made_for_a_further_process(containers, further):
    container = containers.running()
    with pytest.raises(OperationFailed, match="working directory /not/there: No such file"):
        further(container, "true", cwd="/not/there")
    assert further(container, "sh", "-c", "ls -d /not || true") == ""


def test_a_working_directory_may_be_on_a_mount(containers):
    mounts = [{"destination": "/deep", "type": "tmpfs", "source": "tmpfs"}]
    changes = {"process.cwd": "/deep/down", "mounts": mounts}
    assert containers.says("pwd", **changes) == "/deep/down\n"


def test_a_file_is_no_working_directory(containers, root):
    with pytest.raises(OperationFailed, match="directory /etc/passwd: Not a directory"):
        containers.running(**{"process.cwd": "/etc/passwd"})
    with pytest.raises(OperationFailed, match="directory /etc/passwd/x: Not a directory"):
        containers.running(**{"process.cwd": "/etc/passwd/x"})
    assert host.files(root) == []


def test_root_may_reach_the_directory_for_a_user_who_may_not(containers, own_rootfs):
    (own_rootfs / "closed").mkdir(mode=0o700)
    user = {"process.user": {"uid": 1234, "gid": 1234}, "process.cwd": "/closed"}
    assert containers.says("/bin/pwd", rootfs=own_rootfs, **user) == "/closed\n"


def test_a_user_may_reach_the_directory_where_root_may_not(containers, own_rootfs):
    closed = own_rootfs / "closed"
    closed.mkdir()
    # Root's capabilities are none over an inode whose group the user namespace does not map.
    os.chown(closed, 100_005, 999_999)
    closed.chmod(0o700)
    mapping = [
        {"containerID": 0, "hostID": 0, "size": 1},
        {"containerID": 5, "hostID": 100_005, "size": 1},
    ]
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    changes = {
        "linux.namespaces": ALL_NAMESPACES,
        "linux.uidMappings": mapping,
        "linux.gidMappings": mapping,
        "mounts": mounts,
        "process.user": {"uid": 5, "gid": 5},
        "process.cwd": "/closed",
    }
    assert containers.says("/bin/pwd", rootfs=own_rootfs, **changes) == "/closed\n"


def test_a_directory_that_nobody_may_reach_is_an_error(containers, own_rootfs, further):
    closed = own_rootfs / "closed"
    closed.mkdir(mode=0o700)
    os.chown(closed, 77, 77)
    mapping = [
        {"containerID": 0, "hostID": 0, "size": 1},
        {"containerID": 5, "hostID": 5, "size": 1},
    ]
    changes = {
        "linux.namespaces": ALL_NAMESPACES,
        "linux.uidMappings": mapping,
        "linux.gidMappings": mapping,
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    }
    with pytest.raises(OperationFailed, match="working directory /closed: Permission denied"):
        containers.running(
            "/bin/true", rootfs=own_rootfs,
            **{"process.cwd": "/closed", "process.user": {"uid": 5, "gid": 5}}, **changes,
        )  # fmt: skip
    container = containers.running("/bin/sleep", "1000", rootfs=own_rootfs, **changes)
    with pytest.raises(OperationFailed, match="working directory /closed: Permission denied"):
        further(container, "/bin/true", cwd="/closed")


def test_no_descriptor_leads_to_where_a_working_directory_is_made(containers, tmp_path):
    # The host's /proc is open while it is made.
    for number in range(3, 16):
        for way in ("../../1/root", "1/root"):
            path = f"/proc/self/fd/{number}/{way}{tmp_path}/made/by/{number}"
            with pytest.raises(OperationFailed, match="working directory"):
                containers.running("true", **{"process.cwd": path})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["", "/..", "/../../..", "/../../1/root", "/1/root/tmp"])
def test_no_descriptor_leads_a_working_directory_out(containers, further, way):
    # CVE-2024-21626: whatever descriptor is open, what it leads to is not inside.
    container = containers.running()
    for number in range(3, 16):
        path = f"/proc/self/fd/{number}{way}"
        with pytest.raises(OperationFailed, match="working directory"):
            containers.running("true", **{"process.cwd": path})
        with pytest.raises(OperationFailed, match="working directory"):
            further(container, "true", cwd=path)


PROGRAM = "usr/bin/true"


@pytest.mark.parametrize("way", ["", f"/../../1/root/{PROGRAM}", f"/1/root/{PROGRAM}", "/1/exe"])
def test_no_descriptor_leads_to_a_program_outside(containers, further, way):
    container = containers.running()
    for number in range(3, 16):
        path = f"/proc/self/fd/{number}{way}"
        with pytest.raises(OperationFailed):
            containers.running(path)
        with pytest.raises(OperationFailed):
            further(container, path)


def test_a_further_process_has_no_descriptor_but_its_streams(containers, further):
    script = "ls -l /proc/self/fd | sed 1d | grep -v '/proc/[0-9]*/fd' | wc -l"
    assert further(containers.running(), "sh", "-c", script).strip() == "3"
    assert containers.says("sh", "-c", script).strip() == "3"


def test_a_user_of_the_library_gives_ids_alone(containers):
    container = containers.running()
    process = attrs.evolve(container.config.process, user=User(uid=7, gid=8))
    done = container.exec(["id", "-u"], process=process, capture_output=True, text=True)
    assert done.stdout == "7\n"
