"""The rules of the system call filter (config-linux.md, Seccomp)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.names import (
    SECCOMP_ACTIONS,
    SECCOMP_ARCHITECTURES,
    SECCOMP_FLAGS,
    SECCOMP_OPERATORS,
)
from runstate.config.rules import expect, one_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.rules import Path
    from runstate.config.seccomp import Seccomp, Syscall


def check_seccomp(path: Path, seccomp: Seccomp) -> Iterator[str]:
    """All that is wrong with the filter."""
    action = seccomp.default_action
    yield from one_of((*path, "defaultAction"), action, SECCOMP_ACTIONS, "an action")
    for index, name in enumerate(seccomp.architectures):
        here = (*path, "architectures", index)
        yield from one_of(here, name, SECCOMP_ARCHITECTURES, "an architecture")
    for index, flag in enumerate(seccomp.flags):
        yield from one_of((*path, "flags", index), flag, SECCOMP_FLAGS, "a flag of seccomp(2)")
    for index, rule in enumerate(seccomp.syscalls):
        yield from _syscall((*path, "syscalls", index), rule)


def _syscall(path: Path, rule: Syscall) -> Iterator[str]:
    if not rule.names:
        yield expect((*path, "names"), [], "the names of system calls")
    yield from one_of((*path, "action"), rule.action, SECCOMP_ACTIONS, "an action")
    for index, argument in enumerate(rule.args):
        here = (*path, "args", index)
        yield from within((*here, "index"), argument.index, 0, 5)
        yield from one_of((*here, "op"), argument.op, SECCOMP_OPERATORS, "a comparison")
