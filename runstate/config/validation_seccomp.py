"""The rules of the system call filter (config-linux.md, Seccomp; seccomp(2))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.config.names import (
    SECCOMP_ACTIONS,
    SECCOMP_ARCHITECTURES,
    SECCOMP_FLAGS,
    SECCOMP_OPERATORS,
)
from runstate.config.problems import MISSING, json_path
from runstate.config.rules import absolute, expect, one_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.rules import Path
    from runstate.config.seccomp import Seccomp, Syscall

_NOTIFY = "SCMP_ACT_NOTIFY"
_WAIT_KILLABLE = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
# What actions return has 16 bits; the kernel takes no greater errno (seccomp(2)).
_LARGEST = {"SCMP_ACT_ERRNO": 4095, "SCMP_ACT_TRACE": 65535}
_NAME = re.compile(r"\w+", re.ASCII)
_LONGEST_SOCKET_PATH = 107  # unix(7)
_BEFORE_THE_AGENT = "sendmsg"


def check_seccomp(path: Path, seccomp: Seccomp) -> Iterator[str]:
    """All that is wrong with a filter."""
    action = seccomp.default_action
    yield from one_of((*path, "defaultAction"), action, SECCOMP_ACTIONS, "an action")
    if action == _NOTIFY:
        yield expect(
            (*path, "defaultAction"),
            action,
            "anything else: the agent would have to allow what it takes to tell it of the process",
        )
    yield from _errno((*path, "defaultErrnoRet"), seccomp.default_errno_ret, action)
    for index, name in enumerate(seccomp.architectures):
        here = (*path, "architectures", index)
        yield from one_of(here, name, SECCOMP_ARCHITECTURES, "an architecture")
    for index, flag in enumerate(seccomp.flags):
        yield from one_of((*path, "flags", index), flag, SECCOMP_FLAGS, "a flag of seccomp(2)")
    for index, rule in enumerate(seccomp.syscalls):
        yield from _syscall((*path, "syscalls", index), rule)
    yield from _agent(path, seccomp)


def _agent(path: Path, seccomp: Seccomp) -> Iterator[str]:
    listener = seccomp.listener_path
    if seccomp.listener_metadata and not listener:
        metadata = seccomp.listener_metadata
        yield expect((*path, "listenerMetadata"), metadata, "nothing without a listenerPath")
    if all(rule.action != _NOTIFY for rule in seccomp.syscalls):
        # Without that action the path is ignored, the specification says.
        if _WAIT_KILLABLE in seccomp.flags:
            index = seccomp.flags.index(_WAIT_KILLABLE)
            yield expect(
                (*path, "flags", index), _WAIT_KILLABLE, f"nothing without a rule of {_NOTIFY}"
            )
    elif not listener:
        yield f"{json_path((*path, 'listenerPath'))}: {MISSING}: {_NOTIFY} needs an agent's socket"
    else:
        yield from absolute((*path, "listenerPath"), listener)
        if len(listener.encode(errors="surrogateescape")) > _LONGEST_SOCKET_PATH:
            yield expect((*path, "listenerPath"), listener, f"at most {_LONGEST_SOCKET_PATH} bytes")


def _syscall(path: Path, rule: Syscall) -> Iterator[str]:
    if not rule.names:
        yield expect((*path, "names"), [], "the names of system calls")
    # A filter names hundreds: they are looked at one by one only where one of them is wrong.
    if not _NAME.fullmatch("".join(rule.names)) or "" in rule.names or rule.action == _NOTIFY:
        yield from _names((*path, "names"), rule)
    yield from one_of((*path, "action"), rule.action, SECCOMP_ACTIONS, "an action")
    yield from _errno((*path, "errnoRet"), rule.errno_ret, rule.action)
    for index, argument in enumerate(rule.args):
        here = (*path, "args", index)
        yield from within((*here, "index"), argument.index, 0, 5)
        yield from one_of((*here, "op"), argument.op, SECCOMP_OPERATORS, "a comparison")


def _names(path: Path, rule: Syscall) -> Iterator[str]:
    for index, name in enumerate(rule.names):
        if not _NAME.fullmatch(name):
            yield expect((*path, index), name, "the name of a system call")
        elif name == _BEFORE_THE_AGENT and rule.action == _NOTIFY:
            yield expect((*path, index), name, "any other call: by this one the agent is told")


def _errno(path: Path, value: int | None, action: str) -> Iterator[str]:
    if action in _LARGEST:
        yield from within(path, value, 0, _LARGEST[action])
    elif value is not None and action in SECCOMP_ACTIONS:
        yield expect(path, value, f"nothing: {action} returns no number")
