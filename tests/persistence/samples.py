"""A state to save, and a disk that is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.states.state import ProcessIdentity, SavedSubstate, State
from runstate.states.status import Status

if TYPE_CHECKING:
    from pathlib import Path


def state_of(container_id: str = "web", **changes) -> State:
    values: dict[str, Any] = {
        "id": container_id,
        "status": Status.RUNNING,
        "config": {"ociVersion": "1.0.2", "process": {"args": ["sh"], "cwd": "/"}},
        "created": 1_700_000_000.123456,
        "bundle": "/bundle",
        "init": ProcessIdentity(4711, 815),
        "boot_id": "a-boot",
        "backend": "linux",
        "fs": SavedSubstate("bundle", {"rootfs": "/bundle/rootfs"}),
        "network": SavedSubstate("none", None),
        "exec": SavedSubstate("linux", {"cgroup": "/runstate/web"}),
    }
    return State(**(values | changes))


def fill(disk: Path) -> Path:
    """Take all the room that is left; removing what is returned gives it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler
