"""The terminal of a further process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation, console_words

if TYPE_CHECKING:
    from collections.abc import Callable


def open_terminal(rows: int, columns: int, uid: int) -> Operation:
    """A terminal of the container's own, on the standard streams."""
    return Operation("open_terminal", (rows, columns, uid))


WORDS: dict[str, Callable[..., str]] = {"open_terminal": console_words}
