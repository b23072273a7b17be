"""Bind mounts that only the host can prepare: with mapped ids, or of what is out of reach.

Init may not map the ids of a mount where it is in a user namespace, and may not go where the
container's root may not. So the engine makes a detached tree of the source, and hands it over.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.config.problems import json_path
from runstate.errors import OperationFailed
from runstate.handlers.fs.mounts import descriptor_name, is_bind, maps_ids, source_of
from runstate.init import kernel
from runstate.linux import idmapped
from runstate.linux.mounts import parse_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runstate.config import Config, Mount
    from runstate.config.linux import IDMapping
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.mounts import MountOptions

# What the kernel locks in the mounts of a less privileged namespace (mount_namespaces(7)).
_LOCKED = (
    (kernel.MS_RDONLY, os.ST_RDONLY, "ro"),
    (kernel.MS_NOSUID, os.ST_NOSUID, "nosuid"),
    (kernel.MS_NODEV, os.ST_NODEV, "nodev"),
    (kernel.MS_NOEXEC, os.ST_NOEXEC, "noexec"),
)


@frozen
class _Ids:
    """The host's ids that a user namespace has, and those of its root."""

    uids: tuple[IDMapping, ...]
    gids: tuple[IDMapping, ...]

    def may_enter(self, directory: str) -> bool:
        """Whether the namespace's root may look for a name in a directory of the host."""
        found = os.stat(directory)
        uid, gid = _outside(self.uids, 0), _outside(self.gids, 0)
        if _has(self.uids, found.st_uid) and _has(self.gids, found.st_gid):
            return True  # its capabilities count there (capabilities(7), user_namespaces(7))
        if found.st_uid == uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def problems(context: HandlerContext) -> list[str]:
    """What cannot be done for this caller."""
    if os.geteuid() == 0:
        return []
    return [
        f"{json_path(('mounts', index, 'uidMappings'))}: expected none, for only root may map the"
        " ids of a mount"
        for index, mount in enumerate(context.config.mounts)
        if maps_ids(mount, parse_options(mount.options))
    ]


def open_sources(context: HandlerContext) -> None:
    """Put a tree of each bind mount that needs one among the context's descriptors."""
    config = context.config
    ids = _ids_of(config) if os.geteuid() == 0 else None
    namespaces: dict[object, int] = {}
    try:
        for index, mount in enumerate(config.mounts):
            options = parse_options(mount.options)
            if not is_bind(mount, options) or options.flags & kernel.MS_REMOUNT:
                continue
            maps = maps_ids(mount, options)
            source = source_of(context, mount)
            if not maps and (ids is None or _in_reach(ids, source)):
                continue
            recursive = bool(options.flags & kernel.MS_REC)
            tree = idmapped.open_tree(source, recursive=recursive)
            context.descriptors[descriptor_name(index)] = tree
            if ids is not None:
                _keep_locked(tree, source, options)
            if maps:
                deep = bool(options.idmap & kernel.MS_REC)
                userns = _namespace_for(context, mount, namespaces)
                idmapped.map_ids(tree, userns, source, recursive=deep)
    finally:
        for fd in namespaces.values():
            os.close(fd)


def _in_reach(ids: _Ids, source: str) -> bool:
    return all(
        ids.may_enter(directory)
        for path in {os.path.abspath(source), os.path.realpath(source)}
        for directory in _above(path)
        if os.path.isdir(directory)
    )


def _above(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _keep_locked(tree: int, source: str, options: MountOptions) -> None:
    """Refuse to take away what init could not take away by itself."""
    flags = os.statvfs(tree).f_flag
    for cleared, set_, name in _LOCKED:
        if options.cleared & cleared and flags & set_:
            raise OperationFailed(
                f"bind {source}",
                f"it is mounted {name} on the host, and a container in a user namespace may not"
                " change that",
            )


def _namespace_for(context: HandlerContext, mount: Mount, made: dict[object, int]) -> int:
    """The user namespace that a mount's ids are mapped by."""
    linux = context.config.linux
    uids, gids = mount.uid_mappings, mount.gid_mappings
    if not uids and linux is not None:
        path = next((n.path for n in linux.namespaces if n.type == "user" and n.path), None)
        if path is not None:
            if path not in made:
                made[path] = _open_namespace(path)
            return made[path]
        uids, gids = linux.uid_mappings, linux.gid_mappings
    key = (_triples(uids), _triples(gids))
    if key not in made:
        made[key] = idmapped.user_namespace(*key, context.deadline)
    return made[key]


def _open_namespace(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise OperationFailed.from_os_error(f"open the user namespace {path}", error) from error


def _triples(mappings: Iterable[IDMapping]) -> tuple[tuple[int, int, int], ...]:
    return tuple((m.container_id, m.host_id, m.size) for m in mappings)


# --- the container's ids ------------------------------------------------------------------------


def _ids_of(config: Config) -> _Ids | None:
    """The ids of the container's user namespace; None where it has none."""
    linux = config.linux
    if linux is None:
        return None
    namespace = next((n for n in linux.namespaces if n.type == "user"), None)
    if namespace is None:
        return None
    if not namespace.path:
        return _Ids(linux.uid_mappings, linux.gid_mappings)
    return _Ids(_read_map(namespace.path, "uid_map"), _read_map(namespace.path, "gid_map"))


def _read_map(path: str, name: str) -> tuple[IDMapping, ...]:
    """Of the process whose namespace is joined; none where it is not named by a process."""
    from runstate.config.linux import IDMapping  # noqa: PLC0415 - only those that join need it

    if path.endswith("/ns/user"):
        with (
            suppress(OSError),
            open(f"{path[: -len('/ns/user')]}/{name}", encoding="ascii") as file,
        ):
            triples = [tuple(map(int, line.split())) for line in file]
            return tuple(IDMapping(inside, outside, size) for inside, outside, size in triples)
    return ()


def _outside(mappings: Iterable[IDMapping], id_: int) -> int | None:
    for m in mappings:
        if m.container_id <= id_ < m.container_id + m.size:
            return m.host_id + id_ - m.container_id
    return None


def _has(mappings: Iterable[IDMapping], host_id: int) -> bool:
    return any(m.host_id <= host_id < m.host_id + m.size for m in mappings)
