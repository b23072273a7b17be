"""The machine: every transition that a container can make, in one table.

A container is in one of five statuses, or absent. A *trigger* asks for a change. The table
says from which statuses a trigger is legal and where it leads; everything that decides about
legality is here, and the code, the tests, ``runstate diagram`` and the docs are made from it.

Deciding and acting are apart. A row's *guards* are checks that change nothing and raise what
is wrong. Its *plan* is a list of steps, made without touching the host. The step runner acts;
the status moves only when the last step has succeeded. An illegal trigger raises, and nothing
has happened.

Some triggers nobody asks for: a saved status is a claim, and when the kernel says otherwise,
`exited`, `started`, `freeze` or `resume` settle it, journalled like any other
(:mod:`runstate.states.invariants`).

To add a transition, add one row and one module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from runstate.errors import (
    ContainerNotPaused,
    ContainerNotRunning,
    ContainerNotStopped,
    ContainerPaused,
    IllegalTransition,
)
from runstate.states.status import Status
from runstate.transitions import (
    checkpoint,
    create,
    destroy,
    exec,  # noqa: A004 - the field's word
    exited,
    pause,
    resume,
    start,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.transitions.attempt import Attempt
    from runstate.transitions.steps import Step

    Guard = Callable[[Attempt], None]
    Plan = Callable[[Attempt], list[Step]]


@frozen
class Transition:
    """One row of the table.

    Attributes:
        trigger: What is asked for.
        sources: The statuses from which it is legal.
        dest: Where it leads; None: back to where it was.
        plan: Makes the steps.
        guards: What must hold before, in this order.
        final: Whether there is no way back: the steps are all tried, whatever fails, and what
            was cut off is finished rather than undone.
    """

    trigger: str
    sources: tuple[Status, ...]
    dest: Status | None
    plan: Plan
    guards: tuple[Guard, ...] = ()
    final: bool = False

    def dest_from(self, source: Status) -> Status:
        """Where it leads from this status."""
        return source if self.dest is None else self.dest


_ABSENT, _CREATED, _RUNNING = Status.ABSENT, Status.CREATED, Status.RUNNING
_PAUSING, _PAUSED, _STOPPED = Status.PAUSING, Status.PAUSED, Status.STOPPED
_ALIVE = (_CREATED, _RUNNING, _PAUSING, _PAUSED)

TABLE: tuple[Transition, ...] = (
    Transition("create", (_ABSENT,), _CREATED, create.plan, create.GUARDS),
    Transition("start", (_CREATED,), _RUNNING, start.plan, start.GUARDS),
    Transition("started", (_CREATED,), _RUNNING, start.plan_started, start.STARTED_GUARDS),
    Transition("pause", (_RUNNING,), _PAUSING, pause.plan, pause.GUARDS),
    Transition("freeze", (_PAUSING,), _PAUSED, pause.plan_freeze, pause.GUARDS),
    Transition("resume", (_PAUSING, _PAUSED), _RUNNING, resume.plan),
    Transition("exited", _ALIVE, _STOPPED, exited.plan, exited.GUARDS),
    Transition("update", (_CREATED, _RUNNING, _PAUSED), None, update.plan, update.GUARDS),
    Transition("exec", (_CREATED, _RUNNING), None, exec.plan, exec.GUARDS),
    Transition("checkpoint", (_RUNNING, _PAUSED), _STOPPED, checkpoint.plan, checkpoint.GUARDS),
    Transition(
        "restore", (_ABSENT, _STOPPED), _RUNNING, checkpoint.plan, checkpoint.RESTORE_GUARDS
    ),
    Transition("destroy", (_STOPPED,), _ABSENT, destroy.plan, final=True),
    Transition("destroy", _ALIVE, _ABSENT, destroy.plan, destroy.FORCED_GUARDS, final=True),
)

# What nobody asks for: these bring a saved status to what the kernel says.
_OF_THE_KERNEL = frozenset({"started", "freeze", "exited"})

TRIGGERS: tuple[str, ...] = tuple(dict.fromkeys(row.trigger for row in TABLE))


def row(trigger: str, source: Status) -> Transition | None:
    """The row for a trigger in a status; None if it is illegal there."""
    for transition in TABLE:
        if transition.trigger == trigger and source in transition.sources:
            return transition
    return None


def allowed(status: Status) -> tuple[str, ...]:
    """The triggers that are legal in a status."""
    return tuple(dict.fromkeys(row.trigger for row in TABLE if status in row.sources))


def illegal(trigger: str, status: Status, container_id: str) -> IllegalTransition:
    """The error for a trigger that a status does not allow, by libcontainer's code for it."""
    legal = allowed(status)
    kind = _illegal_kind(trigger, status)
    of_callers = [name for name in legal if name not in _OF_THE_KERNEL]
    return kind(
        f"{trigger} container {container_id!r}: it is {status}, which allows only"
        f" {', '.join(of_callers)}",
        trigger=trigger,
        status=status,
        allowed=legal,
    )


def _illegal_kind(trigger: str, status: Status) -> type[IllegalTransition]:
    if trigger == "resume":
        return ContainerNotPaused
    if trigger in ("destroy", "restore"):
        return ContainerNotStopped
    if status in (_PAUSING, _PAUSED):
        return ContainerPaused
    if trigger in ("pause", "freeze", "exec", "update", "checkpoint", "exited"):
        return ContainerNotRunning
    return IllegalTransition
