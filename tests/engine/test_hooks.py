"""Transition hooks: before one may veto, after one is told; neither can break the container."""

from __future__ import annotations

import pytest

from runstate.engine.streams import DEVNULL
from runstate.errors import (
    AfterHookFailed,
    ContainerBusy,
    ContainerNotExists,
    ContainerNotRunning,
    NotSupported,
    TransitionVetoed,
)
from tests import host
from tests.legality import assert_legal


def journal(container) -> bytes:
    with open(container._lifecycle.directory.journal.path, "rb") as file:
        return file.read()


def veto(_event):
    raise ValueError("not today")


def test_a_veto_of_create_means_that_nothing_has_happened(make, root):
    before = host.take(root)
    id_ = host.new_id()
    make.factory.before("create")(veto)
    with pytest.raises(
        TransitionVetoed, match=rf"create container '{id_}': .*veto.*not today"
    ) as e:
        make.created(id=id_)
    assert isinstance(e.value.__cause__, ValueError)
    host.assert_same(before, root)
    with pytest.raises(ContainerNotExists):
        make.factory.history(id_)


ACTIONS = {
    "start": ("created", lambda container: container.start()),
    "pause": ("running", lambda container: container.pause()),
    "resume": ("paused", lambda container: container.resume()),
    "exec": ("running", lambda container: container.exec(["true"], stdin=DEVNULL)),
    "destroy": ("running", lambda container: container.destroy(force=True)),
}


@pytest.mark.parametrize("trigger", ACTIONS)
@pytest.mark.parametrize("hooked", ["trigger", "*"])
def test_a_veto_means_that_nothing_has_happened(make, root, trigger, hooked):
    status, action = ACTIONS[trigger]
    container = make.in_status(status)
    container.before(trigger if hooked == "trigger" else "*")(veto)
    before, written = host.take(root), journal(container)
    with pytest.raises(TransitionVetoed, match=trigger):
        action(container)
    host.assert_same(before, root)
    assert journal(container) == written
    assert container.status == status


def test_a_veto_of_freeze_leaves_the_container_running(make):
    container = make.running()
    container.before("freeze")(veto)
    with pytest.raises(TransitionVetoed):
        container.pause()
    assert container.status == "running"
    assert_legal(container.history())


@pytest.mark.parametrize("trigger", ACTIONS)
def test_an_after_hook_that_fails_undoes_nothing(make, trigger):
    status, action = ACTIONS[trigger]
    container = make.in_status(status)
    told = []

    @container.after(trigger)
    def fail(_event):
        raise OSError("the hook's own trouble")

    container.after(trigger)(lambda event: told.append(event.trigger))
    with pytest.raises(AfterHookFailed, match=f"{trigger} container .* is done, but the hook") as e:
        action(container)
    assert isinstance(e.value.__cause__, OSError)
    assert told == [trigger]
    history = make.factory.history(container.id)
    triggers = [record.trigger for record in history if record.outcome == "committed"]
    assert (triggers[-2] if trigger == "pause" else triggers[-1]) == trigger
    after = {"start": "running", "pause": "paused", "resume": "running", "destroy": "absent"}
    assert container.status == after.get(trigger, "running")


def test_an_after_create_hook_that_fails_leaves_the_container_created(make):
    id_, told = host.new_id(), []
    make.factory.after("create")(veto)
    make.factory.after("create")(lambda event: told.append(event.container))
    with pytest.raises(AfterHookFailed):
        make.created(id=id_)
    assert make.factory.load(id_).status == "created"
    told[0].destroy(force=True)


def test_several_after_hooks_that_fail_are_all_told(make_process):
    container = make_process.running()
    container.after("pause")(veto)
    container.after("pause")(lambda _event: 1 / 0)
    with pytest.raises(AfterHookFailed) as caught:
        container.pause()
    assert "not today" in str(caught.value)
    assert isinstance(caught.value.cleanup_errors[0], ZeroDivisionError)


def test_hooks_are_told_what_happens_in_order(make):
    events = []

    def note(moment):
        return lambda e: events.append((moment, e.trigger, str(e.source), str(e.dest), e.container))

    make.factory.before("*")(note("before"))
    make.factory.after("*")(note("after"))
    container = make.running()
    container.pause()
    container.resume()
    container.destroy(force=True)
    assert [event[:4] for event in events] == [
        ("before", "create", "absent", "created"),
        ("after", "create", "absent", "created"),
        ("before", "start", "created", "running"),
        ("after", "start", "created", "running"),
        ("before", "pause", "running", "pausing"),
        ("before", "freeze", "pausing", "paused"),
        ("after", "pause", "running", "pausing"),
        ("after", "freeze", "pausing", "paused"),
        ("before", "resume", "paused", "running"),
        ("after", "resume", "paused", "running"),
        ("before", "destroy", "running", "absent"),
        ("after", "destroy", "running", "absent"),
    ]
    assert events[0][4] is None
    assert all(event[4] is container for event in events[1:])


def test_pausing_can_be_seen_while_it_lasts(make):
    container = make.running()
    seen = []
    container.before("freeze")(lambda event: seen.append(event.container.status))
    container.pause()
    assert seen == ["pausing"]


def test_a_container_hook_is_for_that_container_alone(make_process):
    one, other = make_process.running(), make_process.running()
    one.before("pause")(veto)
    other.pause()
    assert (one.status, other.status) == ("running", "paused")


def test_a_hook_that_starts_a_transition_of_its_own_container_is_told_that_it_cannot(make):
    container = make.running()
    caught = []

    @container.before("pause")
    def recurse(event):
        with pytest.raises(ContainerBusy, match="in the middle of a transition") as error:
            event.container.resume()
        caught.append(error.value)

    container.pause()
    assert len(caught) == 1
    assert container.status == "paused"


def test_an_after_hook_may_start_a_transition_of_its_own_container(make):
    container = make.running()
    container.after("freeze")(lambda event: event.container.resume())
    container.pause()
    assert container.status == "running"


def test_a_hook_may_use_another_container(make_process):
    container, other = make_process.running(), make_process.running()
    container.before("pause")(lambda _event: other.pause())
    container.pause()
    assert (container.status, other.status) == ("paused", "paused")


def test_no_hook_runs_for_what_is_illegal_or_refused(make_process):
    told = []
    make_process.factory.before("*")(lambda event: told.append(event.trigger))
    container = make_process.created()
    told.clear()
    with pytest.raises(ContainerNotRunning):
        container.pause()
    assert told == []


@pytest.mark.parametrize("add", ["before", "after"])
def test_a_hook_of_no_such_transition_is_refused(make_process, add):
    with pytest.raises(NotSupported, match="there is no such transition; there are create, start"):
        getattr(make_process.factory, add)("explode")
