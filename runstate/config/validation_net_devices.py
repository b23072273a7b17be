"""The rules of network interfaces that are moved into the container (config-linux.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.rules import expect, needs_namespace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from runstate.config.rules import Path
    from runstate.config.tuning import NetDevice

LOOPBACK = "lo"
LONGEST = 15
"""Bytes in an interface's name (``IFNAMSIZ``, with the byte that ends it)."""


def check_net_devices(
    path: Path, devices: Mapping[str, NetDevice], types: Collection[str]
) -> Iterator[str]:
    """All that is wrong with the interfaces to move."""
    if "network" not in types:
        yield needs_namespace(path, dict(devices), "network")
    taken: dict[str, str] = {}
    for host_name, device in devices.items():
        if not is_interface_name(host_name):
            yield expect(path, host_name, EXPECTED)
        elif host_name == LOOPBACK:
            yield expect(path, host_name, "interfaces that can be moved; each namespace has its lo")
        name = device.name or host_name
        if device.name and not is_interface_name(without_number(device.name)):
            yield expect((*path, host_name, "name"), device.name, f"{EXPECTED}; or with one %d")
        elif device.name == LOOPBACK:
            yield expect((*path, host_name, "name"), name, "another name than the loopback's")
        elif is_template(name):
            continue
        elif name in taken:
            yield expect((*path, host_name), name, f"a name that {taken[name]!r} does not get")
        taken.setdefault(name, host_name)


EXPECTED = f"the name of an interface: at most {LONGEST} bytes, no slash, colon or space"


def is_interface_name(name: str) -> bool:
    """Whether the kernel takes it for an interface (``dev_valid_name``, net/core/dev.c)."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False  # the kernel would, but netlink's other users speak UTF-8
    # A percent sign would be a pattern for the kernel to number.
    return (
        0 < size <= LONGEST
        and name not in (".", "..")
        and not any(character in "/:%" or character.isspace() for character in name)
    )


def is_template(name: str) -> bool:
    """Whether the kernel shall find a number for the name's ``%d`` (``dev_alloc_name``)."""
    return "%d" in name


def without_number(name: str) -> str:
    """A template as a name, with a digit for its number; any other name as it is."""
    return name.replace("%d", "0", 1)
