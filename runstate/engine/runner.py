"""The step runner: the one place that acts, undoes, and journals both.

One transition in the journal::

    begin    trigger, source, dest, the plan, who acts
    intent   index                              (of each step, before it acts)
    note     index, facts                       (what must be on record before an effect)
    done     index, ms, result        or  failed   index, error
    undo     index                              (backwards, if one has failed)
    commit   status, ms               or  rollback error
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from runstate.errors import OperationFailed, RuntimeStateError, describe
from runstate.linux import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runstate.persistence.journal import Journal
    from runstate.transitions.attempt import Attempt
    from runstate.transitions.steps import Step
    from runstate.transitions.table import Transition


class StepRunner:
    """Runs one transition's plan."""

    def __init__(self, journal: Journal, attempt: Attempt, transition: Transition) -> None:
        self._journal = journal
        self._attempt = attempt
        self._transition = transition
        self._started = time.perf_counter()
        # Results wait for the next intent, so that the two are one write. An effect is on
        # record by its intent; that it was done, a reader may learn a moment later.
        self._unwritten: list[tuple[str, dict[str, Any]]] = []

    def run(self, plan: list[Step], facts: Mapping[str, Any], save: Callable[[], None]) -> None:
        """Journal, act, save, commit; or undo everything and raise the first error.

        Args:
            plan: The steps.
            facts: More to put on record at the beginning.
            save: Saves the new state, between the last step and the commit.
        """
        attempt, transition = self._attempt, self._transition
        dest = transition.dest_from(attempt.status)
        begin = {
            "trigger": attempt.trigger,
            "source": attempt.status,
            "dest": dest,
            "plan": [step.to_dict() for step in plan],
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
            "boot_id": processes.boot_id(),
            **facts,
        }
        self._unwritten.append(("begin", begin))
        index = -1
        try:
            if transition.final:
                self._act_all(plan)
            else:
                for index, step in enumerate(plan):
                    self._act(index, step)
            self._write()
            save()
        except BaseException as error:
            if not transition.final:
                self._undo(plan[: index + 1], error)
            self._unwritten.append(("rollback", {"error": describe(error), "ms": self._elapsed()}))
            self._write_if_possible(error)
            raise
        self._unwritten.append(("commit", {"status": dest, "ms": self._elapsed()}))
        self._write()

    def _act(self, index: int, step: Step) -> None:
        self._unwritten.append(("intent", {"index": index}))
        self._write()
        self._attempt.context.note = partial(self._note, index)
        started = time.perf_counter()
        try:
            result = step.act(self._attempt)
        except BaseException as error:
            failed = {"index": index, "error": describe(error), "ms": _since(started)}
            self._unwritten.append(("failed", failed))
            if isinstance(error, OSError) and not isinstance(error, RuntimeStateError):
                doing = f"{self._attempt.trigger} container {self._attempt.id!r}: {step.describe()}"
                raise OperationFailed.from_os_error(doing, error) from error
            raise
        finally:
            # The context leads back here: what is a cycle lives until the collector comes by,
            # and with it the descriptors of a container that nobody holds any more.
            self._attempt.context.note = _nothing
        done = {"index": index, "ms": _since(started), "result": result}
        self._unwritten.append(("done", done))

    def _note(self, index: int, facts: Mapping[str, Any]) -> None:
        self._unwritten.append(("note", {"index": index, **facts}))
        self._write()

    def _act_all(self, plan: list[Step]) -> None:
        """Every step, whatever fails; the first error is raised at the end."""
        first: RuntimeStateError | None = None
        for index, step in enumerate(plan):
            try:
                self._act(index, step)
            except RuntimeStateError as error:
                if first is None:
                    first = error
                else:
                    first.add_cleanup_error(error)
        if first is not None:
            raise first

    def _undo(self, plan: list[Step], error: BaseException) -> None:
        for index in reversed(range(len(plan))):
            self._unwritten.append(("undo", {"index": index}))
            self._write_if_possible(error)
            self._attempt.context.note = partial(self._note, index)
            try:
                plan[index].undo(self._attempt)
            except (RuntimeStateError, OSError) as second:
                attach(error, second)
            finally:
                self._attempt.context.note = _nothing

    def _write(self) -> None:
        entries, self._unwritten = self._unwritten, []
        try:
            self._journal.append_many(entries)
        except OperationFailed:
            # A full disk costs a destroy its history, but must not keep it from its work.
            if not self._transition.final:
                raise

    def _write_if_possible(self, error: BaseException) -> None:
        try:
            self._write()
        except RuntimeStateError as second:
            attach(error, second)

    def _elapsed(self) -> float:
        return _since(self._started)


def attach(error: BaseException, second: BaseException) -> None:
    """Put an error met while undoing beside the one that made it necessary."""
    if isinstance(error, RuntimeStateError):
        error.add_cleanup_error(second)
    else:
        error.add_note(f"while cleaning up: {describe(second)}")


def _nothing(_facts: Mapping[str, Any]) -> None:
    """No step is acting."""


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
