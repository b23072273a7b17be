"""Every (status, trigger) pair, on containers that really are in that status."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from runstate.engine.streams import DEVNULL
from runstate.errors import (
    ContainerNotStopped,
    IdInUse,
    IllegalTransition,
    NoProcessOps,
    NotSupported,
)
from runstate.handlers.contract import ProcessSpec
from runstate.states.status import Status
from runstate.transitions.table import TRIGGERS, row
from tests.conftest import attempt
from tests.legality import assert_legal

if TYPE_CHECKING:
    from runstate import Container
    from tests.conftest import Maker

STATUSES = [Status.CREATED, Status.RUNNING, Status.PAUSED, Status.STOPPED]
FORCED = "destroy, forced"
ASKED = [*TRIGGERS, FORCED]

# What the table allows and a guard refuses all the same, whatever is done to the container.
GUARDED: dict[tuple[str, str], type[Exception]] = {
    ("created", "started"): NoProcessOps,
    ("created", "exited"): ContainerNotStopped,
    ("running", "exited"): ContainerNotStopped,
    ("paused", "exited"): ContainerNotStopped,
    ("running", "checkpoint"): NotSupported,
    ("paused", "checkpoint"): NotSupported,
    ("stopped", "restore"): NotSupported,
    ("created", "destroy"): ContainerNotStopped,
    ("running", "destroy"): ContainerNotStopped,
    ("paused", "destroy"): ContainerNotStopped,
}


def fire(make: Maker, container: Container, trigger: str) -> None:
    """Ask for a trigger, by the public method where there is one."""
    actions: dict[str, Any] = {
        "create": lambda: make.created(id=container.id),
        "start": container.start,
        "pause": container.pause,
        "resume": container.resume,
        "update": lambda: container.update({"pids": {"limit": 100}}),
        "exec": lambda: container.exec(["true"], stdin=DEVNULL),
        "destroy": container.destroy,
        FORCED: lambda: container.destroy(force=True),
    }
    if trigger in actions:
        actions[trigger]()
    else:
        container._fire(trigger)


def journal_of(container: Container) -> bytes:
    with open(container._lifecycle.directory.journal.path, "rb") as journal:
        return journal.read()


@pytest.mark.parametrize(("status", "trigger"), list(product(STATUSES, ASKED)))
def test_a_trigger_does_what_the_table_says_or_changes_nothing(make, status, trigger):
    container = make.in_status(status)
    before = journal_of(container)
    transition = row("destroy" if trigger == FORCED else trigger, status)
    refusal = GUARDED.get((status, trigger))
    if trigger == "create":
        refusal = IdInUse
    elif transition is None:
        refusal = IllegalTransition
    elif trigger == "update" and "process" in repr(make.factory):
        refusal = NotSupported
    if refusal is None:
        assert transition is not None
        fire(make, container, trigger)
        after_pause = Status.PAUSED if trigger == "pause" else transition.dest_from(status)
        assert container.status == after_pause
    else:
        with pytest.raises(refusal) as caught:
            fire(make, container, trigger)
        assert trigger.partition(",")[0] in str(caught.value)
        assert container.id in str(caught.value)
        assert journal_of(container) == before
        assert container.status == status
    assert_legal(make.factory.history(container.id))


@pytest.mark.parametrize("trigger", ASKED)
def test_a_trigger_in_the_middle_of_pausing_does_what_the_table_says(make, trigger):
    # Whoever asks from outside finds it settled; so this one asks while it is pausing.
    container = make.running()
    container._fire("pause")
    lifecycle = container._lifecycle
    with lifecycle.locked("test"):
        state = lifecycle.load()
        assert state.status is Status.PAUSING
        forced = trigger == FORCED
        tried = attempt(
            container,
            "destroy" if forced else trigger,
            force=forced,
            spec=ProcessSpec(container.config.process, (0, 1, 2)),
            resources={},
        )
        transition = row(tried.trigger, Status.PAUSING)
        refused = {"destroy", "exited"}
        if transition is None:
            with pytest.raises(IllegalTransition) as caught:
                lifecycle.fire(tried, None)
            assert caught.value.status == "pausing"
        elif trigger in refused:
            with pytest.raises(ContainerNotStopped):
                lifecycle.fire(tried, None)
        else:
            lifecycle.fire(tried, None)
        if transition is None or trigger in refused:
            assert lifecycle.load().status is Status.PAUSING
            assert tried.status is Status.PAUSING
        elif forced:
            lifecycle.directory.retire()
        else:
            assert lifecycle.load().status == transition.dest_from(Status.PAUSING)
    if not forced:
        assert container.status in ("running", "paused")
        assert_legal(container.history())


@pytest.mark.parametrize("trigger", sorted({*TRIGGERS} - {"create", "restore"}))
def test_a_container_that_is_gone_has_no_transitions(make_process, trigger):
    container = make_process.stopped()
    container.destroy()
    with pytest.raises(Exception, match="does not exist") as caught:
        fire(make_process, container, trigger)
    assert type(caught.value).__name__ == "ContainerNotExists"
    assert container.status == "absent"


def test_restore_from_nothing_is_refused(make_process):
    container = make_process.created()
    tried = attempt(container, "restore", Status.ABSENT)
    with pytest.raises(NotSupported, match="not supported yet"):
        container._lifecycle.fire(tried, None)
