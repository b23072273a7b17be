"""Collecting what to write for a config's limits, and what this host lacks for them.

The modules that know the controllers (:mod:`~runstate.linux.cgroups.memory` and its neighbours)
put their writes here. Each setting goes to version 1's file where the controller has a version 1
hierarchy, and else to version 2's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.cgroups.applying import DeviceFilter, DeviceList, Write

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    Effect = Write | DeviceFilter | DeviceList
    Property = tuple[str | int, ...]

_UNIFIED_NAMES = {"blkio": "io"}


class Compiler:
    """What one ``linux.resources`` comes to.

    Attributes:
        paths: Of the container's cgroup, by controller.
        available: The controllers that version 2 can have; None where nobody has asked.
        updating: Processes live in the cgroup already.
        writes: The effects, in order.
        problems: For each property that cannot be honoured its path below ``linux.resources``,
            and why.
    """

    def __init__(
        self,
        paths: Mapping[str, str],
        available: Collection[str] | None = None,
        *,
        updating: bool = False,
    ) -> None:
        self.paths = paths
        self.available = available
        self.updating = updating
        self.writes: list[Effect] = []
        self.problems: list[tuple[Property, str]] = []

    def version(self, controller: str, *properties: Property, only: int | None = None) -> int:
        """The version of cgroups that has the controller here, 1 or 2.

        0 for neither, which becomes a problem of these properties.

        Args:
            controller: Its name in version 1, which most share with version 2.
            properties: What of the config needs it, each by its path.
            only: The one version that can honour them.
        """
        if controller in self.paths and only != 2:
            return 1
        if only != 1 and self.is_unified(controller):
            return 2
        of = f" of version {only}" if only else ""
        if "" in self.paths and only == 1 and self.is_unified(controller):
            why = "this host has it in version 2, which has no such setting"
        else:
            why = "this host has none; mount it, or leave the limit out"
        for path in properties:
            self.refuse(path, f"needs the cgroup controller {controller!r}{of}: {why}")
        return 0

    def has(self, controller: str) -> bool:
        """Whether there is the controller, in either version; that there is none is fine."""
        return controller in self.paths or self.is_unified(controller)

    def is_unified(self, controller: str) -> bool:
        """Whether version 2 has the controller, as far as anyone knows."""
        name = _UNIFIED_NAMES.get(controller, controller)
        return "" in self.paths and (self.available is None or name in self.available)

    def refuse(self, path: Property, why: str) -> None:
        """Note that a property cannot be honoured."""
        if (path, why) not in self.problems:
            self.problems.append((path, why))

    def write(
        self, controller: str, file: str, value: object, *, key: str = "", reset: str = "",
        optional: bool = False, may_follow: bool = False,
        instead: tuple[str, object] | None = None,
    ) -> None:  # fmt: skip
        """Note a write to a file of a controller; see :class:`Write` for the arguments."""
        directory = self.paths.get(controller)
        if directory is None:
            directory = self.paths[""]
            controller = _UNIFIED_NAMES.get(controller, controller)
        other = instead and Write(
            controller, directory, instead[0], str(instead[1]), key=key, reset=reset
        )
        self.writes.append(
            Write(
                controller, directory, file, str(value), optional, may_follow, other, key, reset
            )
        )  # fmt: skip
