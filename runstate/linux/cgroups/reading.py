"""Reading figures from files of a cgroup that may be gone at any moment.

A file that is not there, because the kernel has none or because the cgroup is gone, has no
figures; that is no error.
"""

from __future__ import annotations

import errno

from runstate.errors import OperationFailed
from runstate.linux.cgroups.figures import Pressure, Stall
from runstate.linux.cgroups.files import is_gone, read_all

# Pressure is not measured, or a controller was taken away between open and read.
_UNMEASURED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})


# LONG_MAX, rounded down to whole pages, of whatever size.
_NO_LIMIT = 0x7FFFFFFFFFFFFFFF - (1 << 31)


def text(path: str) -> str | None:
    """A file without its last newline, or None.

    Raises:
        OperationFailed: It is there but cannot be read.
    """
    try:
        return read_all(path).rstrip("\n")
    except OSError as error:
        if is_gone(error) or error.errno in _UNMEASURED:
            return None
        raise OperationFailed.from_os_error(f"read {path}", error) from error


def lines(path: str) -> list[str]:
    """A file's lines; none where it is not there."""
    return (text(path) or "").splitlines()


def number(path: str) -> int | None:
    """A file of one number; None also for ``max``."""
    value = text(path)
    return None if not value or value == "max" else int(value)


def limit_v1(path: str) -> int | None:
    """A limit of version 1, which says "none" with the largest number of whole pages."""
    value = number(path)
    return None if value is None or value >= _NO_LIMIT else value


def flag(path: str) -> bool | None:
    """A file of 0 or 1."""
    value = number(path)
    return None if value is None else bool(value)


def table(path: str) -> dict[str, int]:
    """A file of names and numbers."""
    found = {}
    for line in lines(path):
        name, _, value = line.rpartition(" ")
        if name and value.isdecimal():
            found[name] = int(value)
    return found


def numbers(path: str) -> tuple[int, ...]:
    """A file of one line of numbers."""
    return tuple(map(int, (text(path) or "").split()))


def id_list(path: str) -> tuple[int, ...] | None:
    """A list such as ``0-3,7`` (cpuset(7), List format)."""
    value = text(path)
    if value is None:
        return None
    found: list[int] = []
    for part in filter(None, value.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def pressure(path: str) -> Pressure | None:
    """A file of pressure stall information."""
    found = {}
    for line in lines(path):
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        found[kind] = Stall(
            float(values["avg10"]),
            float(values["avg60"]),
            float(values["avg300"]),
            int(values["total"]),
        )
    return Pressure(found.get("some"), found.get("full")) if found else None
