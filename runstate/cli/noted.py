"""Signals that are noted when they come, and met where it suits.

A command that makes a container must not be cut off at any instruction: what it has begun has
to be undone or finished. So a signal only leaves a note, and whoever waits for other things
waits for :meth:`NotedSignals.fileno` along with them.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from runstate.linux import interruption

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, TracebackType
    from typing import Self

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""What asks a program to end, and ends one that does not listen (signal(7))."""

# Not passed on: what cannot be caught, what the kernel says of our own faults and children,
# and what a shell's job control does with us.
_OURS = frozenset(
    signal.Signals[name]
    for name in (
        "SIGABRT", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGFPE", "SIGILL", "SIGKILL", "SIGPIPE",
        "SIGPROF", "SIGSEGV", "SIGSTOP", "SIGSYS", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
        "SIGURG", "SIGXCPU", "SIGXFSZ",
    )
)  # fmt: skip
_PATIENCE = 2


class NotedSignals:
    """A context in which signals leave notes; in the main thread only.

    What waits for a hook of the container is cut off by any signal that asks for an end.
    Until ``forward`` is called, the second SIGINT raises KeyboardInterrupt: someone who presses
    Ctrl-C twice wants out of what hangs, and leaves the repair to the next command.

    Attributes:
        interrupted: The first signal that asked for an end before ``forward`` was called; or 0.
    """

    def __init__(self) -> None:
        self._former: dict[int, Any] = {}
        self._former_fd = -1
        self._interrupts = 0
        self._forwarding = False
        self.interrupted = 0
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        self._catch(ENDING)
        # Written by the C handler itself, so a signal during poll(2) is never missed.
        self._former_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def _catch(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number not in self._former and signal.getsignal(number) is not signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in ENDING and interruption.ask():
            # A hook may take for ever, and is ended, and all undone, before this goes on.
            self.interrupted = self.interrupted or number
            raise KeyboardInterrupt
        if self._forwarding:
            return
        self.interrupted = self.interrupted or number
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts >= _PATIENCE:
                raise KeyboardInterrupt

    def forward(self) -> None:
        """From here on note all signals that a program could be meant to get."""
        self._forwarding = True
        self._catch(signal.valid_signals() - _OURS)

    def fileno(self) -> int:
        """Readable while there are notes."""
        return self._reader

    def take(self) -> list[int]:
        """The numbers of the signals since the last time, in order."""
        interruption.forget()
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._former_fd)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        interruption.forget()
        os.close(self._reader)
        os.close(self._writer)
