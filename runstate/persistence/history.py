"""Journals of containers that are gone, and how a journal reads as a list of transitions."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.persistence.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runstate.persistence.journal import Record

_COUNT = 1000
_BYTES = 64 * 1024 * 1024
_PRUNE_EVERY = 64  # listing the directory each time would cost more than the rest


@frozen
class StepRecord:
    """One step of a transition that has happened.

    Attributes:
        name: What it does, in words.
        ms: How long it took, in milliseconds; None if it did not end.
        outcome: ``done``, ``failed``, ``begun`` or ``planned``; ``undone`` after either.
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
        error: Why it was rolled back.
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
            outcome, ms, result = "done", record.data["ms"], record.data["result"] or {}
        elif record.kind == "failed":
            outcome, ms, error = "failed", record.data["ms"], record.data["error"]
        elif record.kind == "undo":
            outcome = f"{outcome}, undone"
    return StepRecord(step.get("does", step.get("step", "")), ms, outcome, error, result)


class History:
    """The directory of journals of containers that are gone: the latest, up to a bound."""

    def __init__(self, directory: str, count: int = _COUNT, size: int = _BYTES) -> None:
        self.directory = directory
        self._count = count
        self._bytes = size
        self._since_pruned = _PRUNE_EVERY - 1

    def archive(self, journal: str, name: str, stamp_ns: int) -> None:
        """Take a journal in, by rename; one that is not there (any more) is no error.

        Args:
            journal: Its path.
            name: The container's directory name.
            stamp_ns: What orders it among the others: nanoseconds since the epoch.
        """
        target = f"{self.directory}/{stamp_ns:020d}-{name}"[: len(self.directory) + 246] + ".jsonl"
        try:
            os.rename(journal, target)
        except FileNotFoundError:
            if not os.path.exists(journal):
                return
            os.makedirs(self.directory, 0o700, exist_ok=True)
            os.rename(journal, target)
        self._since_pruned += 1
        if self._since_pruned >= _PRUNE_EVERY:
            self._since_pruned = 0
            self.prune()

    def prune(self) -> None:
        """Remove the oldest beyond the bounds."""
        kept = total = 0
        for name in sorted(self._names(), reverse=True):
            path = f"{self.directory}/{name}"
            with suppress(FileNotFoundError):
                total += os.stat(path).st_size
                kept += 1
                if kept > self._count or total > self._bytes:
                    os.unlink(path)

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.directory) if name.endswith(".jsonl")]
        except FileNotFoundError:
            return []

    def find(self, name: str) -> list[str]:
        """The journals of containers of this directory name, the latest first."""
        ending = f"-{name}"[:225] + ".jsonl"
        return [
            f"{self.directory}/{entry}"
            for entry in sorted(self._names(), reverse=True)
            if entry[20:] == ending
        ]

    def read(self, path: str) -> list[Record]:
        """The records of one of them."""
        return Journal(path).read(strict=False)
