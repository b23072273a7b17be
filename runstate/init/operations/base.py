"""What operations leave for each other, and how they reach what is inside the rootfs."""

from __future__ import annotations

import errno
import os

from runstate.init import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from ctypes import Array, c_char_p

    Program = tuple[bytes, Array[c_char_p] | None, Array[c_char_p] | None]

DIRECTORY = os.O_PATH | os.O_DIRECTORY


class OperationError(Exception):
    """A failure that is more than its errno."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.errno = number
        self.text = text


class Init:
    """What one operation leaves for the next.

    Attributes:
        channel: The socket to the engine, until init is on record.
        extras: The further descriptors that the engine sent, by index.
        unshared: The CLONE_NEW* that a spare child has made in advance.
        rootfs: The rootfs's directory, once ``enter_rootfs_mount`` has made it a mount.
        fifo: The exec fifo's write end, once someone has opened the other.
        proc: /proc/self/fd, for opening the fifo when the host's /proc is out of sight.
        arrived: Whether this process is in its working directory.
        executable: The program's path, once it is found.
        home: The value of $HOME where the configuration has none, once it is found.
        program: What execve(2) takes, once it is prepared.
    """

    def __init__(self, channel: socket, extras: tuple[int, ...], unshared: int) -> None:
        self.channel = channel
        self.extras = extras
        self.unshared = unshared
        self.rootfs = -1
        self.fifo = -1
        self.proc = -1
        self.arrived = False
        self.executable = ""
        self.home = ""
        self.program: Program = (b"", None, None)

    def report(self, message: bytes) -> None:
        """Tell the engine: over the channel, or over the fifo once the channel is closed."""
        try:
            if self.fifo >= 0:
                os.write(self.fifo, message)
            else:
                self.channel.send(message)
        except OSError:
            return  # nobody is left to be told

    def inside(self, path: str, flags: int, mode: int = 0) -> int:
        """A descriptor for a path as it is within the rootfs."""
        return kernel.openat2(self.rootfs, path, flags, mode, kernel.RESOLVE_IN_ROOT)

    def make_inside(self, path: str, *, directory: bool) -> int:
        """Like ``inside`` with O_PATH, but what is missing is made."""
        try:
            return self.inside(path, os.O_PATH)
        except FileNotFoundError:
            pass
        above, name = os.path.split(path.rstrip("/"))
        if name in {"", ".", ".."}:
            raise OSError(errno.EINVAL, "cannot be made", path)
        parent = self.make_inside(above or "/", directory=True)
        try:
            self._make(name, parent, directory=directory)
        finally:
            os.close(parent)
        return self.inside(path, os.O_PATH)

    @staticmethod
    def _make(name: str, parent: int, *, directory: bool) -> None:
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                os.close(os.open(name, flags, 0o644, dir_fd=parent))
        except FileExistsError:
            # A dangling symlink stands there, or someone was faster; resolving tells.
            return


def fd_path(fd: int) -> str:
    """A path for the inode that a descriptor stands for."""
    # Before pivot_root the host's /proc is in sight, and the link leads to the very inode.
    return f"/proc/self/fd/{fd}"


def parent_of(init: Init, path: str) -> tuple[int, str]:
    """The directory that a path inside the rootfs is in, made where it is missing; and its name."""
    directory, name = os.path.split(path.rstrip("/"))
    if not name:
        raise OSError(errno.EINVAL, "names no file", path)
    return init.make_inside(directory or "/", directory=True), name
