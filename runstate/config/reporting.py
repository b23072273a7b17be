"""One report of everything that is wrong, though one mistake hides others.

A value of the wrong type keeps its section from being made; a broken rule keeps the handlers
from being asked. So what is known to be wrong is taken out, and the rest is looked at as if
it stood alone. What then turns up is a problem of its own, unless it may only follow from
what was taken out: that is left for the next round rather than reported wrongly.

Nothing here is needed as long as nothing is wrong.
"""

from __future__ import annotations

import re
from json import loads
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from runstate.config.problems import json_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runstate.config.rules import Path
    from runstate.config.spec import Config

_ROUNDS = 5
_ENOUGH = 1000  # problems; who has so many has no use for those that they hide
_SEGMENT = re.compile(r'\.(\w+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]', re.ASCII)

# Without these there is nothing to look at; the values break no rule.
_STAND_INS: dict[Path, Any] = {
    ("ociVersion",): "1.0.0",
    ("root", "path"): "/",
    ("process", "cwd"): "/",
    ("process", "args"): ["sh"],
}

# Much of what is said elsewhere depends on the namespaces, and on which ids are mapped.
_READ_BY_OTHERS = frozenset({"namespaces", "uidMappings", "gidMappings"})
_READ_NOTHING = frozenset({"ociVersion", "root", "annotations", "hooks", "process"})


@frozen
class Rest:
    """What is left of a configuration without what is wrong in it.

    Attributes:
        config: A configuration without known problems.
        removed: The paths of what was taken out.
        moved: For each array that lost elements, by its path in ``config``: the indexes that
            the others had.
    """

    config: Config
    removed: frozenset[Path]
    moved: dict[Path, list[int]]
    _units: frozenset[Path] = field(init=False)
    _above: frozenset[Path] = field(init=False)
    _read_by_others: bool = field(init=False)

    @_units.default
    def _find_units(self) -> frozenset[Path]:
        return frozenset(map(_unit, self.removed))

    @_above.default
    def _find_above(self) -> frozenset[Path]:
        return frozenset(path[:depth] for path in self.removed for depth in range(len(path)))

    @_read_by_others.default
    def _find_read_by_others(self) -> bool:
        return any(
            unit[:1] == ("linux",) and (len(unit) == 1 or unit[1] in _READ_BY_OTHERS)
            for unit in self._units
        )

    def further(self, problems: Iterable[str]) -> list[str]:
        """Of the problems of ``config``, those of the whole, with their paths there."""
        found = []
        for problem in problems:
            if not problem.startswith("$"):
                found.append(problem)
                continue
            path = place_of(problem)
            whole = original(path, self.moved)
            if not self._may_follow(whole):
                found.append(json_path(whole) + problem[len(json_path(path)) :])
        return found

    def _may_follow(self, path: Path) -> bool:
        """Whether what is said of this place may be said only for what was taken out."""
        if path in self._above or _unit(path) in self._units:
            return True
        if any(path[:depth] in self.removed for depth in range(len(path))):
            return True
        independent = path[:1] and path[0] in _READ_NOTHING and path[:2] != ("process", "user")
        return self._read_by_others and not independent


def _unit(path: Path) -> Path:
    """The part of a configuration in which one value may be why another is complained of."""
    return path[:3] if path[:1] == ("hooks",) or path[:2] == ("linux", "resources") else path[:2]


def place_of(problem: str) -> Path:
    """The path that a problem starts with; of one that was abbreviated, the part before that."""
    path: list[str | int] = []
    position = 1
    while found := _SEGMENT.match(problem, position):
        name, index, quoted = found.groups()
        if quoted is not None and quoted.endswith('…"'):
            break
        path.append(name or (int(index) if index is not None else loads(quoted)))
        position = found.end()
    return tuple(path)


def original(path: Path, moved: dict[Path, list[int]]) -> Path:
    """The path in the whole of what has this path in the rest."""
    whole: list[str | int] = []
    for depth, part in enumerate(path):
        indexes = moved.get(path[:depth])
        known = indexes is not None and isinstance(part, int) and part < len(indexes)
        whole.append(indexes[part] if known else part)  # type: ignore[index]
    return tuple(whole)


def rest_of(data: Any, problems: Sequence[str]) -> tuple[Rest | None, list[str]]:
    """What is left of a configuration's JSON form without what is wrong in it.

    Args:
        data: The JSON form.
        problems: What is known to be wrong, at least one.

    Returns:
        The rest, if it makes a configuration that keeps all rules; and all problems that came
        to light on the way to it, the given ones first.
    """
    from runstate.config.spec import Config  # noqa: PLC0415 - only where something is wrong
    from runstate.config.structuring import try_to_structure  # noqa: PLC0415
    from runstate.config.validation import validate  # noqa: PLC0415

    known = dict.fromkeys(problems)
    if len(known) > _ENOUGH:
        return None, list(known)
    removed = set(map(place_of, problems))
    for _ in range(_ROUNDS):
        left, moved = _without(data, removed)
        section, broken = try_to_structure(Config, left)
        if section is not None:
            rest = Rest(section, frozenset(removed), moved)
            broken = validate(section)
            if not broken:
                return rest, list(known)
            known.update(dict.fromkeys(rest.further(broken)))
        places = {original(place_of(problem), moved) for problem in broken}
        # What is missing because it was taken out takes with it what cannot be without.
        places = {path[:-1] if path in removed else path for path in places}
        if places <= removed or () in places:
            break
        removed |= places
    return None, list(known)


def rest_of_process(data: Any, problems: Sequence[str]) -> tuple[Rest | None, list[str]]:
    """The same for a process that stands alone, whose problems' paths start at it.

    Args:
        data: The process's JSON form.
        problems: What is known to be wrong, at least one.

    Returns:
        The rest, with the process in a configuration; and all problems.
    """
    whole = {"ociVersion": _STAND_INS["ociVersion",], "process": data}
    rest, known = rest_of(whole, [f"$.process{problem[1:]}" for problem in problems])
    return rest, [f"${problem.removeprefix('$.process')}" for problem in known]


def _without(data: Any, removed: Iterable[Path]) -> tuple[Any, dict[Path, list[int]]]:
    """A copy without what is at these paths, and what that did to the arrays' indexes."""
    cuts: dict[str | int, Any] = {}
    for path in sorted(removed, key=len):
        path = _existing(data, path)  # noqa: PLW2901 - what can be taken out
        branch = cuts
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
            if branch is _ALL:
                break
        else:
            if path:
                branch[path[-1]] = _ALL
    moved: dict[Path, list[int]] = {}
    left = _cut(data, cuts, (), moved)
    return left, moved


_ALL: dict[str | int, Any] = {}


def _existing(data: Any, path: Path) -> Path:
    """The path, or, where what is wrong is that there is nothing, that of what lacks it."""
    for depth, part in enumerate(path):
        if path[: depth + 1] in _STAND_INS:
            return path[: depth + 1]
        try:
            data = data[part]
        except (LookupError, TypeError):
            return path[:depth]
    return path


def _cut(value: Any, cuts: dict[str | int, Any], path: Path, moved: dict[Path, list[int]]) -> Any:
    if isinstance(value, dict):
        left = {}
        for key, item in value.items():
            cut = cuts.get(key)
            if cut is None:
                left[key] = item
            elif cut is not _ALL:
                left[key] = _cut(item, cut, (*path, key), moved)
        for key in cuts:
            if (*path, key) in _STAND_INS:
                left[key] = _STAND_INS[*path, key]
        return left
    kept = [index for index in range(len(value)) if cuts.get(index) is not _ALL]
    moved[path] = kept
    return [
        _cut(value[index], cuts[index], (*path, place), moved) if index in cuts else value[index]
        for place, index in enumerate(kept)
    ]
