"""Where a container's cgroup goes: one directory for each controller and hierarchy.

The result has libcontainer's form (``cgroup_paths`` of its state.json): the key is a controller,
``name=…`` for a named hierarchy, or ``""`` for the unified one, and the value an absolute
directory. On a hybrid host it has the unified directory too, because its core files work there.

The rules are those of runc's cgroupfs driver:

- An absolute ``linux.cgroupsPath`` is relative to each hierarchy's mount point.
- A relative one is relative to the runtime's own cgroup, except on a unified host: there it is
  relative to the parent of it, because a cgroup that has processes, such as the runtime, cannot
  hand controllers to its children (cgroups(7), "no internal processes").
- Without one, the container goes to ``runstate/<id>`` at the top of each hierarchy. Put limits
  that all containers shall share into a cgroup of your own and name it in cgroupsPath:
  ``runstate`` itself comes and goes with the containers in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runstate.errors import ConfigInvalid, NotSupported

if TYPE_CHECKING:
    from runstate.linux.cgroups.layout import Layout

DEFAULT_PARENT = "runstate"
"""The parent of containers whose config names no cgroup. It is removed when it is empty."""

_NAME_MAX = 255
_UNNAMEABLE = frozenset("/\0\n")

# Names that a new directory cannot have. Those of a cgroup's files, or of a later kernel's, are
# the treacherous ones: mkdir(2) says EEXIST, as if the cgroup were there already.
_RESERVED_NAMES = frozenset({"", ".", "..", "tasks", "notify_on_release", "release_agent"})
_RESERVED_PREFIXES = (
    "cgroup.", "blkio.", "cpu.", "cpuacct.", "cpuset.", "devices.", "dmem.", "freezer.",
    "hugetlb.", "io.", "irq.", "memory.", "misc.", "net_cls.", "net_prio.", "perf_event.",
    "pids.", "rdma.",
)  # fmt: skip


def plan_paths(
    layout: Layout,
    cgroups_path: str | None,
    id: str,  # noqa: A002 - the spec's word
    *,
    rootless: bool = False,
) -> dict[str, str]:
    """The directories of a container's cgroup. Nothing is made.

    Args:
        layout: Of this host.
        cgroups_path: The config's ``linux.cgroupsPath``.
        id: The container's id, for the default path.
        rootless: This process has no power over the host's cgroups. It gets a directory of the
            unified hierarchy below one that it may write to, as systemd delegates them; and
            where there is none, no cgroup at all: the result is empty.

    Raises:
        ConfigInvalid: The path has a NUL, a ``..``, or a name that no cgroup can have.
        NotSupported: The path is in the form of the systemd driver.
    """
    if cgroups_path:
        absolute = cgroups_path.startswith("/")
        inner = _checked(cgroups_path)
    else:
        absolute = not rootless
        inner = f"{DEFAULT_PARENT}/{cgroup_name(id)}"
    if rootless:
        return _delegated(layout, inner, absolute=absolute)
    paths = {}
    for hierarchy in layout.legacy:
        base = hierarchy.mount_point if absolute else hierarchy.own_directory
        for name in hierarchy.names:
            paths[name] = _join(base, inner)
    unified = layout.unified
    if unified is not None:
        if absolute:
            base = unified.mount_point
        elif layout.mode == "unified":
            base = _parent_within(unified.own_directory, unified.mount_point)
        else:
            base = unified.own_directory
        paths[""] = _join(base, inner)
    return paths


def cgroup_name(name: str) -> str:
    """A directory's name for any id; the id itself where it can be one.

    Ids may have 1024 characters, directory names 255 bytes; and an id may look like a file of
    the cgroup file system. Such names keep their beginning and get a digest of the whole.
    """
    encoded = os.fsencode(name)
    reserved = name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIXES)
    if len(encoded) <= _NAME_MAX and not reserved and not _UNNAMEABLE.intersection(name):
        return name
    import hashlib  # noqa: PLC0415 - costs 3 ms, for names that few have

    digest = hashlib.sha256(encoded).hexdigest()[:32]
    beginning = encoded[:200].decode("utf-8", "ignore")
    for character in _UNNAMEABLE:
        beginning = beginning.replace(character, "_")
    return f"_{beginning}-{digest}"


def _checked(path: str) -> str:
    if "\0" in path:
        raise ConfigInvalid(f"linux.cgroupsPath: {path!r} has a NUL character")
    if "/" not in path and path.count(":") == 2:
        raise NotSupported(
            f"linux.cgroupsPath: {path!r} has the systemd driver's form, slice:prefix:name; "
            "tell the engine to use the cgroupfs driver (podman: --cgroup-manager cgroupfs)"
        )
    names = [name for name in path.split("/") if name not in {"", "."}]
    if ".." in names:
        raise ConfigInvalid(f"linux.cgroupsPath: {path!r} has a '..'; give the path that is meant")
    if not names:
        raise ConfigInvalid(
            f"linux.cgroupsPath: {path!r} names no cgroup of the container's own; "
            "add a name to it, or leave it out"
        )
    for name in names:
        if "\n" in name or name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIXES):
            raise ConfigInvalid(
                f"linux.cgroupsPath: {path!r} has the name {name!r}, which the cgroup file "
                "system keeps for itself"
            )
    return "/".join(map(cgroup_name, names))


def _join(base: str, inner: str) -> str:
    return f"{base.rstrip('/')}/{inner}"


def _parent_within(directory: str, mount_point: str) -> str:
    return directory if directory == mount_point else os.path.dirname(directory)


def _delegated(layout: Layout, inner: str, *, absolute: bool) -> dict[str, str]:
    unified = layout.unified
    if unified is None:
        return {}
    if absolute:
        directory = _join(unified.mount_point, inner)
        base = _nearest_existing(os.path.dirname(directory))
        return {"": directory} if _may_delegate(base) else {}
    own = unified.own_directory
    for base in dict.fromkeys((_parent_within(own, unified.mount_point), own)):
        if _may_delegate(base):
            return {"": _join(base, inner)}
    return {}


def _nearest_existing(directory: str) -> str:
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def _may_delegate(directory: str) -> bool:
    # Moving a process takes write access to cgroup.procs of the nearest common ancestor of
    # where it is and where it goes, besides the right to make directories (cgroups(7)).
    return os.access(directory, os.W_OK | os.X_OK) and os.access(
        f"{directory}/cgroup.procs", os.W_OK
    )
