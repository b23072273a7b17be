"""Which cgroup hierarchies this host has mounted, and where this process is in each.

There are three kinds of host (cgroups(7)): *legacy*, version 1 hierarchies alone; *unified*,
version 2 alone; and *hybrid*, version 1 hierarchies that hold the controllers, with the unified
one beside them, which then has few or no controllers but still the core files (cgroup.freeze,
cgroup.kill, cgroup.events).
"""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from runstate.errors import NotSupported, OperationFailed
from runstate.linux.cgroups.files import read_all

CGROUP_ROOT = "/sys/fs/cgroup"

# Flags of a version 1 mount that stand among its controllers (cgroup_show_options in the kernel).
_V1_MOUNT_FLAGS = frozenset(
    {
        "rw", "ro", "noprefix", "xattr", "clone_children", "none", "cpuset_v2_mode",
        "favordynmods", "seclabel",
    }
)  # fmt: skip


@frozen
class Hierarchy:
    """One mounted hierarchy.

    Attributes:
        names: The controllers of a version 1 hierarchy, or its ``name=…``; empty for version 2.
        mount_point: Where it is mounted.
        mount_root: Which of its directories is mounted there; ``/`` except in bind mounts.
        own_path: The cgroup of this process in it, as /proc/self/cgroup says it.
    """

    names: tuple[str, ...]
    mount_point: str
    mount_root: str = "/"
    own_path: str = "/"

    @property
    def own_directory(self) -> str:
        """The directory of this process's cgroup.

        The mount point itself where the cgroup is not below what is mounted, as in a container
        without a cgroup namespace that was given a bind mount of another cgroup.
        """
        path = self.own_path
        if self.mount_root != "/":
            if path != self.mount_root and not path.startswith(self.mount_root + "/"):
                return self.mount_point
            path = path[len(self.mount_root) :]
        # A path with "..", seen from a cgroup namespace, lies outside of what is mounted.
        if path in {"", "/"} or path.startswith("/.."):
            return self.mount_point
        return self.mount_point + path


@frozen
class Layout:
    """The hierarchies of this host.

    Attributes:
        mode: ``legacy``, ``hybrid`` or ``unified``.
        legacy: The version 1 hierarchies, in the order of the mount table.
        unified: The version 2 hierarchy, if it is mounted.
        unified_controllers: The controllers at the root of the version 2 hierarchy.
    """

    mode: Literal["legacy", "hybrid", "unified"]
    legacy: tuple[Hierarchy, ...] = ()
    unified: Hierarchy | None = None
    unified_controllers: frozenset[str] = frozenset()

    def hierarchy_of(self, controller: str) -> Hierarchy | None:
        """The hierarchy that has this controller (or ``name=…``), or None."""
        for hierarchy in self.legacy:
            if controller in hierarchy.names:
                return hierarchy
        return self.unified if controller in self.unified_controllers else None

    @property
    def controllers(self) -> frozenset[str]:
        """All controllers of all hierarchies; named hierarchies are not controllers."""
        names = {name for hierarchy in self.legacy for name in hierarchy.names if "=" not in name}
        return self.unified_controllers | names


def parse_own_paths(text: str) -> dict[str, str]:
    """/proc/PID/cgroup as controller to path; ``""`` is the unified hierarchy (cgroups(7))."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        path = path.removesuffix(" (deleted)")
        for name in controllers.split(","):
            paths[name] = path
    return paths


def _unescape(text: str) -> str:
    """Undo the octal escapes of mountinfo (proc_pid_mountinfo(5))."""
    if "\\" not in text:
        return text
    head, *parts = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts)


def parse_layout(mountinfo: str, own_cgroup: str, unified_controllers: str = "") -> Layout:
    """The layout that these texts describe; nothing is read.

    Of several mounts of one hierarchy the first below /sys/fs/cgroup counts, and else the first.

    Args:
        mountinfo: Of /proc/self/mountinfo.
        own_cgroup: Of /proc/self/cgroup.
        unified_controllers: Of cgroup.controllers at the unified hierarchy's mount point.

    Raises:
        NotSupported: No cgroup hierarchy is mounted.
    """
    own = parse_own_paths(own_cgroup)
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in mountinfo.splitlines():
        # A quick no to the many other mounts that a busy host has.
        if " - cgroup" not in line:
            continue
        mount, _, kind = line.partition(" - ")
        fstype, *_, options = kind.split(" ")
        if fstype == "cgroup2":
            names: tuple[str, ...] = ()
        elif fstype == "cgroup":
            names = tuple(
                option
                for option in options.split(",")
                if option not in _V1_MOUNT_FLAGS
                and (option.startswith("name=") or "=" not in option)
            )
            if not names:
                continue
        else:
            continue
        fields = mount.split(" ")
        mount_point = _unescape(fields[4])
        known = found.get(names)
        if known and (_preferred(known.mount_point) or not _preferred(mount_point)):
            continue
        own_path = own.get(names[0] if names else "", "/")
        found[names] = Hierarchy(names, mount_point, _unescape(fields[3]), own_path)
    unified = found.pop((), None)
    if unified is None and not found:
        raise NotSupported(
            "find the cgroup hierarchies: none is mounted; mount cgroup2 at "
            f"{CGROUP_ROOT} (mount -t cgroup2 none {CGROUP_ROOT})"
        )
    mode: Literal["legacy", "hybrid", "unified"] = (
        "legacy" if unified is None else "hybrid" if found else "unified"
    )
    return Layout(mode, tuple(found.values()), unified, frozenset(unified_controllers.split()))


def _preferred(mount_point: str) -> bool:
    return mount_point == CGROUP_ROOT or mount_point.startswith(CGROUP_ROOT + "/")


_detected: Layout | None = None


def detect(*, fresh: bool = False) -> Layout:
    """The layout of this host as this process sees it.

    It is read once in a process: hierarchies are mounted at boot, and a runtime does not move
    itself. After having done either, ask again with ``fresh``.

    Raises:
        NotSupported: No cgroup hierarchy is mounted.
        OperationFailed: proc or the mount point cannot be read.
    """
    global _detected  # noqa: PLW0603 - a cache of one value, replaced as a whole
    if _detected is None or fresh:
        _detected = _detect()
    return _detected


def _detect() -> Layout:
    path = "/proc/self/mountinfo"
    try:
        mountinfo = read_all(path)
        path = "/proc/self/cgroup"
        own_cgroup = read_all(path)
        layout = parse_layout(mountinfo, own_cgroup)
        if layout.unified is None:
            return layout
        path = layout.unified.mount_point + "/cgroup.controllers"
        controllers = read_all(path)
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"read {path} to find the cgroup hierarchies", error
        ) from error
    return evolve(layout, unified_controllers=frozenset(controllers.split()))
