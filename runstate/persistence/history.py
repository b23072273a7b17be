"""Journals of containers that are gone, and how a journal reads as a list of transitions."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.persistence.files import failure
from runstate.persistence.journal import Journal
from runstate.persistence.names import directory_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runstate.persistence.journal import Record

_COUNT = 1000
_BYTES = 64 * 1024 * 1024
_PRUNE_EVERY = 64  # at most
_STAMP = 20  # digits of the time in a file's name
_SUFFIX = ".jsonl"


@frozen
class StepRecord:
    """One step of a transition that has happened.

    Attributes:
        name: What it does, in words.
        ms: How long it took, in milliseconds; None if it did not end.
        outcome: ``done``, ``failed``, ``begun`` or ``planned``; with ``, undone`` after it once
            its undo was tried.
        error: Why it failed.
        result: What it told.
    """

    name: str
    ms: float | None
    outcome: str
    error: str | None
    result: dict[str, Any]


@frozen
class TransitionRecord:
    """One transition that has happened.

    Attributes:
        seq: The number of its first record.
        trigger: What was asked for.
        source: The status that it left.
        dest: The status that it leads to.
        started: When it began, in seconds since the epoch.
        ms: How long it took, in milliseconds; None if it did not end.
        outcome: ``committed``, ``rolled back`` or ``pending``.
        error: Why it was rolled back, or why the journal cannot tell the outcome.
        steps: Its steps.
        pid: The process that acted.
    """

    seq: int
    trigger: str
    source: str
    dest: str
    started: float
    ms: float | None
    outcome: str
    error: str | None
    steps: tuple[StepRecord, ...]
    pid: int


def timeline(records: Sequence[Record]) -> tuple[TransitionRecord, ...]:
    """A journal as transitions, the oldest first."""
    groups: list[list[Record]] = []
    for record in records:
        if record.kind == "begin":
            groups.append([record])
        elif groups:
            groups[-1].append(record)
    return tuple(_transition(group) for group in groups)


def _transition(group: list[Record]) -> TransitionRecord:
    begin = group[0]
    outcome, error, ms = "pending", None, None
    for record in group[1:]:
        if record.kind == "commit":
            outcome, ms = "committed", record.data.get("ms")
        elif record.kind == "rollback":
            outcome, ms, error = "rolled back", record.data.get("ms"), record.data.get("error")
    damage = next((record.data for record in group if record.kind == "damaged"), None)
    if outcome == "pending" and damage is not None:
        error = f"line {damage['line']} of the journal is damaged"
    data = begin.data
    return TransitionRecord(
        seq=begin.seq,
        trigger=data["trigger"],
        source=data["source"],
        dest=data["dest"],
        started=begin.time,
        ms=ms,
        outcome=outcome,
        error=error,
        steps=tuple(_step(i, step, group) for i, step in enumerate(data["plan"])),
        pid=data.get("pid", 0),
    )


def _step(index: int, step: dict[str, Any], group: list[Record]) -> StepRecord:
    outcome, ms, error = "planned", None, None
    result: dict[str, Any] = {}
    for record in group:
        if record.data.get("index") != index:
            continue
        if record.kind == "intent":
            outcome = "begun"
        elif record.kind == "done":
            outcome, ms, result = "done", record.data.get("ms"), record.data.get("result") or {}
        elif record.kind == "failed":
            outcome, ms, error = "failed", record.data.get("ms"), record.data.get("error")
        elif record.kind == "undo":
            outcome = f"{outcome}, undone"
    return StepRecord(step.get("does", step.get("step", "")), ms, outcome, error, result)


class History:
    """The directory of journals of containers that are gone: the latest, up to a bound.

    A file is named by when its container went, then the container's directory name, so that
    names in order are the order in time. The one that went last is always kept.
    """

    def __init__(self, directory: str, count: int = _COUNT, size: int = _BYTES) -> None:
        """Nothing is touched yet.

        Args:
            directory: Where they are; made when the first one comes.
            count: How many are kept at most.
            size: How many bytes they may have together, checked every few journals.
        """
        self.directory = directory
        self._count = max(1, count)
        self._bytes = size
        # Listing the directory each time would cost more than the rest. A pruning leaves room
        # for as many as come before the next.
        self._every = max(1, min(_PRUNE_EVERY, self._count // 16))
        self._left = 0

    def archive(self, journal: str, name: str, stamp_ns: int) -> str | None:
        """Take a journal in, by rename.

        Args:
            journal: Its path.
            name: The container's directory name.
            stamp_ns: When the container went, in nanoseconds since 1970.

        Returns:
            Its new path; None if there is no such journal (any more).

        Raises:
            OperationFailed: It cannot be moved.
        """
        target = f"{self.directory}/{stamp_ns:0{_STAMP}d}-{name}{_SUFFIX}"
        try:
            try:
                os.rename(journal, target)
            except FileNotFoundError:
                if not os.path.lexists(journal):
                    return None
                with suppress(FileExistsError):
                    os.mkdir(self.directory, 0o700)
                os.rename(journal, target)
        except OSError as error:
            raise failure(f"move {journal} to {target}", error) from error
        self._left -= 1
        if self._left < 0:
            self._left = self._every - 1
            self.prune()
        return target

    def prune(self) -> None:
        """Remove the oldest beyond the bounds.

        Raises:
            OperationFailed: The directory cannot be changed.
        """
        room = self._count - self._every + 1
        kept = total = 0
        try:
            for name in sorted(self._names(), reverse=True):
                path = f"{self.directory}/{name}"
                with suppress(FileNotFoundError):  # another process prunes as well
                    total += os.stat(path).st_size
                    if kept and (kept >= room or total > self._bytes):
                        os.unlink(path)
                    kept += 1
        except OSError as error:
            raise failure(f"prune {self.directory}", error) from error

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.directory) if name.endswith(_SUFFIX)]
        except FileNotFoundError:
            return []

    def find(self, container_id: str) -> list[str]:
        """The journals of containers of this id that are gone, the latest first."""
        ending = f"-{directory_name(container_id)}{_SUFFIX}"
        return [
            f"{self.directory}/{name}"
            for name in sorted(self._names(), reverse=True)
            if name[_STAMP:] == ending
        ]

    def read(self, path: str) -> list[Record]:
        """The records of one of them; damaged lines are records of kind ``damaged``."""
        return Journal(path).read(strict=False)
