"""Device rules as the OCI runtime spec writes them, and in the form that version 1 takes.

In the spec (config-linux.md, Allowed Device list) rules are applied in order, so that the last
one that matches decides. The devices controller of version 1 has no order: it has a default,
and exceptions from it. :func:`reduce_rules` turns the one into the other, which also leaves out
the rules that later ones make idle, since each rule costs a system call.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.errors import ConfigInvalid, NotSupported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ALL = frozenset("rwm")


def _allow(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    rule = {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}
    return {key: value for key, value in rule.items() if value is not None}


DEFAULT_DEVICE_RULES: tuple[dict[str, Any], ...] = (
    _allow("c", None, None, "m"),
    _allow("b", None, None, "m"),
    _allow("c", 1, 3, "rwm"),  # null
    _allow("c", 1, 5, "rwm"),  # zero
    _allow("c", 1, 7, "rwm"),  # full
    _allow("c", 1, 8, "rwm"),  # random
    _allow("c", 1, 9, "rwm"),  # urandom
    _allow("c", 5, 0, "rwm"),  # tty
    _allow("c", 5, 1, "rwm"),  # console
    _allow("c", 5, 2, "rwm"),  # ptmx
    _allow("c", 136, None, "rwm"),  # pts
)
"""What every container may do with devices: the spec's default devices, after its own rules.

Any node may be made, since a node alone gives no access. net/tun is not among them.
"""


@frozen
class DeviceRule:
    """One rule for one type of devices.

    Attributes:
        allow: Whether it grants or takes away.
        kind: ``b`` or ``c``.
        major: The major number; None for any.
        minor: The minor number; None for any.
        access: What it is about, of ``r``, ``w`` and ``m`` (mknod).
    """

    allow: bool
    kind: str
    major: int | None
    minor: int | None
    access: frozenset[str]

    @property
    def is_total(self) -> bool:
        """Whether it is about all devices of its type and all access."""
        return self.major is None and self.minor is None and self.access == _ALL


def parse_rules(rules: Iterable[Mapping[str, Any]]) -> list[DeviceRule]:
    """The rules with their defaults filled in; one for all types becomes two.

    A missing number, or -1, means any; missing access means all of it.

    Raises:
        ConfigInvalid: A type or an access that there is not; the problem names the rule's index.
    """
    parsed = []
    for index, rule in enumerate(rules):
        kind = rule.get("type") or "a"
        access = frozenset(rule.get("access") or _ALL)
        if kind not in {"a", "b", "c", "u"}:
            raise ConfigInvalid(
                f"linux.resources.devices[{index}].type: {kind!r}; expected 'a', 'b', 'c' or 'u'"
            )
        if not access <= _ALL:
            raise ConfigInvalid(
                f"linux.resources.devices[{index}].access: {rule['access']!r}; "
                "expected letters of 'rwm'"
            )
        # An unbuffered character device ("u") is a character device to the kernel.
        kinds = "bc" if kind == "a" else "b" if kind == "b" else "c"
        major, minor = _number(rule.get("major")), _number(rule.get("minor"))
        allow = bool(rule.get("allow"))
        parsed += [DeviceRule(allow, kind, major, minor, access) for kind in kinds]
    return parsed


def _number(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


_Key = tuple[str, "int | None", "int | None"]


def reduce_rules(rules: Iterable[Mapping[str, Any]]) -> tuple[bool, tuple[str, ...]]:
    """The rules as a default and the exceptions from it, for the devices controller.

    Where no rule says otherwise, nothing is allowed.

    Returns:
        Whether the default is to allow, and each exception in the form ``c 1:3 rwm``.

    Raises:
        ConfigInvalid: See :func:`parse_rules`.
        NotSupported: A rule takes back a part of what a wider one before it said, which a
            default and exceptions cannot express.
    """
    # Most containers have the same rules as the one before.
    return _reduce(
        tuple(
            (rule.get("allow"), rule.get("type"), rule.get("major"), rule.get("minor"),
             rule.get("access"))
            for rule in rules
        )
    )  # fmt: skip


@lru_cache(maxsize=64)
def _reduce(rules: tuple[tuple[Any, ...], ...]) -> tuple[bool, tuple[str, ...]]:
    names = ("allow", "type", "major", "minor", "access")
    default, rest = _default(parse_rules([dict(zip(names, rule, strict=True)) for rule in rules]))
    exceptions: dict[_Key, frozenset[str]] = {}
    for rule in rest:
        key = (rule.kind, rule.major, rule.minor)
        if rule.allow == default:
            _take_back(exceptions, key, rule.access)
        elif not any(_covers(have, key) and rule.access <= exceptions[have] for have in exceptions):
            exceptions[key] = exceptions.get(key, frozenset()) | rule.access
    return default, tuple(_spell(key, access) for key, access in exceptions.items())


def _default(rules: Sequence[DeviceRule]) -> tuple[bool, list[DeviceRule]]:
    """The last default that holds for both types, and the rules that refine it."""
    default = False
    start = 0
    for index in range(len(rules) - 1):
        first, second = rules[index : index + 2]
        if (
            first.is_total
            and second.is_total
            and {first.kind, second.kind} == {"b", "c"}
            and first.allow == second.allow
        ):
            default, start = first.allow, index + 2
    return default, list(rules[start:])


def _covers(wide: _Key, narrow: _Key) -> bool:
    return wide[0] == narrow[0] and all(
        ours is None or ours == theirs for ours, theirs in zip(wide[1:], narrow[1:], strict=True)
    )


def _overlap(one: _Key, other: _Key) -> bool:
    return one[0] == other[0] and all(
        ours is None or theirs is None or ours == theirs
        for ours, theirs in zip(one[1:], other[1:], strict=True)
    )


def _take_back(exceptions: dict[_Key, frozenset[str]], key: _Key, access: frozenset[str]) -> None:
    for have, granted in list(exceptions.items()):
        if _covers(key, have):
            if granted <= access:
                del exceptions[have]
            else:
                exceptions[have] = granted - access
        elif _overlap(key, have) and granted & access:
            raise NotSupported(
                f"linux.resources.devices: the rule {_spell(key, access)!r} takes back a part of "
                f"{_spell(have, granted)!r}; the devices controller of cgroup version 1 knows no "
                "order of rules: name the devices one by one"
            )


def _spell(key: _Key, access: frozenset[str]) -> str:
    kind, major, minor = key
    letters = "".join(letter for letter in "rwm" if letter in access)
    numbers = ":".join("*" if number is None else str(number) for number in (major, minor))
    return f"{kind} {numbers} {letters}"
