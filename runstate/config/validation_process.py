"""The rules of the program and of what it starts with (config.md, Process)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.names import (
    RLIMITS,
)
from runstate.config.rules import absolute, environment, expect, one_of, some_id, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.process import Capabilities, Process, Rlimit, User
    from runstate.config.rules import Path

MOST_GROUPS = 65536
"""``NGROUPS_MAX`` of setgroups(2)."""


def check_process(path: Path, process: Process) -> Iterator[str]:
    """All that is wrong with a process."""
    if not process.args:
        yield expect((*path, "args"), list(process.args), "the program and its arguments")
    elif not process.args[0]:
        yield expect((*path, "args", 0), "", "the program's name or path")
    yield from absolute((*path, "cwd"), process.cwd)
    yield from environment((*path, "env"), process.env)
    yield from within((*path, "oomScoreAdj"), process.oom_score_adj, -1000, 1000)
    if process.user is not None:
        yield from _user((*path, "user"), process.user)
    if process.capabilities is not None:
        yield from _capabilities((*path, "capabilities"), process.capabilities)
    yield from _rlimits((*path, "rlimits"), process.rlimits)
    # Without a terminal the size has to be ignored (config.md, Process), whatever it is.
    if process.console_size is not None and process.terminal:
        for name in ("height", "width"):
            value = getattr(process.console_size, name)
            yield from within((*path, "consoleSize", name), value, 0, 2**16 - 1)
    if process.scheduler or process.io_priority or process.exec_cpu_affinity:
        from runstate.config.validation_tuning import (  # noqa: PLC0415 - few have them
            check_process_tuning,
        )

        yield from check_process_tuning(path, process)
    for name, label in (
        ("apparmorProfile", process.apparmor_profile),
        ("selinuxLabel", process.selinux_label),
    ):
        if label and "\n" in label:
            yield expect((*path, name), label, "one line")


def _user(path: Path, user: User) -> Iterator[str]:
    yield from some_id((*path, "uid"), user.uid, "a user id")
    yield from some_id((*path, "gid"), user.gid, "a group id")
    if user.umask is not None and user.umask > 0o777:
        yield expect((*path, "umask"), user.umask, f"from 0 to {0o777} (0777)")
    if len(user.additional_gids) > MOST_GROUPS:
        yield expect(
            (*path, "additionalGids"), list(user.additional_gids), f"{MOST_GROUPS} at most"
        )
    for index, gid in enumerate(user.additional_gids):
        yield from some_id((*path, "additionalGids", index), gid, "a group id")


def _capabilities(path: Path, capabilities: Capabilities) -> Iterator[str]:
    """What capset(2) refuses with EPERM, the whole call; the names are for the host to know.

    The specification forbids to refuse a name that cannot be granted (config.md, Linux Process).
    """
    for name, needed in (("effective", "permitted"), ("inheritable", "bounding")):
        held: tuple[str, ...] = getattr(capabilities, name)
        missing = set(held).difference(getattr(capabilities, needed))
        for index, capability in enumerate(held):
            if capability in missing:
                yield expect((*path, name, index), capability, f"one that is also in {needed}")


def _rlimits(path: Path, rlimits: tuple[Rlimit, ...]) -> Iterator[str]:
    seen = set()
    for index, rlimit in enumerate(rlimits):
        here = (*path, index)
        yield from one_of((*here, "type"), rlimit.type, RLIMITS, "a resource of getrlimit(2)")
        if rlimit.type in seen:
            yield expect((*here, "type"), rlimit.type, "each type once")
        seen.add(rlimit.type)
        if rlimit.soft > rlimit.hard:
            yield expect((*here, "soft"), rlimit.soft, f"at most the hard limit {rlimit.hard}")
