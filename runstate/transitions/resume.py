"""`resume`: every process goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.transitions.steps import Step, Thaw

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt


def plan(_attempt: Attempt) -> list[Step]:
    """Tell the freezer."""
    return [Thaw()]
