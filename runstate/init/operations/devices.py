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
    init: Init,
    path: str,
    mode: int,
    major: int,
    minor: int,
    owner: tuple[int, int] | None,
    only_same: bool,
) -> None:
    """Make a device node (or a fifo) inside the rootfs.

    An older one of the same device gives way to it, so that mode and owner are as they shall
    be, and so does any other file, unless only the same device may. Where the kernel does
    not let this process make a device, it is the host's.
    """
    device = os.makedev(major, minor)
    parent, name = parent_of(init, path)
    try:
        try:
            os.mknod(name, mode, device, dir_fd=parent)
        except FileExistsError:
            if only_same:
                _expect_same(name, parent, mode, device)
            os.unlink(name, dir_fd=parent)
            os.mknod(name, mode, device, dir_fd=parent)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    except PermissionError as error:
        if error.errno != errno.EPERM or stat.S_ISFIFO(mode):
            raise
        bind_device(init, path, mode, major, minor)
    finally:
        os.close(parent)


def _expect_same(name: str, parent: int, mode: int, device: int) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    same_type = stat.S_IFMT(found.st_mode) == stat.S_IFMT(mode)
    if not same_type or (found.st_rdev != device and not stat.S_ISFIFO(mode)):
        # config-linux.md, Devices: what is there and is something else is an error.
        raise OperationError(errno.EEXIST, "something else stands there; remove it")


def bind_device(init: Init, path: str, mode: int, major: int, minor: int) -> None:
    """Put the host's node of a device at a path inside the rootfs.

    It is at the same path on the host, or where the kernel says that it is (sysfs(5)).
    """
    device = os.makedev(major, minor)
    node = _node(path, mode, device)
    if node < 0:
        node = _node(_devname(mode, major, minor), mode, device)
    if node < 0:
        raise OperationError(errno.ENODEV, "the host has no such node")
    tree = kernel.open_tree(node, "", kernel.OPEN_TREE_CLONE | kernel.AT_EMPTY_PATH)
    target = init.make_inside(path, directory=False)
    kernel.move_mount(tree, target)
    for fd in (node, tree, target):
        os.close(fd)


def _node(path: str, mode: int, device: int) -> int:
    """A descriptor of the host's node at a path; -1 if there is another file, or none."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
    found = os.fstat(fd)
    if stat.S_IFMT(found.st_mode) == stat.S_IFMT(mode) and found.st_rdev == device:
        return fd
    os.close(fd)
    return -1


def _devname(mode: int, major: int, minor: int) -> str:
    kind = "block" if stat.S_ISBLK(mode) else "char"
    try:
        fd = os.open(f"/sys/dev/{kind}/{major}:{minor}/uevent", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        lines = os.read(fd, 4096).decode("utf-8", "surrogateescape").splitlines()
    finally:
        os.close(fd)
    names = [line.partition("=")[2] for line in lines if line.startswith("DEVNAME=")]
    return f"/dev/{names[0]}" if names else ""


def symlink(init: Init, target: str, path: str) -> None:
    """Make a symlink inside the rootfs, unless something stands there."""
    parent, name = parent_of(init, path)
    try:
        os.symlink(target, name, dir_fd=parent)
    except FileExistsError:
        pass
    finally:
        os.close(parent)
