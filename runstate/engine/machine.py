"""The table as a machine of the `transitions` library: the only module that imports it.

The machine is built once for all containers. It decides whether a trigger is legal and calls
the guards; acting is handed to it as a callable, which runs before the status moves, so a
failure leaves the status where it was.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from transitions import EventData, Machine, MachineError  # noqa: TID251 - this is the one

from runstate.errors import NotSupported
from runstate.states.status import Status
from runstate.transitions.table import TABLE, Transition, illegal

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.transitions.attempt import Attempt

    Act = Callable[[Attempt, Transition], None]


@cache
def machine() -> Machine:
    """The machine; its states are the statuses, its model is an :class:`Attempt`."""
    built = Machine(
        model=None,
        states=Status,
        initial=Status.ABSENT,
        auto_transitions=False,
        send_event=True,
        model_attribute="status",
    )
    for row in TABLE:
        for source in row.sources:
            built.add_transition(
                row.trigger,
                source,
                row.dest_from(source),
                conditions=[_condition(guard) for guard in row.guards],
                before=_act(row),
            )
    return built


def _condition(guard: Callable[[Attempt], None]) -> Callable[[EventData], bool]:
    def holds(event: EventData) -> bool:
        attempt: Any = event.model
        guard(attempt)
        return True

    holds.__name__ = guard.__name__
    return holds


def _act(row: Transition) -> Callable[[EventData], None]:
    def act(event: EventData) -> None:
        event.kwargs["act"](event.model, row)

    return act


def fire(attempt: Attempt, act: Act) -> None:
    """Let the machine decide on an attempt, and act if it may.

    Args:
        attempt: Its ``trigger`` is fired from its ``status``, which moves on success.
        act: Called with the attempt and its row once all guards hold.

    Raises:
        IllegalTransition: The status does not allow the trigger.
        RuntimeStateError: A guard refused, or acting failed.
    """
    event: Any = machine().events[attempt.trigger]
    try:
        event.trigger(attempt, act=act)
    except MachineError:
        raise illegal(attempt.trigger, attempt.status, attempt.id) from None


def diagram(form: str) -> str:
    """The machine as a picture's source, by the library's own exporters.

    Args:
        form: ``mermaid`` or ``graphviz``.

    Raises:
        NotSupported: The package that the exporter needs is not installed.
    """
    if form == "graphviz" and find_spec("graphviz") is None:
        raise NotSupported(
            "draw the diagram for Graphviz: the Python package graphviz is not installed; install"
            " runstate[diagram], or ask for mermaid"
        )
    from transitions.extensions import GraphMachine  # noqa: PLC0415, TID251

    class Model:
        """The exporters draw the machine of a model."""

    drawn = GraphMachine(
        model=Model(),
        states=[status.value for status in Status],
        initial=Status.ABSENT.value,
        auto_transitions=False,
        graph_engine="mermaid" if form == "mermaid" else "graphviz",
        show_conditions=True,
        title="The states of a container",
    )
    for row in TABLE:
        for source in row.sources:
            drawn.add_transition(
                row.trigger,
                source.value,
                row.dest_from(source).value,
                conditions=[_condition(guard) for guard in row.guards],
            )
    graph: Any = drawn.get_combined_graph()
    return str(graph.source)
