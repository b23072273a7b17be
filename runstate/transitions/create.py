"""`create`: from nothing to a container whose init waits to be started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.contract import ROOMS, ability, attaches, offers
from runstate.transitions.guards import backend_can, config_valid
from runstate.transitions.steps import (
    AttachNetwork,
    CreateSubstate,
    FinishExec,
    RunSubstate,
    Step,
)

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt

# That the id is valid and free the store decides, by reserving it.
GUARDS = (config_valid, backend_can)


def plan(attempt: Attempt) -> list[Step]:
    """Create, then run, each filesystem, network, exec; and let the host do its part, if any."""
    names = attempt.handlers.names
    steps: list[Step] = [CreateSubstate(room, names[room]) for room in ROOMS]
    hooks_of_host: list[Step] = []
    if attempt.context.config.hooks is not None:
        from runstate.transitions import hooks  # noqa: PLC0415 - few have them

        steps[:0] = hooks.poststop_if_undone(attempt)
        hooks_of_host = hooks.steps(attempt, "prestart", "createRuntime")
    steps += [RunSubstate(room, names[room]) for room in ROOMS]
    meets_host = attempt.context.meets_host
    if meets_host and attaches(attempt.handlers, attempt.context):
        steps.append(AttachNetwork(names["network"], _network_s_work(attempt)))
    steps += hooks_of_host
    if meets_host:
        steps.append(FinishExec(names["exec"]))
    return steps


def _network_s_work(attempt: Attempt) -> str:
    if not offers(attempt.handlers, "work", room="network"):
        return ""
    work: str = ability(attempt.handlers, "work", None, room="network")(attempt.context)
    return work
