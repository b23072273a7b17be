"""`destroy`: nothing of the container is left on the host.

There is no way back: whatever fails, the steps after it are still tried, and a destroy that
was cut off is finished by whoever comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.contract import ROOMS, keeps
from runstate.transitions.guards import forced
from runstate.transitions.steps import DestroySubstate, KeepNetwork, Kill, Step

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

FORCED_GUARDS = (forced,)


def plan(attempt: Attempt) -> list[Step]:
    """Kill what may be left, then destroy exec, network, filesystem; then the hooks, if any."""
    names = attempt.handlers.names
    steps: list[Step] = [Kill()]
    if keeps(attempt.handlers, attempt.context):
        steps.insert(0, KeepNetwork(names["network"]))
    steps += (DestroySubstate(room, names[room]) for room in reversed(ROOMS))
    if attempt.context.config.hooks is not None:
        from runstate.transitions import hooks  # noqa: PLC0415 - few have them

        steps += hooks.steps(attempt, "poststop")[attempt.arguments.get("first_hook", 0) :]
    return steps
