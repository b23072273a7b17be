"""The labels of security modules that the program runs under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


def set_apparmor_profile(name: str) -> Operation:
    """The AppArmor profile from the exec on."""
    return Operation("set_apparmor_profile", (name,))


def set_selinux_label(label: str) -> Operation:
    """The SELinux label from the exec on."""
    return Operation("set_selinux_label", (label,))


def label_keys(label: str) -> Operation:
    """The SELinux label of keys that are made from here on; empty: the process's own."""
    return Operation("label_keys", (label,))


WORDS: dict[str, Callable[..., str]] = {
    "set_apparmor_profile": lambda name: f"run under the AppArmor profile {name}",
    "set_selinux_label": lambda label: f"run under the SELinux label {label}",
    "label_keys": lambda label: f"label new keys {label or 'as the process'}",
}
