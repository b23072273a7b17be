"""The new process: takes its descriptors, executes the plan, waits to be started, execs.

Until the engine has put it on record (the last ``proceed``), this process ends by itself when
the engine is gone. It holds the channel, its standard streams and what the plan names; all
else that it inherited is closed first.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal wraps it in enums
import os
from _socket import socket

from runstate.init import kernel, operations, protocol
from runstate.init.operations import OPERATIONS
from runstate.init.operations.base import Init, OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_WAITING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main(keep: list[int]) -> None:
    """Run as a new process; returns or raises only on the way to its end.

    Args:
        keep: The descriptors that the engine sent: channel, stdin, stdout, stderr, extras.
    """
    _settle_in()
    _run(keep, 0)


def wait_as_spare(sock: socket, early: int) -> None:
    """Run as a spare child: prepare, and wait to be given a container's descriptors.

    Args:
        sock: Whose other end the zygote has.
        early: The CLONE_NEW* of the namespaces to make in advance.
    """
    _close_all_but([sock.fileno()])
    _settle_in()
    kernel.unshare(early)
    keep = protocol.receive_take(sock)
    if keep is not None:
        sock.close()
        _run(keep, early)


def _settle_in() -> None:
    os.setsid()
    os.umask(0)
    _default_signals()


def _run(keep: list[int], unshared: int) -> None:
    channel_fd, stdin, stdout, stderr, *extras = keep
    for source, target in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    _close_all_but([channel_fd, *extras])
    channel = socket(fileno=channel_fd)
    plan = protocol.receive_plan(channel)
    if plan is None:
        return
    # The files by which the ids of a user namespace are mapped belong to root as long as its
    # first process is not dumpable (proc(5)), so that one, which waits for it, drops it in
    # `become_root`.
    if not any(operation[0] == "await_engine" for operation in plan):
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    execute(plan, Init(channel, tuple(extras), unshared))


def execute(plan: list[tuple[object, ...]], init: Init) -> None:
    """Each operation in its turn; the first that fails is reported and is the last."""
    index = 0
    try:
        operations.load(operation[0] for operation in plan)
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
