"""Writing small files so that no reader, and no power cut, meets half of one."""

from __future__ import annotations

import os
from contextlib import suppress

from runstate.errors import OperationFailed


def write_all(fd: int, data: bytes) -> None:
    """write(2) until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(directory: str, name: str, data: bytes) -> None:
    """Write aside, sync, rename.

    The directory needs no sync: after a power cut the older file is as good, because its boot
    is over, and so are its processes.

    Raises:
        OperationFailed: The older file is as it was.
    """
    path, aside = f"{directory}/{name}", f"{directory}/.{name}.new"
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        os.rename(aside, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(aside)
        raise OperationFailed.from_os_error(f"save {path}", error) from error


def read_file(path: str) -> bytes:
    """A whole file, by the descriptor of one moment."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        chunks = []
        while chunk := os.read(fd, size + 1):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)
