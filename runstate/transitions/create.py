"""`create`: from nothing to a container whose init waits to be started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.contract import ROOMS
from runstate.transitions.guards import backend_can, config_valid
from runstate.transitions.steps import CreateSubstate, RunSubstate, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

# That the id is valid and free the store decides, by reserving it.
GUARDS = (config_valid, backend_can)


def plan(attempt: Attempt) -> list[Step]:
    """Create, then run, each filesystem, network, exec."""
    names = attempt.handlers.names
    return [CreateSubstate(room, names[room]) for room in ROOMS] + [
        RunSubstate(room, names[room]) for room in ROOMS
    ]
