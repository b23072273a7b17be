"""What of the specification runstate refuses: all else is honoured, and nothing is ignored.

:data:`REFUSED` is the whole truth: a property in it that is set is a problem, by its JSON
path. What gets implemented loses its line there. Two tables beside it are about single
values of honoured properties. Properties that the specification does not define are another
matter: it forbids to refuse them (config.md, Extensibility).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from runstate.config.memo import remembered
from runstate.config.problems import abbreviate, json_path
from runstate.config.section import Section, layout

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runstate.config.spec import Config

    Path = tuple[str | int, ...]

REFUSED = (
    "process.commandLine",
    "process.user.username",
    "linux.resources.blockIO.leafWeight",
    "linux.resources.blockIO.weightDevice[].leafWeight",
)
"""The properties that are refused, each with all that is below it."""

_NO_LEAF_WEIGHT = "it went from Linux with the CFQ scheduler, in 5.0; use weight"

REASONS = {
    "process.commandLine": "only Windows has it; use args",
    "process.user.username": "only Windows has it; use uid and gid",
    "linux.resources.blockIO.leafWeight": _NO_LEAF_WEIGHT,
    "linux.resources.blockIO.weightDevice[].leafWeight": _NO_LEAF_WEIGHT,
}
"""What to say of a property beyond ``not supported yet``."""

PLATFORMS = {
    "vm": "expected none, for this backend runs programs on the host's kernel; a backend for"
    " virtual machines has a handler that takes it",
    "windows": "expected none: this is Windows', and runstate's containers are Linux's",
    "solaris": "expected none: this is Solaris', and runstate's containers are Linux's",
    "zos": "expected none: this is z/OS's, and runstate's containers are Linux's",
    "freebsd": "expected none: this is FreeBSD's, and runstate's containers are Linux's",
}
"""The sections of other platforms, and what to say of them unless a handler takes them."""

ZERO_IS_UNSET = frozenset(
    {
        "linux.resources.blockIO.leafWeight",
        "linux.resources.blockIO.weightDevice[].leafWeight",
    }
)
"""Numbers that docker always writes, with 0 for what nobody asked for."""


NOT_YET = "not supported yet"

_Tree: TypeAlias = "dict[str, _Tree]"


def _tree() -> _Tree:
    """The refused paths by their first names; a leaf is empty."""
    tree: _Tree = {}
    for path in REFUSED:
        branch = tree
        for name in path.replace("[]", "").split("."):
            branch = branch.setdefault(name, {})
    return tree


_REFUSED = _tree()


@remembered
def unsupported(config: Config) -> list[str]:
    """What a configuration asks for that runstate does not do yet, each with its JSON path.

    Values that ask for nothing (absent, empty, false) are no problem. Touches nothing on the
    host.

    Args:
        config: A configuration as :func:`runstate.config.load` gives it.
    """
    return [f"{json_path(path)}: {words}" for path, words in _refused(config)]


def for_others(config: Config, takes: Collection[str] = ()) -> list[str]:
    """The sections of platforms that nobody here is, each with its JSON path.

    Args:
        config: A configuration as :func:`runstate.config.load` gives it.
        takes: The sections that the backend's handlers say they take.
    """
    return [
        f"$.{name}: {words}, got {abbreviate(value)}"
        for name, words in PLATFORMS.items()
        if (value := getattr(config, name)) is not None
        and name not in takes
        and not _asks_nothing(value, name)
    ]


def _refused(
    section: Section, refused: _Tree = _REFUSED, path: Path = (), name: str = ""
) -> Iterator[tuple[Path, str]]:
    found = layout(type(section))
    for (_, key, _), value in zip(found.properties, found.values(section), strict=False):
        below = refused.get(key)
        if value is None or below is None:
            continue
        full_name = f"{name}{key}"
        if not below:
            if not _asks_nothing(value, full_name):
                yield (*path, key), REASONS.get(full_name, NOT_YET)
        elif isinstance(value, Section):
            yield from _refused(value, below, (*path, key), f"{full_name}.")
        else:
            for index, item in enumerate(value):
                yield from _refused(item, below, (*path, key, index), f"{full_name}[].")


def _asks_nothing(value: Any, name: str) -> bool:
    if isinstance(value, Section):
        found = layout(type(value))
        return all(
            _asks_nothing(item, f"{name}.{key}")
            for (_, key, _), item in zip(found.properties, found.values(value), strict=False)
        )
    if value is None or value is False or value in ("", (), [], {}):
        return True
    return name in ZERO_IS_UNSET and value == 0
