"""What operations leave for each other, and how they reach what is inside the rootfs."""

from __future__ import annotations

import errno
import os

from runstate.init import kernel
from runstate.init.procfs import EMULATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from ctypes import Array, c_char_p

    Program = tuple[bytes, Array[c_char_p] | None, Array[c_char_p] | None]

DIRECTORY = os.O_PATH | os.O_DIRECTORY
_STRAIGHT = kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_SYMLINKS
_MOST_LINKS = 40  # as path_resolution(7)
# The kernel gives up on a ".." when anything is renamed or mounted meanwhile (openat2(2), EAGAIN).
_MOST_TRIES = 100


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
        trees: What another process has opened for bind mounts, by mount (``trees``).
        fifo: The exec fifo's write end, once someone has opened the other.
        proc: /proc/self/fd, for opening the fifo when the host's /proc is out of sight.
        arrived: Whether this process is in its working directory.
        executable: The program's path, once it is found.
        home: The value of $HOME where the configuration has none, once it is found.
        hooks: What the engine is told of hooks that have run, with the news that init is ready.
        program: What execve(2) takes, once it is prepared.
    """

    def __init__(self, channel: socket, extras: tuple[int, ...], unshared: int) -> None:
        self.channel = channel
        self.extras = extras
        self.unshared = unshared
        self.rootfs = -1
        self.trees: dict[int, int] = {}
        self.fifo = -1
        self.proc = -1
        self.arrived = False
        self.executable = ""
        self.home = ""
        self.hooks = b""
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
        for _ in range(_MOST_TRIES):
            try:
                return kernel.openat2(self.rootfs, path, flags, mode, kernel.RESOLVE_IN_ROOT)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise OperationError(
                        errno.EXDEV, f"{path} leads out of the rootfs, by a magic link of procfs"
                    ) from error
                if error.errno != errno.EAGAIN:
                    raise
        raise OSError(errno.EAGAIN, "something is renamed or mounted all the time", path)

    def make_inside(self, path: str, *, directory: bool, links: int = _MOST_LINKS) -> int:
        """Like ``inside`` with O_PATH, but what is missing is made.

        Where a symlink leads to nothing, what it leads to is made, inside the rootfs.
        """
        try:
            return self.inside(path, os.O_PATH)
        except FileNotFoundError:
            pass
        above, name = os.path.split(path.rstrip("/"))
        if name in {"", ".", ".."}:
            raise OSError(errno.EINVAL, "cannot be made", path)
        if not links:
            raise OSError(errno.ELOOP, "too many symlinks", path)
        parent = self.make_inside(above or "/", directory=True, links=links - 1)
        try:
            leads_to = self._make(name, parent, directory=directory)
        finally:
            os.close(parent)
        if not leads_to:
            return self.inside(path, os.O_PATH)
        # From its own directory, which `above` leads to also where that is a symlink.
        leads_to = os.path.join(above or "/", leads_to)
        return self.make_inside(leads_to, directory=directory, links=links - 1)

    @staticmethod
    def _make(name: str, parent: int, *, directory: bool) -> str:
        """Make a file or a directory; where a symlink stands already, tell what it holds."""
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                os.close(os.open(name, flags, 0o644, dir_fd=parent))
        except FileExistsError:
            try:
                return os.readlink(name, dir_fd=parent)
            except OSError:
                return ""  # someone was faster; resolving tells
        return ""

    def mount_point(self, path: str, *, directory: bool = True, source: int = -1) -> int:
        """A descriptor to mount something on, made where it is missing.

        Nothing goes over procfs but what emulates some of its files: what a container, and
        this process, read and write there is the kernel's (CVE-2019-16884, CVE-2019-19921).

        Args:
            path: Where, inside the rootfs.
            directory: Whether a directory or a file is made.
            source: The tree of a bind mount.
        """
        if not path.startswith("/proc"):
            # A path without symlinks leads where it says, and that is what most are.
            fd = self._straight(path, os.O_PATH, directory=directory)
            if fd >= 0:
                return fd
        fd = self.make_inside(path, directory=directory)
        on_procfs = kernel.filesystem_type(fd) == kernel.PROC_SUPER_MAGIC
        if not on_procfs and path != "/proc":
            return fd
        rootfs = os.readlink(fd_path(self.rootfs)).rstrip("/")
        where = os.readlink(fd_path(fd)).removeprefix(rootfs)
        is_procfs = source >= 0 and kernel.filesystem_type(source) == kernel.PROC_SUPER_MAGIC
        if where == "/proc" and is_procfs:
            return fd
        if where == "/proc" or (where.startswith("/proc/") and where not in EMULATED):
            raise OperationError(
                errno.EPERM, f"it would be on {where}, and /proc has to be the kernel's own"
            )
        return fd

    def _straight(self, path: str, flags: int, *, directory: bool) -> int:
        """A descriptor for a path without symlinks, whose last name is made; or else -1."""
        try:
            return kernel.openat2(self.rootfs, path, flags, 0, _STRAIGHT)
        except FileNotFoundError:
            above, _, name = path.rpartition("/")
        except OSError:
            return -1
        try:
            parent = kernel.openat2(self.rootfs, above or "/", DIRECTORY, 0, _STRAIGHT)
            leads_to = self._make(name, parent, directory=directory)
            os.close(parent)
            return -1 if leads_to else kernel.openat2(self.rootfs, path, flags, 0, _STRAIGHT)
        except OSError:
            return -1

    def ordinary_directory(self, path: str, kind: str) -> int:
        """A directory to mount procfs or sysfs on, whose path has no symlink in it.

        A rootfs with a symlink there would have the file system where nobody looks for it, and
        files of its own where the kernel's are expected (CVE-2019-19921, CVE-2023-27561).
        """
        fd = self._straight(path, DIRECTORY, directory=True)
        if fd >= 0:
            return fd
        try:
            # It may be that more than its last name is missing.
            os.close(self.make_inside(path, directory=True))
            return kernel.openat2(self.rootfs, path, DIRECTORY, 0, _STRAIGHT)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
        raise OperationError(
            errno.ENOTDIR, f"{kind} goes on an ordinary directory, and no symlink may lead there"
        )


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
