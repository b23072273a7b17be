"""Mounts inside the rootfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.init import kernel
from runstate.linux.mounts import flag_names
from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


def mount(
    source: str, target: str, fstype: str, flags: int, data: str, propagation: int = 0
) -> Operation:
    """A new mount of a file system inside the rootfs."""
    return Operation("mount", (source, target, fstype, flags, data, propagation))


def bind(
    source: str,
    target: str,
    *,
    recursive: bool = False,
    attributes: int = 0,
    cleared: int = 0,
    propagation: int = 0,
) -> Operation:
    """A bind mount of a host path inside the rootfs."""
    return Operation("bind", (source, target, recursive, attributes, cleared, propagation))


def _mount_words(
    source: str, target: str, fstype: str, flags: int, data: str, propagation: int
) -> str:
    words = f"mount {fstype} {source} on {target}, flags {flag_names(flags)}"
    words += f", data {data!r}" if data else ""
    return words + (f", then {flag_names(propagation)}" if propagation else "")


def _bind_words(
    source: str, target: str, recursive: bool, attributes: int, cleared: int, propagation: int
) -> str:
    words = f"bind {source} on {target}" + (", with what is mounted below" if recursive else "")
    words += f", attributes {_attribute_names(attributes)}" if attributes else ""
    words += f", without {_attribute_names(cleared & ~attributes)}" if cleared else ""
    return words + (f", then {flag_names(propagation)}" if propagation else "")


def _attribute_names(attributes: int) -> str:
    names = [
        name
        for name, value in vars(kernel).items()
        if name.startswith("MOUNT_ATTR_") and "__" not in name and attributes & value == value
    ]
    return "|".join(names) or "MOUNT_ATTR_RELATIME"


WORDS: dict[str, Callable[..., str]] = {
    "mount": _mount_words,
    "bind": _bind_words,
}
