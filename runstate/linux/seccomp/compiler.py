"""From a configuration's ``linux.seccomp`` to a program for the kernel.

The reading of the rules is runc's and libseccomp's, because engines write profiles for them:

- a rule whose action is the default's says nothing; a name that nobody knows is left out;
- a rule without conditions decides alone, and of several the first; of rules with conditions
  that hold at once the strictest action wins, as it does among filters (seccomp(2));
- two conditions on one argument mean that either may hold;
- the machine's own architecture is always among those filtered, and calls of architectures that
  are not kill the thread;
- a call above all that the rules name is newer than the profile. Where the default denies, it
  gets ENOSYS: programs then fall back to an older call, as they do not on EPERM (glibc's
  pthread_create(3) with clone3(2) is the best known).
"""

from __future__ import annotations

import errno
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.errors import ConfigInvalid
from runstate.linux.seccomp import library, program
from runstate.linux.seccomp.multiplexed import multiplexed
from runstate.linux.seccomp.program import INSTRUCTION, MAX_INSTRUCTIONS, Comparison, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runstate.linux.seccomp.program import Verdict

ACTIONS = {
    "SCMP_ACT_KILL_PROCESS": program.ACT_KILL_PROCESS,
    "SCMP_ACT_KILL": program.ACT_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": program.ACT_KILL_THREAD,
    "SCMP_ACT_TRAP": program.ACT_TRAP,
    "SCMP_ACT_ERRNO": program.ACT_ERRNO,
    "SCMP_ACT_NOTIFY": program.ACT_NOTIFY,
    "SCMP_ACT_TRACE": program.ACT_TRACE,
    "SCMP_ACT_LOG": program.ACT_LOG,
    "SCMP_ACT_ALLOW": program.ACT_ALLOW,
}
_WITH_ERRNO = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"})
# What is denied nowhere needs no other answer; a tracer answers for itself.
_PERMISSIVE = frozenset({"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"})
_STRICTEST_FIRST = (
    program.ACT_KILL_PROCESS,
    program.ACT_KILL_THREAD,
    program.ACT_TRAP,
    program.ACT_ERRNO,
    program.ACT_NOTIFY,
    program.ACT_TRACE,
    program.ACT_LOG,
    program.ACT_ALLOW,
)
_KIND = 0xFFFF0000  # the rest of an action is data
_SKIPPED = 0xFFFFFFFF  # the number that a tracer sets to skip a call

# To the kernel, x32's calls are x86_64's with a bit in the number.
_AUDITED = {library.X32: library.X86_64}

# linux/seccomp.h
FLAG_TSYNC = 1
FLAG_LOG = 2
FLAG_SPEC_ALLOW = 4
FLAG_NEW_LISTENER = 8
FLAG_TSYNC_ESRCH = 16
FLAG_WAIT_KILLABLE_RECV = 32
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": FLAG_WAIT_KILLABLE_RECV,
}


@frozen
class Filter:
    """A compiled filter.

    Attributes:
        program: struct sock_filter, in an array.
        flags: SECCOMP_FILTER_FLAG_* of seccomp(2).
        unknown: Names in the rules that nobody knows; nothing is done for them.
        left_out: Architectures that no kernel of this machine can be called by.
    """

    program: bytes
    flags: int
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def notifies(self) -> bool:
        """Whether a listener decides about some calls."""
        return bool(self.flags & FLAG_NEW_LISTENER)

    @property
    def instructions(self) -> int:
        """How many there are in the program."""
        return len(self.program) // INSTRUCTION.size


def compile_filter(form: Mapping[str, Any], native: str | None = None) -> Filter:
    """Compile the JSON form of ``linux.seccomp``; the same form is compiled once.

    Args:
        form: The form, valid by :func:`runstate.config.validate`.
        native: The architecture to compile for (``s390x``), with the others of its byte order;
            None for this machine.

    Raises:
        ConfigInvalid: The program gets too long for the kernel.
        NotSupported: There is no libseccomp, or not the architecture.
    """
    # A listener's path has no part in the program.
    key = {name: value for name, value in form.items() if not name.startswith("listener")}
    return _compile(json.dumps(key, sort_keys=True), native)


@lru_cache(maxsize=32)
def _compile(text: str, native: str | None) -> Filter:
    form: dict[str, Any] = json.loads(text)
    rules = _Rules(form)
    tokens, left_out = _architectures(form.get("architectures", []), native)
    tables = [
        rules.x86_table(tokens) if token == library.X86_64 else rules.table(token)
        for token in dict.fromkeys(_AUDITED.get(token, token) for token in tokens)
    ]
    try:
        code = program.assemble(tables, program.ACT_KILL_THREAD)
    except program.ProgramTooLong as error:
        problem = (
            f"$.linux.seccomp: makes a program of more than the {MAX_INSTRUCTIONS} instructions"
            " that the kernel takes; name fewer conditions or architectures"
        )
        raise ConfigInvalid(problem, [problem]) from error
    return Filter(code, _flags(form), rules.unknown(), left_out)


def _flags(form: Mapping[str, Any]) -> int:
    # Without any, as runc does: a filter alone is no reason to slow a program down by the
    # mitigation of speculative store bypass (before Linux 5.16 the kernel thought it was).
    flags = FLAG_SPEC_ALLOW if not form.get("flags") else 0
    for name in form.get("flags", []):
        flags |= FLAGS[name]
    if any(rule["action"] == "SCMP_ACT_NOTIFY" for rule in form.get("syscalls", [])):
        flags |= FLAG_NEW_LISTENER
        if flags & FLAG_TSYNC:
            flags |= FLAG_TSYNC_ESRCH  # the result is the listener, so cannot be a thread
    return flags


def _architectures(names: Iterable[str], native: str | None) -> tuple[list[int], tuple[str, ...]]:
    """Their tokens, the machine's own first; and the names of those left out."""
    own = library.native_architecture() if native is None else library.known(native)
    tokens, left_out = [own], []
    for name in names:
        token = library.architecture(name.removeprefix("SCMP_ARCH_").lower())
        # A kernel has one byte order, and is called by its own architecture and its ancestors.
        if token is None or library.is_little_endian(token) != library.is_little_endian(own):
            left_out.append(name)
        elif token not in tokens:
            tokens.append(token)
    return tokens, tuple(left_out)


class _Rules:
    """The rules of a form, ready to be applied to an architecture."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self.default = _action(form["defaultAction"], form.get("defaultErrnoRet"))
        self._newer = (
            self.default
            if form["defaultAction"] in _PERMISSIVE
            else program.ACT_ERRNO | errno.ENOSYS
        )
        self._rules = [
            (
                _action(rule["action"], rule.get("errnoRet")),
                list(_alternatives(rule.get("args", []))),
                rule["names"],
            )
            for rule in form.get("syscalls", [])
        ]
        self._names = {name for rule in form.get("syscalls", []) for name in rule["names"]}
        self._known: set[str] = set()
        self._unheard_of: set[str] = set()

    def unknown(self) -> tuple[str, ...]:
        """The names that none of the architectures' tables so far had."""
        return tuple(sorted(self._names - self._known))

    def table(self, token: int) -> Table:
        """What becomes of an architecture's calls."""
        return self._table(token, self._ranges(token))

    def x86_table(self, tokens: Sequence[int]) -> Table:
        """What becomes of the calls of x86_64 and x32."""
        foreign = _always(program.ACT_KILL_THREAD)
        ranges = self._ranges(library.X86_64) if library.X86_64 in tokens else [(0, foreign)]
        ranges = [(start, verdict) for start, verdict in ranges if start < library.X32_BIT]
        if library.X32 in tokens:
            ranges += self._ranges(library.X32)[1:]
        else:
            ranges.append((library.X32_BIT, foreign))
        return self._table(library.X86_64, ranges, library.X32_BIT)

    def _table(
        self, token: int, ranges: list[tuple[int, Verdict]], narrow_from: int = 1 << 32
    ) -> Table:
        if ranges[-1][0] != _SKIPPED:
            ranges.append((_SKIPPED, _always(self.default)))
        return Table(
            token,
            library.is_little_endian(token),
            library.is_64_bit(token),
            _merged(ranges),
            narrow_from,
        )

    def _ranges(self, token: int) -> list[tuple[int, Verdict]]:
        calls, last = self._calls(token)
        default = _always(self.default)
        newer = _always(self._newer)
        verdicts = dict(calls)
        ranges = [(0, default)]
        if token in library.S390 and self._newer != self.default:
            # Calls above 255 reach the kernel as number 0 and a register, and stay 0 where it
            # does not know them; the call that was number 0 is long gone.
            verdicts[0] = newer
        ends = [(last + 1, newer)] if last >= 0 else []
        if token == library.X32:
            ends.insert(0, (library.X32_BIT, default))
        if token == library.ARM:
            ends.append((library.ARM_PRIVATE, default))
        breaks = dict(ends)
        current = default
        for number in sorted({*verdicts, *(number + 1 for number in verdicts), *breaks}):
            current = breaks.get(number, current)
            ranges.append((number, verdicts.get(number, current)))
        return ranges

    def _calls(self, token: int) -> tuple[dict[int, Verdict], int]:
        """The verdicts on an architecture's calls by number, and the last number that is named."""
        found: dict[int, list[tuple[int, tuple[Comparison, ...]]]] = {}
        last = -1
        for action, alternatives, names in self._rules:
            for name in names:
                if name in self._unheard_of:
                    continue
                number = library.call_number(name, token)
                if number is None:
                    if name not in library.SOMEWHERE:
                        self._unheard_of.add(name)
                    continue
                self._known.add(name)
                if number < 0:
                    shared = multiplexed(number, token)
                    if shared is None:
                        continue
                    number = library.direct_number(name, token)
                    if action != self.default:
                        self._add_shared(found, action, alternatives, shared)
                    if number is None:
                        continue
                if token != library.ARM or number < library.ARM_PRIVATE:
                    last = max(last, number)
                if action != self.default:
                    found.setdefault(number, []).extend((action, each) for each in alternatives)
        return {number: self._verdict(rules) for number, rules in found.items()}, last

    def _add_shared(
        self,
        found: dict[int, list[tuple[int, tuple[Comparison, ...]]]],
        action: int,
        alternatives: list[tuple[Comparison, ...]],
        shared: tuple[int, Comparison],
    ) -> None:
        """A rule for a call that is also part of another one, whose arguments are in memory.

        What is there cannot be compared, so conditions are taken to hold if that is stricter.
        """
        number, selection = shared
        if alternatives == [()] or _strictness(action) < _strictness(self.default):
            found.setdefault(number, []).append((action, (selection,)))

    def _verdict(self, rules: list[tuple[int, tuple[Comparison, ...]]]) -> Verdict:
        for action, comparisons in rules:
            if not comparisons:
                return _always(action)
        rules.sort(key=lambda rule: _strictness(rule[0]))  # stable: the first of equals
        return (*rules, (self.default, ()))


def _action(name: str, number: int | None) -> int:
    if name not in _WITH_ERRNO:
        return ACTIONS[name]
    return ACTIONS[name] | (errno.EPERM if number is None else number)


def _always(action: int) -> Verdict:
    return ((action, ()),)


def _strictness(action: int) -> int:
    return _STRICTEST_FIRST.index(action & _KIND)


def _alternatives(arguments: list[dict[str, Any]]) -> Iterator[tuple[Comparison, ...]]:
    """The conditions that a call must meet: all of one, and any one."""
    comparisons = [
        Comparison(
            argument["index"],
            argument["op"].removeprefix("SCMP_CMP_"),
            argument["value"],
            argument.get("valueTwo", 0),
        )
        for argument in arguments
    ]
    if len({comparison.argument for comparison in comparisons}) == len(comparisons):
        yield tuple(comparisons)
    else:
        yield from ((comparison,) for comparison in comparisons)


def _merged(ranges: list[tuple[int, Verdict]]) -> list[tuple[int, Verdict]]:
    """Without ranges that say what the one before them says, or are empty."""
    found: list[tuple[int, Verdict]] = []
    for start, verdict in ranges:
        if found and found[-1][0] == start:
            found.pop()
        if not found or found[-1][1] != verdict:
            found.append((start, verdict))
    return found
