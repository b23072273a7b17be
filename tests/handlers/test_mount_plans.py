"""What a plan says of mounts, before any of them is made."""

from __future__ import annotations

import pytest

from runstate.config import Config
from runstate.handlers.contract import HandlerContext
from runstate.handlers.fs.rootfs import compile_rootfs

MAP = [{"containerID": 0, "hostID": 1000, "size": 10}]
USER = {"namespaces": [{"type": "user"}, {"type": "mount"}, {"type": "network", "path": "/n"}],
        "uidMappings": MAP, "gidMappings": MAP}  # fmt: skip


def plan(mounts=(), **linux):
    """The words of all operations of the file system, in their order."""
    config = Config.default(["true"]).to_dict()
    config["mounts"] = list(mounts)
    config["linux"].update(linux)
    context = HandlerContext("id", "/nowhere", "/bundle", Config.from_dict(config))
    return [operation.describe() for operation in compile_rootfs(context, "/bundle/rootfs", [])]


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (
            {"destination": "a/../b", "source": "c", "options": ["bind", "ro", "noatime"]},
            "bind /bundle/c on /b, attributes MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOATIME",
        ),
        (
            {"destination": "/b", "source": "/c", "options": ["rbind", "exec", "atime", "rslave"]},
            (
                "bind /c on /b, with what is mounted below, MOUNT_ATTR_RELATIME, without"
                " MOUNT_ATTR_NOEXEC, then MS_REC|MS_SLAVE"
            ),
        ),
        (
            {"destination": "/b", "source": "/c", "options": ["rbind", "rro", "nosuid"]},
            (
                "bind /c on /b, with what is mounted below, attributes MOUNT_ATTR_RDONLY (all the"
                " way down), attributes MOUNT_ATTR_NOSUID"
            ),
        ),
        (
            {"destination": "/b", "options": ["remount", "bind", "nodev"]},
            "change the mount at /b, attributes MOUNT_ATTR_NODEV",
        ),
        (
            {"destination": "/b", "type": "tmpfs", "source": "t", "options": ["tmpcopyup", "ro"]},
            "mount tmpfs t on /b, flags 0, with a copy of what it covers",
        ),
        (
            {"destination": "/b", "type": "tmpfs", "options": ["size=1m"]},
            "mount tmpfs tmpfs on /b, flags 0, data 'size=1m', with the mode of what it covers",
        ),
        (
            {"destination": "/b", "type": "xfs", "source": "/dev/sda", "options": ["shared", "ro"]},
            "mount xfs /dev/sda on /b, flags MS_RDONLY, then MS_SHARED",
        ),
    ],
)
def test_each_mount_says_what_it_does(mount, words):
    assert words in plan([mount])


def test_a_tmpfs_is_made_read_only_after_all_else():
    words = plan([{"destination": "/b", "type": "tmpfs", "options": ["mode=755", "ro"]}])
    assert words[-1] == "make the mount at /b read-only"
    assert words.index("pivot into the rootfs and drop the host's root") < len(words) - 1


def test_mapped_ids_and_sysfs_in_a_user_namespace():
    mounts = [
        {"destination": "/b", "source": "/c", "options": ["bind", "idmap"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
    ]
    words = plan(mounts, **USER)
    assert "have the engine's side open /c" in words
    assert "bind /c on /b, as the engine's side has opened it" in words
    assert "mount sysfs sysfs on /sys, flags 0; or bind the host's, read-only" in words


@pytest.mark.parametrize(
    ("propagation", "first", "last"),
    [
        (None, "MS_REC|MS_SLAVE", None),
        ("rslave", "MS_REC|MS_SLAVE", "MS_REC|MS_SLAVE"),
        ("private", "MS_REC|MS_PRIVATE", "MS_PRIVATE"),
        ("unbindable", "MS_REC|MS_PRIVATE", "MS_UNBINDABLE"),
        ("shared", "MS_SHARED, and of the mount that /bundle/rootfs is in: MS_PRIVATE",
         "MS_SHARED"),
    ],
)  # fmt: skip
def test_propagation_is_set_before_the_rootfs_and_after_it(propagation, first, last):
    said = [words for words in plan(rootfsPropagation=propagation) if "propagation" in words]
    wanted = [first, last] if last else [first]
    assert said == [f"set mount propagation of /: {flags}" for flags in wanted]
