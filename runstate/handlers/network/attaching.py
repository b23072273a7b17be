"""Giving a container its interfaces and routes, from the host, while init waits."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, Any

from runstate.errors import OperationFailed
from runstate.handlers.contract import HandlerContext, Substate
from runstate.handlers.network import routes
from runstate.handlers.network.attachment import (
    Attachment,
    Device,
    HostEnd,
    pin_paths,
    to_json,
)
from runstate.linux import interfaces, netlink, pins, processes
from runstate.linux.netlink import doing

if TYPE_CHECKING:
    from runstate.config import Config
    from runstate.config.networks import ContainerNetwork
    from runstate.linux.links import Interface

_NO_PAIR = {
    errno.EEXIST: "one of the two names is taken",
    errno.EOPNOTSUPP: "this kernel has no veth",
}
_NO_IPV6 = {errno.EACCES: "IPv6 is disabled there (net.ipv6.conf.all.disable_ipv6)"}
NO_MOVE = {
    errno.EINVAL: "the kernel does not let this kind of interface leave its namespace",
    errno.EEXIST: "there is an interface of that name already; name another",
    errno.EBUSY: "somebody is using it; see who, with `ip -d link`",
}


def attach(context: HandlerContext) -> Substate:
    """Give the container its interfaces and routes; init waits, and has its namespaces."""
    namespace = _open_namespace(context)
    host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        attachment = _plan(context, namespace)
        options = to_json(attachment)
        substate = context.substates["network"] = Substate(options)
        context.note({"options": options})
        if attachment.pinned:
            own, of_host = pin_paths(context)
            pins.pin(host, of_host)
            pins.pin(namespace, own)
        netlink.inside(host, lambda route: _on_host(route, context.config, attachment, namespace))
        netlink.inside(namespace, lambda route: _within(route, context.config, attachment))
    finally:
        os.close(namespace)
        os.close(host)
    return substate


def _open_namespace(context: HandlerContext) -> int:
    assert context.init is not None  # noqa: S101 - `attach` is between `run` and `finish`
    pid = context.init.pid
    with doing(f"open the network namespace of init (process {pid})"):
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if not processes.is_alive(context.init):
        os.close(namespace)
        raise OperationFailed(f"attach the network of init (process {pid})", "it is gone")
    return namespace


def _plan(context: HandlerContext, namespace: int) -> Attachment:
    """What will be done, from what the interfaces are now."""
    config = context.config
    assert config.linux is not None  # noqa: S101 - validation wants a network namespace
    wanted = config.linux.net_devices

    def read(route: Any) -> list[Interface]:
        found = []
        for name in wanted:
            with doing(f"read interface {name!r} of the host"):
                link = interfaces.find(route, name)
                if link is None:
                    raise OSError(errno.ENODEV, "")
                found.append(interfaces.read(route, link))
        return found

    def choose(route: Any) -> list[int]:
        return interfaces.free_indexes(route, [interface.index for interface in on_host])

    on_host = netlink.inside(-1, read) if wanted else []
    indexes = netlink.inside(namespace, choose) if wanted else []
    return Attachment(
        boot_id=processes.boot_id(),
        joined=any(n.type == "network" and n.path for n in config.linux.namespaces),
        devices=tuple(
            Device(interface, wanted[interface.name].name or interface.name, index)
            for interface, index in zip(on_host, indexes, strict=True)
        ),
        host_ends=tuple(
            _host_end(context.directory, number, network)
            for number, network in enumerate(_pairs(config))
        ),
    )


def _host_end(directory: str, number: int, network: ContainerNetwork) -> HostEnd:
    """A pair's end on the host, known before it exists, and the same each time."""
    digest = hashlib.sha256(f"{directory}\0{number}".encode(errors="surrogateescape"))
    # A bridge takes the lowest address among its ports' for its own: this is none to take.
    mac = "fe:" + digest.digest()[-5:].hex(":")
    return HostEnd(network.host_interface_name or f"rs{digest.hexdigest()[:13]}", mac)


def _pairs(config: Config) -> list[ContainerNetwork]:
    return [network for network in config.networks if network.type == "veth"]


def _on_host(route: Any, config: Config, attachment: Attachment, namespace: int) -> None:
    """The part that starts in the host's namespace: moving, and making pairs."""
    for device in attachment.devices:
        was = device.was
        with doing(f"move interface {was.name!r} of the host into the container", NO_MOVE):
            interfaces.move(route, was.index, namespace, device.name, device.index)
    for end, network in zip(attachment.host_ends, _pairs(config), strict=True):
        _make_pair(route, end, network, namespace)


def _make_pair(route: Any, end: HostEnd, network: ContainerNetwork, namespace: int) -> None:
    host_name = end.name
    bridge = None
    if network.bridge is not None:
        with doing(f"find the bridge {network.bridge!r} on the host"):
            bridge = interfaces.find(route, network.bridge)
            if bridge is None:
                raise OSError(errno.ENODEV, "")
    both = {"mtu": network.mtu, "txqlen": network.tx_queue_len}
    if bridge is not None and network.mtu is None:
        both["mtu"] = bridge.get("mtu")
    given = {key: value for key, value in both.items() if value is not None}
    peer = {"ifname": network.name, "net_ns_fd": namespace, **given}
    if network.mac_address is not None:
        peer["address"] = network.mac_address
    names = f"{host_name!r} on the host and {network.name!r} in the container"
    with doing(f"make the pair of interfaces {names}", _NO_PAIR):
        route.link("add", ifname=host_name, address=end.mac, kind="veth", peer=peer, **given)
        link = interfaces.find(route, host_name)
        if link is None:
            raise OSError(errno.ENODEV, "")
    index = link["index"]
    if bridge is not None:
        with doing(f"make interface {host_name!r} of the host a port of bridge {network.bridge!r}"):
            route.link("set", index=index, master=bridge["index"])
            if network.hairpin_mode:
                route.brport("set", index=index, mode=1)
    with doing(f"set interface {host_name!r} of the host up"):
        route.link("set", index=index, state="up")


def _within(route: Any, config: Config, attachment: Attachment) -> None:
    """The part in the container's namespace: addresses, up, routes."""
    for device in attachment.devices:
        _set_up_device(route, device)
    for network in _pairs(config):
        _set_up_end(route, network)
    routes.add(route, config.routes, marked=attachment.joined)


def _set_up_device(route: Any, device: Device) -> None:
    with doing(f"find interface {device.name!r}, the host's {device.was.name!r}, in the container"):
        link = interfaces.by_index(route, device.index)
        if link is None:
            raise OSError(errno.ENODEV, "")
    name = link.get("ifname")
    for address in device.was.addresses:
        text = f"{address.address}/{address.prefix}"
        with doing(f"keep the address {text} of interface {name!r} in the container", _NO_IPV6):
            interfaces.add_address(route, device.index, address, name)
    with doing(f"set interface {name!r} of the container up"):
        route.link("set", index=device.index, state="up")


def _set_up_end(route: Any, network: ContainerNetwork) -> None:
    name = network.name
    with doing(f"find interface {name!r} in the container"):
        link = interfaces.find(route, str(name))
        if link is None:
            raise OSError(errno.ENODEV, "")
    index = link["index"]
    for text in (network.address, network.ipv6_address):
        if text is not None:
            with doing(f"give interface {name!r} of the container the address {text}", _NO_IPV6):
                interfaces.add_address(route, index, interfaces.address_of(text), str(name))
    with doing(f"set interface {name!r} of the container up"):
        route.link("set", index=index, state="up")
    for gateway in (network.gateway, network.ipv6_gateway):
        if gateway is not None:
            routes.add_default(route, gateway, index)
