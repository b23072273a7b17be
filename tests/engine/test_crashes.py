"""A process that is killed at any line of a transition leaks nothing: who comes next repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runstate import Factory
from runstate.engine.streams import DEVNULL
from runstate.errors import ContainerNotExists
from tests import host, killing
from tests.legality import assert_legal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runstate import Container
    from tests.conftest import Maker


@pytest.fixture(autouse=True)
def reaped(clean_host: host.Snapshot) -> Iterator[None]:  # noqa: ARG001 - reap before it looks
    """Nobody is left when the host is looked at."""
    yield
    killing.reap()


def assert_nothing_left(before: host.Snapshot, root: str) -> None:
    """What the killed left behind has gone by itself, or with the recovery."""
    killing.reap()
    host.assert_same(before, root)


def load(make: Maker, id_: str) -> Container | None:
    """The container as another process finds it, once it is repaired; None if it is gone."""
    factory = Factory(make.factory.root, "process")
    factory.list()
    try:
        return factory.load(id_)
    except ContainerNotExists:
        return None


def stranger(make: Maker, *, paused: bool = False) -> str:
    """A container that runs, and of which this process holds nothing."""
    id_ = host.new_id()
    container = make.factory.run(id_, make.config(), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    if paused:
        container.pause()
    return id_


def test_a_create_killed_anywhere_is_undone_or_whole(make, root):
    id_ = host.new_id()

    def create() -> None:
        make.created(id=id_)

    before = host.take(root)
    total = killing.count_lines(create)
    found = load(make, id_)
    assert found is not None
    found.destroy(force=True)
    outcomes = set()
    for line in killing.sample(total, 40):
        killing.killed_at(create, line)
        container = load(make, id_)
        outcomes.add(container is not None)
        if container is not None:
            assert container.status == "created", line
            assert_legal(container.history())
            container.start()
            container.destroy(force=True)
        assert_nothing_left(before, root)
    assert False in outcomes


def test_a_recovery_that_is_killed_itself_is_finished_by_the_next(make, root):
    id_ = host.new_id()

    def create() -> None:
        make.created(id=id_)

    def recover() -> None:
        assert load(make, id_) is None

    before = host.take(root)
    late = killing.count_lines(create) * 9 // 10
    found = load(make, id_)
    assert found is not None
    found.destroy(force=True)
    killing.killed_at(create, late)
    total = killing.count_lines(recover)
    for line in killing.sample(total, 12):
        killing.killed_at(create, late)
        killing.killed_at(recover, line)
        assert load(make, id_) is None, line
        assert_nothing_left(before, root)


@pytest.mark.parametrize("status", ["stopped", "running", "paused"])
def test_a_destroy_killed_anywhere_is_finished_or_has_not_begun(make, root, status):
    before = host.take(root)

    def prepare() -> str:
        id_ = stranger(make, paused=status == "paused")
        if status == "stopped":
            container = make.factory.load(id_)
            container.signal(9)
            container.wait(10)
        return id_

    def destroy(id_: str) -> Callable[[], None]:
        return lambda: make.factory.load(id_).destroy(force=True)

    total = killing.count_lines(destroy(prepare()))
    for line in killing.sample(total, 16):
        id_ = prepare()
        killing.killed_at(destroy(id_), line)
        container = load(make, id_)
        if container is not None:
            assert container.status == status, line
            assert_legal(container.history())
            container.destroy(force=True)
        assert_legal(make.factory.history(id_))
        assert_nothing_left(before, root)


OTHERS: dict[str, tuple[bool, Callable[[Container], object]]] = {
    "pause": (False, lambda container: container.pause()),
    "resume": (True, lambda container: container.resume()),
    "exec": (
        False,
        lambda container: container.popen(
            ["sleep", "1000"], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        ),
    ),
}


@pytest.mark.parametrize("trigger", OTHERS)
def test_a_transition_killed_anywhere_leaves_a_container_that_tells_the_truth(make, root, trigger):
    paused, action = OTHERS[trigger]
    before = host.take(root)

    def act(id_: str) -> Callable[[], object]:
        return lambda: action(make.factory.load(id_))

    first = stranger(make, paused=paused)
    total = killing.count_lines(act(first))
    make.factory.load(first).destroy(force=True)
    for line in killing.sample(total, 14):
        id_ = stranger(make, paused=paused)
        pid = make.factory.load(id_).pid
        killing.killed_at(act(id_), line)
        container = load(make, id_)
        assert container is not None, line
        assert container.status in {"running", "paused"}, line
        assert container.pid == pid, line
        assert all_stopped(container) == (container.status == "paused"), line
        history = container.history()
        assert_legal(history)
        if trigger == "exec":
            committed = [r for r in history if r.trigger == "exec" and r.outcome == "committed"]
            assert len(container.processes()) == 1 + len(committed), line
        if container.status == "paused":
            container.resume()
        assert container.exec(["true"], stdin=DEVNULL).returncode == 0
        container.destroy(force=True)
        assert_nothing_left(before, root)


def all_stopped(container: Container) -> bool:
    state, context, handlers = container._settled()
    assert state.status.alive
    return bool(handlers.exec.frozen(context))  # type: ignore[attr-defined]


@pytest.mark.parametrize("points", [14])
def test_a_start_killed_anywhere_has_started_the_program_or_not(make, root, points):
    before = host.take(root)

    def created() -> str:
        id_ = host.new_id()
        make.factory.create(id_, make.config(), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        return id_

    first = created()
    total = killing.count_lines(lambda: make.factory.load(first).start())
    make.factory.load(first).destroy(force=True)
    for line in killing.sample(total, points):
        id_ = created()
        killing.killed_at(lambda: make.factory.load(id_).start(), line)  # noqa: B023
        container = load(make, id_)
        assert container is not None, line
        if container.status == "created":
            container.start()
        assert container.status == "running", line
        assert command(container.pid) == "sleep", line
        assert_legal(container.history())
        container.destroy(force=True)
        assert_nothing_left(before, root)


def command(pid: int | None) -> str:
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()
