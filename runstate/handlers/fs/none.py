"""The filesystem handler ``none``: the container sees the host's file systems as they are."""

from __future__ import annotations

from runstate.handlers.contract import HandlerContext, Substate


class NoFilesystem:
    """For backends without a mount namespace."""

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

    def notices(self, context: HandlerContext) -> list[str]:
        """What of the config this handler leaves out."""
        config = context.config
        left_out = [name for name in ("root", "mounts") if getattr(config, name)]
        return [f"{name}: left out, the host's file systems are in sight" for name in left_out]
