"""Mounts that need more than mount(2): trees from the host's side, attributes all the way down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.mounts import flag_names
from runstate.linux.operations.base import Operation
from runstate.linux.operations.mounts import attribute_words, mount_words, propagation_words

if TYPE_CHECKING:
    from collections.abc import Callable


def bind_tree(
    source: str,
    target: str,
    *,
    descriptor: int | None = None,
    recursive: bool = False,
    attributes: tuple[int, int] = (0, 0),
    below: tuple[int, int] = (0, 0),
    propagation: tuple[int, ...] = (),
) -> Operation:
    """A bind mount of a host path, or of the tree that the engine has made of it."""
    tree = source if descriptor is None else descriptor
    return Operation("bind_tree", (tree, target, recursive, attributes, below, propagation, source))


def set_attributes(
    target: str,
    attributes: tuple[int, int] = (0, 0),
    below: tuple[int, int] = (0, 0),
    propagation: tuple[int, ...] = (),
) -> Operation:
    """Change the attributes of a mount that is there already."""
    return Operation("set_attributes", (target, attributes, below, propagation))


def mount_sysfs(
    source: str, target: str, flags: int, data: str, propagation: tuple[int, ...] = ()
) -> Operation:
    """A sysfs, or else the host's."""
    return Operation("mount_sysfs", (source, target, flags, data, propagation))


def set_root_propagation(flags: int, rootfs: str) -> Operation:
    """Mount propagation of the namespace's root, and none around the rootfs."""
    return Operation("set_root_propagation", (flags, rootfs))


def _bind_words(
    tree: str | int,
    target: str,
    recursive: bool,
    attributes: tuple[int, int],
    below: tuple[int, int],
    propagation: tuple[int, ...],
    source: str,
) -> str:
    words = f"bind {source} on {target}" + (", with what is mounted below" if recursive else "")
    words += "" if isinstance(tree, str) else ", as the engine has opened it"
    return words + _changes(attributes, below) + propagation_words(propagation)


def _changes(attributes: tuple[int, int], below: tuple[int, int]) -> str:
    deep = attribute_words(*below)
    return (f"{deep} (all the way down)" if deep else "") + attribute_words(*attributes)


WORDS: dict[str, Callable[..., str]] = {
    "bind_tree": _bind_words,
    "set_attributes": (
        lambda target, attributes, below, propagation: (
            f"change the mount at {target}"
            + _changes(attributes, below)
            + propagation_words(propagation)
        )
    ),
    "mount_sysfs": (
        lambda source, target, flags, data, propagation: (
            mount_words(source, target, "sysfs", flags, data, propagation)
            + "; or bind the host's, read-only"
        )
    ),
    "set_root_propagation": (
        lambda flags, rootfs: (
            f"set mount propagation of /: {flag_names(flags)}, and of the mount that {rootfs}"
            " is in: MS_PRIVATE"
        )
    ),
}
