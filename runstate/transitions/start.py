"""`start`: init becomes the program. `started`: it has, and nobody put it on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.transitions.guards import init_not_waiting, init_waiting
from runstate.transitions.steps import ReleaseInit, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

GUARDS = (init_waiting,)
STARTED_GUARDS = (init_not_waiting,)


def plan(attempt: Attempt) -> list[Step]:
    """Open the fifo; then the hooks, if there are any."""
    steps: list[Step] = [ReleaseInit()]
    if attempt.context.config.hooks is not None:
        from runstate.transitions import hooks  # noqa: PLC0415 - few have them

        steps += hooks.steps(attempt, "poststart")
    return steps


def plan_started(_attempt: Attempt) -> list[Step]:
    """Nothing is left to do."""
    return []
