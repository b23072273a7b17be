"""Mounts that need more than mount(2): trees from the host's side, attributes all the way down."""

from __future__ import annotations

import errno
import os

from runstate.init import kernel
from runstate.init.operations.base import DIRECTORY, OperationError
from runstate.init.operations.mounts import attach, mount_on, propagate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_HIDDEN = (
    kernel.MOUNT_ATTR_RDONLY
    | kernel.MOUNT_ATTR_NOSUID
    | kernel.MOUNT_ATTR_NODEV
    | kernel.MOUNT_ATTR_NOEXEC
)


def bind_tree(
    init: Init,
    source: str | int,
    target: str,
    recursive: bool,
    attributes: tuple[int, int],
    below: tuple[int, int],
    propagation: tuple[int, ...],
    _path: str,
) -> None:
    """A bind mount whose attributes reach what is mounted below it, or whose tree is the engine's.

    Args:
        init: This process.
        source: A path of the host's; or which of the engine's descriptors is the tree.
        target: Where, inside the rootfs.
        recursive: Whether what is mounted below the source comes along.
        attributes: MOUNT_ATTR_* to set and to clear, of the topmost mount.
        below: The same, of all mounts of the tree.
        propagation: As ``bind``.
        _path: The source's, for the words of an error.
    """
    if isinstance(source, int):
        tree = init.extras[source]
    else:
        flags = kernel.OPEN_TREE_CLONE | (kernel.AT_RECURSIVE if recursive else 0)
        tree = kernel.open_tree(kernel.AT_FDCWD, source, flags)
    if any(below):
        kernel.mount_setattr(tree, attr_set=below[0], attr_clr=below[1], recursive=True)
    if any(attributes):
        kernel.mount_setattr(tree, attr_set=attributes[0], attr_clr=attributes[1])
    attach(init, tree, target, propagation)


def set_attributes(
    init: Init,
    target: str,
    attributes: tuple[int, int],
    below: tuple[int, int],
    propagation: tuple[int, ...],
) -> None:
    """Change a mount that is there already (``remount`` together with ``bind``)."""
    fd = init.inside(target, os.O_PATH)
    if any(below):
        kernel.mount_setattr(fd, attr_set=below[0], attr_clr=below[1], recursive=True)
    if any(attributes):
        kernel.mount_setattr(fd, attr_set=attributes[0], attr_clr=attributes[1])
    propagate(fd, propagation)


def mount_sysfs(
    init: Init, source: str, target: str, flags: int, data: str, propagation: tuple[int, ...]
) -> None:
    """A sysfs in a user namespace, or the host's where there can be none.

    Only the user namespace that owns the network namespace may mount one (sysfs(5)). The
    host's is bound with all that is mounted in it, and nothing of it can be written to.
    """
    fd = init.ordinary_directory(target, "sysfs")
    try:
        mount_on(fd, source, "sysfs", flags, data)
    except OperationError as error:
        if error.errno != errno.EPERM:
            raise
        tree = kernel.open_tree(
            kernel.AT_FDCWD, "/sys", kernel.OPEN_TREE_CLONE | kernel.AT_RECURSIVE
        )
        kernel.mount_setattr(tree, attr_set=_HIDDEN, recursive=True)
        kernel.move_mount(tree, fd)
        os.close(tree)
    os.close(fd)
    propagate(init.inside(target, DIRECTORY), propagation)


def set_root_propagation(_init: Init, flags: int, rootfs: str) -> None:
    """Change how mount events pass, and keep those of the rootfs's own mount from the host.

    pivot_root(2) refuses a root whose parent mount is shared; and what is mounted on a shared
    mount is mounted on the host as well.
    """
    kernel.mount("none", "/", "", flags, "")
    while True:
        try:
            kernel.mount("none", rootfs, "", kernel.MS_PRIVATE, "")
        except OSError as error:
            if error.errno != errno.EINVAL or rootfs == "/":
                raise
            rootfs = os.path.dirname(rootfs)  # it is no mount point
        else:
            return
