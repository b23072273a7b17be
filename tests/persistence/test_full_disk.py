"""Disks that are really full, and really read-only."""

from __future__ import annotations

import errno
import os
import subprocess

import attrs
import pytest

from runstate.errors import OperationFailed
from runstate.persistence.store import Store
from tests.persistence.samples import fill, state_of

pytestmark = pytest.mark.root


@pytest.fixture
def container(disk):
    """A container on a disk of 64 KiB; its lock is held."""
    directory = Store(str(disk / "root")).reserve("web")
    directory.journal.append("begin", trigger="create", source="absent", dest="created", plan=[])
    directory.save(state_of())
    return directory


def big(size: int):
    return attrs.evolve(state_of(), config={"padding": "x" * size})


def test_a_state_that_finds_no_room_leaves_the_earlier_one_and_nothing_else(container, disk):
    fill(disk)
    before = sorted(os.listdir(container.path))
    with pytest.raises(OperationFailed) as caught:
        container.save(big(30_000))
    assert caught.value.errno == errno.ENOSPC
    assert "state.json: No space left on device (ENOSPC); free space" in str(caught.value)
    assert sorted(os.listdir(container.path)) == before
    assert Store(str(disk / "root")).open("web").load() == container.load() == state_of()


def test_it_can_be_saved_once_there_is_room(container, disk):
    filler = fill(disk)
    with pytest.raises(OperationFailed):
        container.save(big(30_000))
    filler.unlink()
    container.save(big(30_000))
    assert container.load() == big(30_000)


def test_a_record_that_finds_no_room_is_not_there_in_part(container, disk):
    journal = container.journal
    before = journal.read()
    filler = fill(disk)
    appended = 0
    error = None
    while error is None:
        try:
            journal.append("note", text="x" * 999)
            appended += 1
        except OperationFailed as refusal:
            error = refusal
    assert error.errno == errno.ENOSPC
    with open(journal.path, "rb") as file:
        assert file.read().endswith(b"\n")
    assert len(journal.read()) == len(before) + appended
    filler.unlink()
    journal.append("note", text="there is room")
    assert journal.read()[-1].seq == len(before) + appended + 1


def test_a_container_can_be_locked_and_destroyed_on_a_full_disk(container, disk):
    fill(disk)
    container.lock.release()
    with container.lock.hold(1, "destroy"):
        container.retire()
    assert Store(str(disk / "root")).ids() == []


def test_a_container_that_finds_no_room_leaves_nothing(disk):
    store = Store(str(disk / "root"))
    os.mkdir(store.root)
    subprocess.run(["mount", "-o", "remount,nr_inodes=3", disk], check=True)
    with pytest.raises(OperationFailed, match=r"create container 'web'.*ENOSPC"):
        store.reserve("web")
    assert os.listdir(store.root) == []


def test_on_a_read_only_disk_reading_works_and_writing_says_why_not(container, disk):
    container.lock.release()
    store = Store(str(disk / "root"))
    container.journal.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert store.ids() == ["web"]
    fresh = store.open("web")
    assert fresh.load() == state_of()
    assert fresh.journal.pending() is not None
    for operation in (
        lambda: fresh.save(big(1)),
        lambda: fresh.journal.append("note", a=1),
        lambda: fresh.lock.acquire(1, "start"),
        lambda: store.reserve("db"),
        fresh.retire,
    ):
        with pytest.raises(OperationFailed) as caught:
            operation()
        assert caught.value.errno == errno.EROFS
        assert "writable file system" in str(caught.value)
    store.sweep()
    assert fresh.load() == state_of()
    assert not fresh.lock.held
