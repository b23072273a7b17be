"""The rules of the Linux part's rarer sections, mostly names from closed sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.names import (
    MEMORY_FLAGS,
    MEMORY_MODES,
    PERSONALITIES,
    SECCOMP_ACTIONS,
    SECCOMP_ARCHITECTURES,
    SECCOMP_FLAGS,
    SECCOMP_OPERATORS,
)
from runstate.config.rules import expect, one_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.linux import Linux
    from runstate.config.rules import Path
    from runstate.config.seccomp import Seccomp, Syscall


def check_rare(linux: Linux) -> Iterator[str]:
    """All that is wrong with seccomp, the memory policy, the personality and Intel's RDT."""
    if linux.seccomp is not None:
        yield from _seccomp(("linux", "seccomp"), linux.seccomp)
    if linux.memory_policy is not None:
        path = ("linux", "memoryPolicy")
        yield from one_of((*path, "mode"), linux.memory_policy.mode, MEMORY_MODES, "a mode")
        for index, flag in enumerate(linux.memory_policy.flags):
            yield from one_of((*path, "flags", index), flag, MEMORY_FLAGS, "a flag")
    if linux.personality is not None:
        domain = linux.personality.domain
        yield from one_of(("linux", "personality", "domain"), domain, PERSONALITIES, "a domain")
    if linux.intel_rdt is not None:
        schema = linux.intel_rdt.mem_bw_schema
        if schema is not None and not (schema.startswith("MB:") and "\n" not in schema):
            yield expect(("linux", "intelRdt", "memBwSchema"), schema, "one line, MB:…")


def _seccomp(path: Path, seccomp: Seccomp) -> Iterator[str]:
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
