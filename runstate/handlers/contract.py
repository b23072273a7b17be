"""The contracts of filesystem, network and exec handlers, and what passes through them.

A handler has ``create``, ``run`` and ``destroy``. No handler code runs inside the container:
``run`` works from outside and returns, in its substate, the operations that init executes
inside. Create and run go filesystem, network, exec; destroy goes back.

A handler may offer more, and a guard asks before it is relied on (``ability``):

========== ==================================================================================
ability    meaning
========== ==================================================================================
check      problems with a config, before any effect: ``check(config) -> list[str]``
preview    the operations that ``run`` would return, touching nothing
notices    what had to be left out on this host: ``notices(context) -> list[str]``
attaches   whether ``attach`` is wanted for this config: ``attaches(context) -> bool``
attach     the network's work on the host once the namespaces exist, between ``run`` and ``finish``
work       what ``attach`` will do, in words: ``work(context) -> str``
detach     the undo of ``attach``, before that of ``create``
keeps      whether ``keep`` is wanted before the processes end: ``keeps(context) -> bool``
keep       make sure that what ``destroy`` needs of the network namespace outlasts its processes
finish     let init, which met the host, go on to where it waits to be started
runs_hooks no function, but True: its init runs the hooks of the container's namespaces
waiting    whether init still waits to be started
release    let init become the program, and wait until it has
signal     send a signal to init
kill       kill every process and wait until all are gone
freeze     stop every process, wait until the kernel says so; with ``thaw`` and ``frozen``
processes  the pids of all processes, as the host sees them
stats      what the container uses
exec       another process inside
forget     drop what is on record of processes that are gone
takes      no function, but names of sections for other platforms that it does take (``vm``)
notify_oom an iterator of the times that memory runs out; ``notify_memory_pressure`` of those that
           it gets tight
update     change resource limits; undone by ``restore_limits`` of what ``limits`` told before
========== ==================================================================================
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import define, field, frozen

from runstate.errors import NotSupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runstate.config import Config
    from runstate.linux.operations import Operation
    from runstate.states.state import ProcessIdentity

_DEADLINE = 10.0  # seconds
_LEAST = 0.1
ROOMS = ("fs", "network", "exec")


@define
class Substate:
    """What a handler must remember between calls.

    Attributes:
        options: Saved as JSON: an attrs instance of the handler's ``options_type``, or JSON.
        objects: Live things such as descriptors and sockets; never saved.
        operations: What init shall execute inside; only from ``run``, never saved.
    """

    options: Any
    objects: dict[str, Any] = field(factory=dict)
    operations: tuple[Operation, ...] = ()


@define
class HandlerContext:
    """What a handler is told about the container it works on.

    Attributes:
        id: The container's id.
        directory: The container's own directory below the root.
        bundle: The bundle's directory; relative paths of the config start there.
        config: The OCI configuration.
        stdio: The descriptors that become the program's 0, 1 and 2.
        descriptors: Further ones for init, by name: a handler's ``create`` puts them here, they
            are sent with the process, and closed when the transition is over.
        meets_host: Whether init, once all namespaces and mounts are made, waits for the host
            to do its part in them, before the host is out of sight.
        init: The init process, once there is one.
        substates: By room; a room that has not been created yet is absent.
        note: Put facts on record in the journal at once, before an effect that needs them.
        expires: When all that this transition waits for has to be over, by time.monotonic().
    """

    id: str
    directory: str
    bundle: str
    config: Config
    stdio: tuple[int, int, int] = (0, 1, 2)
    descriptors: dict[str, int] = field(factory=dict)
    meets_host: bool = False
    init: ProcessIdentity | None = None
    substates: dict[str, Substate] = field(factory=dict)
    note: Callable[[Mapping[str, Any]], None] = lambda _facts: None
    expires: float = field(factory=lambda: time.monotonic() + _DEADLINE)

    @property
    def deadline(self) -> float:
        """How long what waits may still take, in seconds; never quite nothing."""
        return max(_LEAST, self.expires - time.monotonic())

    def descriptor(self, name: str) -> int:
        """Which of init's further descriptors this is; -1 where there is only a plan."""
        names = list(self.descriptors)
        return names.index(name) if name in names else -1

    def close_descriptors(self) -> None:
        """Give up the descriptors that were for init."""
        while self.descriptors:
            os.close(self.descriptors.popitem()[1])

    def operations(self) -> tuple[Operation, ...]:
        """What the rooms before exec want executed inside."""
        return tuple(
            operation
            for room in ("fs", "network")
            if room in self.substates
            for operation in self.substates[room].operations
        )


@runtime_checkable
class Handler(Protocol):
    """What all three contracts share."""

    def create(self, context: HandlerContext) -> Substate:
        """Prepare on the host, before any process exists."""

    def run(self, context: HandlerContext) -> Substate:
        """The namespaces exist, the program does not run yet."""

    def destroy(self, context: HandlerContext) -> Substate:
        """Take everything away; called twice must be as good as once."""


class FilesystemHandler(Handler, Protocol):
    """Makes the rootfs and what is mounted in it."""


class NetworkHandler(Handler, Protocol):
    """Makes the network namespace's inside."""


class ExecHandler(Handler, Protocol):
    """Makes, feeds, stops and ends the processes."""


@frozen
class Handlers:
    """The three handlers of a container, with the names they are registered under."""

    fs: Handler
    network: Handler
    exec: Handler
    names: dict[str, str]

    def __getitem__(self, room: str) -> Handler:
        handler: Handler = getattr(self, room)
        return handler


@frozen
class ProcessSpec:
    """A further process: the ``process`` object of the OCI config, and its streams."""

    process: Any
    stdio: tuple[int, int, int]


@frozen
class Stats:
    """What a container uses. None: this host or backend does not tell.

    Attributes:
        cgroup: What the cgroup controllers count.
        network: For each interface, what it has received and sent.
        processes: How many processes there are.
    """

    cgroup: Any
    network: dict[str, InterfaceStats]
    processes: int


@frozen
class InterfaceStats:
    """Counters of one network interface (proc(5), /proc/net/dev)."""

    rx_bytes: int
    rx_packets: int
    tx_bytes: int
    tx_packets: int
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


def ability(
    handlers: Handlers,
    name: str,
    context: HandlerContext | None,
    *,
    room: str = "exec",
    doing: str | None = None,
) -> Callable[..., Any]:
    """The handler's function of this name.

    Args:
        handlers: The container's.
        name: The ability.
        context: The container's, to ask whether the ability can be used with it.
        room: Which of the handlers.
        doing: What it is wanted for, in the words of an error; else the ability's name.

    Raises:
        NotSupported: The handler has none, or says (``lacks``) why it cannot be used here.
    """
    handler = handlers[room]
    function = getattr(handler, name, None)
    if function is None:
        target = "" if context is None else f" container {context.id!r}"
        raise NotSupported(
            f"{doing or name}{target}: the {room} handler {handlers.names[room]!r} cannot do that"
        )
    lacks = getattr(handler, "lacks", None)
    if lacks is not None and context is not None:
        reason = lacks(context, name)
        if reason:
            raise NotSupported(f"{doing or name} container {context.id!r}: {reason}")
    result: Callable[..., Any] = function
    return result


def offers(handlers: Handlers, name: str, *, room: str = "exec") -> bool:
    """Whether a handler has a function of this name at all."""
    return getattr(handlers[room], name, None) is not None


def attaches(handlers: Handlers, context: HandlerContext) -> bool:
    """Whether the network handler has work on the host once the namespaces exist."""
    if not offers(handlers, "attaches", room="network"):
        return False
    return bool(ability(handlers, "attaches", None, room="network")(context))


def keeps(handlers: Handlers, context: HandlerContext) -> bool:
    """Whether the network namespace has something that has to outlast the processes."""
    if not offers(handlers, "keeps", room="network"):
        return False
    return bool(ability(handlers, "keeps", None, room="network")(context))


def meets_host(handlers: Handlers, context: HandlerContext) -> bool:
    """Whether init has to wait for the host's part (``HandlerContext.meets_host``)."""
    if not offers(handlers, "finish"):
        return False
    hooks = context.config.hooks
    if hooks is not None and (hooks.prestart or hooks.create_runtime):
        return True
    return attaches(handlers, context)
