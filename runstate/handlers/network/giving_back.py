"""Giving the host's interfaces back, and taking away what was made for a container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from runstate.errors import OperationFailed
from runstate.handlers.network import routes
from runstate.handlers.network.attaching import NO_MOVE
from runstate.handlers.network.attachment import (
    Attachment,
    Device,
    HostEnd,
    pin_paths,
    saved,
)
from runstate.linux import interfaces, netlink, pins, processes
from runstate.linux.netlink import doing

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.handlers.contract import HandlerContext
    from runstate.linux.links import Interface

_T = TypeVar("_T")


def detach(context: HandlerContext) -> None:
    """Undo ``attach``, also if it was cut off at any instruction, or undone before."""
    _release(context, saved(context), with_devices=True)


def keep(context: HandlerContext) -> None:
    """Pin both namespaces if they are not, as long as init lives.

    A mount is seen in one mount namespace. A service that has its own loses it when it starts
    again, and its containers may run on.
    """
    attachment = saved(context)
    init = context.init
    if not attachment.devices or attachment.joined or init is None:
        return
    own, of_host = pin_paths(context)
    for path, process in ((own, str(init.pid)), (of_host, "thread-self")):
        pinned = pins.open_pinned(path)
        if pinned is not None:
            os.close(pinned)
            continue
        try:
            namespace = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if processes.is_alive(init):
                pins.pin(namespace, path)
        finally:
            os.close(namespace)


def leave(context: HandlerContext) -> None:
    """Give back what is the host's at the end of the container's life; see above."""
    attachment = saved(context)
    _release(context, attachment, with_devices=not attachment.joined)


def _release(context: HandlerContext, attachment: Attachment, *, with_devices: bool) -> None:
    own, of_host = pin_paths(context)
    problems: list[OperationFailed] = []
    left_out: list[str] = []
    # Namespaces do not outlast a boot; what has hardware is on the host again.
    if attachment.boot_id == processes.boot_id():
        namespace, host = pins.open_pinned(own), pins.open_pinned(of_host)
        try:
            if namespace is not None and host is not None:
                if with_devices:
                    problems += _take_back(attachment.devices, namespace, host, left_out)
                if attachment.joined:
                    problems += _remove(namespace, routes.delete, context.config.routes)
            here = -1 if host is None else host
            problems += _remove(here, _delete_ends, attachment.host_ends)
        finally:
            for fd in (namespace, host):
                if fd is not None:
                    os.close(fd)
    if left_out:
        context.note({"left_out": left_out})
    if not any(isinstance(problem, _StillInside) for problem in problems):
        pins.unpin(own)
        pins.unpin(of_host)
    for second in problems[1:]:
        problems[0].add_cleanup_error(second)
    if problems:
        raise problems[0]


def _remove(
    namespace: int, delete: Callable[[Any, tuple[_T, ...]], None], what: tuple[_T, ...]
) -> list[OperationFailed]:
    try:
        if what:
            netlink.inside(namespace, lambda route: delete(route, what))
    except OperationFailed as error:
        return [error]
    return []


class _StillInside(OperationFailed):
    """An interface could not be moved back; who destroys the container again tries again."""


def _take_back(
    devices: tuple[Device, ...], namespace: int, host: int, left_out: list[str]
) -> list[OperationFailed]:
    """Move the interfaces back and make them what they were; what could not be done.

    Routes are not the interface's own. What has become of the places that they led to nobody
    knows, so one that cannot be set again is put on record, and no error.
    """
    problems: list[OperationFailed] = []
    for device in devices:
        try:
            problems += _take_one_back(device, namespace, host, left_out)
        except OperationFailed as error:
            problems.append(error)
    return problems


def _take_one_back(
    device: Device, namespace: int, host: int, left_out: list[str]
) -> list[OperationFailed]:
    was = device.was
    try:
        name, index = netlink.inside(host, lambda route: _place_on_host(route, was))
        moved = netlink.inside(namespace, lambda route: _move_out(route, device, host, name, index))
    except OperationFailed as error:
        reason = str(error).removeprefix(f"{error.operation}: ")
        return [_StillInside(error.operation, reason, error.errno)]
    new_name = name if moved else None
    left_out += netlink.inside(host, lambda route: _make_as_it_was(route, was, new_name))
    if not moved or name == was.name:
        return []
    reason = f"the host has another of that name by now, so it is called {name!r} there"
    return [OperationFailed(f"give interface {was.name!r} back to the host", reason)]


def _place_on_host(route: Any, was: Interface) -> tuple[str, int]:
    """The name and number to move back to: its own, unless others have taken them."""
    with doing(f"look for interface {was.name!r} on the host"):
        free = interfaces.find(route, was.name) is None
        name = was.name if free else interfaces.free_name(route)
        return name, interfaces.free_indexes(route, [was.index])[0]


def _move_out(route: Any, device: Device, host: int, name: str, index: int) -> bool:
    """Move it from the container's namespace to the host's, if it is there."""
    was = device.was
    with doing(f"move interface {was.name!r} back to the host", NO_MOVE):
        link = interfaces.by_index(route, device.index)
        # Whoever had the rights in the container may have removed it, and made another.
        if link is None or interfaces.kind_of(link) != was.kind:
            return False
        interfaces.move(route, device.index, host, name, index)
    return True


def _make_as_it_was(route: Any, was: Interface, name: str | None) -> list[str]:
    """Its address, size, master, addresses, state and routes, as far as they are not so.

    Without the name that it has just got, it is on the host since an earlier try, or has
    never left; or the container has removed it.

    Returns:
        The routes that could not be set again.
    """
    link = interfaces.by_index(route, was.index) if name is None else interfaces.find(route, name)
    if link is None or interfaces.kind_of(link) != was.kind:
        return []
    index, name = link["index"], str(link.get("ifname"))
    changes = {
        key: value
        for key, value, now in (
            ("address", was.mac, link.get("address") or ""),
            ("mtu", was.mtu, link.get("mtu")),
            ("txqlen", was.tx_queue_len, link.get("txqlen")),
        )
        if value != now
    }
    with doing(f"make interface {name!r} of the host what it was"):
        if changes:
            route.link("set", index=index, **changes)
        master = interfaces.find(route, was.master) if was.master else None
        if master is not None:
            route.link("set", index=index, master=master["index"])
        for address in was.addresses:
            interfaces.add_address(route, index, address, name)
        if was.up:
            route.link("set", index=index, state="up")
    return [
        f"route to {static.destination or 'everything'} through {name}: {refusal}"
        for static in was.routes
        if was.up and (refusal := interfaces.add_static_route(route, index, static))
    ]


def _delete_ends(route: Any, ends: tuple[HostEnd, ...]) -> None:
    for end in ends:
        with doing(f"remove interface {end.name!r} of the host"):
            interfaces.delete(route, end.name, end.mac)
