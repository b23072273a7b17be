"""The rules of the interfaces and routes that runstate makes: ``networks`` and ``routes``."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from runstate.config.problems import MISSING, json_path
from runstate.config.rules import expect, needs_namespace, one_of, within
from runstate.config.validation_net_devices import (
    EXPECTED,
    LOOPBACK,
    is_interface_name,
    is_template,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.networks import ContainerNetwork, Route
    from runstate.config.rules import Path
    from runstate.config.spec import Config

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

MTUS = (68, 65535)
"""veth's (``ETH_MIN_MTU``, ``ETH_MAX_MTU``)."""

IPV6_MTU = 1280
"""The smallest that IPv6 takes (RFC 8200, section 5)."""

_TYPES = frozenset({"loopback", "veth"})
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def check_networks(config: Config) -> Iterator[str]:
    """All that is wrong with ``networks`` and ``routes``."""
    namespaces = config.linux.namespaces if config.linux is not None else ()
    network = next((n for n in namespaces if n.type == "network"), None)
    for name, value in (("networks", config.networks), ("routes", config.routes)):
        if value and network is None:
            yield needs_namespace((name,), list(value), "network")
    devices = config.linux.net_devices if config.linux is not None else {}
    moved = [device.name or host_name for host_name, device in devices.items()]
    taken = {LOOPBACK, *moved}
    yield from _networks(config.networks, taken)
    # A namespace that is joined has interfaces of its own, and a template's name is not known.
    known = network is not None and not network.path and not any(map(is_template, moved))
    for index, route in enumerate(config.routes):
        yield from _route(("routes", index), route, taken if known else None)


def _name(path: Path, name: str) -> Iterator[str]:
    if not is_interface_name(name):
        yield expect(path, name, EXPECTED)


def _once(path: Path, name: str, taken: set[str]) -> Iterator[str]:
    if name in taken:
        yield expect(path, name, "a name that no other interface of the container has")
    taken.add(name)


def _networks(networks: tuple[ContainerNetwork, ...], taken: set[str]) -> Iterator[str]:
    on_host: set[str] = set()
    defaults: set[str] = set()
    for index, network in enumerate(networks):
        path = ("networks", index)
        yield from one_of((*path, "type"), network.type, _TYPES, "a type of network")
        if network.type == "loopback":
            yield from _loopback(path, network)
        elif network.type == "veth":
            yield from _veth(path, network)
            if network.name:
                yield from _once((*path, "name"), network.name, taken)
            for name, gateway in (
                ("gateway", network.gateway),
                ("ipv6Gateway", network.ipv6_gateway),
            ):
                if gateway and name in defaults:
                    yield expect((*path, name), gateway, "one default route of each family")
                if gateway:
                    defaults.add(name)
            host_name = network.host_interface_name
            if host_name:
                if host_name in on_host:
                    yield expect((*path, "hostInterfaceName"), host_name, "each name once")
                on_host.add(host_name)


def _loopback(path: Path, network: ContainerNetwork) -> Iterator[str]:
    form = network.to_dict()
    if form.pop("name", LOOPBACK) != LOOPBACK:
        yield expect((*path, "name"), network.name, f'"{LOOPBACK}", or no name')
    for name in sorted(form.keys() - {"type"} - network.extra.keys()):
        yield expect((*path, name), form[name], "nothing: a loopback is what it is")


def _veth(path: Path, network: ContainerNetwork) -> Iterator[str]:
    if network.name is None:
        yield f"{json_path((*path, 'name'))}: {MISSING}: what the container calls it"
    for name, value in (
        ("name", network.name),
        ("bridge", network.bridge),
        ("hostInterfaceName", network.host_interface_name),
    ):
        if value is not None:
            yield from _name((*path, name), value)
    mac = network.mac_address
    if mac is not None and not (_MAC.fullmatch(mac) and _unicast(mac)):
        yield expect((*path, "macAddress"), mac, "a unicast address as in 02:00:00:00:00:01")
    lowest = IPV6_MTU if network.ipv6_address is not None else MTUS[0]
    yield from within((*path, "mtu"), network.mtu, lowest, MTUS[1], "bytes")
    if network.hairpin_mode and network.bridge is None:
        yield expect((*path, "hairpinMode"), network.hairpin_mode, "nothing without a bridge")
    for version, name, gateway_name, address, gateway in (
        (4, "address", "gateway", network.address, network.gateway),
        (6, "ipv6Address", "ipv6Gateway", network.ipv6_address, network.ipv6_gateway),
    ):
        yield from _addresses(path, version, (name, address), (gateway_name, gateway))


def _unicast(mac: str) -> bool:
    return not int(mac[:2], 16) & 1 and bool(int(mac.replace(":", ""), 16))


def _addresses(
    path: Path, version: int, address: tuple[str, str | None], gateway: tuple[str, str | None]
) -> Iterator[str]:
    """An interface's address and its default route's gateway, of one family."""
    interface = None
    if address[1] is not None:
        interface = _interface(address[1], version)
        if interface is None:
            example = "192.0.2.5/24" if version == 4 else "2001:db8::5/64"
            yield expect((*path, address[0]), address[1], f"an address as in {example}")
    if gateway[1] is None:
        return
    here = (*path, gateway[0])
    router = _address(gateway[1], version)
    if router is None:
        yield expect(here, gateway[1], f"an address of IPv{version}")
    elif version == 6 and router.is_link_local:
        return  # each link has these
    elif address[1] is None:
        yield expect(here, gateway[1], f"nothing without {address[0]}")
    elif interface is not None and not _beside(router, interface):
        yield expect(here, gateway[1], f"another address in {interface.network}")


def _beside(router: Address, interface: Interface) -> bool:
    return router in interface.network and router != interface.ip


def _interface(text: str, version: int) -> Interface | None:
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        return None
    usable = not (found.ip.is_multicast or found.ip.is_unspecified)
    return found if found.version == version and "/" in text and usable else None


def _address(text: str, version: int | None = None) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    usable = not (found.is_multicast or found.is_unspecified)
    return found if usable and version in (None, found.version) else None


def _route(path: Path, route: Route, known: set[str] | None) -> Iterator[str]:
    versions = set()
    if route.destination is not None:
        try:
            versions.add(ipaddress.ip_network(route.destination).version)
        except ValueError:
            yield expect((*path, "destination"), route.destination, "a network as in 10.0.0.0/8")
    for name, value in (("source", route.source), ("gateway", route.gateway)):
        if value is not None:
            found = _address(value)
            if found is None:
                yield expect((*path, name), value, "an address")
            else:
                versions.add(found.version)
    if len(versions) > 1:
        yield expect(path, route.to_dict(), "addresses of one family")
    if route.gateway is None and route.interface_name is None:
        yield expect(path, route.to_dict(), "a gateway or an interfaceName")
    if route.interface_name is not None:
        here = (*path, "interfaceName")
        if known is not None and route.interface_name not in known:
            yield expect(here, route.interface_name, f"one of {', '.join(sorted(known))}")
        else:
            yield from _name(here, route.interface_name)
