"""Mount options: what each does, seen from within."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from runstate.errors import ConfigInvalid, OperationFailed
from tests.mounts.conftest import Boxes, bind, tmpfs

pytestmark = pytest.mark.root


@pytest.fixture
def data(tmp_path):
    """A directory of the host's with a file, a program, and one that is set-user-id."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "file").write_text("text")
    for name, source, mode in (("busybox", "busybox", 0o755), ("suid", "id", 0o4755)):
        shutil.copy(f"/bin/{source}", directory / name)
        os.chmod(directory / name, mode)
    os.mknod(directory / "null", 0o20666, os.makedev(1, 3))
    (directory / "link").symlink_to("file")
    return directory


# --- flags of the mount ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["ro"], {"ro", "relatime"}),
        (["nosuid", "nodev", "noexec"], {"rw", "nosuid", "nodev", "noexec", "relatime"}),
        (["nosuid", "suid", "noexec", "exec", "ro", "rw"], {"rw", "relatime"}),
        (["noatime"], {"rw", "noatime"}),
        (["noatime", "atime"], {"rw", "relatime"}),
        (["noatime", "relatime"], {"rw", "relatime"}),
        (["relatime", "noatime", "nodiratime"], {"rw", "noatime", "nodiratime"}),
        (["nodiratime", "diratime"], {"rw", "relatime"}),
        (["strictatime"], {"rw"}),
        (["strictatime", "nostrictatime"], {"rw", "relatime"}),
        (["norelatime"], {"rw", "relatime"}),
        (["nosymfollow"], {"rw", "relatime", "nosymfollow"}),
        (["nosymfollow", "symfollow", "nodev", "dev"], {"rw", "relatime"}),
        (["defaults", "async", "loud", "noiversion", "nolazytime", "nomand"], {"rw", "relatime"}),
    ],
)
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_the_flags_of_a_mount_are_what_its_options_say(boxes, data, kind, options, wanted):
    new = bind(data, "/x", *options) if kind == "bind" else tmpfs("/x", "mode=755", *options)
    assert boxes.mounts(mounts=[new])["/x"].options == wanted


def test_flags_that_are_the_file_systems_reach_it(boxes):
    mounts = [tmpfs("/x", "mode=755", "sync", "dirsync", "lazytime", "iversion", "silent")]
    found = boxes.mounts(mounts=mounts)["/x"]
    assert {"sync", "dirsync", "lazytime"} <= found.super_options


def test_what_is_read_only_cannot_be_written(boxes, data):
    script = "! touch /x/new; ! echo a >/x/file; ! rm /x/file; cat /x/file"
    assert "text" in boxes.says(script, mounts=[bind(data, "/x", "ro")])
    assert sorted(os.listdir(data)) == ["busybox", "file", "link", "null", "suid"]


def test_what_is_noexec_is_not_executed(boxes, data):
    said = boxes.says("/x/busybox true; echo $?", mounts=[bind(data, "/x", "noexec")])
    assert said.splitlines()[-1] == "126"
    assert boxes.says("/x/busybox echo ran", mounts=[bind(data, "/x")]) == "ran\n"


def test_what_is_nosuid_gives_no_other_user(linux_factory, data):
    boxes = Boxes(linux_factory, "host")
    process = {"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": False}
    for options, effective in (((), "0\n"), (("nosuid",), "1000\n")):
        mounts = [bind(data, "/mnt", *options)]
        assert boxes.says("/mnt/suid -u", mounts=mounts, process=process) == effective


def test_what_is_nodev_opens_no_device(boxes, data):
    assert boxes.says("echo a >/x/null; echo done", mounts=[bind(data, "/x")]) == "done\n"
    said = boxes.says("! cat /x/null", mounts=[bind(data, "/x", "nodev")])
    assert "Permission denied" in said


def test_what_is_nosymfollow_follows_no_symlink(boxes, data):
    said = boxes.says("! cat /x/link; cat /x/file", mounts=[bind(data, "/x", "nosymfollow")])
    assert "symbolic links" in said
    assert said.endswith("text")


def test_access_times_change_or_do_not(boxes, data):
    script = "touch -a -d @0 /x/file; cat /x/file >/dev/null; stat -c %X /x/file"
    assert boxes.says(script, mounts=[bind(data, "/x", "noatime")]) == "0\n"
    assert int(boxes.says(script, mounts=[bind(data, "/x", "strictatime")])) > 0


# --- all the way down ----------------------------------------------------------------------------


@pytest.fixture
def tree(data, host_mounts):
    """The directory, with a tmpfs mounted in it that has a file."""
    below = data / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", below], check=True)
    host_mounts.append(str(below))
    (below / "file").write_text("deep")
    return data


ATTRIBUTES = {
    "rro": "ro", "rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec",
    "rnoatime": "noatime", "rnodiratime": "nodiratime", "rnosymfollow": "nosymfollow",
}  # fmt: skip


@pytest.mark.parametrize(("option", "flag"), ATTRIBUTES.items())
def test_an_attribute_with_an_r_reaches_what_is_mounted_below(boxes, tree, option, flag):
    plain = boxes.mounts(mounts=[bind(tree, "/x", flag)])
    assert flag in plain["/x"].options
    assert flag not in plain["/x/below"].options
    deep = boxes.mounts(mounts=[bind(tree, "/x", option)])
    assert flag in deep["/x"].options
    assert flag in deep["/x/below"].options
    # The host's own mount is as it was.
    with open("/proc/self/mountinfo") as mountinfo:
        (own,) = (line for line in mountinfo if str(tree / "below") in line)
    assert flag not in own.split(" ")[5].split(",")


@pytest.mark.parametrize(
    ("before", "option", "flag"),
    [
        ("ro", "rrw", "ro"), ("nosuid", "rsuid", "nosuid"), ("nodev", "rdev", "nodev"),
        ("noexec", "rexec", "noexec"), ("noatime", "ratime", "noatime"),
        ("noatime", "rrelatime", "noatime"), ("strictatime", "rnostrictatime", "strictatime"),
        ("nodiratime", "rdiratime", "nodiratime"), ("noatime", "rnorelatime", "noatime"),
    ],
)  # fmt: skip
def test_and_its_opposite_takes_it_away(boxes, tree, before, option, flag):
    subprocess.run(["mount", "-o", f"remount,bind,{before}", tree / "below"], check=True)
    found = boxes.mounts(mounts=[bind(tree, "/x", option)])
    assert flag not in found["/x/below"].options
    if "atime" in option and "dir" not in option:
        assert "relatime" in found["/x/below"].options


def test_strictatime_all_the_way_down(boxes, tree):
    found = boxes.mounts(mounts=[bind(tree, "/x", "rstrictatime")])
    assert "relatime" not in found["/x"].options | found["/x/below"].options


def test_recursive_read_only_cannot_be_written_below(boxes, tree):
    script = "! touch /x/below/new; cat /x/below/file"
    assert boxes.says(script, mounts=[bind(tree, "/x", "rro")]).endswith("deep")
    boxes.says("touch /x/below/new", mounts=[bind(tree, "/x", "ro")])
    assert (tree / "below" / "new").exists()


def test_of_a_new_file_system_they_are_its_own(boxes):
    found = boxes.mounts(mounts=[tmpfs("/x", "mode=755", "rro", "rnosuid")])["/x"]
    assert {"ro", "nosuid"} <= found.options


def test_bind_leaves_what_is_mounted_below_and_rbind_takes_it_along(boxes, tree):
    assert "/x/below" not in boxes.mounts(mounts=[bind(tree, "/x", "bind")])
    assert "/x/below" in boxes.mounts(mounts=[bind(tree, "/x", "rbind")])


# --- remount -------------------------------------------------------------------------------------


def test_remount_with_bind_changes_a_mount_that_is_there(boxes):
    again = {"destination": "/x", "options": ["remount", "bind", "ro", "noexec"]}
    found = boxes.mounts(mounts=[tmpfs("/x", "mode=755", "nosuid"), again])["/x"]
    assert {"ro", "noexec", "nosuid"} <= found.options
    assert "rw" in found.super_options


def test_remount_alone_changes_the_file_system(boxes):
    again = {"destination": "/x", "type": "tmpfs", "source": "tmpfs",
             "options": ["remount", "size=8k", "ro"]}  # fmt: skip
    found = boxes.mounts(mounts=[tmpfs("/x", "mode=755", "size=4m"), again])["/x"]
    assert {"size=8k", "ro"} <= found.super_options


def test_the_root_itself_may_be_remounted(boxes):
    again = {"destination": "/", "options": ["remount", "bind", "noatime", "nodev"]}
    assert {"noatime", "nodev"} <= boxes.mounts(mounts=[again])["/"].options


# --- errors --------------------------------------------------------------------------------------


def test_an_error_has_source_target_and_flags_by_name_and_the_kernels_words(boxes):
    mount = tmpfs("/x", "mode=755", "nosuid", "nodev", "bogus=5")
    with pytest.raises(OperationFailed) as caught:
        boxes.create(mounts=[mount])
    said = str(caught.value)
    assert said.startswith("mount tmpfs tmpfs on /x, flags MS_NOSUID|MS_NODEV, data 'mode=755,bogu")
    assert "(EINVAL)" in said
    assert "Unknown parameter 'bogus'" in said


def test_an_unknown_file_system_is_named(boxes):
    with pytest.raises(OperationFailed, match=r"mount nosuchfs .* on /x.*\(ENODEV\)"):
        boxes.create(mounts=[{"destination": "/x", "type": "nosuchfs", "source": "nosuchfs"}])


def test_a_missing_source_is_named(boxes, tmp_path):
    with pytest.raises(ConfigInvalid, match=rf"mounts\[\d+\].source: '{tmp_path}/none': No such"):
        boxes.create(mounts=[bind(tmp_path / "none", "/x")])
