"""What a config wants of the host's interfaces that the host cannot give, before any effect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runstate.config.problems import abbreviate, json_path
from runstate.linux import capabilities, interfaces, namespaces, netlink, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config import Config
    from runstate.handlers.contract import HandlerContext

_NEEDED = "CAP_NET_ADMIN"


def missing_on_host(context: HandlerContext) -> list[str]:
    """The problems, each with its JSON path."""
    config = context.config
    if not _may_administer():
        return [
            f"{json_path(path)}: needs {_NEEDED} in the host's network namespace, which this"
            " process has not"
            for path, asked in (
                (("linux", "netDevices"), config.linux and config.linux.net_devices),
                (("networks",), config.networks),
                (("routes",), config.routes),
            )
            if asked
        ]
    problems = netlink.inside(-1, lambda route: list(_on_host(route, config)))
    return problems or _in_joined(config)


def _may_administer() -> bool:
    """Whether the right is held, and over the network namespace that this process is in."""
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        owner = namespaces.owner_of(fd)
    finally:
        os.close(fd)
    if owner is None:
        return False  # its user namespace is around ours
    os.close(owner)
    return bool(_effective() & capabilities.mask_of([_NEEDED]))


def _effective() -> int:
    for line in processes.read_text("/proc/thread-self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _on_host(route: Any, config: Config) -> Iterator[str]:
    for name in config.linux.net_devices if config.linux is not None else ():
        path = json_path(("linux", "netDevices", name))
        link = interfaces.find(route, name)
        if link is None:
            yield f"{path}: expected an interface of the host, which has no {abbreviate(name)}"
        elif interfaces.kind_of(link) in interfaces.IMMOVABLE:
            kind = interfaces.kind_of(link)
            yield f"{path}: expected one that can be moved; {abbreviate(name)} is a {kind}"
    for index, network in enumerate(config.networks):
        if network.bridge is not None:
            path = json_path(("networks", index, "bridge"))
            link = interfaces.find(route, network.bridge)
            if link is None:
                yield f"{path}: expected a bridge of the host, which has no" + _named(
                    network.bridge
                )
            elif interfaces.kind_of(link) != "bridge":
                yield (
                    f"{path}: expected a bridge of the host, which"
                    + _named(network.bridge)
                    + " is not"
                )
        host_name = network.host_interface_name
        if host_name is not None and interfaces.find(route, host_name) is not None:
            path = json_path(("networks", index, "hostInterfaceName"))
            yield f"{path}: expected a free name; the host has an interface" + _named(host_name)


def _named(name: str) -> str:
    return f" {abbreviate(name)}"


def _in_joined(config: Config) -> list[str]:
    """Names that a namespace to be joined has already, or that it is the host's own."""
    namespaces = config.linux.namespaces if config.linux is not None else ()
    number, joined = next((i, n) for i, n in enumerate(namespaces) if n.type == "network")
    if not joined.path:
        return []
    here = json_path(("linux", "namespaces", number, "path"))
    try:
        fd = os.open(joined.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return [f"{here}: cannot be opened: {error.strerror}"]
    try:
        if os.path.samestat(os.fstat(fd), os.stat("/proc/thread-self/ns/net")):
            return [f"{here}: expected another than the host's, for interfaces to be put there"]
        return netlink.inside(fd, lambda route: list(_taken(route, config)))
    finally:
        os.close(fd)


def _taken(route: Any, config: Config) -> Iterator[str]:
    names = {link.get("ifname") for link in interfaces.all_links(route)}
    wanted: list[tuple[tuple[str | int, ...], str | None]] = [
        (("linux", "netDevices", name, "name"), device.name or name)
        for name, device in (config.linux.net_devices if config.linux else {}).items()
    ]
    wanted += [
        (("networks", index, "name"), network.name)
        for index, network in enumerate(config.networks)
        if network.type == "veth"
    ]
    for path, name in wanted:
        if name in names:
            yield (
                f"{json_path(path)}: expected a free name; the namespace to be joined has an"
                f" interface {abbreviate(name)}"
            )
