"""`exec`: a further process inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.transitions.guards import can_exec
from runstate.transitions.steps import StartProcess, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

GUARDS = (can_exec,)


def plan(attempt: Attempt) -> list[Step]:
    """Start it."""
    return [StartProcess(tuple(attempt.arguments["spec"].process.args))]
