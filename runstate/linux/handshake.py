"""The engine's end of the channel to a new process (the diagram is in init/protocol.py)."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING

from runstate.errors import DeadlineExceeded, InitDied, OperationFailed, explain_errno
from runstate.init import protocol
from runstate.linux import launcher, processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runstate.linux.operations import Operation
    from runstate.states.state import ProcessIdentity

_LARGEST_REPORT = 65536
_GLANCE = 1.0  # seconds between looks at an init that says nothing


class Handshake:
    """One new process on its way from its birth to its program.

    Attributes:
        theirs: The process's end of the channel, to be sent to the zygote and closed.
        console: The master of its terminal, once it has sent one.
        hooks: The hooks that it has run, and the milliseconds that each took.
    """

    def __init__(self) -> None:
        self._channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._operations: Sequence[Operation] = ()
        self.console = -1
        self.hooks: list[tuple[str, float]] = []

    def send_plan(self, operations: Sequence[Operation], deadline: float) -> None:
        """Send what the process shall execute; it begins at once.

        Args:
            operations: The plan.
            deadline: Seconds for each answer from here on.
        """
        self._operations = operations
        self._channel.settimeout(deadline)
        plan = protocol.pack_plan([operation.encode() for operation in operations])
        try:
            self._channel.sendall(plan)
        except OSError as error:
            raise InitDied(f"send init its plan: {error}") from error

    def allow(self, seconds: float | None) -> None:
        """Wait so long for each answer from here on; None: for ever."""
        self._channel.settimeout(seconds)

    def proceed(self) -> None:
        """Let the process go on past where it waits; its own failure is reported by a read."""
        try:
            self._channel.send(protocol.PROCEED)
        except (BrokenPipeError, ConnectionResetError):
            return

    def await_meeting(self) -> None:
        """Wait until the process has made its namespaces and mounts, and waits for the host.

        Raises:
            OperationFailed, InitDied, DeadlineExceeded: As ``await_ready``.
        """
        self._await(protocol.MEETING, "wait for init to make its namespaces and mounts")

    def await_ready(self) -> None:
        """Wait until every operation before the record has succeeded.

        Raises:
            OperationFailed: One failed; it is named with its path and errno.
            InitDied: The process ended without a word.
            DeadlineExceeded: It takes too long.
        """
        self._await(protocol.READY, "wait for init to be ready")

    def _await(self, expected: bytes, doing: str) -> None:
        message = self._receive(doing)
        if message == protocol.CONSOLE and self.console >= 0:
            message = self._receive(doing)
        if not message.startswith(expected):
            self._raise(message)
        self.hooks, _ = protocol.take_hooks(message[len(expected) :])

    def await_exec(self) -> None:
        """Wait until the process has become its program: its end closes on exec."""
        message = self._receive("wait for the program to start")
        if message:
            self._raise(message)

    def _receive(self, doing: str) -> bytes:
        try:
            message, fds = protocol.receive_report(self._channel)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{doing}: no answer in {self._channel.gettimeout():g} s"
            ) from error
        except ConnectionResetError:
            return b""
        if fds:
            self.console = fds[0]
        return message

    def _raise(self, message: bytes) -> None:
        raise_failure(message, self._operations)

    def take_console(self) -> int:
        """The terminal's master, the caller's from now on; -1 if there is none."""
        console, self.console = self.console, -1
        return console

    def close(self) -> None:
        """Close our end: a process that is not on record yet ends."""
        if self.console >= 0:
            os.close(self.console)
            self.console = -1
        self._channel.close()
        self.theirs.close()


def raise_failure(message: bytes, operations: Sequence[Operation]) -> None:
    """Raise what init reported, in the plan's own words."""
    failure = protocol.unpack_failure(message)
    if failure is None:
        suspect = ", perhaps by its system call filter" if _filtered(operations) else ""
        raise InitDied(
            f"init ended before it was ready, without saying why; was it killed{suspect}?"
        )
    index, number, text = failure
    if text.startswith(protocol.HOOK):
        from runstate.linux.hooks import raise_report  # noqa: PLC0415 - few have hooks

        raise_report(text)
    operation = operations[index].describe() if index < len(operations) else f"operation {index}"
    reason = explain_errno(number) if number else "failed"
    raise OperationFailed(operation, f"{reason}: {text}" if text else reason, number or None)


def _filtered(operations: Sequence[Operation]) -> bool:
    """Whether the process loads a system call filter before it reports."""
    names = [operation.name for operation in operations]
    return "load_seccomp" in names[: names.index("on_record") if "on_record" in names else None]


def release(
    fifo_path: str, init: ProcessIdentity, operations: Sequence[Operation], deadline: float | None
) -> list[tuple[str, float]]:
    """Open the exec fifo, which lets init go on, and wait until it is its program.

    Any process may do this, not only the one that has created the container: init holds the
    fifo's other end until exec closes it, and reports a failing exec through it.

    Args:
        fifo_path: The exec fifo.
        init: The init process.
        operations: The plan's last operations, for the words of an error; may be empty.
        deadline: Seconds to wait; None: for ever.

    Returns:
        The hooks that it has run meanwhile, and the milliseconds that each took.

    Raises:
        InitDied: Init is gone.
        OperationFailed: The exec failed; init is gone now.
        DeadlineExceeded: Init did not go on.
    """
    # Before the fifo: once that is open, the program may come and go at once.
    pidfd = processes.open_pidfd(init)
    if pidfd is None:
        raise InitDied(f"start: init (process {init.pid}) is gone")
    try:
        fifo = os.open(fifo_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        os.close(pidfd)
        raise OperationFailed.from_os_error(f"open the exec fifo {fifo_path}", error) from error
    try:
        message = _read_to_end(fifo, pidfd, init, deadline)
    finally:
        os.close(fifo)
        os.close(pidfd)
    if message[:1] != protocol.FIFO_BYTE:
        raise InitDied(f"start: init (process {init.pid}) ended before it could start")
    hooks, failure = protocol.take_hooks(message[1:])
    if failure:
        raise_failure(failure, operations)
    return hooks


def _read_to_end(fifo: int, pidfd: int, init: ProcessIdentity, deadline: float | None) -> bytes:
    poll = select.poll()
    # Init's first byte is no news; that nobody writes any more (POLLHUP, always told) is.
    poll.register(fifo, 0)
    poll.register(pidfd, select.POLLIN)
    ends = None if deadline is None else time.monotonic() + deadline
    glance = _GLANCE if deadline is None else min(_GLANCE, deadline)
    while not poll.poll(glance * 1000):
        # One that an earlier opener has released may have become its program before we came:
        # a fifo has no hang-up for who has never seen a writer (poll(2)).
        if not launcher.is_waiting_init(init.pid):
            return protocol.FIFO_BYTE
        if ends is not None and time.monotonic() >= ends:
            raise DeadlineExceeded("start: init did not go on in time after its fifo was opened")
    message = b""
    try:
        while chunk := os.read(fifo, _LARGEST_REPORT):
            message += chunk
    except BlockingIOError:
        pass  # init has ended, and another process has the fifo open still
    return message
