from __future__ import annotations

import os
import threading
import time

import pytest

from runstate.errors import ContainerBusy, ContainerNotExists
from runstate.persistence.locks import ContainerLock

HOLD = """
from runstate.persistence.locks import ContainerLock
lock = ContainerLock(args[0], "web")
lock.acquire(5, "pause")
say("held")
hear()
lock.release()
say("free")
hear()
"""


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "web"
    path.mkdir()
    return str(path)


def test_a_lock_that_is_free_is_had_at_once_and_again(directory):
    lock = ContainerLock(directory, "web")
    for _ in range(3):
        with lock.hold(0.0, "start"):
            assert lock.held
        assert not lock.held


def test_another_process_is_waited_for_and_named_when_the_deadline_comes(directory, worker):
    holder = worker(HOLD, directory)
    assert holder.says() == "held"
    before = time.monotonic()
    with pytest.raises(ContainerBusy) as caught, ContainerLock(directory, "web").hold(0.2, "kill"):
        pass
    assert 0.2 <= time.monotonic() - before < 5
    message = str(caught.value)
    for part in ("kill container 'web'", f"process {holder.pid} (python", "`pause`", "since 0.",
                 "waited 0.2 s"):  # fmt: skip
        assert part in message


def test_a_deadline_of_zero_is_one_attempt(directory, worker):
    assert worker(HOLD, directory).says() == "held"
    lock = ContainerLock(directory, "web")
    with pytest.raises(ContainerBusy, match="waited 0 s"):
        lock.acquire(0.0, "settle")
    assert not lock.held


def test_a_lock_is_had_as_soon_as_its_holder_lets_it_go(directory, worker):
    holder = worker(HOLD, directory)
    assert holder.says() == "held"
    letting_go = threading.Timer(0.05, holder.tell)
    letting_go.start()
    with ContainerLock(directory, "web").hold(30, "start"):
        assert holder.says() == "free"
    letting_go.join()


def test_the_lock_of_a_killed_process_is_free(directory, worker):
    holder = worker(HOLD, directory)
    assert holder.says() == "held"
    holder.kill()
    with ContainerLock(directory, "web").hold(1, "start"):
        pass


def test_a_forked_child_does_not_keep_its_dead_parents_lock(directory, worker):
    parent = worker(
        HOLD.replace('say("held")', 'os.fork() or (say("held"), hear(), os._exit(0))'), directory
    )
    assert parent.says() == "held"  # the child says it; both live
    os.kill(parent.pid, 9)
    with ContainerLock(directory, "web").hold(5, "start"):
        pass


def test_a_forked_child_does_not_take_its_living_parents_lock(directory, worker):
    code = """
from runstate.persistence.locks import ContainerLock
lock = ContainerLock(args[0], "web")
with lock.hold(1, "pause"):
    child = os.fork()
    if child == 0:
        say(lock.held)
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    say("held")
    hear()
"""
    parent = worker(code, directory)
    assert parent.says() == "False"
    assert parent.says() == "held"
    with pytest.raises(ContainerBusy):
        ContainerLock(directory, "web").acquire(0.0, "start")


def test_processes_and_threads_exclude_one_another(directory, worker, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    code = """
import threading
from runstate.persistence.locks import ContainerLock
shared = ContainerLock(args[0], "web")
def count(lock):
    for _ in range(50):
        with lock.hold(60, "count"):
            with open(args[1]) as file: value = int(file.read())
            with open(args[1], "w") as file: file.write(str(value + 1))
threads = [threading.Thread(target=count, args=(lock,))
           for lock in (shared, shared, ContainerLock(args[0], "web"))]
for thread in threads: thread.start()
for thread in threads: thread.join()
say("done")
"""
    workers = [worker(code, directory, counter) for _ in range(3)]
    assert [each.says() for each in workers] == ["done"] * 3
    assert counter.read_text() == str(3 * 3 * 50)


def test_another_thread_waits_and_is_told_which_thread_holds(directory):
    lock = ContainerLock(directory, "web")
    found: list[BaseException | None] = []

    def other() -> None:
        try:
            lock.acquire(0.05, "stop")
        except ContainerBusy as error:
            found.append(error)

    def hold() -> None:
        with lock.hold(1, "pause"):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    holder = threading.Thread(target=hold, name="worker-7")
    holder.start()
    holder.join()
    assert f"thread worker-7 of process {os.getpid()}" in str(found[0])


@pytest.mark.parametrize("same_object", [True, False])
def test_a_thread_that_holds_it_already_is_told_at_once(directory, same_object):
    lock = ContainerLock(directory, "web")
    with lock.hold(1, "pause"):
        before = time.monotonic()
        again = lock if same_object else ContainerLock(directory, "web")
        with pytest.raises(ContainerBusy, match="this thread is in the middle"):
            again.acquire(30, "resume")
        assert time.monotonic() - before < 5
        assert lock.held
    with lock.hold(0.0, "resume"):
        pass


@pytest.mark.parametrize("gone", ["renamed", "removed"])
def test_waiting_for_a_container_that_goes_ends_with_its_absence(directory, gone):
    holder, waiter = ContainerLock(directory, "web"), ContainerLock(directory, "web")
    holder.acquire(1, "destroy")
    found: list[BaseException] = []

    def wait() -> None:
        try:
            waiter.acquire(30, "start")
        except ContainerNotExists as error:
            found.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    if gone == "renamed":
        os.rename(directory, directory + ".gone")
    else:
        os.unlink(directory + "/lock")
        os.rmdir(directory)
    holder.release()
    thread.join(20)
    assert not thread.is_alive()
    assert "start container 'web'" in str(found[0])


def test_a_lock_that_was_replaced_under_the_waiter_is_not_the_containers(directory, monkeypatch):
    lock = ContainerLock(directory, "web")
    real = os.fstat

    def replace_then_fstat(fd: int) -> os.stat_result:
        os.rename(f"{directory}/lock", f"{directory}/old")
        with open(f"{directory}/lock", "w"):
            pass
        return real(fd)

    monkeypatch.setattr(os, "fstat", replace_then_fstat)
    with pytest.raises(ContainerNotExists):
        lock.acquire(0.0, "start")


def test_a_missing_directory_is_a_missing_container(tmp_path):
    with pytest.raises(ContainerNotExists, match="'web'"):
        ContainerLock(str(tmp_path / "web"), "web").acquire(1, "start")


def test_a_holder_that_cannot_be_read_is_just_another(directory, worker):
    holder = worker(HOLD, directory)
    assert holder.says() == "held"
    with open(f"{directory}/lock", "wb") as file:
        file.write(b"\xff\0 rubbish")
    with pytest.raises(ContainerBusy, match="another process holds its lock"):
        ContainerLock(directory, "web").acquire(0.0, "start")


def test_a_program_that_is_executed_does_not_get_the_descriptor(directory):
    lock = ContainerLock(directory, "web")
    with lock.hold(1, "start"):
        assert not os.get_inheritable(lock._fd)
