"""The network handler ``interfaces``: loopback, pairs of interfaces, and the host's own.

Loopback is one ioctl, in init. All else is made by netlink from the host, while init waits
with its network namespace made, and lives in :mod:`runstate.handlers.network.attaching`: a
config that asks for nothing of it does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.contract import HandlerContext, InterfaceStats, Substate
from runstate.linux import operations, processes

if TYPE_CHECKING:
    from runstate.config import Config
    from runstate.linux.operations import Operation


class NetworkInterfaces:
    """A namespace that is new has its loopback up; the others come as the config says."""

    options_type = None  # plain JSON: empty, or what `attach` has noted

    def check(self, context: HandlerContext) -> list[str]:
        """What of the interfaces this host cannot do."""
        if not _asks_host(context.config):
            return []
        from runstate.handlers.network.missing import missing_on_host  # noqa: PLC0415

        return missing_on_host(context)

    def create(self, _context: HandlerContext) -> Substate:
        """Nothing to make before there is a namespace."""
        return Substate({})

    def run(self, context: HandlerContext) -> Substate:
        """Setting loopback up, for init to do."""
        return Substate({}, operations=self.preview(context))

    def preview(self, context: HandlerContext) -> tuple[Operation, ...]:
        """The operations of ``run``; none where the host's network is shared."""
        config = context.config
        namespaces = config.linux.namespaces if config.linux is not None else ()
        network = next((n for n in namespaces if n.type == "network"), None)
        if network is None:
            return ()
        wanted = not network.path or any(n.type == "loopback" for n in config.networks)
        return (operations.link_up("lo"),) if wanted else ()

    def attaches(self, context: HandlerContext) -> bool:
        """Whether the config asks for anything that the host has to do."""
        return _asks_host(context.config)

    def work(self, context: HandlerContext) -> str:
        """What ``attach`` will do, in words."""
        config = context.config
        devices = config.linux.net_devices if config.linux is not None else {}
        does = [f"move {name} in as {device.name or name}" for name, device in devices.items()]
        does += [
            f"make a pair, {network.name} inside"
            + (f" and the other end on bridge {network.bridge}" if network.bridge else "")
            for network in config.networks
            if network.type == "veth"
        ]
        does += [f"set a route to {route.destination or 'everything'}" for route in config.routes]
        return "; ".join(does)

    def attach(self, context: HandlerContext) -> Substate:
        """Move and make interfaces, and set routes; init waits."""
        from runstate.handlers.network.attaching import attach  # noqa: PLC0415 - imports pyroute2

        return attach(context)

    def detach(self, context: HandlerContext) -> None:
        """Undo ``attach``, also if it was cut off."""
        if _options(context):
            from runstate.handlers.network.giving_back import detach  # noqa: PLC0415

            detach(context)

    def keeps(self, context: HandlerContext) -> bool:
        """Whether there is anything in the namespace that has to come out again."""
        return _options(context)

    def keep(self, context: HandlerContext) -> None:
        """Pin the namespaces again, where nobody sees the pins any more."""
        from runstate.handlers.network.giving_back import keep  # noqa: PLC0415

        keep(context)

    def destroy(self, context: HandlerContext) -> Substate:
        """Give back what came from the host, and take away what was made there."""
        if _options(context):
            from runstate.handlers.network.giving_back import leave  # noqa: PLC0415

            leave(context)
        return Substate({})

    def stats(self, context: HandlerContext) -> dict[str, InterfaceStats]:
        """Counters of the container's interfaces (proc(5), /proc/PID/net/dev)."""
        if context.init is None:
            return {}
        try:
            text = processes.read_text(f"/proc/{context.init.pid}/net/dev")
        except (FileNotFoundError, ProcessLookupError):
            return {}
        interfaces = {}
        for line in text.splitlines()[2:]:
            name, _, counters = line.partition(":")
            values = [int(value) for value in counters.split()]
            interfaces[name.strip()] = InterfaceStats(
                rx_bytes=values[0],
                rx_packets=values[1],
                rx_errors=values[2],
                rx_dropped=values[3],
                tx_bytes=values[8],
                tx_packets=values[9],
                tx_errors=values[10],
                tx_dropped=values[11],
            )
        return interfaces


def _asks_host(config: Config) -> bool:
    if config.routes or any(network.type != "loopback" for network in config.networks):
        return True
    return config.linux is not None and bool(config.linux.net_devices)


def _options(context: HandlerContext) -> bool:
    substate = context.substates.get("network")
    return substate is not None and bool(substate.options)
