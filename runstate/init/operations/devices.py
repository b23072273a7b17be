"""Device nodes, links and the terminal."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from runstate.init import kernel, protocol
from runstate.init.operations.base import OperationError, parent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_TIOCSCTTY, _TIOCSWINSZ, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441
_PTMX = os.makedev(5, 2)  # Documentation/admin-guide/devices.txt


def open_console(init: Init, rows: int, columns: int, uid: int) -> None:
    """Make the container's terminal, and send its master side to the engine.

    The terminal is of the container's own devpts, and is the container's /dev/console.
    """
    master = init.inside("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    slave = open_pair(master, rows, columns, uid)
    tree = kernel.open_tree(slave, "", kernel.OPEN_TREE_CLONE | kernel.AT_EMPTY_PATH)
    console = init.make_inside("/dev/console", directory=False)
    kernel.move_mount(tree, console)
    for fd in (tree, console):
        os.close(fd)
    become_terminal(init, master, slave)


def open_pair(master: int, rows: int, columns: int, uid: int) -> int:
    """The other side of a new terminal, owned by the user; its group is the mount's business.

    TIOCGPTPEER opens it without a path that the rootfs could have tampered with
    (ioctl_tty(2)), and what has the number of a ptmx is one (CVE-2025-52565).
    """
    found = os.fstat(master)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _PTMX:
        raise OperationError(errno.ENOTTY, "the container's /dev/pts/ptmx is no terminal's")
    os.set_blocking(master, True)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(slave, uid, -1)
    if rows and columns:
        fcntl.ioctl(master, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    return slave


def become_terminal(init: Init, master: int, slave: int) -> None:
    """Send the master away, and make the other side the standard streams and the session's."""
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
