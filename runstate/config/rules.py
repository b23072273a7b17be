"""What the rules of many properties share: ranges, names, paths, ids, lists of CPUs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.config.problems import abbreviate, json_path, unexpected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Any

    from runstate.config.linux import IDMapping

    Path = tuple[str | int, ...]

NO_ID = 2**32 - 1
"""As an unsigned number, the -1 by which system calls mean `leave it`: nobody's id."""

_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII).fullmatch

UID_MAP_LINES = 340
"""How many ranges the kernel takes in a uid_map (``UID_GID_MAP_MAX_EXTENTS``)."""

UID_MAP_SIZE = 4095
"""How many bytes it takes at once: less than a page, of the smallest size that there is."""


def expect(path: Path, value: Any, expected: str) -> str:
    """The problem that a value is not what it should be."""
    return f"{json_path(path)}: {unexpected(value, expected)}"


def one_of(path: Path, value: str | None, allowed: Collection[str], what: str) -> Iterator[str]:
    """A name from a closed set; absent is fine."""
    if value is not None and value not in allowed:
        yield expect(path, value, f"{what} ({', '.join(sorted(allowed))})")


def needs_namespace(path: Path, value: Any, type_: str) -> str:
    """The problem that a value is for a namespace that the container has not."""
    wanted = f'a namespace of type "{type_}" in linux.namespaces for {abbreviate(value)}'
    return f"{json_path(path)}: expected {wanted}, got none"


def absolute(path: Path, value: str) -> Iterator[str]:
    """A path that starts with a slash."""
    if not value.startswith("/"):
        yield expect(path, value, "an absolute path")


def within(path: Path, value: int | None, low: int, high: int, what: str = "") -> Iterator[str]:
    """A number in a range; absent is fine."""
    if value is not None and not low <= value <= high:
        yield expect(path, value, f"{what or 'a number'} from {low} to {high}")


def some_id(path: Path, value: int | None, what: str) -> Iterator[str]:
    """A user or group id that somebody can have; absent is fine."""
    return within(path, value, 0, NO_ID - 1, what)


def list_of_numbers(path: Path, text: str | None, what: str) -> Iterator[str]:
    """Numbers and ranges as cpuset(7) lists them, ``0-3,7``; absent and empty are fine."""
    for item in (text or "").split(","):
        low, dash, high = item.strip(" ").partition("-")
        if not (low or dash):
            continue  # runc lets them be
        if not (_NUMBER(low) and (not dash or (_NUMBER(high) and int(low) <= int(high)))):
            yield expect(path, text, f"{what} as in 0-3,7")
            return


def environment(path: Path, variables: Sequence[str]) -> Iterator[str]:
    """``KEY=value`` strings."""
    for index, variable in enumerate(variables):
        if variable.find("=") < 1:
            yield expect((*path, index), variable, "KEY=value")


def id_ranges(path: Path, mappings: tuple[IDMapping, ...]) -> Iterator[str]:
    """The kernel's rules for a uid_map or gid_map (user_namespaces(7))."""
    if len(mappings) > UID_MAP_LINES:
        yield expect(path, list(mappings), f"at most {UID_MAP_LINES} ranges")
    size = sum(len(f"{m.container_id} {m.host_id} {m.size}\n") for m in mappings)
    if size > UID_MAP_SIZE:
        yield expect(path, list(mappings), f"at most {UID_MAP_SIZE} bytes as lines of a uid_map")
    for index, mapping in enumerate(mappings):
        if mapping.size == 0:
            yield expect((*path, index, "size"), 0, "at least 1")
    for name, starts in (
        ("containerID", [m.container_id for m in mappings]),
        ("hostID", [m.host_id for m in mappings]),
    ):
        ranges = sorted(
            (start, start + mapping.size, index)
            for index, (start, mapping) in enumerate(zip(starts, mappings, strict=True))
        )
        furthest, holder = 0, None
        for start, end, index in ranges:
            if end > NO_ID:
                yield expect((*path, index, name), start, f"a range that ends below {NO_ID}")
            if holder is not None and start < furthest:
                yield expect(
                    (*path, index, name), start, f"a range that does not overlap that of [{holder}]"
                )
            if end > furthest:
                furthest, holder = end, index
