"""Container ids, and the names below the root: of containers, and of what is our own.

An id may be longer than a file name may be (NAME_MAX is 255 bytes). The directory of such a
container is named ``<the first 100 characters>~<SHA-256 of the id>``; ``~`` is not allowed in
ids, so no other container's name is in the way.
"""

from __future__ import annotations

import re

from runstate.errors import InvalidIdFormat

HISTORY = ".history"
CREATING = ".creating-"
REMOVING = ".removing-"

_ID_MAX = 1024
_PLAIN_MAX = 200  # room for REMOVING before a name, and for a time stamp around it
_PREFIX = 100
_ALLOWED = re.compile(r"[A-Za-z0-9_+.-]*")
_RULE = "letters, digits, '_', '+', '-' and '.' are allowed"


def check_id(container_id: str) -> None:
    """Check that a container may be called so.

    An id has 1 to 1024 ASCII letters, digits and ``_ + - .``, and is neither ``.`` nor ``..``
    (libcontainer's rule), nor one of the names that runstate itself uses below the root.

    Raises:
        InvalidIdFormat: It names the first wrong character and its place.
    """
    if not isinstance(container_id, str):
        raise InvalidIdFormat(f"id {container_id!r}: an id is text")
    if not container_id:
        raise InvalidIdFormat("id '': an id has at least one character")
    if len(container_id) > _ID_MAX:
        raise InvalidIdFormat(
            f"id {container_id[:20]!r}… has {len(container_id)} characters; {_ID_MAX} are the most"
        )
    match = _ALLOWED.match(container_id)
    good = match.end() if match is not None else 0
    if good != len(container_id):
        raise InvalidIdFormat(
            f"id {container_id!r}: {container_id[good]!r} at character {good + 1}; {_RULE}"
        )
    if container_id in {".", ".."}:
        raise InvalidIdFormat(f"id {container_id!r}: it means a directory")
    if container_id == HISTORY or container_id.startswith((CREATING, REMOVING)):
        raise InvalidIdFormat(f"id {container_id!r}: runstate itself uses names that begin so")


def directory_name(container_id: str) -> str:
    """The name of a container's directory below the root; the id must be a valid one."""
    if len(container_id) <= _PLAIN_MAX:
        return container_id
    # Only here, since importing hashlib loads all of OpenSSL.
    from hashlib import sha256  # noqa: PLC0415

    return f"{container_id[:_PREFIX]}~{sha256(container_id.encode()).hexdigest()}"


def is_ours(name: str) -> bool:
    """Whether an entry of the root is not a container's."""
    return name == HISTORY or name.startswith((CREATING, REMOVING))
