"""Properties that the specification does not define: kept and ignored, as it asks, but not hidden.

Ignoring them is right for what is to come, and hard on who has misspelt a property.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from runstate.config.problems import json_path
from runstate.config.section import Section, layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.rules import Path


def unknown_properties(section: Section) -> list[str]:
    """The properties of a section, and of those in it, that the model does not know.

    Args:
        section: A configuration, mostly.

    Returns:
        The JSON path of each, with the property that may have been meant.
    """
    return list(_unknown(section, ()))


def _unknown(value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, Section):
        found = layout(type(value))
        names = [key for _, key, _ in found.properties]
        for key in value.extra:
            yield json_path((*path, key)) + _hint(key, names)
        for key, inner in zip(names, found.values(value), strict=False):
            yield from _unknown(inner, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _unknown(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown(item, (*path, key))


def _hint(key: str, names: list[str]) -> str:
    by_lower_case = {name.lower(): name for name in names}
    (meant,) = get_close_matches(key.lower(), by_lower_case, n=1) or [""]
    return f"; is {by_lower_case[meant]} meant?" if meant else ""
