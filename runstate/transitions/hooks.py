"""The steps that run hooks of the configuration on the host.

Each hook is a step of its own, so that the journal tells each one's time and end. They are
not the Python hooks of transitions (:mod:`runstate.engine.hooks`).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.errors import RuntimeStateError, describe
from runstate.handlers import hooks
from runstate.handlers.contract import ability
from runstate.linux import hooks as running
from runstate.linux.operations.hooks import words
from runstate.states.oci import CREATING
from runstate.states.status import Status
from runstate.transitions.steps import Step

if TYPE_CHECKING:
    from runstate.states.state import ProcessIdentity
    from runstate.transitions.attempt import Attempt

_STATUS = {
    hooks.PRESTART: CREATING,
    hooks.CREATE_RUNTIME: CREATING,
    hooks.POSTSTART: Status.RUNNING,
    hooks.POSTSTOP: Status.STOPPED,
}


def steps(attempt: Attempt, *points: str) -> list[Step]:
    """A step for each hook of these points."""
    return [
        (RunPoststopHook if point == hooks.POSTSTOP else RunHook)(point, index, hook.path)
        for point in points
        for index, hook in enumerate(hooks.of(attempt.context.config, point))
    ]


@frozen
class RunHook(Step):
    """One hook; a failing `poststart` costs the container its life (runtime.md, Lifecycle)."""

    kind = "hook"
    point: str
    index: int
    path: str

    def describe(self) -> str:
        """See Step."""
        return words(f"{self.point}[{self.index}]", self.path)

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        _run(attempt, self.point, self.index)
        return {"exit_status": 0}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        if self.point == hooks.POSTSTART:
            ability(attempt.handlers, "kill", attempt.context)(attempt.context)


@frozen
class RunPoststopHook(RunHook):
    """One hook whose failure is a warning only."""

    kind = "poststop-hook"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        try:
            return super().act(attempt)
        except (RuntimeStateError, OSError) as error:
            attempt.outcome.setdefault("warnings", []).append(str(error))
            return {"warning": describe(error)}


@frozen
class PoststopIfUndone(Step):
    """Stands at the beginning of `create`, so that its undo is the last."""

    kind = "poststop-if-undone"
    paths: tuple[str, ...]

    def describe(self) -> str:
        """See Step."""
        return f"if this has to be undone, run the hooks poststop: {', '.join(self.paths)}"

    def act(self, _attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        return {}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        first: RuntimeStateError | None = None
        for index in range(len(self.paths)):
            try:
                _run(attempt, hooks.POSTSTOP, index)
            except RuntimeStateError as error:
                if first is None:
                    first = error
                else:
                    first.add_cleanup_error(error)
        if first is not None:
            raise first


KINDS: dict[str, type[Step]] = {
    step.kind: step for step in (RunHook, RunPoststopHook, PoststopIfUndone)
}


def poststop_if_undone(attempt: Attempt) -> list[Step]:
    """The step, if there are such hooks."""
    paths = tuple(hook.path for hook in hooks.of(attempt.context.config, hooks.POSTSTOP))
    return [PoststopIfUndone(paths)] if paths else []


def _run(attempt: Attempt, point: str, index: int) -> None:
    context = attempt.context

    def record(process: ProcessIdentity) -> None:
        context.note({"hook_pid": process.pid, "hook_start": process.start})

    of_point = hooks.commands(context.config, point)
    hook = of_point[index]
    stopped = point == hooks.POSTSTOP
    init = None if stopped or context.init is None else context.init.pid
    limit: float | None = hook.timeout or None
    forced = bool(attempt.arguments.get("force"))
    if forced:
        # What is forced ends in time; what is left of it is for all that are still to run.
        share = context.deadline / (len(of_point) - index)
        limit = share if limit is None else min(limit, share)
    with nullcontext() if forced else hooks.uncounted(context):
        running.run(
            hook,
            hooks.state(context, _STATUS[point], init),
            context.bundle,
            record=record,
            deadline=context.deadline,
            limit=limit,
            interruptible=not forced,
        )
