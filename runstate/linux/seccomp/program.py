"""From verdicts on system calls to instructions for the kernel's classic BPF (seccomp(2)).

For each architecture the numbers of calls are cut into ranges with one verdict each, and the
program searches them by halving. Instructions are made from the last to the first, so that
where a jump goes is known when it is made; BPF jumps forwards only.
"""

from __future__ import annotations

import struct
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

# Actions (linux/seccomp.h), the strictest first; the low 16 bits of two of them are data.
ACT_KILL_PROCESS = 0x80000000
ACT_KILL_THREAD = 0x00000000
ACT_TRAP = 0x00030000
ACT_ERRNO = 0x00050000
ACT_NOTIFY = 0x7FC00000
ACT_TRACE = 0x7FF00000
ACT_LOG = 0x7FFC0000
ACT_ALLOW = 0x7FFF0000

INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS (linux/bpf_common.h)

# linux/bpf_common.h
_LOAD, _AND, _RETURN, _GO = 0x20, 0x54, 0x06, 0x05
_IF_EQUAL, _IF_GREATER, _IF_NOT_LESS = 0x15, 0x25, 0x35
_CALL, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_LOW = 0xFFFFFFFF
_FAR = 250  # a conditional jump passes over 255 instructions at most


class Comparison(NamedTuple):
    """What an argument of a system call must be.

    Attributes:
        argument: Which, from 0 to 5.
        operator: ``EQ`` and its like; ``MASKED_EQ`` compares what ``value`` leaves of it.
        value: What it is compared with, or the mask.
        value_two: What the masked argument must be.
    """

    argument: int
    operator: str
    value: int
    value_two: int = 0


Verdict = tuple[tuple[int, tuple[Comparison, ...]], ...]
"""Actions, each with the conditions that must all hold for it; the last one has none."""


@frozen
class Table:
    """What becomes of the calls of one architecture.

    Attributes:
        token: As the kernel names the architecture (AUDIT_ARCH_*).
        little_endian: Whether low halves come first in memory.
        wide: Whether arguments have 64 bits, and not 32; x32's numbers are an exception.
        narrow_from: The number from which on calls have arguments of 32 bits.
        ranges: The first number of each range, and its verdict; in order, from 0 on.
    """

    token: int
    little_endian: bool
    wide: bool
    ranges: Sequence[tuple[int, Verdict]]
    narrow_from: int = 1 << 32


class ProgramTooLong(Exception):
    """The kernel takes no program of so many instructions."""


def assemble(tables: Sequence[Table], other: int) -> bytes:
    """The program.

    Args:
        tables: One for each architecture, the likeliest first.
        other: The action for calls of other architectures.

    Raises:
        ProgramTooLong: It has more than ``MAX_INSTRUCTIONS``.
    """
    code = _Code()
    entries = [(table.token, _search(code, table)) for table in reversed(tables)]
    entry = code.leave(other)
    for token, section in entries:
        entry = code.branch(_IF_EQUAL, token, section, entry)
    code.add(_LOAD, _ARCHITECTURE)
    return code.bytes()


class _Code:
    """Instructions, the last one first.

    A place is how many instructions there are from it to the end.
    """

    def __init__(self) -> None:
        self._instructions: list[bytes] = []
        self._returns: dict[int, int] = {}

    def bytes(self) -> bytes:
        """In the order in which they run."""
        return b"".join(reversed(self._instructions))

    def add(self, operation: int, operand: int, if_so: int = 0, if_not: int = 0) -> int:
        """Put an instruction in front of all others; the place of it."""
        if len(self._instructions) == MAX_INSTRUCTIONS:
            raise ProgramTooLong
        self._instructions.append(INSTRUCTION.pack(operation, if_so, if_not, operand))
        return len(self._instructions)

    def leave(self, action: int) -> int:
        """A place at which the program ends with this action."""
        place = self._returns.get(action)
        if place is None or len(self._instructions) - place > _FAR // 2:
            place = self._returns[action] = self.add(_RETURN, action)
        return place

    def branch(self, operation: int, operand: int, if_so: int, if_not: int) -> int:
        """A conditional jump to one of two places."""
        if_so = self._near(if_so)
        if_not = self._near(if_not)
        here = len(self._instructions)
        return self.add(operation, operand, here - if_so, here - if_not)

    def _near(self, place: int) -> int:
        passed = len(self._instructions) - place
        return place if passed <= _FAR else self.add(_GO, passed)

    def before(self, place: int, operation: int, operand: int) -> int:
        """An instruction after which the program goes on at a place."""
        passed = len(self._instructions) - place
        if passed:
            self.add(_GO, passed)
        return self.add(operation, operand)


def _search(code: _Code, table: Table) -> int:
    """Load the number and find its range."""
    places: dict[tuple[Verdict, bool], int] = {}

    def place_of(start: int, verdict: Verdict) -> int:
        action, comparisons = verdict[0]
        if not comparisons:
            return code.leave(action)
        wide = table.wide and start < table.narrow_from
        found = places.get((verdict, wide))
        if found is None:
            found = places[verdict, wide] = _conditions(code, verdict, wide, table.little_endian)
        return found

    def halve(ranges: Sequence[tuple[int, Verdict]]) -> int:
        if len(ranges) == 1:
            return place_of(*ranges[0])
        middle = len(ranges) // 2
        above = halve(ranges[middle:])
        below = halve(ranges[:middle])
        return code.branch(_IF_NOT_LESS, ranges[middle][0], above, below)

    return code.before(halve(table.ranges), _LOAD, _CALL)


def _conditions(code: _Code, verdict: Verdict, wide: bool, little_endian: bool) -> int:
    otherwise = 0
    compare = _compare_wide if wide else _compare_narrow
    for (action, argument, high), same in groupby(reversed(verdict), key=_sort_of):
        if argument is not None:
            values = [comparisons[0].value for _action, comparisons in same]
            offsets = _offsets(argument, little_endian)
            otherwise = _among(code, values, high if wide else None, offsets, action, otherwise)
            continue
        for _action, comparisons in same:
            place = code.leave(action)
            for comparison in reversed(comparisons):
                place = compare(code, comparison, little_endian, place, otherwise)
            otherwise = place
    return otherwise


def _sort_of(rule: tuple[int, tuple[Comparison, ...]]) -> tuple[int, int | None, int]:
    """The same for rules that compare one argument with values that can be looked for at once."""
    action, comparisons = rule
    if len(comparisons) == 1 and comparisons[0].operator == "EQ":
        return action, comparisons[0].argument, comparisons[0].value >> 32
    return action, None, 0


def _among(
    code: _Code,
    values: list[int],
    high: int | None,
    offsets: tuple[int, int],
    action: int,
    if_not: int,
) -> int:
    """The action if an argument is one of some values that have the high half in common."""
    place = if_not
    for value in values:
        place = code.branch(_IF_EQUAL, value & _LOW, code.leave(action), place)
    place = code.before(place, _LOAD, offsets[0])
    if high is not None:
        place = code.branch(_IF_EQUAL, high, place, if_not)
        place = code.before(place, _LOAD, offsets[1])
    return place


def _compare_wide(
    code: _Code, comparison: Comparison, little_endian: bool, if_so: int, if_not: int
) -> int:
    """Compare all 64 bits: the high half decides, or else the low one."""
    argument, operator, value, value_two = comparison
    low, high = _offsets(argument, little_endian)
    if operator == "MASKED_EQ":
        place = _masked(code, low, value & _LOW, value_two & _LOW, if_so, if_not)
        return _masked(code, high, value >> 32, value_two >> 32, place, if_not)
    if operator in ("NE", "LT", "LE"):
        operator = {"NE": "EQ", "LT": "GE", "LE": "GT"}[operator]
        if_so, if_not = if_not, if_so
    test = {"EQ": _IF_EQUAL, "GE": _IF_NOT_LESS, "GT": _IF_GREATER}[operator]
    place = code.branch(test, value & _LOW, if_so, if_not)
    place = code.before(place, _LOAD, low)
    place = code.branch(_IF_EQUAL, value >> 32, place, if_not)
    if operator != "EQ":
        place = code.branch(_IF_GREATER, value >> 32, if_so, place)
    return code.before(place, _LOAD, high)


def _compare_narrow(
    code: _Code, comparison: Comparison, little_endian: bool, if_so: int, if_not: int
) -> int:
    """Compare the low half alone: the other is nothing that the program has passed."""
    argument, operator, value, value_two = comparison
    low, _high = _offsets(argument, little_endian)
    if operator == "MASKED_EQ":
        return _masked(code, low, value & _LOW, value_two & _LOW, if_so, if_not)
    if operator in ("NE", "LT", "LE"):
        operator = {"NE": "EQ", "LT": "GE", "LE": "GT"}[operator]
        if_so, if_not = if_not, if_so
    if operator != "EQ" and value > _LOW:
        return if_not  # nothing of 32 bits is as great
    test = {"EQ": _IF_EQUAL, "GE": _IF_NOT_LESS, "GT": _IF_GREATER}[operator]
    return code.before(code.branch(test, value & _LOW, if_so, if_not), _LOAD, low)


def _masked(code: _Code, offset: int, mask: int, value: int, if_so: int, if_not: int) -> int:
    place = code.branch(_IF_EQUAL, value, if_so, if_not)
    place = code.before(place, _AND, mask)
    return code.before(place, _LOAD, offset)


def _offsets(argument: int, little_endian: bool) -> tuple[int, int]:
    """Of the low and of the high half."""
    offset = _ARGUMENTS + 8 * argument
    return (offset, offset + 4) if little_endian else (offset + 4, offset)
