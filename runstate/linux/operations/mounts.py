"""Mounts inside the rootfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.init import kernel
from runstate.linux.mounts import flag_names
from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


def mount(
    source: str, target: str, fstype: str, flags: int, data: str, propagation: tuple[int, ...] = ()
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
    propagation: tuple[int, ...] = (),
) -> Operation:
    """A bind mount of a host path inside the rootfs."""
    return Operation("bind", (source, target, recursive, attributes, cleared, propagation))


def mount_words(
    source: str, target: str, fstype: str, flags: int, data: str, propagation: tuple[int, ...]
) -> str:
    """A mount(2), in words."""
    words = f"mount {fstype} {source} on {target}, flags {flag_names(flags)}"
    words += f", data {data!r}" if data else ""
    return words + propagation_words(propagation)


def propagation_words(propagation: tuple[int, ...]) -> str:
    """What is done after a mount is made, in words."""
    return "".join(f", then {flag_names(flags)}" for flags in propagation)


def bind_words(
    source: str,
    target: str,
    recursive: bool,
    attributes: int,
    cleared: int,
    propagation: tuple[int, ...],
) -> str:
    """A bind mount, in words."""
    words = f"bind {source} on {target}" + (", with what is mounted below" if recursive else "")
    return words + attribute_words(attributes, cleared) + propagation_words(propagation)


def attribute_words(attributes: int, cleared: int) -> str:
    """Changes of a mount's attributes, in words."""
    words = f", attributes {_attribute_names(attributes)}" if attributes else ""
    without = cleared & ~attributes
    if without & kernel.MOUNT_ATTR__ATIME and attributes & kernel.MOUNT_ATTR__ATIME:
        without &= ~kernel.MOUNT_ATTR__ATIME
    if without & kernel.MOUNT_ATTR__ATIME == kernel.MOUNT_ATTR__ATIME:
        # That mask cleared is what relatime is.
        words += ", MOUNT_ATTR_RELATIME"
        without &= ~kernel.MOUNT_ATTR__ATIME
    return words + (f", without {_attribute_names(without)}" if without else "")


def _attribute_names(attributes: int) -> str:
    names = [
        name
        for name, value in vars(kernel).items()
        if name.startswith("MOUNT_ATTR_") and "__" not in name and attributes & value == value
    ]
    return "|".join(names)


WORDS: dict[str, Callable[..., str]] = {
    "mount": mount_words,
    "bind": bind_words,
}
