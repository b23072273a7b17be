"""`checkpoint` and `restore`: refused until an exec handler can do them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.transitions.guards import can_checkpoint, image_matches

if TYPE_CHECKING:
    from runstate.transitions.attempt import Attempt
    from runstate.transitions.steps import Step

GUARDS = (can_checkpoint,)
RESTORE_GUARDS = (image_matches,)


def plan(_attempt: Attempt) -> list[Step]:
    """No guard lets a caller get here yet."""
    return []
