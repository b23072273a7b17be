"""Being told of memory: that it ran out, or that it gets tight, as iterators of events."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


@frozen
class OomEvent:
    """Memory ran out.

    Attributes:
        kills: How many of the cgroup's processes the kernel has killed for it so far. Version 1
            tells just before it kills, and so may not have counted this one yet.
        waiting: Whether processes wait for memory, since ``disableOOMKiller`` is set.
    """

    kills: int
    waiting: bool = False


@frozen
class MemoryPressureEvent:
    """Memory is tight.

    Attributes:
        level: The level that was asked for.
    """

    level: str


_Event_co = TypeVar("_Event_co", covariant=True)


class Watch(Protocol[_Event_co]):
    """What :class:`MemoryEvents` waits for.

    Attributes:
        descriptors: To poll, each with its poll(2) mask; what has nothing to tell any more is
            taken out.
        closing: All descriptors, to be closed in the end.
    """

    descriptors: dict[int, int]
    closing: tuple[int, ...]

    def happened(self, ready: dict[int, int]) -> _Event_co | None:
        """What the descriptors that are ready tell; None if nothing of interest."""

    def over(self) -> bool:
        """Whether nothing can happen any more."""


class MemoryEvents(Generic[_Event_co]):
    """An iterator of events; it blocks until the next one, and ends with the container.

    It ends when the cgroup has no processes any more, or is gone, and when it is closed, which
    another thread may do. Its descriptors are closed then. It is a context manager, too.
    """

    def __init__(self, watch: Watch[_Event_co]) -> None:
        self._watch = watch
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting = False
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Event_co:
        with self._turn:
            with self._lock:
                if self._closed:
                    raise StopIteration
                self._waiting = True
            try:
                event = self._await()
            finally:
                self._stop_waiting()
            if event is None:
                self.close()
                raise StopIteration
            return event

    def _await(self) -> _Event_co | None:
        while True:
            # What happened before the end is told before it.
            over = self._watch.over()
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            for descriptor, mask in self._watch.descriptors.items():
                poll.register(descriptor, mask)
            ready = dict(poll.poll(0 if over else None))
            if self._wake in ready:
                return None
            event = self._watch.happened(ready)
            if event is not None:
                return event
            if over:
                return None

    def _stop_waiting(self) -> None:
        with self._lock:
            self._waiting = False
            if self._closed:
                self._release()

    def close(self) -> None:
        """End the iteration, also where another thread waits in it; twice is as good as once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._waiting:
                os.eventfd_write(self._wake, 1)
            else:
                self._release()

    def _release(self) -> None:
        for descriptor in (self._wake, *self._watch.closing):
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_closed"):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
