"""Mounts that need more than mount(2): fetched trees, and attributes all the way down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.mounts import flag_names
from runstate.linux.operations.base import Operation
from runstate.linux.operations.mounts import attribute_words, mount_words, propagation_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def fetch_trees(index: int, mounts: Iterable[int], paths: Iterable[str]) -> Operation:
    """Trees of bind mounts, from a process with the engine's rights."""
    return Operation("fetch_trees", (index, tuple(mounts), list(paths)))


def serve_trees(
    index: int, wanted: Iterable[tuple[str, bool, int, bool]], seconds: float
) -> Operation:
    """Open trees for an init, and end."""
    return Operation("serve_trees", (index, list(wanted), seconds))


def bind_tree(
    source: str,
    target: str,
    *,
    mount: int | None = None,
    recursive: bool = False,
    attributes: tuple[int, int] = (0, 0),
    below: tuple[int, int] = (0, 0),
    propagation: tuple[int, ...] = (),
) -> Operation:
    """A bind mount of a host path, or of the tree that was fetched for a mount."""
    tree = source if mount is None else mount
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
    words += "" if isinstance(tree, str) else ", as the engine's side has opened it"
    return words + _changes(attributes, below) + propagation_words(propagation)


def _changes(attributes: tuple[int, int], below: tuple[int, int]) -> str:
    deep = attribute_words(*below)
    return (f"{deep} (all the way down)" if deep else "") + attribute_words(*attributes)


WORDS: dict[str, Callable[..., str]] = {
    "fetch_trees": (
        lambda _index, _mounts, paths: f"have the engine's side open {', '.join(paths)}"
    ),
    "serve_trees": (
        lambda _index, wanted, _seconds: (
            f"open {', '.join(path for path, *_ in wanted)} in init's mount namespace"
        )
    ),
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
