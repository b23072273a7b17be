"""What the kernel tells of a process's filters (proc(5), ptrace(2) PTRACE_SECCOMP_GET_FILTER)."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_GET_FILTER, _GET_METADATA = 0x420C, 0x420D
_ALL_CHILDREN = 0x40000000  # __WALL
_LOG = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def filters(pid: int) -> int:
    """How many filters a process has."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("Seccomp_filters:")).split()[1])


def program(pid: int) -> bytes:
    """The instructions of a process's first filter."""
    with _stopped(pid):
        length = _ptrace(_GET_FILTER, pid, 0, None)
        code = ctypes.create_string_buffer(length * 8)
        _ptrace(_GET_FILTER, pid, 0, ctypes.addressof(code))
        return code.raw


def logs(pid: int) -> bool:
    """Whether a process's first filter has SECCOMP_FILTER_FLAG_LOG."""
    with _stopped(pid):
        metadata = (ctypes.c_uint64 * 2)()
        _ptrace(_GET_METADATA, pid, ctypes.sizeof(metadata), ctypes.addressof(metadata))
        return bool(metadata[1] & _LOG)


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    _ptrace(_SEIZE, pid, 0, None)
    _ptrace(_INTERRUPT, pid, 0, None)
    os.waitpid(pid, _ALL_CHILDREN)
    try:
        yield
    finally:
        _ptrace(_DETACH, pid, 0, None)


def _ptrace(request: int, pid: int, address: int, data: int | None) -> int:
    result = int(_libc.ptrace(request, pid, address, data))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")
    return result
