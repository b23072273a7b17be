"""Many threads, and two processes, on one container; many containers at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import pytest

from runstate import Factory
from runstate.engine.streams import DEVNULL
from runstate.errors import (
    ContainerBusy,
    ContainerNotExists,
    IdInUse,
    IllegalTransition,
    RuntimeStateError,
)
from tests import host
from tests.legality import assert_legal

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate import Container
    from tests.conftest import Maker

TIMES = 30


def pause_and_resume(container: Container) -> None:
    """In turn, whatever another does meanwhile; only typed refusals may come of it."""
    for _ in range(TIMES):
        for action in (container.pause, container.resume):
            try:
                action()
            except IllegalTransition:
                continue  # the other was faster


class Fork:
    """A function that runs in a forked child, beside this process."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            self._run(action)

    @staticmethod
    def _run(action: Callable[[], object]) -> NoReturn:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)

    def wait(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)


def test_two_processes_on_one_container_take_turns(make):
    container = make.running()
    other = Fork(lambda: pause_and_resume(Factory(make.factory.root).load(container.id)))
    pause_and_resume(container)
    assert other.wait() == 0
    history = container.history()
    assert assert_legal(history) == container.status
    assert container.status in {"running", "paused"}
    assert len({record.pid for record in history}) == 2
    # Each of the two did something to it more than once.
    assert len(history) > 4


def test_only_one_of_many_that_destroy_at_once_does_it(make):
    container = make.running()
    found = [Factory(make.factory.root).load(container.id) for _ in range(8)]

    def destroy(container: Container) -> str:
        try:
            container.destroy(force=True)
        except ContainerNotExists:
            return "gone"
        return "destroyed"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(destroy, found))
    assert sorted(outcomes) == ["destroyed"] + ["gone"] * 7
    assert assert_legal(make.factory.history(container.id)) == "absent"


def test_only_one_of_many_that_create_one_id_at_once_does_it(make: Maker) -> None:
    id_ = host.new_id()

    def create(_number: int) -> Container | None:
        try:
            return make.created(id=id_)
        except IdInUse:
            return None

    with ThreadPoolExecutor(8) as pool:
        containers = [found for found in pool.map(create, range(8)) if found is not None]
    assert len(containers) == 1
    assert containers[0].status == "created"


def test_many_threads_exec_in_one_container(make):
    container = make.running()

    def run(number: int) -> str:
        done = container.exec(["echo", str(number)], capture_output=True, text=True, stdin=DEVNULL)
        out: str = done.stdout
        return out

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(40))) == [f"{number}\n" for number in range(40)]
    history = container.history()
    assert assert_legal(history) == "running"
    assert len([record for record in history if record.trigger == "exec"]) == 40
    assert container.processes() == [container.pid]


def test_many_threads_ask_for_the_state_while_it_changes(make):
    container = make.running()
    seen = set()

    def look(_number: int) -> None:
        for _ in range(50):
            seen.add(Factory(make.factory.root).load(container.id).status)

    with ThreadPoolExecutor(8) as pool:
        looking = [pool.submit(look, number) for number in range(4)]
        pause_and_resume(container)
        for future in looking:
            future.result()
    assert seen <= {"running", "pausing", "paused"}
    assert_legal(container.history())


def life(make: Maker) -> str:
    container = make.running()
    assert container.exec(["true"], stdin=DEVNULL).returncode == 0
    container.pause()
    container.resume()
    container.signal(9)
    assert container.wait(10) == -9
    container.destroy()
    return container.id


def test_many_threads_each_with_containers_of_their_own(make, root):
    before = host.take(root)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _number: life(make), range(24)))
    host.assert_same(before, root)
    assert len(set(ids)) == 24
    for id_ in ids:
        assert assert_legal(make.factory.history(id_)) == "absent"


def test_fifty_containers_at_once(make, root):
    before = host.take(root)
    with ThreadPoolExecutor(8) as pool:
        containers = list(pool.map(lambda _number: make.running(), range(50)))
        assert [container.status for container in containers] == ["running"] * 50
        assert len({container.pid for container in containers}) == 50
        assert len(make.factory.list()) == 50
        list(pool.map(lambda container: container.destroy(force=True), containers))
    assert make.factory.list() == []
    host.assert_same(before, root)


def test_a_lock_that_another_holds_is_named_when_the_deadline_is_over(make_factory, make_process):
    container = make_process.running()
    impatient = make_factory("process", deadline=0.05).load(container.id)
    caught: list[RuntimeStateError] = []

    @container.before("pause")
    def meanwhile(_event):
        def ask() -> None:
            with pytest.raises(ContainerBusy) as error:
                impatient.pause()
            caught.append(error.value)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(ask).result()

    container.pause()
    assert f"process {os.getpid()} " in str(caught[0])
    assert "holds its lock for `pause`" in str(caught[0])
    assert container.status == "paused"
