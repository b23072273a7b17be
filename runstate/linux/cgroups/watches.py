"""How the kernel is made to tell of a cgroup's memory, in either version.

Version 1 signals an eventfd, which is registered in cgroup.event_control, and signals it once
more when the cgroup goes (Documentation/admin-guide/cgroup-v1/memory.rst, 9 to 11). In version 2
memory.events can be polled for changes, and memory.pressure takes a trigger
(Documentation/accounting/psi.rst). Nothing here asks again and again.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Generic, TypeVar

from runstate.errors import ConfigInvalid, NotSupported, OperationFailed
from runstate.linux.cgroups import reading
from runstate.linux.cgroups.files import is_gone, write_value
from runstate.linux.cgroups.notification import MemoryEvents, MemoryPressureEvent, OomEvent
from runstate.linux.cgroups.tree import list_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

LEVELS = {
    # Stalled for a twentieth or more of two seconds; ordinary users may have no other window
    # than two seconds, or a multiple.
    "low": "some 100000 2000000",
    "medium": "some 300000 2000000",
    "critical": "full 300000 2000000",
}
"""The levels of version 1, and for each the trigger that stands for it in version 2.

Version 1 has its own measure: pages are reclaimed; so many that some are swapped or dropped
that are in use; memory is about to run out.
"""


_Event = TypeVar("_Event")


def watch_oom(paths: Mapping[str, str], init: int) -> MemoryEvents[OomEvent]:
    """Watch a cgroup for running out of memory.

    Args:
        paths: Of the cgroup.
        init: A pidfd of its first process, which is closed along with the rest.

    Raises:
        NotSupported: The cgroup has no memory controller.
        OperationFailed: The kernel refuses.
    """
    legacy, unified = paths.get("memory"), paths.get("")
    words = "watch for memory to run out"
    with _Opening(words, init) as opening:
        if legacy is not None:

            def event() -> OomEvent:
                control = reading.table(f"{legacy}/memory.oom_control")
                return OomEvent(control.get("oom_kill", 0), bool(control.get("under_oom")))

            return MemoryEvents(opening.legacy(legacy, "memory.oom_control", "", event))
        if unified is not None:
            return MemoryEvents(_UnifiedOom(unified, *opening.unified(unified, "memory.events")))
        raise NotSupported(f"{words}: the container has no cgroup with a memory controller")


def watch_pressure(
    paths: Mapping[str, str], level: str, init: int
) -> MemoryEvents[MemoryPressureEvent]:
    """Watch a cgroup for memory getting tight.

    Args:
        paths: Of the cgroup.
        level: ``low``, ``medium`` or ``critical``.
        init: As for :func:`watch_oom`.

    Raises:
        ConfigInvalid: There is no such level.
        NotSupported: The cgroup has no memory controller, or the kernel no pressure.
        OperationFailed: The kernel refuses.
    """
    legacy, unified = paths.get("memory"), paths.get("")
    words = "watch for memory pressure"
    with _Opening(words, init) as opening:
        if level not in LEVELS:
            known = ", ".join(LEVELS)
            raise ConfigInvalid(f"{words}: expected a level ({known}), got {level!r}")
        event = MemoryPressureEvent(level)
        if legacy is not None:
            return MemoryEvents(
                opening.legacy(legacy, "memory.pressure_level", level, lambda: event)
            )
        if unified is not None:
            changes, populated = opening.unified(unified, "memory.pressure", LEVELS[level])
            return MemoryEvents(_UnifiedPressure(unified, changes, populated, event))
        raise NotSupported(f"{words}: the container has no cgroup with a memory controller")


class _Opening:
    """The descriptors that a watch is made of; those of a watch that fails are closed."""

    def __init__(self, words: str, init: int) -> None:
        self._words = words
        self._init = init
        self._opened: list[int] = [init]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _trace: object) -> None:
        if kind is not None:
            for descriptor in self._opened:
                os.close(descriptor)
        if isinstance(error, OSError):
            if is_gone(error):
                raise NotSupported(
                    f"{self._words}: there is no {error.filename}: the cgroup is gone, or has no"
                    " memory controller"
                ) from error
            raise OperationFailed.from_os_error(self._words, error) from error

    def _open(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
        self._opened.append(descriptor)
        return descriptor

    def legacy(
        self, directory: str, file: str, argument: str, event: Callable[[], _Event]
    ) -> _Legacy[_Event]:
        signalled = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._opened.append(signalled)
        watched = self._open(f"{directory}/{file}", os.O_RDONLY)
        line = f"{signalled} {watched} {argument}".rstrip()
        write_value(f"{directory}/cgroup.event_control", line.encode())
        # The kernel holds on to the file by itself.
        self._opened.remove(watched)
        os.close(watched)
        return _Legacy(directory, signalled, self._init, event)

    def unified(self, directory: str, file: str, trigger: str = "") -> tuple[int, int]:
        populated = self._open(f"{directory}/cgroup.events", os.O_RDONLY)
        changes = self._open(f"{directory}/{file}", os.O_RDWR if trigger else os.O_RDONLY)
        if trigger:
            os.write(changes, f"{trigger}\0".encode())
        # Version 2 tells by itself when there are no processes any more.
        self._opened.remove(self._init)
        os.close(self._init)
        return changes, populated


class _Legacy(Generic[_Event]):
    """An eventfd of version 1, and the first process's end."""

    def __init__(
        self, directory: str, signalled: int, init: int, event: Callable[[], _Event]
    ) -> None:
        self._directory = directory
        self._signalled = signalled
        self._init = init
        self._event = event
        self.descriptors = {signalled: select.POLLIN, init: select.POLLIN}
        self.closing: tuple[int, ...] = (signalled, init)

    def happened(self, ready: dict[int, int]) -> _Event | None:
        if self._init in ready:
            # Others may live on, where they share the host's process ids. Their end, and the
            # cgroup's, is signalled to the eventfd.
            self.descriptors.pop(self._init, None)
        if self._signalled not in ready:
            return None
        os.eventfd_read(self._signalled)
        return None if not os.path.isdir(self._directory) else self._event()

    def over(self) -> bool:
        if not os.path.isdir(self._directory):
            return True
        return self._init not in self.descriptors and not list_processes(self._directory)


class _Unified:
    """A file of version 2 that tells of changes, and that there are no processes any more."""

    def __init__(self, directory: str, changes: int, populated: int) -> None:
        self._directory = directory
        self._changes = changes
        self._populated = populated
        self.descriptors = {changes: select.POLLPRI, populated: select.POLLPRI}
        self.closing: tuple[int, ...] = (changes, populated)

    def over(self) -> bool:
        try:
            # To read it is to have seen the changes up to now.
            return b"populated 0" in os.pread(self._populated, 256, 0)
        except OSError as error:
            if is_gone(error):
                return True
            raise


class _UnifiedOom(_Unified):
    def __init__(self, directory: str, changes: int, populated: int) -> None:
        super().__init__(directory, changes, populated)
        self._seen = self._kills()

    def _kills(self) -> int:
        try:
            lines = os.pread(self._changes, 4096, 0).decode("ascii").splitlines()
        except OSError as error:
            if is_gone(error):
                return 0
            raise
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def happened(self, ready: dict[int, int]) -> OomEvent | None:  # noqa: ARG002 - see Watch
        kills = self._kills()
        if kills <= self._seen:
            return None
        self._seen = kills
        return OomEvent(kills)


class _UnifiedPressure(_Unified):
    def __init__(
        self, directory: str, changes: int, populated: int, event: MemoryPressureEvent
    ) -> None:
        super().__init__(directory, changes, populated)
        self._event = event

    def happened(self, ready: dict[int, int]) -> MemoryPressureEvent | None:
        state = ready.get(self._changes, 0)
        # With the cgroup its triggers go, which is told as an error.
        return self._event if state & select.POLLPRI and not state & select.POLLERR else None
