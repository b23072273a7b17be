"""Standard streams, given as :mod:`subprocess` takes them: None, DEVNULL, PIPE, a file, a fd."""

from __future__ import annotations

import os
from subprocess import DEVNULL, PIPE, STDOUT
from typing import IO, TYPE_CHECKING, Any

from runstate.errors import NotSupported

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    Stream = int | IO[Any] | None

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Streams"]


class Streams:
    """Three streams for a process: the child's ends, and ours of those that are pipes.

    Attributes:
        child: The descriptors that become 0, 1 and 2.
        ours: Our ends of the pipes; -1 where there is none.
    """

    def __init__(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        self._to_close: list[int] = []
        self.ours = [-1, -1, -1]
        child: list[int] = []
        try:
            for number, stream in enumerate((stdin, stdout, stderr)):
                child.append(self._open(number, stream, child))
        except BaseException:
            self.abandon()
            raise
        self.child: tuple[int, int, int] = (child[0], child[1], child[2])

    def _open(self, number: int, stream: Stream, before: list[int]) -> int:
        if stream is None:
            return self._inherit(number)
        if stream is STDOUT or stream == STDOUT:
            if number != 2:
                raise NotSupported("STDOUT is for stderr only")
            return before[1]
        if stream == PIPE:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            child, self.ours[number] = (reader, writer) if number == 0 else (writer, reader)
            self._to_close.append(child)
            return child
        if stream == DEVNULL:
            return self._null()
        return stream if isinstance(stream, int) else stream.fileno()

    def _null(self) -> int:
        fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._to_close.append(fd)
        return fd

    def _inherit(self, number: int) -> int:
        try:
            os.fstat(number)
        except OSError:
            return self._null()  # this process runs without it
        return number

    def close_child_ends(self) -> None:
        """The process has its own copies now."""
        while self._to_close:
            os.close(self._to_close.pop())

    def abandon(self) -> None:
        """Close everything, ours as well."""
        self.close_child_ends()
        for number, fd in enumerate(self.ours):
            if fd >= 0:
                os.close(fd)
                self.ours[number] = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close_child_ends()
        else:
            self.abandon()
