"""`update`: other limits for a container that lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.transitions.guards import can_update
from runstate.transitions.steps import ApplyResources, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

GUARDS = (can_update,)


def plan(attempt: Attempt) -> list[Step]:
    """Apply the new limits; the former ones, as the saved config has them, are the undo."""
    wanted: dict[str, Any] = attempt.arguments["resources"]
    saved = attempt.state.config if attempt.state is not None else {}
    former = saved.get("linux", {}).get("resources", {})
    return [ApplyResources(wanted, {key: former[key] for key in wanted if key in former})]
