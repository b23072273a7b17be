"""Killing a process at any line of the package that it executes.

The action runs in a forked child that counts the lines of the package as it goes; at the line
that is asked for it kills itself with SIGKILL, so no handler, `finally` or destructor runs.
Between it and this process is another, which adopts and reaps what the killed one leaves
behind, as any machine's init does, until there is nothing left of it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import runstate
from runstate.init import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PR_SET_CHILD_SUBREAPER = 36
_PACKAGE = os.path.dirname(runstate.__file__) + os.sep
_PATIENCE_MS = 5000

# The adopters whose wards may still live.
_adopters: list[int] = []


def count_lines(action: Callable[[], object], *rooms: str) -> int:
    """How many lines of the package the action executes, in a child that lives to its end.

    Args:
        action: What is done.
        rooms: Paths below the package whose lines alone count, ``handlers/network`` and so on.
    """
    status, count = _run(action, -1, rooms)
    assert status == 0, "the action failed in the child"
    return count


def killed_at(action: Callable[[], object], line: int, *rooms: str) -> bool:
    """Run the action in a child that dies before this line; False if it came to its end.

    The lines of two runs are not the same where the kernel's answers differ, so a late line may
    not be reached.
    """
    status, _count = _run(action, line, rooms)
    assert status in (0, signal.SIGKILL), "the action failed in the child"
    return status != 0


def sample(total: int, points: int) -> Iterator[int]:
    """Lines spread over the whole action, the first and the last among them."""
    points = min(points, total)
    for number in range(points):
        yield 1 + number * (total - 1) // max(1, points - 1)


def reap() -> None:
    """Wait until all that the killed have left behind has ended; not for ever."""
    while _adopters:
        pid = _adopters.pop()
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_PATIENCE_MS):
            os.kill(pid, signal.SIGKILL)
        os.close(pidfd)
        os.waitpid(pid, 0)


def _run(action: Callable[[], object], fatal: int, rooms: tuple[str, ...]) -> tuple[int, int]:
    """The wait status of the child, and how many lines it has counted (0: it was killed)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _adopt(action, fatal, writer, tuple(_PACKAGE + room for room in rooms or ("",)))
    _adopters.append(pid)
    os.close(writer)
    with open(reader, "rb") as pipe:
        status, _, count = pipe.read().partition(b" ")
    return int(status), int(count or 0)


def _adopt(
    action: Callable[[], object], fatal: int, writer: int, rooms: tuple[str, ...]
) -> NoReturn:
    try:
        kernel.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        reader, counted = os.pipe()
        child = os.fork()
        if child == 0:
            _act(action, fatal, counted, rooms)
        os.close(counted)
        _, status = os.waitpid(child, 0)
        os.write(writer, b"%d %s" % (status, os.read(reader, 100)))
        os.close(writer)
        while True:
            os.wait()
    finally:
        os._exit(0)  # no child is left


def _act(
    action: Callable[[], object], fatal: int, counted: int, rooms: tuple[str, ...]
) -> NoReturn:
    count = 0

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(rooms):
            return None
        if event == "line":
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    status = 1
    try:
        threading.settrace(trace)  # for those that are started from here on
        sys.settrace(trace)
        action()
        sys.settrace(None)
        os.write(counted, b"%d" % count)
        status = 0
    except BaseException:  # noqa: BLE001 - a child must not go on as pytest
        sys.settrace(None)
        traceback.print_exc()
    finally:
        os._exit(status)
