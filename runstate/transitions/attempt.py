"""One try at a transition: what guards look at, plans are made from, and steps act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from runstate.handlers.contract import HandlerContext, Handlers
    from runstate.states.state import State
    from runstate.states.status import Status


@define
class Attempt:
    """One try at a transition of one container.

    Attributes:
        trigger: What is to be done.
        status: Where the container is; the machine moves it when all steps have succeeded.
        context: What the handlers are told.
        handlers: The container's three handlers.
        state: The saved state; None before `create` has saved one.
        arguments: What the caller asked for beyond the trigger.
        outcome: What steps leave for the caller and for the state to be saved, by name.
    """

    trigger: str
    status: Status
    context: HandlerContext
    handlers: Handlers
    state: State | None = None
    arguments: dict[str, Any] = field(factory=dict)
    outcome: dict[str, Any] = field(factory=dict)

    @property
    def id(self) -> str:
        """The container's id."""
        return self.context.id
