"""Network interfaces: reading what they are, moving them between namespaces, making pairs.

Functions that take a ``route`` work in its namespace (:func:`runstate.linux.netlink.inside`).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyroute2 import NetlinkDumpInterrupted, NetlinkError

from runstate.linux.links import Address, Interface, StaticRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TRIES = 100
UP = 1  # IFF_UP (netdevice(7))
IMMOVABLE = frozenset({"bridge", "team", "vrf", "openvswitch", "batadv"})
"""The kinds that the kernel leaves in the namespace they were made in (``netns_immutable``)."""

_PERMANENT = 0x80  # IFA_F_PERMANENT, IFA_F_NODAD, IFA_F_NOPREFIXROUTE (linux/if_addr.h)
_NODAD = 0x02
_NOPREFIXROUTE = 0x200
_UNIVERSE = 0  # RT_SCOPE_UNIVERSE, RT_TABLE_LOCAL, RTN_UNICAST (rtnetlink(7))
_LOCAL_TABLE = 255
_UNICAST = 1
# RTPROT_*: the kernel makes the first again by itself, the others come from outside.
_BY_OTHERS = frozenset({2, 9, 16})


def find(route: Any, name: str) -> Any | None:
    """The kernel's message about the interface of this name; None if there is none."""
    return _find(route, ifname=name)


def by_index(route: Any, index: int) -> Any | None:
    """The kernel's message about the interface of this number; None if there is none."""
    return _find(route, index=index)


def _find(route: Any, **which: Any) -> Any | None:
    try:
        return route.link("get", **which)[0]
    except NetlinkError as error:
        if error.code in (errno.ENODEV, errno.ENXIO):
            return None
        raise


def all_links(route: Any) -> list[Any]:
    """The kernel's messages about all interfaces of the namespace."""
    return _all(route.get_links)


def _all(dump: Callable[..., Any], *words: str, **which: Any) -> list[Any]:
    """A whole list; the kernel says when it has changed while it was told (NLM_F_DUMP_INTR)."""
    for _ in range(_TRIES):
        try:
            return list(dump(*words, **which))
        except NetlinkDumpInterrupted:
            continue
    raise OSError(errno.EAGAIN, "")


def kind_of(link: Any) -> str:
    """``veth``, ``bridge`` and so on; empty for a physical interface."""
    info = link.get("linkinfo")
    return str(info.get("kind") or "") if info else ""


def read(route: Any, link: Any) -> Interface:
    """All that has to be known of an interface to make it again what it is."""
    index = link["index"]
    master = link.get("master")
    of_master = by_index(route, master) if master else None
    routes = _routes_through(route, index)
    return Interface(
        name=link.get("ifname"),
        index=index,
        kind=kind_of(link),
        mac=link.get("address") or "",
        mtu=link.get("mtu"),
        tx_queue_len=link.get("txqlen"),
        up=bool(link["flags"] & UP),
        master=None if of_master is None else of_master.get("ifname"),
        addresses=tuple(
            _address(a, link.get("ifname"))
            for a in _all(route.get_addr, index=index)
            if a["scope"] == _UNIVERSE and (a.get("flags") or 0) & _PERMANENT
        ),
        routes=tuple(
            _static_route(r)
            for r in sorted(routes, key=lambda r: -r["scope"])
            if r["type"] == _UNICAST and r["proto"] not in _BY_OTHERS
        ),
    )


def _routes_through(route: Any, index: int) -> list[Any]:
    """The routes through an interface, found by the kernel: a host may have a million others."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        found += _all(route.route, "dump", family=family, oif=index, dump_filter=None)
    return [r for r in found if r.get("oif") == index and r["table"] != _LOCAL_TABLE]


def _address(message: Any, name: str) -> Address:
    address = message.get("address")
    local = message.get("local") or address
    label = message.get("label")
    return Address(
        family=message["family"],
        address=local,
        prefix=message["prefixlen"],
        peer=address if address != local else None,
        broadcast=message.get("broadcast"),
        label=label if label != name else None,
        plain=bool((message.get("flags") or 0) & _NOPREFIXROUTE),
    )


def _static_route(message: Any) -> StaticRoute:
    return StaticRoute(
        family=message["family"],
        destination=message.get("dst"),
        prefix=message["dst_len"],
        gateway=message.get("gateway"),
        source=message.get("prefsrc"),
        priority=message.get("priority"),
        table=message.get("table") or message["table"],
        protocol=message["proto"],
        scope=message["scope"],
    )


def address_of(text: str) -> Address:
    """The address that ``192.0.2.5/24`` or its like says, with its broadcast address if any."""
    found = ipaddress.ip_interface(text)
    four = found.version == 4
    broadcast = found.network.broadcast_address if four and found.network.prefixlen < 31 else None
    return Address(
        family=socket.AF_INET if four else socket.AF_INET6,
        address=str(found.ip),
        prefix=found.network.prefixlen,
        broadcast=None if broadcast is None else str(broadcast),
    )


def free_indexes(route: Any, wanted: Iterable[int]) -> list[int]:
    """Numbers that no interface of the namespace has: the wanted ones as far as possible."""
    taken = {link["index"] for link in all_links(route)}
    found = []
    for index in wanted:
        found.append(index if index not in taken else max(*taken, index) + 1)
        taken.add(found[-1])
    return found


def free_name(route: Any) -> str:
    """A name that no interface has, as the kernel chooses it for one that has lost its own."""
    taken = {link.get("ifname") for link in all_links(route)}
    return next(f"dev{n}" for n in range(len(taken) + 1) if f"dev{n}" not in taken)


def move(route: Any, index: int, namespace: int, name: str, new_index: int) -> None:
    """Move an interface into another namespace and rename it, in one request.

    Down, and without its addresses: the kernel takes them.

    Args:
        route: Of the namespace where it is.
        index: Its number.
        namespace: A descriptor of the one where it shall be.
        name: Its name there; a template with ``%d`` lets the kernel number it.
        new_index: Its number there.
    """
    attributes = {"net_ns_fd": namespace, "ifname": name}
    if new_index != index:
        attributes["new_ifindex"] = new_index  # Linux 5.13
    route.link("set", index=index, **attributes)


def add_address(route: Any, index: int, address: Address, name: str) -> None:
    """Give an interface an address, at once: it has been another's, or nobody's, before."""
    flags = _NOPREFIXROUTE if address.plain else 0
    attributes: dict[str, Any] = {"local": address.address}
    if address.family == socket.AF_INET6:
        flags |= _NODAD
    elif address.label is not None:
        attributes["label"] = name + address.label[address.label.find(":") :]
    if address.broadcast is not None:
        attributes["broadcast"] = address.broadcast
    with there_already():
        route.addr(
            "add",
            index=index,
            family=address.family,
            address=address.peer or address.address,
            prefixlen=address.prefix,
            flags=flags,
            **attributes,
        )


def add_static_route(route: Any, index: int, static: StaticRoute) -> str | None:
    """Set a route through an interface again; why that cannot be, if it cannot."""
    attributes: dict[str, Any] = {
        "dst": f"{static.destination}/{static.prefix}" if static.destination else "default",
        "gateway": static.gateway,
        "prefsrc": static.source,
        "priority": static.priority,
    }
    try:
        with there_already():
            route.route(
                "add",
                oif=index,
                family=static.family,
                table=static.table,
                proto=static.protocol,
                scope=static.scope,
                **{key: value for key, value in attributes.items() if value is not None},
            )
    except NetlinkError as error:
        return str(error.args[1])
    return None


@contextmanager
def there_already() -> Iterator[None]:
    """What is there already need not be added."""
    try:
        yield
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def delete(route: Any, name: str, mac: str) -> None:
    """Take an interface of this name and link layer address away; what is gone is gone."""
    link = find(route, name)
    if link is None or link.get("address") != mac:
        return
    try:
        route.link("del", index=link["index"])
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ENXIO):
            raise
