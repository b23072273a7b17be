"""The routes that a config gives a container."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from pyroute2 import NetlinkError

from runstate.linux import interfaces
from runstate.linux.netlink import doing

if TYPE_CHECKING:
    from runstate.config.networks import Route

_OURS, _STATIC = 82, 4  # RTPROT_*: in a namespace that is another's, ours are marked
_LINK_SCOPE = 253
_GONE = (errno.ESRCH, errno.ENODEV, errno.ENETUNREACH)
_NO_ROUTE = {
    errno.ENETUNREACH: "no interface of the container reaches that gateway",
    errno.EHOSTUNREACH: "no interface of the container reaches that gateway",
    errno.EEXIST: "the container has such a route already",
}


def add(route: Any, wanted: tuple[Route, ...], *, marked: bool) -> None:
    """Set the routes, in their order.

    Args:
        route: Of the container's namespace.
        wanted: The config's.
        marked: Whether they have to be told from those of others, to be removed again.
    """
    for one in wanted:
        through = " and ".join(filter(None, (one.gateway, one.interface_name)))
        destination = one.destination or "everything"
        with doing(f"set the container's route to {destination} through {through}", _NO_ROUTE):
            protocol = _OURS if marked else _STATIC
            route.route("add", proto=protocol, **_attributes(route, one))


def add_default(route: Any, gateway: str, index: int) -> None:
    """Set the default route of the gateway's family."""
    family = _family(gateway)
    with doing(f"set the container's default route through {gateway}", _NO_ROUTE):
        route.route("add", dst="default", gateway=gateway, oif=index, family=family, proto=_STATIC)


def delete(route: Any, wanted: tuple[Route, ...]) -> None:
    """Remove those that were marked; what is gone is gone."""
    for one in wanted:
        with doing(f"remove the route to {one.destination or 'everything'}"):
            try:
                route.route("del", proto=_OURS, **_attributes(route, one))
            except (OSError, NetlinkError) as error:
                number = error.code if isinstance(error, NetlinkError) else error.errno
                if number not in _GONE:
                    raise


def _family(address: str) -> int:
    version = ipaddress.ip_interface(address).version
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _attributes(route: Any, wanted: Route) -> dict[str, Any]:
    known = wanted.destination or wanted.gateway or wanted.source
    family = _family(known) if known else socket.AF_INET
    attributes: dict[str, Any] = {"dst": wanted.destination or "default", "family": family}
    if wanted.gateway is not None:
        attributes["gateway"] = wanted.gateway
    elif family == socket.AF_INET:
        attributes["scope"] = _LINK_SCOPE
    if wanted.source is not None:
        attributes["prefsrc"] = wanted.source
    if wanted.interface_name is not None:
        link = interfaces.find(route, wanted.interface_name)
        if link is None:
            raise OSError(errno.ENODEV, "")
        attributes["oif"] = link["index"]
    return attributes
