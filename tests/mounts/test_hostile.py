"""Hostile rootfs and hostile volumes: nothing happens outside of the rootfs.

Each test has a directory of the host's, the canary's, to which the rootfs's symlinks lead. It
is the same afterwards, to the last name, mode and byte, and no mount is on or in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from runstate.errors import ConfigInvalid, OperationFailed
from tests.mounts.conftest import bind, tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

_ROUNDS = 40
_SECONDS = 20.0

# renameat2(2) with RENAME_EXCHANGE, as fast as it goes.
_SWAPPER = """
import ctypes, sys
one, other = (name.encode() for name in sys.argv[1:])
renameat2 = ctypes.CDLL(None).renameat2
print(flush=True)
while True:
    renameat2(-100, one, -100, other, 2)
"""


def everything(top: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All below a directory: mode, owner, time of change, and content."""
    found = {}
    for directory, _, files in os.walk(top):
        for path in (directory, *(os.path.join(directory, name) for name in files)):
            seen = os.lstat(path)
            content = b""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    content = file.read()
            found[path] = (seen.st_mode, seen.st_uid, seen.st_mtime_ns, content)
    return found


@pytest.fixture(autouse=True)
def outside(place: Path, clean_host: object) -> Iterator[Path]:  # noqa: ARG001 - it looks at mounts
    """The canary's directory; after the test it has to be what it was."""
    top = place / "outside"
    (top / "inner").mkdir(parents=True)
    (top / "canary").write_text("canary")
    (top / "inner" / "canary").write_text("canary")
    before = everything(top)
    yield top
    assert everything(top) == before


def replaced(rootfs: Path, name: str, target: Path | str) -> None:
    """Put a symlink in the place of a directory of the rootfs."""
    path = rootfs / name
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.symlink_to(target)


WAYS = {
    "absolute": "{outside}",
    "upwards": "../../../../../../../..{outside}",
    "chain": "one/../two",
    "missing": "{outside}/new/and/newer",
    "file": "{outside}/canary",
}


@pytest.fixture(params=WAYS)
def way(request, own_rootfs, outside):
    """A symlink in the rootfs, /way, that leads to the canary's directory on the host."""
    (own_rootfs / "one").mkdir()
    (own_rootfs / "two").symlink_to(outside)
    (own_rootfs / "way").symlink_to(WAYS[request.param].format(outside=outside))
    return own_rootfs / "way"


# --- targets -------------------------------------------------------------------------------------


def test_a_directory_goes_where_the_symlink_leads_inside(boxes, way, place):
    (place / "data").mkdir()
    (place / "data" / "file").write_text("text")
    said = boxes.says("cat /way/file", mounts=[bind(place / "data", "/way")])
    assert said == "text"
    assert way.is_symlink()


def test_so_does_a_file(boxes, way, own_rootfs, place):
    (place / "file").write_text("text")
    mounts = [bind(place / "file", "/way/not/there")]
    assert boxes.says("cat /way/not/there", mounts=mounts) == "text"
    assert way.is_symlink()
    assert (own_rootfs / str(place / "outside").lstrip("/")).is_dir()


def test_so_does_a_new_file_system(boxes, way):
    assert way.is_symlink()
    mounts = [tmpfs("/way", "mode=755"), tmpfs("/way/below"), tmpfs("/two", "tmpcopyup")]
    assert boxes.says("touch /way/new /way/below/new; ls /way /two", mounts=mounts)


def test_in_a_user_namespace_as_well(user_boxes, way, place):
    assert way.is_symlink()
    (place / "data").mkdir()
    (place / "data" / "file").write_text("text")
    os.chown(place / "rootfs", 100000, 100000)
    said = user_boxes.says("cat /way/file", mounts=[bind(place / "data", "/way")])
    assert said == "text"


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_procfs_and_sysfs_are_not_mounted_through_a_symlink(boxes, own_rootfs, outside, name):
    for target in (outside, "tmp", f"/../..{outside}"):
        replaced(own_rootfs, name, target)
        with pytest.raises(OperationFailed, match=r"goes on an ordinary directory.*no symlink"):
            boxes.create()
        (own_rootfs / name).unlink()
    (own_rootfs / name).write_text("a file")
    with pytest.raises(OperationFailed, match="goes on an ordinary directory"):
        boxes.create()


def test_a_proc_in_a_directory_that_a_symlink_leads_to_is_refused_too(boxes, own_rootfs):
    (own_rootfs / "way").symlink_to("tmp")
    with pytest.raises(OperationFailed, match="goes on an ordinary directory"):
        boxes.create(mounts=[{"destination": "/way/proc", "type": "proc", "source": "proc"}])


def test_dev_as_a_symlink_leads_into_the_rootfs(boxes, own_rootfs, outside):
    replaced(own_rootfs, "dev", outside)
    assert boxes.says("echo a >/dev/null; ls /dev | wc -l").strip().isdigit()
    assert not (outside / "null").exists()


# --- over procfs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/self/attr", "proc/../proc/1/attr",
                                    "/proc/sys/kernel/core_pattern"])  # fmt: skip
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_symlink_into_procfs_takes_no_mount_there(boxes, own_rootfs, place, target, kind):
    (own_rootfs / "way").symlink_to(target)
    (place / "fake").mkdir()
    mount = bind(place / "fake", "/way") if kind == "bind" else tmpfs("/way")
    with pytest.raises(OperationFailed, match=r"\(E(PERM|NOTDIR)\)"):
        boxes.create(mounts=[mount])


def test_a_file_that_lxcfs_emulates_may_be_covered_also_by_a_symlink(boxes, own_rootfs, place):
    (own_rootfs / "way").symlink_to("/proc/uptime")
    (place / "fake").write_text("1 1\n")
    mounts = [bind(place / "fake", "/proc/meminfo"), bind(place / "fake", "/way")]
    assert boxes.says("cat /proc/meminfo /proc/uptime", mounts=mounts) == "1 1\n1 1\n"


@pytest.mark.parametrize("target", ["/proc/self/root", "/proc/self/cwd", "/proc/1/root/etc",
                                    "/proc/self/fd/3", "/proc/self/exe"])  # fmt: skip
def test_a_magic_link_is_not_followed(boxes, own_rootfs, place, target):
    (own_rootfs / "way").symlink_to(target)
    (place / "data").mkdir()
    with pytest.raises(OperationFailed, match="magic link"):
        boxes.create(mounts=[bind(place / "data", "/way")])
    with pytest.raises(OperationFailed, match="magic link"):
        boxes.create(linux={"maskedPaths": ["/way"]})


def test_a_directory_of_the_hosts_is_no_procfs(boxes, place):
    (place / "fake").mkdir()
    mounts = boxes.config()["mounts"]
    mounts[0] = bind(place / "fake", "/proc")
    boxes.base = {"mounts": mounts}
    with pytest.raises(OperationFailed, match="it would be on /proc, and /proc has to be"):
        boxes.create()


def test_a_destination_in_procfs_is_refused_before_anything_is_made(boxes, place):
    with pytest.raises(ConfigInvalid, match="none inside of /proc"):
        boxes.create(mounts=[bind(place, "/x/../proc/self/attr/exec")])


def test_a_symlink_to_the_root_covers_nothing(boxes, own_rootfs, place):
    (own_rootfs / "way").symlink_to("/")
    (place / "data").mkdir()
    with pytest.raises(OperationFailed, match="pivot into the rootfs"):
        boxes.create(mounts=[bind(place / "data", "/way")])


# --- what masks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["symlink", "file", "missing"])
def test_a_mask_is_the_hosts_null_whatever_the_rootfs_has_for_one(boxes, own_rootfs, outside, kind):
    if kind == "symlink":
        (own_rootfs / "dev" / "null").symlink_to(outside / "canary")
    elif kind == "file":
        (own_rootfs / "dev" / "null").write_text("fake")
    (own_rootfs / "secret").write_text("secret")
    mounts = [m for m in boxes.config()["mounts"] if not m["destination"].startswith("/dev")]
    boxes.base = {"mounts": mounts}
    said = boxes.says("cat /secret; stat -c %t:%T /secret; echo over >/secret",
                      linux={"maskedPaths": ["/secret"]})  # fmt: skip
    assert said == "1:3\n"


def test_a_bound_dev_keeps_its_own_null_and_the_mask_is_the_hosts(boxes, place, outside):
    (place / "dev").mkdir()
    (place / "dev" / "null").symlink_to(outside / "canary")
    mounts = [m for m in boxes.config()["mounts"] if not m["destination"].startswith("/dev")]
    boxes.base = {"mounts": [*mounts, bind(place / "dev", "/dev")]}
    said = boxes.says("stat -c %t:%T /proc/version", linux={"maskedPaths": ["/proc/version"]})
    assert said == "1:3\n"


def test_a_copy_takes_symlinks_as_they_are(boxes, own_rootfs, outside):
    (own_rootfs / "data").mkdir()
    (own_rootfs / "data" / "link").symlink_to(outside / "canary")
    (own_rootfs / "data" / "dir").symlink_to(outside)
    script = "cd /data; readlink link; readlink dir; ! cat link; echo over >>dir/x"
    said = boxes.says(script + " || true", mounts=[tmpfs("/data", "tmpcopyup")])
    assert said.splitlines()[:2] == [str(outside / "canary"), str(outside)]
    assert "canary\n" not in said.splitlines()[2:]


# --- descriptors ---------------------------------------------------------------------------------


def test_the_program_gets_no_descriptor_of_the_hosts(boxes):
    with boxes.running() as container:
        assert sorted(os.listdir(f"/proc/{container.pid}/fd")) == ["0", "1", "2"]


# --- races ---------------------------------------------------------------------------------------


@pytest.fixture
def swapper():
    """Swaps two names as fast as it can, in a process of its own, until the test is over."""
    started = []

    def start(one: Path, other: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SWAPPER, str(one), str(other)],
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()

    yield start
    for process in started:
        with process:  # waits for it, and closes its output
            process.kill()


def create_often(boxes, **changes) -> int:
    """Create containers for some rounds; how many came about. The others have to say why not."""
    came_about = 0
    until = time.monotonic() + _SECONDS
    for _ in range(_ROUNDS):
        if time.monotonic() > until:
            break
        with suppress(OperationFailed):
            boxes.create(**changes).destroy(force=True)
            came_about += 1
    return came_about


def test_a_directory_of_the_rootfs_that_turns_into_a_symlink(
    boxes, own_rootfs, outside, place, swapper
):
    (own_rootfs / "a").mkdir()
    (own_rootfs / "b").symlink_to(outside)
    (place / "data").mkdir()
    (place / "file").write_text("text")
    swapper(own_rootfs / "a", own_rootfs / "b")
    mounts = [
        bind(place / "data", "/a/made/deep"),
        bind(place / "file", "/a/file/deep"),
        tmpfs("/a/new", "mode=755"),
        tmpfs("/a", "tmpcopyup"),
    ]
    linux = {"maskedPaths": ["/a/canary", "/a/inner"], "readonlyPaths": ["/a"]}
    assert create_often(boxes, mounts=mounts, linux=linux) > 0


def test_a_volume_that_another_container_plays_with(boxes, outside, place, swapper):
    volume = place / "volume"
    (volume / "a").mkdir(parents=True)
    (volume / "b").symlink_to(f"../../../../../..{outside}")
    (place / "data").mkdir()
    swapper(volume / "a", volume / "b")
    mounts = [
        bind(volume, "/volume"),
        bind(place / "data", "/volume/a/made"),
        tmpfs("/volume/a", "mode=755"),
        bind(place / "data", "/volume/a/x/y"),
    ]
    assert create_often(boxes, mounts=mounts) > 0


def test_proc_that_turns_into_a_symlink(boxes, own_rootfs, outside, swapper):
    (own_rootfs / "other").symlink_to(outside)
    swapper(own_rootfs / "proc", own_rootfs / "other")
    create_often(boxes)
