"""A runtime that is killed while a hook runs leaves neither the hook nor anything else for long."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Factory
from runstate.errors import ContainerNotExists, IllegalTransition
from tests import host, killing
from tests.cli.calling import until
from tests.conftest import config_for
from tests.hooking import OF_HOST, POINTS, shell

if TYPE_CHECKING:
    from collections.abc import Callable

HANG = "/bin/busybox sleep 1000 & echo $$ $! > {}/hanging; /bin/busybox sleep 1000; :"

pytestmark = pytest.mark.usefixtures("orphanage")


def hanging(notes: Any, point: str) -> dict[str, Any]:
    """Hooks at every point, of which the second of this point hangs, with a child."""
    hooks = {name: [notes.mark(f"{name}{i}") for i in range(3)] for name in POINTS}
    hooks[point][1] = shell(HANG.format(notes.directory))
    return hooks


def kill_in_the_middle(notes: Any, action: Callable[[], object]) -> list[int]:
    """Run the action in a child that is killed when its hook hangs; the pids of that."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(1)
    file = notes.directory / "hanging"
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert status == signal.SIGKILL
    return [int(word) for word in file.read_text().split()]


def alive(pid: int) -> bool:
    fields = host.stat_fields(pid)
    return fields is not None and fields[1] != "Z"


def loaded(factory: Factory, id_: str) -> Any:
    """The container as another finds it, or None."""
    stranger = Factory(factory.root, "process")
    stranger.list()  # sweeps up what is not even a container yet
    try:
        return stranger.load(id_)
    except ContainerNotExists:
        return None


@pytest.mark.parametrize("point", ["prestart", "createRuntime", "createContainer"])
def test_a_create_is_undone_and_the_poststop_hooks_run(factory, notes, point):
    id_ = host.new_id()
    config = notes.config(config_for(factory), hanging(notes, point))
    pids = kill_in_the_middle(notes, lambda: factory.create(id_, config, stdin=DEVNULL))
    before = notes.order
    assert before[-1] == f"{point}0"
    if point in OF_HOST:
        assert all(alive(pid) for pid in pids)
    assert loaded(factory, id_) is None
    if point in OF_HOST:
        until(lambda: not any(alive(pid) for pid in pids))
    assert notes.order == [*before, "poststop0", "poststop1", "poststop2"]
    assert loaded(factory, id_) is None
    assert len(notes.order) == len(before) + 3


def test_a_start_is_undone_by_stopping_the_container(factory, notes):
    id_ = host.new_id()
    config = notes.config(config_for(factory), hanging(notes, "poststart"))
    with factory.create(id_, config, stdin=DEVNULL) as container:
        pids = kill_in_the_middle(notes, lambda: factory.load(id_).start())
        assert all(alive(pid) for pid in pids)
        assert loaded(factory, id_).status == "stopped"
        until(lambda: not any(alive(pid) for pid in pids))
        container.destroy()
    assert notes.order[-3:] == ["poststop0", "poststop1", "poststop2"]


def test_a_start_whose_hook_init_runs_goes_on(factory, notes):
    go = notes.directory / "go"
    os.mkfifo(go)
    script = f"echo in > {notes.directory}/hanging; read x < {go}"
    config = notes.config(config_for(factory), {"startContainer": [shell(script)]})
    id_ = host.new_id()
    with factory.create(id_, config, stdin=DEVNULL) as container:
        pid = os.fork()
        if pid == 0:
            try:
                factory.load(id_).start()
            finally:
                os._exit(1)
        until((notes.directory / "hanging").exists)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert loaded(factory, id_).status == "created"
        go.write_text("on\n")
        with suppress(IllegalTransition):  # it runs already, released as it is
            container.start()
        assert container.status == "running"


def test_a_destroy_is_finished_and_no_hook_that_is_over_runs_again(factory, notes):
    once = f"""
        test -e {notes.directory}/once && exit 0
        echo > {notes.directory}/once
        {HANG.format(notes.directory)}
    """
    hooks = {"poststop": [notes.mark("0"), shell(once), notes.mark("2")]}
    config = notes.config(config_for(factory), hooks)
    id_ = host.new_id()
    factory.run(id_, config, stdin=DEVNULL)
    pids = kill_in_the_middle(notes, lambda: factory.load(id_).destroy(force=True))
    assert all(alive(pid) for pid in pids)
    assert loaded(factory, id_) is None
    until(lambda: not any(alive(pid) for pid in pids))
    assert notes.order == ["0", "2"]


@pytest.mark.parametrize("at_start", [False, True])
def test_killed_at_any_line_nothing_is_left(factory, notes, root, at_start):
    hooks = {point: [notes.mark(point)] for point in POINTS}
    config = notes.config(config_for(factory), hooks)
    id_ = host.new_id()

    def act() -> None:
        if at_start:
            factory.load(id_).start()
        else:
            factory.create(id_, config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)

    def prepare() -> None:
        if at_start:
            factory.create(id_, config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)

    before = host.take(root)
    prepare()
    total = killing.count_lines(act)
    loaded(factory, id_).destroy(force=True)
    outcomes = set()
    for line in killing.sample(total, 16):
        prepare()
        killing.killed_at(act, line)
        container = loaded(factory, id_)
        outcomes.add(None if container is None else str(container.status))
        if container is not None:
            container.destroy(force=True)
        killing.reap()
        host.assert_same(before, root)
        assert notes.order[-1] == "poststop" or not notes.order, line
    assert len(outcomes) > 1, outcomes
