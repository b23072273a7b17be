"""Where a JSON text has an object with a key twice; read only once it is known to have one."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from runstate.config.problems import json_path


class _Object(dict[str, Any]):
    """An object, with the keys that it has more than once."""

    twice: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        found.twice = tuple(key for key, count in counts.items() if count > 1)
    return found


def find_duplicates(text: str) -> list[str]:
    """A problem for each key that an object has more than once.

    Args:
        text: What the JSON parser has taken.
    """
    try:
        whole = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return ["$: expected each key of an object once"]  # and more is wrong behind it
    problems: list[str] = []
    left: list[tuple[tuple[str | int, ...], Any]] = [((), whole)]
    while left:
        path, value = left.pop()
        if isinstance(value, _Object):
            problems += [
                f"{json_path((*path, key))}: expected each key of an object once, got this one more"
                " than once"
                for key in value.twice
            ]
        entries: Any = ()
        if isinstance(value, dict):
            entries = value.items()
        elif isinstance(value, list):
            entries = enumerate(value)
        left += [((*path, key), item) for key, item in reversed(list(entries))]
    return problems or ["$: expected each key of an object once"]
