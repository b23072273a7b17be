"""The network handler ``none``: the container's network is the one it is started in."""

from __future__ import annotations

from runstate.handlers.contract import HandlerContext, Substate


class NoNetwork:
    """For backends without a network namespace."""

    options_type = None

    def create(self, _context: HandlerContext) -> Substate:
        """Nothing to make."""
        return Substate({})

    def run(self, _context: HandlerContext) -> Substate:
        """Nothing to do inside."""
        return Substate({})

    def destroy(self, _context: HandlerContext) -> Substate:
        """Nothing to take away."""
        return Substate({})
