"""Killing a process at any line of the package that it executes.

The action runs in a forked child that counts the lines of the package as it goes; at the line
that is asked for it kills itself with SIGKILL, so no handler, `finally` or destructor runs.
What it has started becomes this process's to reap, as a subreaper (prctl(2)), so that the
host's snapshot sees it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import runstate
from runstate.init import kernel
from tests import host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PR_SET_CHILD_SUBREAPER = 36
_lock = threading.Lock()
_forked: set[int] = set()
_PACKAGE = os.path.dirname(runstate.__file__) + os.sep


def count_lines(action: Callable[[], object]) -> int:
    """How many lines of the package the action executes, in a child that lives to its end."""
    reader, writer = os.pipe()
    pid = _fork(action, lambda count: os.write(writer, b"%d" % count), -1)
    os.close(writer)
    with open(reader, "rb") as pipe:
        counted = pipe.read()
    assert _wait(pid) == 0, "the action failed in the child"
    return int(counted)


def killed_at(action: Callable[[], object], line: int) -> bool:
    """Run the action in a child that dies before this line; False if it came to its end.

    The lines of two runs are not the same where the kernel's answers differ, so a late line may
    not be reached.
    """
    status = _wait(_fork(action, lambda _count: None, line))
    assert status in (0, signal.SIGKILL), "the action failed in the child"
    return status != 0


def sample(total: int, points: int) -> Iterator[int]:
    """Lines spread over the whole action, the first and the last among them."""
    points = min(points, total)
    for number in range(points):
        yield 1 + number * (total - 1) // max(1, points - 1)


def _fork(action: Callable[[], object], report: Callable[[int], object], fatal: int) -> int:
    with _lock:
        pid = os.fork()
        if pid == 0:
            _run(action, report, fatal)
        _forked.add(pid)
    return pid


def _wait(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    _forked.discard(pid)
    return status


def _run(action: Callable[[], object], report: Callable[[int], object], fatal: int) -> None:
    count = 0

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        if event == "line":
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    status = 1
    try:
        sys.settrace(trace)
        action()
        sys.settrace(None)
        report(count)
        status = 0
    except BaseException:
        sys.settrace(None)
        traceback.print_exc()
    finally:
        os._exit(status)


class Orphans:
    """The processes whose parents were killed: while it lasts, this process adopts and reaps them.

    A pid namespace ends only when all of its processes are reaped (pid_namespaces(7)), so this
    has to go on in the background, as in any init.
    """

    def __init__(self) -> None:
        kernel.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._own = set(host.children_of(os.getpid()))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._reap)
        self._thread.start()

    def _reap(self) -> None:
        while not self._over.wait(0.002):
            with _lock:
                for pid in set(host.children_of(os.getpid())) - self._own - _forked:
                    os.waitpid(pid, os.WNOHANG)

    def close(self) -> None:
        """Adopt no more."""
        self._over.set()
        self._thread.join()
        kernel.prctl(_PR_SET_CHILD_SUBREAPER, 0)
