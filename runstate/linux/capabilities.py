"""Capabilities by name and as bit masks (capabilities(7))."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# In the kernel's order: a capability's number is its index (include/uapi/linux/capability.h).
NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
    "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
    "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
    "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
_BITS = {name: 1 << number for number, name in enumerate(NAMES)}


def mask_of(names: Iterable[str]) -> int:
    """The bit mask of capability names; names that no kernel knows have no bit."""
    mask = 0
    for name in names:
        mask |= _BITS.get(name, 0)
    return mask


@cache
def grantable(*, own_userns: bool) -> int:
    """What a process that is made from this one can be given (capabilities(7)).

    Args:
        own_userns: Whether it is in a user namespace of the container's own, whose first
            process has every capability that the kernel knows.
    """
    if own_userns:
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            return (2 << int(file.read())) - 1
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        sets = {
            name: int(value, 16)
            for name, _, value in (line.partition(":") for line in file)
            if name in ("CapPrm", "CapBnd")
        }
    return sets["CapPrm"] & sets["CapBnd"]


def not_grantable(names: Iterable[str], *, own_userns: bool) -> list[str]:
    """The capabilities of these that cannot be given, or that no kernel knows; each once."""
    can = grantable(own_userns=own_userns)
    return [name for name in dict.fromkeys(names) if not _BITS.get(name, 0) & can]


def mask_names(mask: int) -> str:
    """A bit mask in words."""
    return ", ".join(name for name, bit in _BITS.items() if mask & bit) or "none"
