"""The ids of a container without root: the caller's own alone, or a range beside it."""

from __future__ import annotations

import os
from typing import TypeAlias

from runstate.config.linux import IDMapping
from runstate.config.problems import refusal
from runstate.linux import privileges, subids

Mappings: TypeAlias = "tuple[tuple[IDMapping, ...], tuple[IDMapping, ...]]"

KINDS = ("own", "range")


def mapped(ids: str | None) -> Mappings:
    """The mappings of users and of groups: see :meth:`runstate.Config.default`.

    Raises:
        ConfigInvalid: A range is asked for, and this user has none.
    """
    if ids not in (None, *KINDS):
        raise refusal([f"ids: expected one of {', '.join(KINDS)}, or None, got {ids!r}"])
    if ids == "own":
        return _own("uid"), _own("gid")
    uids, gids = _range("uid"), _range("gid")
    if uids and gids:
        return uids, gids
    if ids is None:
        return _own("uid"), _own("gid")
    files, helpers = " and ".join(subids.FILES.values()), " and ".join(subids.HELPERS.values())
    needed = f"lines in {files}, {helpers} in $PATH (Debian: {subids.PACKAGE}), no no_new_privs"
    raise refusal([f"ids: this user has no range of ids to map; that takes {needed}"])


def _own(kind: str) -> tuple[IDMapping, ...]:
    return (IDMapping(container_id=0, host_id=_id(kind), size=1),)


def _id(kind: str) -> int:
    return os.geteuid() if kind == "uid" else os.getegid()


def _range(kind: str) -> tuple[IDMapping, ...]:
    """The caller's own id as root's, and from 1 on what is granted to the caller; or nothing."""
    if os.geteuid() == 0 and privileges.in_user_namespace():
        # What this namespace has been given, and its root may give on.
        return tuple(
            IDMapping(container_id=inside, host_id=inside, size=size)
            for inside, _, size in privileges.own_ids(kind)
        )
    granted = subids.granted(kind)
    by_helper = os.geteuid() != 0
    if not granted or (by_helper and (subids.helpers_are_powerless() or not subids.helper(kind))):
        return ()
    mappings, free = list(_own(kind)), 1
    for start, size in granted:
        mappings.append(IDMapping(container_id=free, host_id=start, size=size))
        free += size
    return tuple(mappings)
