"""A saved status is a claim: what the kernel says of real containers when it does not hold."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from runstate import Factory
from runstate.errors import (
    ContainerNotExists,
    ContainerNotPaused,
    ContainerNotRunning,
    DeadlineExceeded,
    OperationFailed,
    StateInvalid,
)
from runstate.linux import processes
from tests import host
from tests.legality import assert_legal

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate import Container

ALIVE = ["created", "running", "paused"]


def stranger(container: Container) -> Container:
    """The container as a factory finds it that has not made it."""
    return Factory(os.path.dirname(directory(container)), "process").load(container.id)


def directory(container: Container) -> str:
    return container._lifecycle.directory.path


def edit(container: Container, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the saved state behind the library's back."""
    path = f"{directory(container)}/state.json"
    with open(path, encoding="utf-8") as file:
        raw = json.load(file)
    change(raw)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(raw, file)
    os.rename(f"{path}.new", path)


def kill_init(container: Container) -> None:
    """Kill init as anyone on the host could, and wait until it is dead."""
    pid, paused = container.pid, container.status == "paused"
    assert pid is not None
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    if paused:
        # What a version 1 cgroup has frozen dies when it is thawed; anything else is dead now.
        with suppress(ContainerNotPaused):
            container.resume()
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000), f"process {pid} still lives"
    os.close(pidfd)


# --- init died --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ALIVE)
def test_a_container_whose_init_was_killed_is_stopped(make, status):
    container = make.in_status(status)
    kill_init(container)
    assert stranger(container).status == "stopped"
    assert container.status == "stopped"
    assert container.wait(10) == -9
    assert container.pid is None
    assert [record.trigger for record in container.history()][-1] == "exited"
    assert_legal(container.history())
    container.destroy()


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_code_outlives_whoever_waited(make, code):
    container = make.running("sh", "-c", f"exit {code}")
    assert container.wait(10) == code
    state = stranger(container).state
    assert state.exit is not None
    assert (state.exit.code, state.exit.signal, state.exit.shell) == (code, None, code)


def test_a_signal_to_a_stopped_container_is_refused(make):
    container = make.stopped()
    with pytest.raises(ContainerNotRunning, match="it is stopped"):
        container.signal(signal.SIGTERM)


def test_waiting_for_what_goes_on_ends_with_the_timeout(make):
    with pytest.raises(DeadlineExceeded, match=r"still runs after 0.01 s"):
        make.running().wait(0.01)


def test_a_stranger_waits_for_the_end_too(make):
    container = make.running()
    other = stranger(container)
    with pytest.raises(DeadlineExceeded):
        other.wait(0)
    container.signal(signal.SIGKILL)
    assert other.wait(10) == -9


# --- the pid is another's ---------------------------------------------------------------------


@pytest.fixture
def bystander():
    """A process that has nothing to do with any container."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_pid_that_was_used_again_is_not_init(make, bystander, status):
    container = make.in_status(status)
    kill_init(container)
    reused = processes.identify(bystander.pid)
    assert reused is not None

    def take_pid(raw: dict[str, Any]) -> None:
        # As if the kernel had given init's pid to the bystander: its start time differs.
        raw["init_process_pid"] = bystander.pid
        raw["init_process_start"] = reused.start - 1

    edit(container, take_pid)
    found = stranger(container)
    assert found.status == "stopped"
    found.destroy(force=True)
    assert bystander.poll() is None


@pytest.mark.root
def test_a_pid_that_the_kernel_really_gives_again_is_not_signalled(root):
    # In a pid namespace of its own, where the next pid can be chosen (pid_namespaces(7)).
    code = f"""
import os, signal, sys
import runstate
factory = runstate.Factory({root!r}, "process")
null = runstate.DEVNULL
config = runstate.Config.minimal(["sleep", "1000"])
for force in (False, True):
    container = factory.run({host.new_id()!r}, config, stdin=null, stdout=null, stderr=null)
    pid = container.pid
    os.kill(pid, signal.SIGKILL)
    while os.path.exists(f"/proc/{{pid}}"):
        pass
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(pid - 1))
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    assert child == pid, (child, pid)
    found = runstate.Factory({root!r}, "process").load(container.id)
    assert found.status == "stopped", found.status
    found.destroy(force=force)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "the bystander was killed"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
    unshared = [
        "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", code,
    ]  # fmt: skip
    subprocess.run(unshared, check=True, timeout=60)


# --- another boot -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_a_container_of_another_boot_is_stopped_and_nobody_is_signalled(make, bystander, status):
    container = make.in_status(status)
    innocent = processes.identify(bystander.pid)
    assert innocent is not None

    def reboot(raw: dict[str, Any]) -> None:
        raw["boot_id"] = "00000000-0000-0000-0000-000000000000"
        # Worse than likely: in this boot the same pid started at the same tick.
        raw["init_process_pid"], raw["init_process_start"] = innocent.pid, innocent.start

    kill_init(container)
    edit(container, reboot)
    found = stranger(container)
    assert found.status == "stopped"
    assert found.pid is None
    found.destroy(force=True)
    assert bystander.poll() is None


# --- frozen or not ----------------------------------------------------------------------------


def claim(container: Container, status: str) -> None:
    edit(container, lambda raw: raw.update(status=status))


@pytest.mark.parametrize(
    ("real", "claimed"),
    [
        ("running", "created"),
        ("running", "pausing"),
        ("running", "paused"),
        ("paused", "running"),
        ("paused", "pausing"),
        ("paused", "created"),
    ],
)
def test_a_false_claim_is_settled_by_the_kernel(make, real, claimed):
    container = make.in_status(real)
    pid = container.pid
    claim(container, claimed)
    found = stranger(container)
    assert found.status == real
    assert found.pid == pid
    records = found.history()
    assert records[-1].dest == real
    assert all(record.outcome == "committed" for record in records)


def test_a_process_backend_container_that_others_have_stopped_is_paused(make_process):
    container = make_process.running()
    os.killpg(container.pid, signal.SIGSTOP)
    stopped = [pid for pid in container.processes() if processes.state_of(pid) in "tT"]
    while not stopped:  # a stop is the target's own doing; the kernel lets nobody wait for it
        stopped = [pid for pid in container.processes() if processes.state_of(pid) in "tT"]
    assert container.status == "paused"
    container.resume()
    assert container.status == "running"


# --- torn and corrupt -------------------------------------------------------------------------


CORRUPT = {
    "empty": b"",
    "torn": b'{"version": 1, "id": "',
    "not JSON": b"\x00\xff\x00",
    "not an object": b"[]",
    "no keys": b"{}",
    "a newer version": b'{"version": 99}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("text", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.parametrize("status", ["running", "paused", "stopped"])
def test_a_corrupt_state_is_a_typed_error_and_can_be_destroyed(make, root, status, text):
    before = host.take(root)
    container = make.in_status(status)
    path = f"{directory(container)}/state.json"
    with open(path, "wb") as file:
        file.write(text)
    with pytest.raises(StateInvalid) as caught:
        stranger(container)
    assert path in str(caught.value)
    with pytest.raises(StateInvalid):
        container.pause()
    assert [found.id for found in make.factory.list()] == [container.id]
    with pytest.raises(StateInvalid):
        make.factory.destroy(container.id)
    with open(path, "rb") as file:
        assert file.read() == text, "a state that nobody could read was overwritten"
    make.factory.destroy(container.id, force=True)
    host.assert_same(before, root)
    assert container.status == "absent"


def damage_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x20]) + data[middle + 1 :]


def lose(_data: bytes) -> bytes:
    return b""


DAMAGES = {
    "flipped": damage_middle,
    "lost": lose,
    "with a half line more": lambda data: data + b'{"seq":99,"time":1,"kind":"begin","tri',
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("status", ["created", "running"])
def test_a_container_with_a_damaged_journal_goes_on(make, root, status, damage):
    before = host.take(root)
    container = make.in_status(status)
    path = f"{directory(container)}/journal.jsonl"
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(damage(data))
    found = stranger(container)
    assert found.status == status
    if status == "created":
        found.start()
    assert found.exec(["true"]).returncode == 0
    found.pause()
    assert found.status == "paused"
    assert [record.trigger for record in found.history()][-2:] == ["pause", "freeze"]
    found.destroy(force=True)
    host.assert_same(before, root)


def test_a_torn_last_line_was_never_written(make, root):
    # It is the commit of `create`: whoever was writing it has died, so the create is undone.
    before = host.take(root)
    container = make.created()
    path = f"{directory(container)}/journal.jsonl"
    os.truncate(path, os.stat(path).st_size - 7)
    with pytest.raises(ContainerNotExists, match="interrupted create is undone"):
        stranger(container)
    assert make.factory.list() == []
    host.assert_same(before, root)


def test_with_neither_state_nor_journal_an_error_says_what_is_left(make):
    container = make.running()
    contents = {}
    for name in ("state.json", "journal.jsonl"):
        path = f"{directory(container)}/{name}"
        with open(path, "rb") as file:
            contents[path] = file.read()
        with open(path, "wb") as file:
            file.write(b"\x00")
    with pytest.raises(OperationFailed, match=r"neither its state\.json nor its journal can"):
        make.factory.destroy(container.id, force=True)
    for path, content in contents.items():
        with open(path, "wb") as file:
            file.write(content)
    assert stranger(container).status == "running"
