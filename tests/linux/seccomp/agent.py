"""An agent that decides about calls that a filter leaves to it (seccomp_unotify(2))."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RECV, _SEND, _ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_CONTINUE = 1


class Agent:
    """Accepts connections and answers each notification; a context manager.

    Attributes:
        states: The container process states that it was sent.
        calls: The numbers of the calls that it was asked about.
        valid: For each call, whether the question still stood when the answer was decided.
    """

    def __init__(self, path: Path, decide: Callable[[int, int], int]) -> None:
        """Listen at a path; decide gives the errno for a pid and call number, 0 to let it go."""
        self.states: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self.valid: list[bool] = []
        self._decide = decide
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._notifiers: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._stopped)
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.close(self._stop)
        self._listener.close()
        for fd in self._notifiers:
            os.close(fd)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._stop)
        poll.register(self._listener, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._stop in ready:
                return
            for fd, events in ready.items():
                if fd == self._listener.fileno():
                    fd = self._accept()  # noqa: PLW2901
                    self._notifiers.add(fd)
                    poll.register(fd, select.POLLIN)
                elif events & select.POLLIN:
                    self._answer(fd)
                else:  # every process with the filter is gone
                    poll.unregister(fd)
                    self._notifiers.remove(fd)
                    os.close(fd)

    def _accept(self) -> int:
        connection, _address = self._listener.accept()
        with connection:
            data, ancillary, _flags, _from = connection.recvmsg(65536, socket.CMSG_SPACE(64))
            fds = array.array("i")
            for _level, _kind, payload in ancillary:
                fds.frombytes(payload)
            connection.settimeout(10)
            while more := connection.recv(65536):
                data += more
        self.states.append(json.loads(data))
        assert len(fds) == 1
        return fds[0]

    def _answer(self, fd: int) -> None:
        try:
            asked = fcntl.ioctl(fd, _RECV, bytes(80))
        except FileNotFoundError:
            return  # who has asked is gone
        id_, pid, _flags, number, *_rest = _NOTIFICATION.unpack_from(asked)
        self.calls.append(number)
        answer = self._decide(pid, number)
        self.valid.append(_still_stands(fd, id_))
        value = struct.pack("=QqiI", id_, 0, -answer, 0 if answer else _CONTINUE)
        try:
            fcntl.ioctl(fd, _SEND, value)
        except OSError as error:
            assert error.errno == errno.ENOENT  # noqa: PT017 - the question was withdrawn


def _still_stands(fd: int, id_: int) -> bool:
    try:
        fcntl.ioctl(fd, _ID_VALID, struct.pack("=Q", id_))
    except FileNotFoundError:
        return False
    return True
