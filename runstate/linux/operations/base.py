"""What an operation is: a name and its arguments."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from runstate.linux import operations


@frozen
class Operation:
    """One operation inside the new process.

    Attributes:
        name: Which one.
        arguments: What the function of that name takes; values that marshal can carry.
    """

    name: str
    arguments: tuple[Any, ...] = ()

    def describe(self) -> str:
        """What it does and to what, in words."""
        return operations.words(self.name)(*self.arguments)

    def encode(self) -> tuple[object, ...]:
        """As it goes over the channel."""
        return (self.name, *self.arguments)


def console_words(rows: int, columns: int, _uid: int) -> str:
    """What opening a terminal is called."""
    size = f" of {columns} columns and {rows} rows" if rows and columns else ""
    return f"open a terminal{size}"
