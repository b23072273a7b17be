"""`exited`: init is gone, and the saved status follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.transitions.guards import init_gone
from runstate.transitions.steps import CollectExit, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

GUARDS = (init_gone,)


def plan(_attempt: Attempt) -> list[Step]:
    """Learn how it ended."""
    return [CollectExit()]
