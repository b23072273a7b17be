"""Namespaces and cgroups to be in, and what a namespace has of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.init import kernel
from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMESPACES = (
    (kernel.CLONE_NEWUSER, "user"),
    (kernel.CLONE_NEWPID, "pid"),
    (kernel.CLONE_NEWNS, "mount"),
    (kernel.CLONE_NEWNET, "network"),
    (kernel.CLONE_NEWIPC, "ipc"),
    (kernel.CLONE_NEWUTS, "uts"),
    (kernel.CLONE_NEWCGROUP, "cgroup"),
    (kernel.CLONE_NEWTIME, "time"),
)


def namespace_names(flags: int) -> str:
    """CLONE_NEW* flags in words."""
    return ", ".join(name for flag, name in _NAMESPACES if flags & flag)


def join_cgroups(first: int, count: int) -> Operation:
    """Enter version 1 cgroups, by ``count`` of the engine's descriptors from ``first`` on."""
    return Operation("join_cgroups", (first, count))


def join_namespaces(index: int, flags: int) -> Operation:
    """One of the engine's descriptors: a namespace, or the pidfd of a process in them."""
    return Operation("join_namespaces", (index, flags))


def become_root() -> Operation:
    """Take the root ids of the new user namespace."""
    return Operation("become_root")


def unshare(flags: int) -> Operation:
    """New namespaces, by their CLONE_NEW* flags."""
    return Operation("unshare", (flags,))


def new_session_keyring(name: str) -> Operation:
    """A session keyring of the container's own."""
    return Operation("new_session_keyring", (name,))


def sethostname(name: str) -> Operation:
    """The host name of the uts namespace."""
    return Operation("sethostname", (name,))


def setdomainname(name: str) -> Operation:
    """The NIS domain name of the uts namespace."""
    return Operation("setdomainname", (name,))


def link_up(name: str) -> Operation:
    """Set a network interface up."""
    return Operation("link_up", (name,))


WORDS: dict[str, Callable[..., str]] = {
    "join_cgroups": lambda _first, count: f"enter {count} cgroups",
    "join_namespaces": lambda _index, flags: f"join namespaces: {namespace_names(flags)}",
    "become_root": lambda: "become root of the user namespace",
    "unshare": lambda flags: f"new namespaces: {namespace_names(flags)}",
    "new_session_keyring": lambda name: f"join a new session keyring {name}",
    "sethostname": lambda name: f"set the host name {name}",
    "setdomainname": lambda name: f"set the domain name {name}",
    "link_up": lambda name: f"set interface {name} up",
}
