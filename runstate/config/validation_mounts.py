"""The rules of mounts (config.md, Mounts; config-linux.md, rootfsPropagation)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from runstate.config.problems import MISSING, abbreviate, json_path
from runstate.config.rules import expect, id_ranges
from runstate.init.procfs import EMULATED
from runstate.linux.mounts import means_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.rules import Path
    from runstate.config.spec import Mount

_IDMAP = frozenset({"idmap", "ridmap"})


def check_mount(path: Path, mount: Mount, *, own_ids: bool = True) -> Iterator[str]:
    """All that is wrong with a mount.

    Args:
        path: Where in the configuration it is.
        mount: The mount.
        own_ids: Whether the container has id mappings that a mount can take over.
    """
    options = mount.options
    binds = mount.type == "bind" or "bind" in options or "rbind" in options
    changes = "remount" in options
    yield from _destination((*path, "destination"), mount, binds=binds, changes=changes)
    if binds and not mount.source and not changes:
        yield f"{json_path((*path, 'source'))}: {MISSING}: what to bind there"
    if not binds and not mount.type and not changes:
        yield f"{json_path((*path, 'type'))}: {MISSING}: the type of the file system to mount"
    for index, option in enumerate(options):
        here = (*path, "options", index)
        if binds and means_nothing(option):
            # The kernel would ignore it: a bind mount has no file system to pass it to.
            yield f"{json_path(here)}: {abbreviate(option)} means nothing for a bind mount"
        elif option == "tmpcopyup" and mount.type != "tmpfs":
            yield expect((*path, "type"), mount.type, "tmpfs, for tmpcopyup")
    if _IDMAP.intersection(options) or mount.uid_mappings or mount.gid_mappings:
        yield from _id_mappings(path, mount, binds=binds, own_ids=own_ids)


def _destination(path: Path, mount: Mount, *, binds: bool, changes: bool) -> Iterator[str]:
    if not mount.destination:
        yield expect(path, "", "a path in the container")
        return
    target = posixpath.normpath("/" + mount.destination.lstrip("/"))
    if target == "/" and not changes:
        yield expect(path, mount.destination, "a path below the root, which root.path is for")
    elif target == "/proc" and not binds and not changes and mount.type != "proc":
        yield expect((*path[:-1], "type"), mount.type, "proc, or a bind mount of one, on /proc")
    elif target.startswith("/proc/") and target not in EMULATED and not changes:
        yield expect(path, mount.destination, "none inside of /proc, which is the kernel's own")


def _id_mappings(path: Path, mount: Mount, *, binds: bool, own_ids: bool) -> Iterator[str]:
    if not binds:
        yield expect((*path, "type"), mount.type, "a bind mount, for only those map ids")
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        name = "gidMappings" if mount.uid_mappings else "uidMappings"
        yield f"{json_path((*path, name))}: {MISSING}: an idmapped mount maps users and groups"
    elif not mount.uid_mappings and not own_ids:
        yield (
            f"{json_path((*path, 'uidMappings'))}: {MISSING}: the container has no user namespace"
            " whose mappings idmap could take over"
        )
    yield from id_ranges((*path, "uidMappings"), mount.uid_mappings)
    yield from id_ranges((*path, "gidMappings"), mount.gid_mappings)
