"""Reading and writing the small files of cgroupfs, and walking its directories."""

from __future__ import annotations

import errno
import os

from runstate.errors import OperationFailed, explain_errno


def read_all(path: str) -> str:
    """A file of proc or cgroupfs, however long.

    Raises:
        OSError: As the kernel reports it; the callers know what the file means.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunk = os.read(fd, 65536)
        # cgroupfs and proc may hand out less than asked for; only an empty read is the end.
        # A short file has none of its own to spare, so that one more read is all it costs.
        chunks = []
        while chunk:
            chunks.append(chunk)
            chunk = os.read(fd, 65536)
    finally:
        os.close(fd)
    return b"".join(chunks).decode("utf-8", "surrogateescape")


def read_value(path: str) -> str:
    """A file of one short value, in one read, without its newline.

    Raises:
        OSError: As the kernel reports it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode("utf-8", "surrogateescape").rstrip("\n")
    finally:
        os.close(fd)


def write_value(path: str, value: bytes) -> None:
    """One write(2) to a file that is there; cgroupfs takes a whole value in each.

    Raises:
        OSError: As the kernel reports it.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)


def write_failed(value: str, file: str, directory: str, error: OSError) -> OperationFailed:
    """The typed error for a write to a cgroup's file that the kernel refused."""
    return OperationFailed(
        f"write {value} to {file} of cgroup {directory}",
        explain_errno(error.errno, error.strerror),
        error.errno,
    )


def subgroups(directory: str) -> list[str]:
    """All cgroups below this one, the deepest first, without itself.

    Those that vanish meanwhile are left out. A directory of cgroupfs counts its children in
    st_nlink, as file systems do, which is much cheaper to ask for than a listing is: each cgroup
    has dozens of files.
    """
    try:
        if os.stat(directory).st_nlink <= 2:
            return []
        with os.scandir(directory) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if is_gone(error):
            return []
        raise
    found = []
    for child in children:
        found += subgroups(child)
        found.append(child)
    return found


def is_gone(error: OSError) -> bool:
    """Whether the error means that the cgroup is no more.

    The kernel says ENODEV in place of ENOENT to those who opened, or looked up, one of its
    files just before it went.
    """
    return error.errno in _GONE


_GONE = frozenset({errno.ENOENT, errno.ENODEV})
