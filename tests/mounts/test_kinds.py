"""Kinds of mounts: bind mounts of every sort of file, and file systems of every type."""

from __future__ import annotations

import os
import socket

import pytest

from runstate import DEVNULL, PIPE
from runstate.errors import OperationFailed
from tests import host
from tests.mounts.conftest import bind, tmpfs

pytestmark = pytest.mark.root


# --- bind mounts ---------------------------------------------------------------------------------


def test_a_directory_whose_target_is_missing(boxes, own_rootfs, place):
    (place / "data").mkdir()
    (place / "data" / "file").write_text("text")
    said = boxes.says("cat /a/b/c/file", mounts=[bind(place / "data", "/a/b/c")])
    assert said == "text"
    assert (own_rootfs / "a" / "b" / "c").is_dir()


def test_a_file_whose_target_is_missing(boxes, own_rootfs, place):
    (place / "file").write_text("text")
    mounts = [bind(place / "file", "/a/b/file"), bind(place / "file", "/etc/passwd")]
    assert boxes.says("cat /a/b/file /etc/passwd", mounts=mounts) == "texttext"
    assert (own_rootfs / "a" / "b" / "file").read_text() == ""
    assert (own_rootfs / "etc" / "passwd").read_text().startswith("root:")


def test_a_fifo_a_device_and_a_socket(boxes, place):
    os.mkfifo(place / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
        listening.listen()
        mounts = [
            bind(place / name, f"/run/{name}", "bind", kind="none") for name in ("fifo", "socket")
        ]
        mounts.append(bind("/dev/zero", "/dev/null-to-be"))
        script = "stat -c %F /run/*; head -c 2 /dev/null-to-be | od -An -tx1; nc local:/run/socket"
        said = boxes.says(f"{script} </dev/null || true", mounts=mounts)
    assert said.splitlines()[:3] == ["fifo", "socket", " 00 00"]


def test_a_source_is_taken_from_the_bundle_and_a_target_from_the_root(boxes, place):
    (place / "data").mkdir()
    (place / "data" / "file").write_text("text")
    config = boxes.config("cat", "/x/y/file", mounts=[bind("data", "x/y")])
    with boxes.factory.run(
        host.new_id(), config, bundle=str(place), stdin=DEVNULL, stdout=PIPE
    ) as container:
        assert container.stdout.read() == b"text"
        container.wait(20)


def test_the_last_of_several_on_one_target_is_seen(boxes, place):
    for name in ("one", "two"):
        (place / name).mkdir()
        (place / name / name).write_text("")
    mounts = [bind(place / "one", "/x"), bind(place / "two", "/x")]
    said = boxes.says("ls /x; grep -c ' /x ' /proc/self/mountinfo", mounts=mounts)
    assert said == "two\n2\n"


def test_a_file_does_not_go_on_a_directory(boxes, place):
    (place / "file").write_text("text")
    with pytest.raises(OperationFailed, match=r"bind .*/file on /etc.*\(ENOTDIR\)"):
        boxes.create(mounts=[bind(place / "file", "/etc")])


# --- tmpfs ---------------------------------------------------------------------------------------


def test_a_tmpfs_has_the_size_and_inodes_it_is_given(boxes):
    mounts = [tmpfs("/x", "mode=0750", "size=64k", "nr_inodes=10", "uid=5", "gid=6")]
    script = "stat -c '%a %u %g' /x; df -k /x | tail -1; ! head -c 80k /dev/zero >/x/f"
    said = boxes.says(script, mounts=mounts)
    assert said.split()[:5] == ["750", "5", "6", "tmpfs", "64"]
    assert "head: standard output" in said


def test_a_tmpfs_takes_the_mode_of_what_it_covers(boxes, own_rootfs):
    (own_rootfs / "deep").mkdir(mode=0o700)
    (own_rootfs / "sticky").mkdir()
    (own_rootfs / "sticky").chmod(0o1777)
    mounts = [tmpfs("/deep"), tmpfs("/sticky", "size=1m"), tmpfs("/new"), tmpfs("/etc", "mode=711")]
    said = boxes.says("stat -c %a /deep /sticky /new /etc", mounts=mounts)
    assert said.split() == ["700", "1777", "1777", "711"]


def test_a_read_only_tmpfs_is_so_once_all_is_in_it(boxes, place):
    (place / "file").write_text("text")
    mounts = [tmpfs("/x", "ro", "mode=755"), bind(place / "file", "/x/made/file")]
    said = boxes.says("cat /x/made/file; ! touch /x/new", mounts=mounts)
    assert said == "texttouch: /x/new: Read-only file system\n"


def test_so_is_dev(boxes):
    mounts = boxes.config()["mounts"]
    (dev,) = (mount for mount in mounts if mount["destination"] == "/dev")
    dev["options"].append("ro")
    boxes.base = {"mounts": mounts}
    said = boxes.says("stat -c %F /dev/null; touch /dev/shm/new; ! touch /dev/new")
    assert said.splitlines() == [
        "character special file",
        "touch: /dev/new: Read-only file system",
    ]


def test_tmpcopyup_copies_what_the_tmpfs_covers(boxes, own_rootfs):
    top = own_rootfs / "data"
    (top / "inner").mkdir(parents=True)
    (top / "inner" / "file").write_text("text")
    os.chown(top / "inner" / "file", 3, 4)
    (top / "inner" / "file").chmod(0o4711)
    os.utime(top / "inner" / "file", (7, 7))
    (top / "link").symlink_to("/etc/passwd")
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "null", 0o20600, os.makedev(1, 3))
    (top / "empty").mkdir(mode=0o1777)
    os.chown(top, 1, 2)
    top.chmod(0o2750)
    mounts = [tmpfs("/data", "tmpcopyup", "noexec", "size=1m")]
    script = (
        "cd /data; stat -c '%n %F %a %u:%g %t' . * inner/file; cat inner/file; readlink link;"
        " stat -c %Y inner/file; echo new >inner/file; touch new"
    )
    assert boxes.says(script, mounts=mounts).splitlines() == [
        ". directory 2750 1:2 0",
        "empty directory 1755 0:0 0",
        "fifo fifo 640 0:0 0",
        "inner directory 755 0:0 0",
        "link symbolic link 777 0:0 0",
        "null character special file 600 0:0 1",
        "inner/file regular file 4711 3:4 0",
        "text/etc/passwd",
        "7",
    ]
    assert (top / "inner" / "file").read_text() == "text"
    assert not (top / "new").exists()


def test_tmpcopyup_in_a_user_namespace(user_boxes, own_rootfs):
    (own_rootfs / "etc" / "more").mkdir()
    (own_rootfs / "etc" / "more" / "file").write_text("text")
    for path in ("etc/more", "etc/more/file"):
        os.chown(own_rootfs / path, 100005, 100005)
    script = "cat /etc/more/file; stat -c %u /etc/more/file; touch /etc/new"
    said = user_boxes.says(script, mounts=[tmpfs("/etc", "tmpcopyup")])
    assert said == "text5\n"
    assert not (own_rootfs / "etc" / "new").exists()


def test_a_copy_that_does_not_fit_is_an_error(boxes, own_rootfs):
    (own_rootfs / "etc" / "large").write_bytes(bytes(1 << 20))
    with pytest.raises(OperationFailed, match=r"a copy of what it covers: .*\(ENOSPC\)"):
        boxes.create(mounts=[tmpfs("/etc", "tmpcopyup", "size=64k")])


# --- others --------------------------------------------------------------------------------------


def test_mqueue_devpts_and_proc(boxes):
    found = boxes.mounts()
    assert found["/dev/mqueue"].fstype == "mqueue"
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= found["/dev/pts"].super_options
    assert found["/proc"].fstype == "proc"
    said = boxes.says("ls /dev/pts; echo 5 >/dev/mqueue/q 2>/dev/null || true; touch /dev/mqueue/q")
    assert said == "ptmx\n"


def test_an_overlay_of_the_containers_own(boxes, place):
    for name in ("lower", "upper", "work"):
        (place / name).mkdir()
    (place / "lower" / "file").write_text("below")
    mount = {
        "destination": "/x", "type": "overlay", "source": "overlay",
        "options": [f"lowerdir={place}/lower", f"upperdir={place}/upper", f"workdir={place}/work"],
    }  # fmt: skip
    assert boxes.says("cat /x/file; echo above >/x/new", mounts=[mount]) == "below"
    assert (place / "upper" / "new").read_text() == "above\n"


def test_any_other_type_goes_to_the_kernel(boxes):
    mount = {"destination": "/x", "type": "ramfs", "source": "ramfs", "options": ["mode=0700"]}
    found = boxes.mounts(mounts=[mount])["/x"]
    assert (found.fstype, found.super_options) == ("ramfs", frozenset({"rw", "mode=700"}))
