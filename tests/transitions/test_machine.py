"""The machine is the table, and the table refuses whatever is not in it."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest

from runstate.engine import machine
from runstate.errors import (
    ContainerNotPaused,
    ContainerNotRunning,
    ContainerNotStopped,
    ContainerPaused,
    IllegalTransition,
)
from runstate.states.status import Status
from runstate.transitions import table

PAIRS = list(product(Status, table.TRIGGERS))
ILLEGAL = [pair for pair in PAIRS if table.row(pair[1], pair[0]) is None]


@pytest.mark.parametrize(("status", "trigger"), PAIRS)
def test_the_machine_has_a_transition_exactly_where_the_table_has_a_row(status, trigger):
    found = machine.machine().get_transitions(trigger, status, "*")
    rows = [row for row in table.TABLE if row.trigger == trigger and status in row.sources]
    assert [transition.dest for transition in found] == [row.dest_from(status).name for row in rows]


@pytest.mark.parametrize(("status", "trigger"), ILLEGAL)
def test_an_illegal_trigger_names_trigger_status_and_what_is_allowed(status, trigger):
    attempt = SimpleNamespace(status=status, trigger=trigger, id="box")
    acted = []
    with pytest.raises(IllegalTransition) as caught:
        machine.fire(attempt, lambda *_: acted.append(1))  # type: ignore[arg-type]
    error = caught.value
    assert (error.trigger, error.status, error.allowed) == (trigger, status, table.allowed(status))
    assert f"{trigger} container 'box': it is {status}" in str(error)
    callers = {*error.allowed} - {"freeze", "started", "exited"}  # nobody asks for these
    assert callers == {*str(error).partition("allows only ")[2].split(", ")}
    assert (acted, attempt.status) == ([], status)


@pytest.mark.parametrize(
    ("status", "trigger", "kind"),
    [
        (Status.RUNNING, "resume", ContainerNotPaused),
        (Status.STOPPED, "resume", ContainerNotPaused),
        (Status.RUNNING, "restore", ContainerNotStopped),
        (Status.PAUSED, "exec", ContainerPaused),
        (Status.PAUSED, "pause", ContainerPaused),
        (Status.PAUSING, "update", ContainerPaused),
        (Status.STOPPED, "exec", ContainerNotRunning),
        (Status.CREATED, "pause", ContainerNotRunning),
        (Status.STOPPED, "update", ContainerNotRunning),
        (Status.RUNNING, "start", IllegalTransition),
    ],
)
def test_an_illegal_trigger_has_the_code_that_libcontainer_gives_it(status, trigger, kind):
    assert type(table.illegal(trigger, status, "box")) is kind


def test_every_status_but_absent_leads_to_destroy():
    assert all("destroy" in table.allowed(status) for status in Status if status != "absent")


def test_only_destroy_is_final():
    assert {row.trigger for row in table.TABLE if row.final} == {"destroy"}
