"""The filesystem handler ``host``: the host's own root below, a throw-away layer above.

The upper layer is a tmpfs in the container's mount namespace, so a container leaves nothing
behind, however it ends. Other file systems that are mounted below the host's root (a separate
/usr or /home) are not part of an overlay's lower layer (Documentation/filesystems/
overlayfs.rst); they are bound read-only in their places. /run and /tmp are empty: what runs
on the host keeps its sockets there.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.errors import OperationFailed
from runstate.handlers.contract import HandlerContext, Substate
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


@frozen
class HostOptions:
    """What is saved.

    Attributes:
        mount_point: The empty directory that the overlay is mounted on.
        size: How much the upper layer may hold, as tmpfs(5) takes it.
        submounts: The host's further file systems, by path.
    """

    mount_point: str
    size: str
    submounts: tuple[str, ...]


class HostFilesystem:
    """An overlay of the host's root, in the container's mount namespace."""

    options_type = HostOptions

    def create(self, context: HandlerContext) -> Substate:
        """Make the mount point."""
        options = self._options(context)
        try:
            os.mkdir(options.mount_point, 0o755)
        except FileExistsError:
            pass
        except OSError as error:
            raise OperationFailed.from_os_error(
                f"make the mount point {options.mount_point}", error
            ) from error
        return Substate(options)

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

    @staticmethod
    def _options(context: HandlerContext) -> HostOptions:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mountinfo:
            submounts = tuple(submounts_of(mountinfo.read()))
        return HostOptions(f"{context.directory}/{_MOUNT_POINT}", "50%", submounts)

    @staticmethod
    def _compile(context: HandlerContext, options: HostOptions) -> tuple[Operation, ...]:
        linux = context.config.linux
        in_userns = linux is not None and any(n.type == "user" for n in linux.namespaces)
        # In a user namespace overlayfs may use only these attributes (overlayfs.rst).
        overlay_options = ",userxattr" if in_userns else ""
        overlay = operations.overlay_host(options.mount_point, "/", overlay_options, options.size)
        hidden = kernel.MS_NOSUID | kernel.MS_NODEV
        mounts = [
            operations.bind(path, path, recursive=True, attributes=kernel.MOUNT_ATTR_RDONLY)
            for path in options.submounts
        ]
        mounts += [
            operations.mount("tmpfs", "/run", "tmpfs", hidden, "mode=755,size=20%"),
            operations.mount("tmpfs", "/tmp", "tmpfs", hidden, "mode=1777,size=50%"),  # noqa: S108
        ]
        return compile_rootfs(context, [overlay], mounts)


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
