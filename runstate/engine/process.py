"""A further process in a container, with the ways of :class:`subprocess.Popen`."""

from __future__ import annotations

import os
import selectors
import signal as signals
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from runstate.engine.streams import Streams
    from runstate.linux.launcher import Child

_CHUNK = 65536


class Process:
    """A process started by :meth:`Container.popen`.

    Attributes:
        args: The program and its arguments.
        pid: Its pid, as the host sees it.
        stdin: A file to write to, if it was asked for by PIPE.
        stdout: A file to read from, likewise.
        stderr: Likewise.
        returncode: None while it runs; its exit code, or the negative number of the signal
            that ended it; -255 if nobody could learn how it ended.
    """

    def __init__(
        self,
        args: tuple[str, ...],
        child: Child,
        streams: Streams,
        *,
        text: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
    ) -> None:
        self.args = args
        self.pid = child.identity.pid
        self.returncode: int | None = None
        self._child = child
        self._text = text or encoding is not None or errors is not None
        self._encoding = encoding or "utf-8"
        self._errors = errors or "strict"
        self.stdin = self._open(streams, 0, "wb")
        self.stdout = self._open(streams, 1, "rb")
        self.stderr = self._open(streams, 2, "rb")

    def _open(self, streams: Streams, number: int, mode: str) -> IO[Any] | None:
        fd, streams.ours[number] = streams.ours[number], -1
        if fd < 0:
            return None
        if self._text:
            return open(fd, mode.replace("b", ""), encoding=self._encoding, errors=self._errors)
        return open(fd, mode)

    @property
    def pidfd(self) -> int:
        """Its pidfd, the process's own: poll(2) says when it has ended."""
        return self._child.pidfd

    @property
    def console(self) -> int | None:
        """The master of its terminal, a descriptor that stays the process's own; None without."""
        return self._child.console if self._child.console >= 0 else None

    def poll(self) -> int | None:
        """The return code, or None while it runs."""
        if self.returncode is None and self._child.wait(0):
            self._learn()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Args:
            timeout: Seconds; None: for ever.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        if self.returncode is None:
            if not self._child.wait(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._learn()
        assert self.returncode is not None  # noqa: S101
        return self.returncode

    def _learn(self) -> None:
        status = self._child.status
        self.returncode = -255 if status is None else os.waitstatus_to_exitcode(status)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.poll() is None:
            try:
                signals.pidfd_send_signal(self._child.pidfd, number)
            except ProcessLookupError:
                return

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signals.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signals.SIGKILL)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002 - Popen's name
        """Feed stdin, read stdout and stderr to their ends, and wait.

        Args:
            input: Bytes, or text in text mode.
            timeout: Seconds for all of it.

        Returns:
            What was read from stdout and stderr; None for one that is no pipe.

        Raises:
            subprocess.TimeoutExpired: With what has been read so far; the process still runs.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        chunks: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        with selectors.DefaultSelector() as selector:
            pending = self._register(selector, input)
            while selector.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise subprocess.TimeoutExpired(
                        self.args, timeout or 0.0, b"".join(chunks["stdout"]) or None,
                        b"".join(chunks["stderr"]) or None,
                    )  # fmt: skip
                for key, _events in selector.select(left):
                    stream: Any = key.fileobj
                    if key.data == "stdin":
                        pending = _feed(selector, stream, pending)
                    elif chunk := os.read(key.fd, _CHUNK):
                        chunks[key.data].append(chunk)
                    else:
                        selector.unregister(stream)
                        stream.close()
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        self.wait(left)
        return (
            self._decode(self.stdout, chunks["stdout"]),
            self._decode(self.stderr, chunks["stderr"]),
        )

    def _register(self, selector: selectors.BaseSelector, given: Any) -> memoryview:
        raw = given.encode(self._encoding) if isinstance(given, str) else given or b""
        if self.stdin is not None and not self.stdin.closed:
            if raw:
                os.set_blocking(self.stdin.fileno(), False)
                selector.register(self.stdin, selectors.EVENT_WRITE, "stdin")
            else:
                self.stdin.close()
        for name in ("stdout", "stderr"):
            stream = getattr(self, name)
            if stream is not None and not stream.closed:
                selector.register(stream, selectors.EVENT_READ, name)
        return memoryview(raw)

    def _decode(self, stream: IO[Any] | None, chunks: list[bytes]) -> Any:
        if stream is None:
            return None
        raw = b"".join(chunks)
        if not self._text:
            return raw
        text = raw.decode(self._encoding, self._errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()
        self._child.close()


def _feed(selector: selectors.BaseSelector, stream: Any, pending: memoryview) -> memoryview:
    try:
        written = os.write(stream.fileno(), pending[:_CHUNK])
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        written = len(pending)
    if written == len(pending):
        selector.unregister(stream)
        stream.close()
    return pending[written:]
