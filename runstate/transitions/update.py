"""`update`: other limits for a container that lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.handlers.contract import ability, offers
from runstate.transitions.guards import can_update
from runstate.transitions.steps import ApplyResources, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

GUARDS = (can_update,)


def plan(attempt: Attempt) -> list[Step]:
    """Apply the new limits; what the kernel has now is the undo."""
    wanted: dict[str, Any] = attempt.arguments["resources"]
    former: dict[str, str] = {}
    if offers(attempt.handlers, "limits"):
        former = ability(attempt.handlers, "limits", attempt.context)(attempt.context, wanted)
    return [ApplyResources(wanted, former)]
