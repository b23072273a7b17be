"""Files and directories: written so that nobody meets half of one, removed without a detour."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from runstate.errors import OperationFailed, explain_errno

if TYPE_CHECKING:
    from collections.abc import Iterable

# What to do about an errno, where that is known.
_REMEDIES = {
    errno.ENOSPC: "free space there, or use another root directory",
    errno.EDQUOT: "free space there, or use another root directory",
    errno.EROFS: "the root directory has to be on a writable file system",
    errno.EACCES: "use a root directory of your own",
    errno.EIO: "the disk has to be looked at",
}


def failure(operation: str, error: OSError) -> OperationFailed:
    """An OSError of the store's own files, with its remedy."""
    reason = explain_errno(error.errno, error.strerror)
    remedy = _REMEDIES.get(error.errno or 0)
    return OperationFailed(operation, f"{reason}; {remedy}" if remedy else reason, error.errno)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(directory: str, name: str, data: bytes) -> os.stat_result:
    """Write aside, sync, rename; returns what stat(2) says of the new file.

    The directory needs no sync: after a power cut the older file is as good, because its boot
    is over, and so are its processes.

    Raises:
        OperationFailed: The older file is as it was.
        FileNotFoundError: The directory is gone.
    """
    path, aside = f"{directory}/{name}", f"{directory}/.{name}.new"
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)  # whatever the umask
            write_all(fd, data)
            # Inode numbers are used again and the kernel's clock for mtime ticks in
            # milliseconds: without this, two versions of one size could pass for the same.
            now = time.time_ns()
            os.utime(fd, ns=(now, now))
            os.fdatasync(fd)
            written = os.fstat(fd)
        finally:
            os.close(fd)
        os.rename(aside, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(aside)
        if isinstance(error, FileNotFoundError):
            raise
        raise failure(f"save {path}", error) from error
    return written


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """A whole file, and what fstat(2) says of the very file that was read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        data = os.read(fd, found.st_size + 1)
        if len(data) != found.st_size:  # short, or it grows
            chunks = [data]
            while chunk := os.read(fd, 1 << 16):
                chunks.append(chunk)
            data = b"".join(chunks)
        return data, found
    finally:
        os.close(fd)


_ATTEMPTS = 100


def remove_tree(path: str, last: Iterable[str] = ()) -> None:
    """Remove a directory with all that is in it; one that is not there is no error.

    It works on descriptors, follows no symbolic link, and stops at a mount: what is mounted
    inside belongs to someone else, a volume's data for instance.

    Args:
        path: The directory.
        last: Names at its top that are removed after everything else.

    Raises:
        OperationFailed: Something cannot be removed; it names what.
    """
    try:
        fd = _open_directory(path, None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(f"remove {path}", error) from error
    try:
        for attempts_left in reversed(range(_ATTEMPTS)):
            _empty(fd, path, _mount_id(fd), frozenset(last))
            for name in last:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
            try:
                os.rmdir(path)
            except FileNotFoundError:
                return
            except OSError as error:
                # Who had begun to open the lock has made it anew, or a zygote of another process
                # has just put the exit of init on record; neither goes on for long.
                if error.errno != errno.ENOTEMPTY or not attempts_left:
                    raise
            else:
                return
    except OSError as error:
        raise failure(f"remove {path}", error) from error
    finally:
        os.close(fd)


def _open_directory(path: str, dir_fd: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, dir_fd=dir_fd)


def _empty(fd: int, path: str, mount: str, keep: frozenset[str] = frozenset()) -> None:
    with os.scandir(fd) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_directory in entries:
        if name in keep:
            continue
        with suppress(FileNotFoundError):
            if is_directory:
                _remove_directory(fd, name, f"{path}/{name}", mount)
            else:
                os.unlink(name, dir_fd=fd)


def _remove_directory(parent: int, name: str, path: str, mount: str) -> None:
    fd = _open_directory(name, parent)
    try:
        if _mount_id(fd) != mount:
            raise OperationFailed(
                f"remove {path}", "a file system is still mounted there; unmount it", errno.EBUSY
            )
        _empty(fd, path, mount)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def _mount_id(fd: int) -> str:
    """Which mount a descriptor is in: the device alone does not tell a bind mount."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
            return next(line for line in info if line.startswith("mnt_id:"))
    except (FileNotFoundError, StopIteration):
        return str(os.fstat(fd).st_dev)  # no proc(5) here; better than nothing
