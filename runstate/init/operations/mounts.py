"""Mounts inside the rootfs."""

from __future__ import annotations

import errno
import os
import stat

from runstate.init import fscontext, kernel
from runstate.init.operations.base import OperationError, fd_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def mount(
    init: Init,
    source: str,
    target: str,
    fstype: str,
    flags: int,
    data: str,
    propagation: tuple[int, ...],
) -> None:
    """mount(2) of a new file system on a target inside the rootfs."""
    if fstype in ("proc", "sysfs"):
        fd = init.ordinary_directory(target, fstype)
    else:
        fd = init.mount_point(target)
    mount_on(fd, source, fstype, flags, data)
    os.close(fd)
    if propagation:
        propagate(init.inside(target, os.O_PATH), propagation)


def mount_on(target: int, source: str, fstype: str, flags: int, data: str) -> None:
    """mount(2) on a descriptor; an error has what the kernel says of it in words."""
    try:
        kernel.mount(source, fd_path(target), fstype, flags, data)
    except OSError as error:
        said = fscontext.complaint(fstype, source, data)
        raise OperationError(error.errno or 0, said) from error


def propagate(fd: int, propagation: tuple[int, ...]) -> None:
    """Change how mount events pass, one way after the other; closes the descriptor."""
    for flags in propagation:
        kernel.mount_setattr(
            fd, propagation=flags & ~kernel.MS_REC, recursive=bool(flags & kernel.MS_REC)
        )
    os.close(fd)


def bind(
    init: Init,
    source: str,
    target: str,
    recursive: bool,
    attributes: int,
    cleared: int,
    propagation: tuple[int, ...],
) -> None:
    """A bind mount that has its attributes before anyone can see it."""
    tree = copy_tree(source, recursive)
    if attributes or cleared:
        kernel.mount_setattr(tree, attr_set=attributes, attr_clr=cleared)
    attach(init, tree, target, propagation)


def copy_tree(source: str, recursive: bool) -> int:
    """A detached copy of the mount that a path is in, from the path on."""
    flags = kernel.OPEN_TREE_CLONE | (kernel.AT_RECURSIVE if recursive else 0)
    try:
        return kernel.open_tree(kernel.AT_FDCWD, source, flags)
    except OSError as error:
        if error.errno != errno.EINVAL or recursive:
            raise
        raise OperationError(
            errno.EINVAL, f"{source} is unbindable, or what is mounted below it is locked to it in"
            " this user namespace: rbind takes that along"
        ) from error  # fmt: skip


def attach(init: Init, tree: int, target: str, propagation: tuple[int, ...]) -> None:
    """Put a detached tree on a target inside the rootfs; closes its descriptor."""
    directory = stat.S_ISDIR(os.stat(tree).st_mode)
    fd = init.mount_point(target, directory=directory, source=tree)
    try:
        kernel.move_mount(tree, fd)
    except OSError as error:
        if stat.S_ISDIR(os.stat(fd).st_mode) == directory:
            raise
        kinds = ("a directory", "a file") if directory else ("a file", "a directory")
        raise OperationError(errno.ENOTDIR, f"{kinds[0]} does not go on {kinds[1]}") from error
    os.close(fd)
    # Once it is where it belongs: a mount that hangs in the air has no peers.
    propagate(tree, propagation)
