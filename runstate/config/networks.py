"""The network interfaces that runstate makes for a container, and its routes.

Not of the specification, which leaves the making of interfaces to others: these are
libcontainer's own ``networks`` and ``routes``, for programs that have no network plug-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from runstate.config.section import Section

if TYPE_CHECKING:
    from runstate.config.section import UInt32


@frozen(eq=False, repr=False)
class ContainerNetwork(Section):
    """An interface of the container's.

    Attributes:
        type: ``loopback``, which every network namespace has and a new one has up; or
            ``veth``, a pair of which one end is in the container and one on the host.
        name: The container's end, ``eth0`` and its like; the following are its, too.
        mac_address: Six hexadecimal bytes with colons; None lets the kernel choose.
        mtu: Bytes, of both ends; None is the bridge's, or the kernel's 1500.
        tx_queue_len: Packets, of both ends.
        address: The IPv4 address with the length of its network's prefix, ``192.0.2.5/24``.
        gateway: The IPv4 default route's.
        ipv6_address: The IPv6 address with the length of its network's prefix.
        ipv6_gateway: The IPv6 default route's.
        bridge: The bridge that the host's end becomes a port of; None leaves it alone.
        host_interface_name: The host's end; None lets runstate choose.
        hairpin_mode: Whether the bridge may send a packet out where it came in.
    """

    type: str
    name: str | None = None
    mac_address: str | None = None
    mtu: UInt32 | None = None
    tx_queue_len: UInt32 | None = None
    address: str | None = None
    gateway: str | None = None
    ipv6_address: str | None = None
    ipv6_gateway: str | None = None
    bridge: str | None = None
    host_interface_name: str | None = None
    hairpin_mode: bool | None = None


@frozen(eq=False, repr=False)
class Route(Section):
    """A route of the container's; it says at least one of gateway and interface.

    Attributes:
        destination: A network, ``198.51.100.0/24``; None is everything.
        source: The address that packets without one get.
        gateway: Where to send them; None: the destination is on the interface's link.
        interface_name: Through which interface; None leaves it to the gateway.
    """

    destination: str | None = None
    source: str | None = None
    gateway: str | None = None
    interface_name: str | None = None
