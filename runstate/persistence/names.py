"""Container ids, and the names of their directories.

An id may be longer than a file name may be (NAME_MAX is 255 bytes), and may begin with a dot,
which below the root is for our own use (``.history``, ``.creating-…``). ``~`` is not allowed
in ids, so it marks the names that are not simply the id: ``~.hidden`` for an id with a leading
dot, and ``<the first 100 characters>~<SHA-256 of the id>`` for a long one.
"""

from __future__ import annotations

import re

from runstate.errors import InvalidIdFormat

ID_MAX = 1024
_PLAIN_MAX = 200
_PREFIX = 100

_ALLOWED = re.compile(r"[A-Za-z0-9_+.-]+")


def check_id(container_id: str) -> None:
    """Check that a container may be called so.

    An id has 1 to 1024 ASCII letters, digits and ``_ + - .``, and is neither ``.`` nor ``..``:
    the rule of libcontainer's factories.

    Raises:
        InvalidIdFormat: It names the first wrong character and its place.
    """
    if not isinstance(container_id, str):
        raise InvalidIdFormat(f"container id {container_id!r} is not text")
    match = _ALLOWED.match(container_id)
    end = match.end() if match is not None else 0
    rule = "ids have letters, digits and the characters _ + - ."
    if not container_id:
        raise InvalidIdFormat(f"container id is empty; {rule}")
    if len(container_id) > ID_MAX:
        raise InvalidIdFormat(
            f"container id {container_id[:40]!r}… has {len(container_id)} characters; "
            f"at most {ID_MAX} are allowed"
        )
    if end != len(container_id):
        shown = container_id if len(container_id) <= 80 else container_id[:80] + "…"  # noqa: PLR2004
        raise InvalidIdFormat(
            f"container id {shown!r} has {container_id[end]!r} as its character {end + 1}; {rule}"
        )
    if container_id in (".", ".."):
        raise InvalidIdFormat(f"container id {container_id!r} would be a path, not a name")


def directory_name(container_id: str) -> str:
    """The name of a container's directory below the root. The id must have been checked."""
    name = container_id
    if len(name) > _PLAIN_MAX:
        # Only here, as an import of hashlib brings all of OpenSSL with it.
        from hashlib import sha256  # noqa: PLC0415

        name = f"{name[:_PREFIX]}~{sha256(name.encode()).hexdigest()}"
    return "~" + name if name[0] == "." else name


def id_of(name: str) -> str | None:
    """The id of the container whose directory has this name; None where the name is a digest."""
    plain = name.removeprefix("~")
    return None if "~" in plain else plain
