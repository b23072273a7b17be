"""The network handler ``loopback``: a new network namespace with its loopback up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.contract import HandlerContext, InterfaceStats, Substate
from runstate.linux import operations, processes

if TYPE_CHECKING:
    from runstate.linux.operations import Operation


class LoopbackNetwork:
    """The namespace is init's, and ends with it; loopback is the only interface."""

    options_type = None

    def create(self, _context: HandlerContext) -> Substate:
        """Nothing to make on the host."""
        return Substate({})

    def run(self, context: HandlerContext) -> Substate:
        """Setting loopback up, for init to do."""
        return Substate({}, operations=self.preview(context))

    def preview(self, context: HandlerContext) -> tuple[Operation, ...]:
        """The operations of ``run``; none where the host's network is shared."""
        linux = context.config.linux
        namespaces = linux.namespaces if linux is not None else ()
        own = any(n.type == "network" and not n.path for n in namespaces)
        return (operations.link_up("lo"),) if own else ()

    def destroy(self, _context: HandlerContext) -> Substate:
        """Nothing to take away."""
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
            interfaces[name.strip()] = InterfaceStats(values[0], values[1], values[8], values[9])
        return interfaces
