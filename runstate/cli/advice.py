"""An error in the words of the command line: its verbs, and what to type next.

The engine speaks of transitions; whoever types commands knows ``delete`` rather than `destroy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.errors import (
    ConfigInvalid,
    ContainerNotExists,
    IdInUse,
    IllegalTransition,
    InvalidIdFormat,
    RuntimeStateError,
)

if TYPE_CHECKING:
    import argparse

_ENDED = "its program has ended"
_PAUSED = "resume it first"
_ADVICE: dict[tuple[str, str], str] = {
    ("start", "running"): "it has been started already",
    ("start", "pausing"): "it has been started already",
    ("start", "paused"): "it has been started already; `resume` lets it go on",
    ("start", "stopped"): "it cannot be started again: `delete` it, and create it anew",
    ("pause", "created"): "start it first",
    ("pause", "pausing"): "that is being done",
    ("pause", "paused"): "it needs no more",
    ("pause", "stopped"): _ENDED,
    ("resume", "created"): "there is nothing to resume; start it first",
    ("resume", "running"): "there is nothing to resume",
    ("resume", "stopped"): _ENDED,
    ("exec", "pausing"): _PAUSED,
    ("exec", "paused"): _PAUSED,
    ("exec", "stopped"): f"{_ENDED}; exec needs a container that lives",
    ("signal", "stopped"): _ENDED,
    ("destroy", "created"): "`delete --force` deletes it all the same",
    ("destroy", "running"): "`kill` it and wait for its end, or `delete --force` it",
    ("destroy", "pausing"): "`resume` and `kill` it, or `delete --force` it",
    ("destroy", "paused"): "`resume` and `kill` it, or `delete --force` it",
}


_SHOWN = 50  # problems; whoever makes more mistakes than that starts at the top


def lines(error: RuntimeStateError, options: argparse.Namespace) -> list[str]:
    """An error as lines for a person: one, or, where a configuration has many problems, each."""
    told = words(error, options)
    problems = error.problems if isinstance(error, ConfigInvalid) else ()
    if len(problems) < 2:
        return [told]
    subject = told.partition(f": {problems[0]}")[0]
    more = len(problems) - _SHOWN
    return [
        f"{subject}: {len(problems)} problems:",
        *(problem.replace("\n", " ") for problem in problems[:_SHOWN]),
        *([f"and {more} more"] if more > 0 else []),
    ]


def words(error: RuntimeStateError, options: argparse.Namespace) -> str:
    """One error as a line for a person: which command, which container, why, and what now."""
    command: str = options.command
    container_id: str | None = getattr(options, "id", None)
    told = str(error)
    if command == "plan":
        told = told.removeprefix("create container 'plan': ")  # which there is none of
    if container_id is not None:
        if isinstance(error, IllegalTransition):
            advice = _ADVICE.get((error.trigger, error.status))
            if advice is not None:
                return f"{command}: container {container_id!r} is {error.status}; {advice}"
        if isinstance(error, ContainerNotExists):
            return f"{command}: {told}; `list` shows which there are"
        if isinstance(error, IdInUse):
            return (
                f"{command}: a container {container_id!r} exists already; `delete` it first, or"
                " choose another id"
            )
        if not isinstance(error, InvalidIdFormat) and repr(container_id) not in told:
            told = f"container {container_id!r}: {told}"
    return told if told.startswith(command) else f"{command}: {told}"
