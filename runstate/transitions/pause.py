"""`pause` and `freeze`: first `pausing` is saved, then the freezer is told, then it is `paused`.

A crash or a time-out in between leaves `pausing`, and the kernel is asked how it ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.transitions.guards import can_freeze
from runstate.transitions.steps import Freeze, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

GUARDS = (can_freeze,)


def plan(_attempt: Attempt) -> list[Step]:
    """To save the new status is all."""
    return []


def plan_freeze(_attempt: Attempt) -> list[Step]:
    """Tell the freezer, and wait for the kernel's word."""
    return [Freeze()]
