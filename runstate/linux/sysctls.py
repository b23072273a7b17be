"""The names of kernel parameters (sysctl(8))."""

from __future__ import annotations

_SWAPPED = str.maketrans("./", "/.")


def sysctl_path(name: str) -> str:
    """The path below /proc/sys of a parameter.

    The separator that comes first in a name is the one that it has all along; the other is
    part of what it separates: ``net.ipv4.conf.eth0/100.forwarding`` and
    ``net/ipv4/conf/eth0.100/forwarding`` are the same.
    """
    slash, dot = name.find("/"), name.find(".")
    if slash >= 0 and (dot < 0 or slash < dot):
        return name
    return name.translate(_SWAPPED)
