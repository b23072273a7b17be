"""The new process: takes its descriptors, executes the plan, waits to be started, execs.

Until the engine has put it on record (the last ``proceed``), this process ends by itself when
the engine is gone. It holds the channel, its standard streams and what the plan names; all
else that it inherited is closed first.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal wraps it in enums
import os
from _socket import socket

from runstate.init import kernel, protocol
from runstate.init.operations import OPERATIONS, Init, OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_WAITING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main(keep: list[int]) -> None:
    """Run as a new process; returns or raises only on the way to its end.

    Args:
        keep: The descriptors that the engine sent: channel, stdin, stdout, stderr, extras.
    """
    channel_fd, stdin, stdout, stderr, *extras = keep
    for source, target in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    _close_all_but([channel_fd, *extras])
    os.setsid()
    os.umask(0)
    _default_signals()
    channel = socket(fileno=channel_fd)
    plan = protocol.receive_plan(channel)
    if plan is None:
        return
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    execute(plan, Init(channel, tuple(extras)))


def execute(plan: list[tuple[object, ...]], init: Init) -> None:
    """Each operation in its turn; the first that fails is reported and is the last."""
    index = 0
    try:
        for index, (name, *arguments) in enumerate(plan):  # noqa: B007 - the report needs it
            OPERATIONS[name](init, *arguments)
    except OperationError as error:
        init.report(protocol.pack_failure(index, error.errno, error.text))
    except OSError as error:
        init.report(protocol.pack_failure(index, error.errno or 0, str(error.filename or "")))
    except Exception as error:  # noqa: BLE001 - a bug of ours must not end in silence
        init.report(protocol.pack_failure(index, 0, f"{type(error).__name__}: {error}"))


def _close_all_but(fds: list[int]) -> None:
    first = 3
    for fd in sorted(fds):
        if first < fd:
            kernel.close_range(first, fd - 1)
        first = fd + 1
    kernel.close_range(first, 0xFFFFFFFF)


def _default_signals() -> None:
    # Python ignores these two, and exec keeps what is ignored (signal(7)).
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    # The first process of a pid namespace gets only the signals that it handles
    # (pid_namespaces(7)), and a container that waits to be started shall end on SIGTERM.
    for number in _WAITING_SIGNALS:
        signal.signal(number, _end)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
