"""The steps that plans are made of: frozen values with a description, an act and an undo.

A step's fields are plain JSON, so that a journal carries it and another process can undo it.
Each undo may run twice, and after an act that was cut off at any instruction. Only the step
runner calls ``act`` and ``undo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from attrs import asdict, frozen

from runstate.errors import StateInvalid
from runstate.handlers.contract import ability, offers
from runstate.transitions import exits

if TYPE_CHECKING:
    from runstate.handlers.contract import Substate
    from runstate.transitions.attempt import Attempt


@frozen
class Step:
    """One effect, with its undo."""

    kind: ClassVar[str]

    def describe(self) -> str:
        """What it does, in words; the same before it runs, in the journal and in errors."""
        raise NotImplementedError

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """Do it; the result is JSON, for the journal."""
        raise NotImplementedError

    def undo(self, attempt: Attempt) -> None:
        """Make it undone, also if it was done in part, not at all, or undone before."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for the journal."""
        return {"step": self.kind, **asdict(self), "does": self.describe()}


def _hooks_of(substate: Substate) -> dict[str, Any]:
    """The hooks that init has run in this step, and the milliseconds that each took."""
    ran = substate.objects.pop("hooks", None)
    return {"hooks": ran} if ran else {}


@frozen
class CreateSubstate(Step):
    """A handler's ``create``; its ``destroy`` is the undo."""

    kind = "create"
    room: str
    handler: str

    def describe(self) -> str:
        """See Step."""
        return f"create the {self.room} by handler {self.handler!r}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        substate = attempt.handlers[self.room].create(attempt.context)
        attempt.context.substates[self.room] = substate
        return {"options": exits.unstructure(substate.options)}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        attempt.handlers[self.room].destroy(attempt.context)


@frozen
class RunSubstate(Step):
    """A handler's ``run``; undone by the undo of its ``create``."""

    kind = "run"
    room: str
    handler: str

    def describe(self) -> str:
        """See Step."""
        return f"run the {self.room} by handler {self.handler!r}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        substate = attempt.handlers[self.room].run(attempt.context)
        attempt.context.substates[self.room] = substate
        return {"options": exits.unstructure(substate.options), **_hooks_of(substate)}


@frozen
class AttachNetwork(Step):
    """The network handler's ``attach``; undone by its ``detach``, and the undo of ``create``."""

    kind = "attach"
    handler: str
    work: str = ""  # in the handler's words
    room: str = "network"

    def describe(self) -> str:
        """See Step."""
        work = f": {self.work}" if self.work else ""
        return f"attach the network by handler {self.handler!r}{work}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        attach = ability(attempt.handlers, "attach", attempt.context, room="network")
        substate = attempt.context.substates["network"] = attach(attempt.context)
        return {"options": exits.unstructure(substate.options)}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        if offers(attempt.handlers, "detach", room="network"):
            ability(attempt.handlers, "detach", None, room="network")(attempt.context)


@frozen
class KeepNetwork(Step):
    """The network handler's ``keep``, before the namespace's last process ends."""

    kind = "keep"
    handler: str
    room: str = "network"

    def describe(self) -> str:
        """See Step."""
        return f"keep the network namespace, by handler {self.handler!r}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        ability(attempt.handlers, "keep", attempt.context, room="network")(attempt.context)
        return {}


@frozen
class FinishExec(Step):
    """The exec handler's ``finish``; undone by the undo of its ``create``."""

    kind = "finish"
    handler: str

    def describe(self) -> str:
        """See Step."""
        return f"let init go on, by handler {self.handler!r}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        finish = ability(attempt.handlers, "finish", attempt.context)
        substate = attempt.context.substates["exec"] = finish(attempt.context)
        return {"options": exits.unstructure(substate.options), **_hooks_of(substate)}


@frozen
class DestroySubstate(Step):
    """A handler's ``destroy``. There is no way back from it."""

    kind = "destroy"
    room: str
    handler: str

    def describe(self) -> str:
        """See Step."""
        return f"destroy the {self.room} by handler {self.handler!r}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        attempt.handlers[self.room].destroy(attempt.context)
        return {}


@frozen
class ReleaseInit(Step):
    """Open the exec fifo. A program that runs cannot be made not to have run."""

    kind = "release"

    def describe(self) -> str:
        """See Step."""
        return "open the exec fifo, so that init becomes the program"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        ran = ability(attempt.handlers, "release", attempt.context)(attempt.context)
        return {"hooks": ran} if ran else {}


@frozen
class Freeze(Step):
    """Stop all processes."""

    kind = "freeze"

    def describe(self) -> str:
        """See Step."""
        return "freeze all processes"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        ability(attempt.handlers, "freeze", attempt.context)(attempt.context)
        return {}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        ability(attempt.handlers, "thaw", attempt.context)(attempt.context)


@frozen
class Thaw(Step):
    """Let all processes go on."""

    kind = "thaw"

    def describe(self) -> str:
        """See Step."""
        return "thaw all processes"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        ability(attempt.handlers, "thaw", attempt.context)(attempt.context)
        return {}


@frozen
class Kill(Step):
    """End all processes."""

    kind = "kill"

    def describe(self) -> str:
        """See Step."""
        return "kill all processes"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        ability(attempt.handlers, "kill", attempt.context)(attempt.context)
        return {}


@frozen
class CollectExit(Step):
    """Learn how init ended, as far as anyone knows."""

    kind = "collect-exit"

    def describe(self) -> str:
        """See Step."""
        return "learn the exit status of init"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        status = exits.collect(attempt.context)
        attempt.outcome["exit"] = status
        return {"code": status.code, "signal": status.signal}


@frozen
class ApplyResources(Step):
    """Change limits; the undo puts back what the handler's ``limits`` told before."""

    kind = "apply-resources"
    resources: dict[str, Any]
    former: dict[str, str]

    def describe(self) -> str:
        """See Step."""
        return f"apply the limits {self.resources}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        ability(attempt.handlers, "update", attempt.context)(attempt.context, self.resources)
        if attempt.state is not None:
            attempt.outcome["config"] = _with_resources(attempt.state.config, self.resources)
        return {}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        if self.former:
            restore = ability(attempt.handlers, "restore_limits", attempt.context)
            restore(attempt.context, self.former)


def _with_resources(config: dict[str, Any], resources: dict[str, Any]) -> dict[str, Any]:
    """A config with new limits beside those of its limits that are not named."""
    from runstate.config.merging import merge_resources  # noqa: PLC0415 - only `update` asks

    linux = config.get("linux", {})
    merged = merge_resources(linux.get("resources", {}), resources)
    return {**config, "linux": {**linux, "resources": merged}}


@frozen
class StartProcess(Step):
    """A further process; what has started is killed if the transition does not come about."""

    kind = "start-process"
    args: tuple[str, ...]

    def describe(self) -> str:
        """See Step."""
        return f"start the process {' '.join(self.args)!r}"

    def act(self, attempt: Attempt) -> dict[str, Any]:
        """See Step."""
        start = ability(attempt.handlers, "exec", attempt.context)
        child = start(attempt.context, attempt.arguments["spec"])
        attempt.outcome["child"] = child
        return {"pid": child.identity.pid, "start": child.identity.start}

    def undo(self, attempt: Attempt) -> None:
        """See Step."""
        child = attempt.outcome.pop("child", None)
        if child is not None:
            child.kill(attempt.context.deadline)
            child.close()
        if offers(attempt.handlers, "forget"):
            ability(attempt.handlers, "forget", attempt.context)(attempt.context)


_KINDS: dict[str, type[Step]] = {
    step.kind: step
    for step in (
        CreateSubstate, RunSubstate, AttachNetwork, KeepNetwork, FinishExec, DestroySubstate,
        ReleaseInit, Freeze, Thaw, Kill, CollectExit, ApplyResources, StartProcess,
    )
}  # fmt: skip

_OF_HOOKS = ("hook", "poststop-hook", "poststop-if-undone")


def step_from_dict(data: dict[str, Any]) -> Step:
    """A step as a journal has it.

    Raises:
        StateInvalid: This version knows no such step.
    """
    fields = {key: value for key, value in data.items() if key not in ("step", "does")}
    kinds = _KINDS
    if data.get("step") in _OF_HOOKS:
        from runstate.transitions import hooks  # noqa: PLC0415 - few have them

        kinds = hooks.KINDS
    try:
        return kinds[data["step"]](**fields)
    except (KeyError, TypeError) as error:
        raise StateInvalid(
            f"read step {data.get('step')!r} of a journal: this version of runstate has no such"
            " step; use the version that wrote it"
        ) from error
