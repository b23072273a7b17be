"""Device nodes, links and the terminal."""

from __future__ import annotations

import fcntl
import os
import struct

from runstate.init import kernel, protocol
from runstate.init.operations.base import parent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_TIOCSCTTY, _TIOCSWINSZ, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441


def open_console(init: Init, rows: int, columns: int, owner: tuple[int, int]) -> None:
    """Make the container's terminal, and send its master side to the engine.

    The terminal is of the container's own devpts; TIOCGPTPEER opens its other side without a
    path that the rootfs could have tampered with (ioctl_tty(2)).
    """
    master = init.inside("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(slave, *owner)
    if rows and columns:
        fcntl.ioctl(master, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    tree = kernel.open_tree(slave, "", kernel.OPEN_TREE_CLONE | kernel.AT_EMPTY_PATH)
    console = init.make_inside("/dev/console", directory=False)
    kernel.move_mount(tree, console)
    for fd in (tree, console):
        os.close(fd)
    protocol.send_console(init.channel, master)
    os.close(master)
    # This process leads a session already (the executor saw to it).
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    for stream in (0, 1, 2):
        os.dup2(slave, stream)
    os.close(slave)


def mknod(
    init: Init, path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None
) -> None:
    """Make a device node (or a fifo) inside the rootfs; an older file gives way to it."""
    parent, name = parent_of(init, path)
    try:
        device = os.makedev(major, minor)
        try:
            os.mknod(name, mode, device, dir_fd=parent)
        except FileExistsError:
            os.unlink(name, dir_fd=parent)
            os.mknod(name, mode, device, dir_fd=parent)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def symlink(init: Init, target: str, path: str) -> None:
    """Make a symlink inside the rootfs, unless something stands there."""
    parent, name = parent_of(init, path)
    try:
        os.symlink(target, name, dir_fd=parent)
    except FileExistsError:
        pass
    finally:
        os.close(parent)
