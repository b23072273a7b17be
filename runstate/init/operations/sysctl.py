"""Kernel parameters of the container's own namespaces."""

from __future__ import annotations

import ctypes
import errno
import os

from runstate.init import kernel
from runstate.init.operations.base import DIRECTORY, OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_PROC_SUPER_MAGIC = 0x9FA0
_STATFS_SIZE = 256  # more than a struct statfs of any architecture

_fstatfs = ctypes.CDLL(None, use_errno=True).fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)


def set_sysctl(init: Init, path: str, value: str) -> None:
    """Write a parameter, of the namespaces that this process is in.

    By the host's /proc, which the container's files have no part in, and without following a
    link; what is written to is a file of a procfs, or nothing is written (CVE-2025-52881).
    """
    root = os.open("../..", DIRECTORY | os.O_CLOEXEC, dir_fd=init.proc)
    try:
        fd = kernel.openat2(
            root,
            f"sys/{path}",
            os.O_WRONLY,
            0,
            kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_SYMLINKS | kernel.RESOLVE_NO_MAGICLINKS,
        )
    finally:
        os.close(root)
    try:
        if _filesystem(fd) != _PROC_SUPER_MAGIC:
            raise OperationError(errno.ENOTSUP, f"/proc/sys/{path} is not a file of a procfs")
        os.write(fd, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def _filesystem(fd: int) -> int:
    """The magic number of a file's file system (statfs(2)); the structure's first member."""
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    if _fstatfs(fd, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # A long, but for s390x, where it is an int; no magic number has more than 32 bits.
    first = ctypes.c_uint32 if os.uname().machine == "s390x" else ctypes.c_ulong
    return int(first.from_buffer(buffer).value)
