"""The id maps of a new user namespace, written from outside (user_namespaces(7))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runstate.errors import OperationFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runstate.config import Config
    from runstate.config.linux import IDMapping


def write_maps(pid: int, config: Config) -> None:
    """Map the ids of the user namespace that process ``pid`` is the first of."""
    linux = config.linux
    if linux is None:
        return
    if os.geteuid() != 0:
        # An ordinary user may map groups only after giving up setgroups(2).
        _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/uid_map", _lines(linux.uid_mappings))
    _write(f"/proc/{pid}/gid_map", _lines(linux.gid_mappings))


def root_of(config: Config) -> tuple[int, int] | None:
    """The host's ids of the container's root; None without a user namespace."""
    linux = config.linux
    if linux is None or not linux.uid_mappings:
        return None
    return _host_id(linux.uid_mappings), _host_id(linux.gid_mappings)


def _host_id(mappings: Iterable[IDMapping]) -> int:
    for mapping in mappings:
        if mapping.container_id == 0:
            return mapping.host_id
    return 65534


def _lines(mappings: Iterable[IDMapping]) -> str:
    return "".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings)


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        lines = text.strip().replace("\n", "; ")
        raise OperationFailed.from_os_error(f"write '{lines}' to {path}", error) from error
