"""Bind mounts that only the host can prepare: with mapped ids, or of what is out of reach.

Init may not map the ids of a mount where it is in a user namespace, and may not go where the
container's root may not. So a process with the engine's rights waits for init to have its
mount namespace, opens the trees in it, and hands them over (``init.operations.trees``).
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.config.problems import json_path
from runstate.errors import OperationFailed
from runstate.handlers.fs.mounts import DESCRIPTOR, is_bind, maps_ids, source_of
from runstate.init import kernel
from runstate.linux import idmapped, launcher
from runstate.linux.handshake import Handshake
from runstate.linux.mounts import parse_options
from runstate.linux.operations.trees import serve_trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runstate.config import Config, Mount
    from runstate.config.linux import IDMapping
    from runstate.handlers.contract import HandlerContext


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


def open_sources(context: HandlerContext) -> tuple[int, ...]:
    """Start what opens the bind mounts that init cannot open; which mounts they are."""
    ids = _ids_of(context.config) if os.geteuid() == 0 else None
    namespaces: dict[object, int] = {}
    found = []
    wanted = []
    try:
        for index, mount in enumerate(context.config.mounts):
            options = parse_options(mount.options)
            if not is_bind(mount, options) or options.flags & kernel.MS_REMOUNT:
                continue
            maps = maps_ids(mount, options)
            source = os.path.abspath(source_of(context, mount))
            if not maps and (ids is None or _in_reach(ids, source)):
                continue
            userns = -1
            if maps:
                key = _namespace_for(context, mount, namespaces)
                userns = 1 + list(namespaces).index(key)
            recursive, deep = options.flags & kernel.MS_REC, options.idmap & kernel.MS_REC
            found.append(index)
            wanted.append((source, bool(recursive), userns, bool(deep)))
        if wanted:
            _serve(context, wanted, list(namespaces.values()))
    finally:
        for fd in namespaces.values():
            os.close(fd)
    return tuple(found)


def _serve(
    context: HandlerContext, wanted: list[tuple[str, bool, int, bool]], namespaces: list[int]
) -> None:
    """Start the process that opens the trees; it ends by itself, at the latest with init."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    context.descriptors[DESCRIPTOR] = theirs.detach()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    handshake = Handshake()
    try:
        child = launcher.get().launch(
            handshake.theirs, (null, null, null), extras=[ours.fileno(), *namespaces]
        )
        handshake.theirs.close()
        handshake.send_plan([serve_trees(0, wanted, context.deadline)], context.deadline)
        child.close()
    finally:
        os.close(null)
        ours.close()
        handshake.close()


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


def _namespace_for(context: HandlerContext, mount: Mount, made: dict[object, int]) -> object:
    """Which of the user namespaces a mount's ids are mapped by; made if it is not there."""
    linux = context.config.linux
    uids, gids = mount.uid_mappings, mount.gid_mappings
    if not uids and linux is not None:
        path = next((n.path for n in linux.namespaces if n.type == "user" and n.path), None)
        if path is not None:
            if path not in made:
                made[path] = _open_namespace(path)
            return path
        uids, gids = linux.uid_mappings, linux.gid_mappings
    key = (_triples(uids), _triples(gids))
    if key not in made:
        made[key] = idmapped.user_namespace(*key, context.deadline)
    return key


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
