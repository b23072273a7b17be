"""Whether a history could have happened: a checker made from the table alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.states.status import Status
from runstate.transitions.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runstate.persistence.history import TransitionRecord


def assert_legal(history: Iterable[TransitionRecord]) -> Status:
    """Every transition is a row of the table, and begins where the one before it has ended.

    Returns:
        The status at its end.
    """
    status, seq = Status.ABSENT, 0
    for record in history:
        words = f"{record.trigger} of seq {record.seq}"
        assert record.seq > seq, f"{words}: not after {seq}"
        assert record.source == status, f"{words}: begins in {record.source}, it was {status}"
        destinations = {
            row.dest_from(status)
            for row in TABLE
            if row.trigger == record.trigger and status in row.sources
        }
        assert record.dest in destinations, f"{words}: {status} to {record.dest} is in no row"
        assert record.outcome in ("committed", "rolled back"), f"{words} is {record.outcome}"
        if record.outcome == "committed":
            assert {step.outcome for step in record.steps} <= {"done"}, words
            status = Status(record.dest)
        else:
            assert record.error, f"{words}: was rolled back, and nobody says why"
        seq = record.seq
    return status
