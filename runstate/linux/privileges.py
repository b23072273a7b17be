"""Whether this process is root of the host, or merely of a user namespace, or not even that."""

from __future__ import annotations

import os
from functools import lru_cache

_ALL = 2**32 - 1


def is_rootless() -> bool:
    """Whether this process lacks root's power over the host.

    An ordinary user, and root of a user namespace (``podman unshare``, a container without
    privileges): what that one may do ends with its namespace (user_namespaces(7)).
    """
    return os.geteuid() != 0 or in_user_namespace()


def in_user_namespace() -> bool:
    """Whether this process is in a user namespace that has not all of the host's ids."""
    return own_ids("uid") != ((0, 0, _ALL),)


def own_ids(kind: str) -> tuple[tuple[int, int, int], ...]:
    """The ids that this process's user namespace has: (inside, outside, count) of each range.

    Those that it had when they were first asked for: nobody has seen a process enter another
    namespace in the middle of its work, and to look takes longer than all else that is decided
    by it.

    Args:
        kind: ``uid`` or ``gid``.
    """
    return _ids(kind, os.getpid())


@lru_cache(maxsize=4)
def _ids(kind: str, _process: int) -> tuple[tuple[int, int, int], ...]:
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        return parse_map(file.read())


def parse_map(text: str) -> tuple[tuple[int, int, int], ...]:
    """The lines of a uid_map or gid_map (user_namespaces(7))."""
    lines = (line.split() for line in text.splitlines())
    return tuple((int(inside), int(outside), int(size)) for inside, outside, size in lines)
