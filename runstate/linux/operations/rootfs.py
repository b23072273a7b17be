"""The rootfs: making it a mount, hiding parts of it, and making it the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.mounts import flag_names
from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def set_propagation(path: str, flags: int) -> Operation:
    """Mount propagation of everything at and below ``path``."""
    return Operation("set_propagation", (path, flags))


def bind_rootfs(path: str) -> Operation:
    """The bundle's rootfs, as a mount of its own."""
    return Operation("bind_rootfs", (path,))


def overlay_host(mount_point: str, lower: str, options: str, size: str) -> Operation:
    """The host's root under a throw-away upper layer."""
    return Operation("overlay_host", (mount_point, lower, options, size))


def overlay_directories(
    mount_point: str, names: Iterable[str], options: str, size: str
) -> Operation:
    """The directories of the host's root, each under a throw-away upper layer."""
    return Operation("overlay_directories", (mount_point, list(names), options, size))


def mask(path: str) -> Operation:
    """Hide a path."""
    return Operation("mask", (path,))


def make_readonly(path: str) -> Operation:
    """Make a path read-only."""
    return Operation("make_readonly", (path,))


def pivot_root() -> Operation:
    """Make the rootfs the root."""
    return Operation("pivot_root")


def remount_readonly(path: str) -> Operation:
    """Make the mount at a path read-only."""
    return Operation("remount_readonly", (path,))


WORDS: dict[str, Callable[..., str]] = {
    "set_propagation": lambda path, flags: f"set mount propagation of {path}: {flag_names(flags)}",
    "bind_rootfs": lambda path: f"mount the rootfs {path} on itself",
    "overlay_host": (
        lambda mount_point, lower, _options, size: (
            f"mount an overlay at {mount_point}: {lower} below, a throw-away tmpfs of {size} above"
        )
    ),
    "overlay_directories": (
        lambda mount_point, names, _options, size: (
            f"mount overlays at {mount_point}: {', '.join(f'/{name}' for name in names)} below,"
            f" a throw-away tmpfs of {size} above"
        )
    ),
    "mask": lambda path: f"mask {path}",
    "make_readonly": lambda path: f"make {path} read-only",
    "pivot_root": lambda: "pivot into the rootfs and drop the host's root",
    "remount_readonly": lambda path: f"make the mount at {path} read-only",
}
