"""Repairing what a process that died in the middle of a transition has left.

Its journal ends in a transition without `commit`. Whoever takes the container's lock next
undoes it, step by step and backwards, or finishes it where there is no way back. What the
undo needs is in the journal: the plan, which steps had begun, and what they had noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from runstate.config import load as load_config
from runstate.errors import (
    ContainerBusy,
    ContainerNotExists,
    OperationFailed,
    RuntimeStateError,
    describe,
)
from runstate.linux import processes
from runstate.states.state import ProcessIdentity, SavedSubstate, State
from runstate.states.status import Status
from runstate.transitions.attempt import Attempt
from runstate.transitions.steps import step_from_dict
from runstate.transitions.table import row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runstate.engine.lifecycle import Lifecycle
    from runstate.persistence.directory import ContainerDirectory
    from runstate.persistence.journal import PendingTransition, Record


def repair(lifecycle: Lifecycle) -> None:
    """Undo or finish an interrupted transition; the lock is held.

    Raises:
        ContainerNotExists: That was an interrupted `create` or `destroy`, and now there is no
            container.
    """
    directory = lifecycle.directory
    pending = directory.journal.pending()
    if pending is None:
        if not directory.has_state():
            # Its destroy was committed, and cut off before the directory was gone.
            directory.retire()
            raise ContainerNotExists(f"container {directory.id!r} does not exist any more")
        return
    errors = _end_hooks(lifecycle, pending)
    source = Status(pending.source)
    transition = row(pending.trigger, source)
    if transition is not None and transition.final:
        _close(directory, _words("interrupted; it is finished now", errors))
        finish_destroy(lifecycle, _first_hook(pending))
        raise ContainerNotExists(f"container {directory.id!r}: its interrupted destroy is finished")
    attempt = _attempt(lifecycle, pending, source)
    errors += _undo(lifecycle, attempt, pending)
    words = _words("interrupted; undone by recovery", errors)
    if source is Status.ABSENT:
        _close(directory, words)
        directory.retire()
        raise ContainerNotExists(f"container {directory.id!r}: its interrupted create is undone")
    state = directory.load()
    if state.status != source:
        directory.save(attrs.evolve(state, status=source))
    _close(directory, words)


def _close(directory: ContainerDirectory, words: str) -> None:
    try:
        directory.journal.append("rollback", error=words, ms=0)
    except OperationFailed:
        # A full disk. Whoever comes next undoes it once more, which is as good as once.
        return


def repair_if_free(lifecycle: Lifecycle) -> None:
    """Repair, unless someone is in the middle of a transition right now.

    Raises:
        ContainerNotExists: See ``repair``.
    """
    directory = lifecycle.directory
    if directory.journal.pending() is None and directory.has_state():
        return
    try:
        with lifecycle.locked("recover", 0.0):
            return
    except ContainerBusy:
        return


def _words(words: str, errors: list[RuntimeStateError]) -> str:
    return "; ".join([words, *(describe(error) for error in errors)])


def _attempt(lifecycle: Lifecycle, pending: PendingTransition, source: Status) -> Attempt:
    if source is Status.ABSENT:
        state = from_journal(lifecycle.directory.id, pending.records)
    else:
        state = lifecycle.load()
    context = lifecycle.context(state, load_config(state.config))
    context.substates = {
        room: substate
        for room, substate in context.substates.items()
        if substate.options is not None
    }
    handlers = lifecycle.handlers(state)
    # What hooks have to clean up with here may take a deadline's time, and not more.
    return Attempt(pending.trigger, source, context, handlers, state, {"force": True})


def _end_hooks(lifecycle: Lifecycle, pending: PendingTransition) -> list[RuntimeStateError]:
    """End the hooks of the host that were running when their runtime died."""
    errors: list[RuntimeStateError] = []
    for note in pending.notes:
        if "hook_pid" in note and pending.records[0].data.get("boot_id") == processes.boot_id():
            from runstate.linux import hooks  # noqa: PLC0415 - few have them

            hook = ProcessIdentity(note["hook_pid"], note["hook_start"])
            try:
                hooks.end(hook, lifecycle.deadline)
            except RuntimeStateError as error:
                errors.append(error)  # it has become another user's, say; the rest goes on
    return errors


def _first_hook(pending: PendingTransition) -> int:
    """The index of the first hook of a destroy that is not known to have run to its end."""
    of_plan = {i: step["index"] for i, step in enumerate(pending.plan) if "point" in step}
    left = [index for i, index in of_plan.items() if i not in pending.done]
    return min(left, default=max(of_plan.values(), default=-1) + 1)


def _undo(
    lifecycle: Lifecycle, attempt: Attempt, pending: PendingTransition
) -> list[RuntimeStateError]:
    errors: list[RuntimeStateError] = []
    for index in sorted(pending.begun, reverse=True):
        step = step_from_dict(pending.plan[index])
        lifecycle.directory.journal.append("undo", index=index)
        attempt.context.note = _noting(lifecycle.directory, index)
        try:
            step.undo(attempt)
        except RuntimeStateError as error:
            errors.append(error)
        except OSError as error:
            errors.append(OperationFailed.from_os_error(f"undo: {step.describe()}", error))
    for note in pending.notes:
        # A further process that was on record, but that no caller ever got.
        if attempt.trigger == "exec" and "pid" in note:
            processes.send_signal(ProcessIdentity(note["pid"], note["start"]), 9)
    return errors


def _noting(directory: ContainerDirectory, index: int) -> Callable[[Mapping[str, Any]], None]:
    return lambda facts: directory.journal.append("note", index=index, **facts)


def finish_destroy(lifecycle: Lifecycle, first_hook: int = 0) -> None:
    """Destroy whatever is left, from the saved state or, without one, from the journal.

    Args:
        lifecycle: The container's.
        first_hook: The first of its poststop hooks that has to run.
    """
    directory = lifecycle.directory
    try:
        state = directory.load()
    except RuntimeStateError as unreadable:
        state = from_journal(directory.id, directory.journal.read(strict=False), unreadable)
    context = lifecycle.context(state, load_config(state.config))
    context.substates = {
        room: substate
        for room, substate in context.substates.items()
        if substate.options is not None
    }
    arguments = {"force": True, "first_hook": first_hook}
    attempt = Attempt("destroy", state.status, context, lifecycle.handlers(state), state, arguments)
    transition = row("destroy", state.status)
    assert transition is not None  # noqa: S101 - destroy is legal in every status but absent
    lifecycle.act(attempt, transition)
    directory.retire()


def from_journal(
    container_id: str, records: tuple[Record, ...] | list[Record], cause: Exception | None = None
) -> State:
    """The state as the journal of its `create` tells it, where no saved state can be read.

    Raises:
        OperationFailed: The journal does not tell either.
    """
    facts: dict[str, Any] | None = None
    substates: dict[str, SavedSubstate] = {}
    plan: list[dict[str, Any]] = []
    init: ProcessIdentity | None = None
    created = 0.0
    for record in records:
        data = record.data
        if record.kind == "begin" and data.get("trigger") == "create":
            facts, plan, created = data, data["plan"], record.time
            substates = {room: SavedSubstate(name, None) for room, name in data["handlers"].items()}
        elif facts is None or record.kind == "commit":
            if facts is not None:
                break
        elif record.kind in ("note", "done"):
            step = plan[data["index"]] if "index" in data else {}
            told = data["result"] if record.kind == "done" else data
            if told and "options" in told and "room" in step:
                substates[step["room"]] = SavedSubstate(step["handler"], told["options"])
            if "init_process_pid" in data:
                init = ProcessIdentity(data["init_process_pid"], data["init_process_start"])
    if facts is None:
        raise OperationFailed(
            f"recover container {container_id!r}",
            "neither its state.json nor its journal can be read; its cgroup and directory have"
            " to be removed by hand",
        ) from cause
    committed = [record.data["status"] for record in records if record.kind == "commit"]
    return State(
        id=container_id,
        status=Status(committed[-1]) if committed else Status.CREATED,
        config=facts["config"],
        created=created,
        bundle=facts["bundle"],
        init=init,
        boot_id=facts["boot_id"],
        backend=facts["backend"],
        fs=substates["fs"],
        network=substates["network"],
        exec=substates["exec"],
    )
