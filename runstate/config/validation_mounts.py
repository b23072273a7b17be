"""The rules of mounts (config.md, Mounts)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.problems import MISSING, json_path
from runstate.config.rules import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.rules import Path
    from runstate.config.spec import Mount


def check_mount(path: Path, mount: Mount) -> Iterator[str]:
    """All that is wrong with a mount."""
    if not mount.destination:
        yield expect((*path, "destination"), "", "a path in the container")
    binds = mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options
    if binds and not mount.source:
        yield f"{json_path((*path, 'source'))}: {MISSING}: what to bind there"
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        name = "gidMappings" if mount.uid_mappings else "uidMappings"
        yield f"{json_path((*path, name))}: {MISSING}: an idmapped mount maps users and groups"
