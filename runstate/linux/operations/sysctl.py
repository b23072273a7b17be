"""Kernel parameters of the container's own namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


def set_sysctl(path: str, value: str) -> Operation:
    """A parameter, by its path below /proc/sys."""
    return Operation("set_sysctl", (path, value))


WORDS: dict[str, Callable[..., str]] = {
    "set_sysctl": lambda path, value: f"set the kernel parameter {path} to {value!r}",
}
