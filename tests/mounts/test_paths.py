"""A read-only root; masked and read-only paths."""

from __future__ import annotations

import subprocess

import pytest

from runstate import DEVNULL, PIPE
from runstate.errors import ConfigInvalid
from tests import host
from tests.mounts.conftest import bind, tmpfs

pytestmark = pytest.mark.root


@pytest.fixture(params=["boxes", "user_boxes"])
def either(request):
    """Containers on a rootfs of this test's own, with and without a user namespace."""
    return request.getfixturevalue(request.param)


def with_paths(boxes, **paths):
    return {"linux": {**boxes.base.get("linux", {}), **paths}}


# --- the root ------------------------------------------------------------------------------------


def test_a_read_only_root_cannot_be_written_and_its_mounts_can(either, own_rootfs):
    root = {"path": str(own_rootfs), "readonly": True}
    script = "touch /tmp/new /dev/shm/new /dev/new; ! touch /new; ! rm /etc/passwd"
    said = either.says(script, root=root, mounts=[tmpfs("/tmp", "mode=1777")])
    assert said.count("Read-only file system") == 2
    assert (own_rootfs / "etc" / "passwd").exists()


def test_a_read_only_root_keeps_its_other_flags(boxes, own_rootfs, host_mounts):
    subprocess.run(["mount", "--bind", own_rootfs, own_rootfs], check=True)
    host_mounts.append(str(own_rootfs))
    subprocess.run(["mount", "-o", "remount,bind,nosuid,nodev", own_rootfs], check=True)
    found = boxes.mounts(root={"path": str(own_rootfs), "readonly": True})["/"]
    assert {"ro", "nosuid", "nodev"} <= found.options
    assert "rw" in boxes.mounts(root={"path": str(own_rootfs)})["/"].options


@pytest.mark.parametrize("path", ["missing", "rootfs/etc/passwd"])
def test_a_root_that_is_no_directory_is_refused(boxes, place, path):
    with pytest.raises(ConfigInvalid, match=rf"\$.root.path: '{place / path}'"):
        boxes.create(root={"path": str(place / path)})


def test_a_root_is_taken_from_the_bundle(boxes, place):
    config = boxes.config("cat", "/etc/passwd", root={"path": "rootfs"})
    with boxes.factory.run(
        host.new_id(), config, bundle=str(place), stdin=DEVNULL, stdout=PIPE
    ) as container:
        assert container.stdout.read().startswith(b"root:")
        container.wait(20)


# --- masked paths --------------------------------------------------------------------------------


def test_a_masked_file_is_empty_and_a_masked_directory_too(either, own_rootfs):
    (own_rootfs / "secret").write_text("secret")
    (own_rootfs / "secrets").mkdir()
    (own_rootfs / "secrets" / "one").write_text("secret")
    linux = with_paths(either, maskedPaths=["/secret", "/secrets", "/proc/version", "/proc/fs"])
    script = (
        "cat /secret /proc/version; ls /secrets /proc/fs; echo over >/secret;"
        " ! touch /secrets/new; stat -c '%F %t:%T' /secret"
    )
    said = either.says(script, **linux)
    assert said.splitlines() == [
        "/proc/fs:", "", "/secrets:", "touch: /secrets/new: Read-only file system",
        "character special file 1:3",
    ]  # fmt: skip
    assert (own_rootfs / "secret").read_text() == "secret"


def test_what_is_not_there_is_no_error(either):
    paths = ["/none", "/none/at/all", "/etc/passwd/below", "/proc/none"]
    assert either.says("echo up", **with_paths(either, maskedPaths=paths, readonlyPaths=paths))


def test_of_a_symlink_what_it_leads_to_is_masked(either, own_rootfs, place):
    (place / "canary").write_text("canary")
    (own_rootfs / "secret").write_text("secret")
    (own_rootfs / "way").symlink_to("secret")
    (own_rootfs / "out").symlink_to(place / "canary")
    (own_rootfs / "up").symlink_to("../../../../secret")
    masked = with_paths(either, maskedPaths=["/way", "/out", "/up"])
    assert either.says("cat /secret /way /up; ls -l /out | wc -l", **masked) == "1\n"
    assert (place / "canary").read_text() == "canary"


def test_a_mask_covers_a_mount(either, place):
    (place / "data").mkdir()
    (place / "data" / "file").write_text("text")
    masked = with_paths(either, maskedPaths=["/x"])
    assert either.says("ls -A /x", mounts=[bind(place / "data", "/x")], **masked) == ""


# --- read-only paths -----------------------------------------------------------------------------


def test_a_read_only_path_can_be_read_and_not_written(either, own_rootfs):
    (own_rootfs / "data").mkdir()
    (own_rootfs / "data" / "file").write_text("text")
    (own_rootfs / "way").symlink_to("/data/file")
    linux = with_paths(either, readonlyPaths=["/data", "/etc/passwd", "/proc/sys", "/way"])
    script = (
        "cat /data/file; ! touch /data/new; ! echo a >>/etc/passwd; touch /etc/new;"
        " ! echo a >/proc/sys/kernel/hostname; ! echo a >/way"
    )
    said = either.says(script, **linux)
    assert said.startswith("text")
    assert said.count("Read-only file system") == 4
    assert (own_rootfs / "data" / "file").read_text() == "text"


def test_a_read_only_path_keeps_the_flags_of_its_mount(either):
    mounts = [tmpfs("/x", "mode=755", "nosuid", "nodev"), tmpfs("/x/y", "mode=755")]
    found = either.mounts(mounts=mounts, **with_paths(either, readonlyPaths=["/x"]))
    assert {"ro", "nosuid", "nodev"} <= found["/x"].options
