"""The system call filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

_INSTRUCTION_SIZE = 8  # struct sock_filter
# linux/seccomp.h
_FLAGS = {
    1: "TSYNC",
    2: "LOG",
    4: "SPEC_ALLOW",
    8: "NEW_LISTENER",
    16: "TSYNC_ESRCH",
    32: "WAIT_KILLABLE_RECV",
}


def load_seccomp(program: bytes, flags: int, agent: int = -1, message: bytes = b"") -> Operation:
    """Filter the system calls from here on.

    Args:
        program: The filter's instructions.
        flags: SECCOMP_FILTER_FLAG_*.
        agent: The index of the descriptor that is connected to the agent; -1 without one.
        message: What the agent is told.
    """
    return Operation("load_seccomp", (program, flags, agent, message))


def _words(program: bytes, flags: int, agent: int, _message: bytes) -> str:
    words = f"load a system call filter of {len(program) // _INSTRUCTION_SIZE} instructions"
    names = "|".join(name for flag, name in _FLAGS.items() if flags & flag)
    words += f", flags {names or 'none'}"
    return words + (", and send its listener to the agent" if agent >= 0 else "")


WORDS: dict[str, Callable[..., str]] = {"load_seccomp": _words}
