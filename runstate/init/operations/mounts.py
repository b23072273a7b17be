"""Mounts inside the rootfs."""

from __future__ import annotations

import os
import stat

from runstate.init import kernel
from runstate.init.operations.base import fd_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def mount(
    init: Init, source: str, target: str, fstype: str, flags: int, data: str, propagation: int
) -> None:
    """mount(2) of a new file system on a target inside the rootfs."""
    fd = init.make_inside(target, directory=True)
    try:
        kernel.mount(source, fd_path(fd), fstype, flags, data)
    finally:
        os.close(fd)
    if propagation:
        fd = init.inside(target, os.O_PATH)
        try:
            kernel.mount("none", fd_path(fd), "", propagation, "")
        finally:
            os.close(fd)


def bind(
    init: Init,
    source: str,
    target: str,
    recursive: bool,
    attributes: int,
    cleared: int,
    propagation: int,
) -> None:
    """A bind mount that has its attributes before anyone can see it."""
    flags = kernel.OPEN_TREE_CLONE | (kernel.AT_RECURSIVE if recursive else 0)
    tree = kernel.open_tree(kernel.AT_FDCWD, source, flags)
    try:
        if attributes or cleared:
            kernel.mount_setattr(tree, attr_set=attributes, attr_clr=cleared)
        if propagation:
            kernel.mount_setattr(
                tree,
                attr_set=0,
                propagation=propagation & ~kernel.MS_REC,
                recursive=bool(propagation & kernel.MS_REC),
            )
        directory = stat.S_ISDIR(os.stat(tree).st_mode)
        fd = init.make_inside(target, directory=directory)
        try:
            kernel.move_mount(tree, fd)
        finally:
            os.close(fd)
    finally:
        os.close(tree)
