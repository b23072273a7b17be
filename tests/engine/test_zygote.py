"""The zygote may die at any time: containers go on, and the next one gets another zygote."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile

import pytest

from runstate import Factory
from runstate.engine.streams import DEVNULL
from runstate.errors import RuntimeStateError
from runstate.linux import launcher
from runstate.transitions import steps
from tests import host
from tests.conftest import Maker, destroy_all


def kill_zygote() -> None:
    zygote = launcher.get()
    pidfd = os.pidfd_open(zygote.pid)
    os.kill(zygote.pid, signal.SIGKILL)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    os.close(pidfd)


@pytest.fixture(autouse=True)
def working_zygote(clean_host, zygote):  # noqa: ARG001 - before the host is looked at again
    """Another zygote, that has had something to do, when the test is over."""
    before = launcher.get().pid
    yield
    if launcher.get().pid != before:
        with tempfile.TemporaryDirectory(prefix="rs") as other:
            Maker(Factory(other, "process")).running().destroy(force=True)


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_containers_go_on_without_the_zygote(make, status):
    container = make.in_status(status)
    pid = container.pid
    kill_zygote()
    assert (container.status, container.pid) == (status, pid)
    if status == "created":
        container.start()
    if status == "paused":
        container.resume()
    assert container.exec(["true"], stdin=DEVNULL).returncode == 0
    container.destroy(force=True)
    assert container.status == "absent"


def test_the_next_container_gets_another_zygote(make):
    first = make.running()
    old = launcher.get().pid
    kill_zygote()
    second = make.running()
    assert launcher.get().pid != old
    assert (first.status, second.status) == ("running", "running")


def test_wait_says_what_it_can_when_nobody_could_learn_the_exit_status(make):
    container = make.running()
    kill_zygote()
    os.kill(container.pid, signal.SIGTERM if "process" in repr(make.factory) else signal.SIGKILL)
    # Whoever has adopted init may have reaped it, and does not tell.
    assert container.wait(10) in (None, -signal.SIGTERM, -signal.SIGKILL)
    assert container.status == "stopped"
    exit_ = container.state.exit
    assert exit_ is not None
    assert exit_.time > 0


@pytest.mark.parametrize("step", range(6))
def test_a_zygote_that_dies_in_the_middle_of_create_leaves_nothing(make, root, monkeypatch, step):
    before = host.take(root)
    count = iter(range(100))

    def wrap(act):
        def killing(self, attempt):
            if next(count) == step:
                kill_zygote()
            return act(self, attempt)

        return killing

    for kind in (steps.CreateSubstate, steps.RunSubstate):
        monkeypatch.setattr(kind, "act", wrap(kind.act))
    id_ = host.new_id()
    try:
        container = make.created(id=id_)
    except RuntimeStateError as error:
        assert error.code == "InitDied"  # noqa: PT017 - which steps need the zygote is its affair
        assert make.factory.list() == []
    else:
        container.start()
        container.destroy(force=True)
    make.running().destroy(force=True)
    host.assert_same(before, root)


def test_an_exec_whose_zygote_has_died_before_is_made_by_another(make):
    container = make.running()
    kill_zygote()
    assert container.exec(["echo", "hi"], capture_output=True, stdin=DEVNULL).stdout == b"hi\n"


def test_the_zygote_ends_with_the_process_that_started_it(root):
    code = f"""
import runstate, os, signal
from runstate.linux import launcher
factory = runstate.Factory({root!r}, "process")
null = runstate.DEVNULL
factory.run({host.new_id()!r}, runstate.Config.minimal(["sleep", "1000"]),
            stdin=null, stdout=null, stderr=null)
print(launcher.get().pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.read())
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(pidfd)
        assert poll.poll(5000), "the zygote outlives its engine"
    finally:
        os.close(pidfd)
        destroy_all(root)
