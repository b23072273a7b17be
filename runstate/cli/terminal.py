"""A container's terminal and ours: bytes in both directions, raw mode, the window's size."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 65536
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


@contextmanager
def raw_mode() -> Iterator[None]:
    """Our terminal passes every key on, until the block is left, however that happens."""
    if not os.isatty(0):
        yield
        return
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSANOW)
        yield
    finally:
        with suppress(termios.error):  # EIO: it has been hung up, and nobody will miss it
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


class Terminal:
    """Copies between our standard streams and the master of a container's terminal.

    Nothing is read from standard input before the container has taken what was read before,
    and its output is copied all the while, so a program that does not read cannot block one
    that writes.

    Attributes:
        abandoned: Whether whoever read our output has gone.
    """

    def __init__(self, master: int) -> None:
        self._master = master
        self._open = True
        self._stdin = True
        self._at_line_start = True
        self._pending = b""
        self.abandoned = False
        os.set_blocking(master, False)

    def resize(self) -> None:
        """Give it the size of our own terminal, if we have one."""
        with suppress(OSError):  # ENOTTY: standard input is something else
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def watch(self, poll: select.poll) -> None:
        """Register what the next step waits for; and nothing that it does not."""
        _register(poll, 0, select.POLLIN if self._stdin and not self._pending else 0)
        wanted = select.POLLIN | (select.POLLOUT if self._pending else 0)
        _register(poll, self._master, wanted if self._open else 0)

    def step(self, fd: int, events: int) -> None:
        """Copy what is ready."""
        if fd == 0:
            self._take_input()
        elif fd == self._master:
            if events & _READABLE:
                self._copy_output()
            if events & select.POLLOUT and self._open:
                self._feed()

    def drain(self) -> None:
        """Copy what the container wrote before it ended."""
        while self._open and self._copy_output():
            pass

    def _take_input(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""  # EIO: our own terminal has been hung up
        if data:
            self._at_line_start = data.endswith(b"\n")
        else:
            self._stdin = False
            data = self._end_of_file()
        self._pending = data
        self._feed()

    def _end_of_file(self) -> bytes:
        """What the end of our input is for whoever reads the terminal (termios(3), VEOF).

        The key means "give what you have to the reader"; only where that is nothing, the
        reader sees the end.
        """
        try:
            key: bytes = termios.tcgetattr(self._master)[6][termios.VEOF]
        except termios.error:
            return b""
        return key if self._at_line_start else key * 2

    def _feed(self) -> None:
        try:
            self._pending = self._pending[os.write(self._master, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""  # EIO: the container has closed its side

    def _copy_output(self) -> bool:
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: nobody has the other side open any more (ioctl_tty(2))
        if not data:
            self._open = False
            return False
        if not self.abandoned:
            self._write(data)
        return True

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            self.abandoned = True


def _register(poll: select.poll, fd: int, events: int) -> None:
    if events:
        poll.register(fd, events)
    else:
        with suppress(KeyError):
            poll.unregister(fd)
