"""The filesystem handler ``host``: the host's own root below, a throw-away layer above.

The upper layer is a tmpfs in the container's mount namespace, so a container leaves nothing
behind, however it ends. Other file systems that are mounted below the host's root (a separate
/usr or /home) are not part of an overlay's lower layer (Documentation/filesystems/
overlayfs.rst); they are bound read-only in their places. /run and /tmp are empty: what runs
on the host keeps its sockets there.

In a user namespace the root itself cannot be a lower layer, but the directories in it can, one
by one (see ``overlay_directories``). One that has other mounts below it is bound read-only.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.errors import OperationFailed
from runstate.handlers.contract import HandlerContext, Substate
from runstate.handlers.fs.devices import has_user_namespace, left_out, missing_devices
from runstate.handlers.fs.mounts import check_mounts, prepare_mounts
from runstate.handlers.fs.rootfs import compile_rootfs
from runstate.init import kernel
from runstate.linux import operations
from runstate.linux.mounts import unescape_mountinfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.linux.operations import Operation

# File systems that hold files of the host's own; all others are the kernel's, or temporary.
_REAL = frozenset(
    (
        "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "exfat", "f2fs", "fuseblk", "jfs",
        "nfs", "nfs4", "overlay", "reiserfs", "squashfs", "vfat", "virtiofs", "xfs", "zfs", "9p",
    )
)  # fmt: skip
_HIDDEN = ("/run", "/tmp", "/dev", "/proc", "/sys")  # noqa: S108 - names, not files of ours
_MOUNT_POINT = "rootfs"
_SIZE = "50%"
_NEEDS_ESCAPES = frozenset(":,\\")  # what overlayfs takes for punctuation in a path


@frozen
class HostOptions:
    """What is saved.

    Attributes:
        mount_point: The empty directory that the overlay is mounted on.
        size: How much the upper layer may hold, as tmpfs(5) takes it.
        submounts: What is bound read-only: the host's further file systems, by path.
        directories: In a user namespace, what gets an overlay each: names in the root.
        links: In a user namespace, the symlinks in the root: (name, target).
    """

    mount_point: str
    size: str
    submounts: tuple[str, ...]
    directories: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


class HostFilesystem:
    """An overlay of the host's root, in the container's mount namespace."""

    options_type = HostOptions

    def check(self, context: HandlerContext) -> list[str]:
        """What of the devices and the mounts this host cannot do."""
        return [*missing_devices(context.config), *check_mounts(context)]

    def create(self, context: HandlerContext) -> Substate:
        """Make the mount point."""
        prepared = prepare_mounts(context)
        options = self._options(context)
        try:
            os.mkdir(options.mount_point, 0o755)
        except FileExistsError:
            pass
        except OSError as error:
            raise OperationFailed.from_os_error(
                f"make the mount point {options.mount_point}", error
            ) from error
        return Substate(options, prepared)

    def run(self, context: HandlerContext) -> Substate:
        """The overlay and the mounts, for init to make."""
        options = context.substates["fs"].options
        return Substate(options, operations=self._compile(context, options))

    def preview(self, context: HandlerContext) -> tuple[Operation, ...]:
        """The operations of ``run``."""
        return self._compile(context, self._options(context))

    def destroy(self, context: HandlerContext) -> Substate:
        """Remove the mount point."""
        mount_point = f"{context.directory}/{_MOUNT_POINT}"
        try:
            os.rmdir(mount_point)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise OperationFailed.from_os_error(
                    f"remove the mount point {mount_point}", error
                ) from error
        return context.substates.get("fs", Substate(None))

    def notices(self, context: HandlerContext) -> list[str]:
        """What of the host's root cannot be written to, in a user namespace."""
        if not _in_userns(context):
            return []
        bound = ", ".join(self._options(context).submounts)
        files = "rootfs: files that are not the caller's own cannot be changed"
        words = f"{files}, nor what is in {bound}" if bound else files
        return [words, *left_out(context.config)]

    @staticmethod
    def _options(context: HandlerContext) -> HostOptions:
        mount_point = f"{context.directory}/{_MOUNT_POINT}"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mountinfo = file.read()
        if not _in_userns(context):
            return HostOptions(mount_point, _SIZE, tuple(submounts_of(mountinfo)))
        names = [name for name in sorted(os.listdir("/")) if f"/{name}" not in _HIDDEN]
        modes = {name: os.lstat(f"/{name}").st_mode for name in names}
        directories = [name for name in names if stat.S_ISDIR(modes[name])]
        crossed = {path.split("/")[1] for path in mount_points_of(mountinfo) if path.count("/") > 1}
        bound = [d for d in directories if d in crossed or _NEEDS_ESCAPES.intersection(d)]
        return HostOptions(
            mount_point,
            _SIZE,
            tuple(f"/{name}" for name in bound),
            tuple(name for name in directories if name not in bound),
            tuple((n, os.readlink(f"/{n}")) for n in names if stat.S_ISLNK(modes[n])),
        )

    @staticmethod
    def _compile(context: HandlerContext, options: HostOptions) -> tuple[Operation, ...]:
        if _in_userns(context):
            # In a user namespace overlayfs may use only these attributes (overlayfs.rst).
            overlay = operations.overlay_directories(
                options.mount_point, options.directories, ",userxattr", options.size
            )
        else:
            overlay = operations.overlay_host(options.mount_point, "/", "", options.size)
        hidden = kernel.MS_NOSUID | kernel.MS_NODEV
        mounts = [operations.symlink(target, f"/{name}") for name, target in options.links]
        mounts += [
            operations.bind(path, path, recursive=True, attributes=kernel.MOUNT_ATTR_RDONLY)
            for path in options.submounts
        ]
        mounts += [
            operations.mount("tmpfs", "/run", "tmpfs", hidden, "mode=755,size=20%"),
            operations.mount("tmpfs", "/tmp", "tmpfs", hidden, "mode=1777,size=50%"),  # noqa: S108
        ]
        return compile_rootfs(context, options.mount_point, [overlay], mounts)


def _in_userns(context: HandlerContext) -> bool:
    return has_user_namespace(context.config)


def mount_points_of(mountinfo: str) -> Iterator[str]:
    """The paths of all mounts (proc(5), mountinfo)."""
    for line in mountinfo.splitlines():
        yield unescape_mountinfo(line.split(" ", 5)[4])


def submounts_of(mountinfo: str) -> Iterator[str]:
    """The paths of the host's further file systems, outermost first (proc(5), mountinfo)."""
    seen: set[str] = set()
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        separator = fields.index("-", 6)
        path, fstype = unescape_mountinfo(fields[4]), fields[separator + 1]
        hidden = any(path == top or path.startswith(top + "/") for top in _HIDDEN)
        below = any(path.startswith(other + "/") for other in seen)
        if fstype in _REAL and path != "/" and not hidden and not below and path not in seen:
            seen.add(path)
            yield path
