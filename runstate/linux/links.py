"""What has to be known of a network interface to make it again what it was.

Values alone, as they are saved: :mod:`runstate.linux.interfaces` reads and sets them.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Address:
    """A permanent address of global scope.

    Attributes:
        family: AF_INET or AF_INET6.
        address: The interface's own.
        prefix: The length of its network's prefix.
        peer: The other end's, of a point-to-point interface.
        broadcast: The network's broadcast address.
        label: An alias of the interface's name, with a colon.
        plain: Whether it brings no route to its network (IFA_F_NOPREFIXROUTE).
    """

    family: int
    address: str
    prefix: int
    peer: str | None = None
    broadcast: str | None = None
    label: str | None = None
    plain: bool = False


@frozen
class StaticRoute:
    """A route through an interface that somebody has set."""

    family: int
    destination: str | None
    prefix: int
    gateway: str | None
    source: str | None
    priority: int | None
    table: int
    protocol: int
    scope: int


@frozen
class Interface:
    """An interface as it is in a namespace.

    Attributes:
        name: Its name.
        index: Its number, which the kernel may change when it moves.
        kind: ``veth``, ``macvlan`` and so on; empty for a physical one.
        mac: The link layer address.
        mtu: Bytes.
        tx_queue_len: Packets.
        up: Whether it is set up.
        master: The bridge, or the like, that it is a port of.
        addresses: Its permanent addresses of global scope.
        routes: The routes through it that somebody has set.
    """

    name: str
    index: int
    kind: str
    mac: str
    mtu: int
    tx_queue_len: int
    up: bool
    master: str | None = None
    addresses: tuple[Address, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
