"""A container in the foreground: signals forwarded, the terminal handed over and given back."""

from __future__ import annotations

import fcntl
import os
import select
import signal as signals
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from runstate.errors import RuntimeStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from runstate.engine.container import Container

_FORWARDED = (
    signals.SIGHUP, signals.SIGINT, signals.SIGQUIT, signals.SIGTERM, signals.SIGUSR1,
    signals.SIGUSR2,
)  # fmt: skip
_CHUNK = 65536
_UNKNOWN = 255


def attend(container: Container) -> int:
    """Stay with a running container to its end; its exit status, as a shell has it."""
    with forwarding(lambda number: _signal(container, number)):
        if container.console is not None:
            with _raw_terminal(), _window_size(container.console):
                _pump(container.console)
        code = container.wait()
    return _UNKNOWN if code is None else shell_status(code)


def shell_status(code: int) -> int:
    """128 + n for the negative number of a signal."""
    return 128 - code if code < 0 else code


def _signal(container: Container, number: int) -> None:
    with suppress(RuntimeStateError):  # it is ending, which `wait` is about to say
        container.signal(number)


@contextmanager
def forwarding(send: Callable[[int], None]) -> Iterator[None]:
    """Pass on the signals that this process gets."""

    def forward(number: int, _frame: FrameType | None) -> None:
        send(number)

    former: dict[int, Any] = {number: signals.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in former.items():
            signals.signal(number, handler)


@contextmanager
def _raw_terminal() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    saved = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)


@contextmanager
def _window_size(master: int) -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return

    def resize(_number: int = 0, _frame: FrameType | None = None) -> None:
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)

    resize()
    former = signals.signal(signals.SIGWINCH, resize)
    try:
        yield
    finally:
        signals.signal(signals.SIGWINCH, former)


def _pump(master: int) -> None:
    """Copy between our standard streams and the terminal, until the container hangs it up."""
    poll = select.poll()
    poll.register(master, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        for fd, _events in poll.poll():
            try:
                data = os.read(fd, _CHUNK)
            except OSError:
                data = b""  # EIO: nobody has the other side open any more (ioctl_tty(2))
            if fd == master:
                if not data:
                    return
                _write_all(1, data)
            elif data:
                _write_all(master, data)
            else:
                poll.unregister(0)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
