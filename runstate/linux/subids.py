"""Subordinate ids: what an ordinary user may map beside the own one (subuid(5), newuidmap(1))."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

from runstate.init import kernel

FILES = {"uid": "/etc/subuid", "gid": "/etc/subgid"}
"""Where the ranges are granted."""

HELPERS = {"uid": "newuidmap", "gid": "newgidmap"}
"""The programs that map them, with rights of their own."""

PACKAGE = "uidmap"
"""Debian's name for what has them."""

_PR_GET_NO_NEW_PRIVS = 39
_SWITCH = "/etc/nsswitch.conf"


def helper(kind: str) -> str:
    """The path of the program that maps ids of this kind; empty if $PATH has none.

    Args:
        kind: ``uid`` or ``gid``.
    """
    for directory in os.get_exec_path():
        path = f"{directory or '.'}/{HELPERS[kind]}"
        if os.access(path, os.X_OK):
            return path
    return ""


def helpers_are_powerless() -> bool:
    """Whether no program gets rights of its own from this process (no_new_privs, prctl(2))."""
    return bool(kernel.prctl(_PR_GET_NO_NEW_PRIVS))


def granted(kind: str) -> tuple[tuple[int, int], ...]:
    """The ranges that this process's user has: the first id and how many, in the file's order."""
    owners = {str(os.getuid())}
    with suppress(KeyError):  # without a name; newuidmap will not have that either
        owners.add(pwd.getpwuid(os.getuid()).pw_name)
    found = []
    try:
        with open(FILES[kind], encoding="utf-8", errors="replace") as file:
            for line in file:
                owner, _, numbers = line.strip().partition(":")
                start, _, count = numbers.partition(":")
                if owner in owners and start.isdecimal() and count.isdecimal():
                    found.append((int(start), int(count)))
    except OSError:
        return ()
    return tuple(found)


def come_from_elsewhere() -> bool:
    """Whether another source than the files grants ranges: only the helpers know it then."""
    try:
        with open(_SWITCH, encoding="utf-8", errors="replace") as file:
            lines = [line.split("#")[0].split() for line in file]
    except OSError:
        return False
    return any(line[:1] == ["subid:"] and line[1:] != ["files"] for line in lines)


def cover(ranges: tuple[tuple[int, int], ...], start: int, count: int) -> bool:
    """Whether ranges have all of ``count`` ids from ``start`` on."""
    here, end = start, start + count
    while here < end:
        here, before = max([a + n for a, n in ranges if a <= here < a + n], default=here), here
        if here == before:
            return False
    return True
