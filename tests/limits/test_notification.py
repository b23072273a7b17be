"""Being told that memory runs out, or gets tight, in containers where it really does."""

from __future__ import annotations

import os
import threading
import time

import pytest

from runstate.errors import ConfigInvalid, ContainerNotRunning, NotSupported
from runstate.linux.cgroups.notification import MemoryEvents, MemoryPressureEvent, OomEvent
from runstate.linux.cgroups.watches import _UnifiedOom
from tests.limits.conftest import with_resources

pytestmark = pytest.mark.root
MIB = 1 << 20
SMALL = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}
# Two children are killed, one after the other; then it goes on.
GREEDY = "tail /dev/zero; tail /dev/zero; sleep 1000"


def _descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def _collect(events):
    """A thread that collects all events until their end."""
    found = []
    thread = threading.Thread(target=lambda: found.extend(events))
    thread.start()
    return found, thread


def test_each_kill_is_told_and_the_end_of_the_container_is_the_iterators(limiter):
    container = limiter.create(with_resources(SMALL, "sh", "-c", GREEDY))
    before = _descriptors()
    events = container.notify_oom()
    container.start()
    assert next(events).kills <= 1
    deadline = time.monotonic() + 20
    while container.stats().cgroup.memory.oom_kills < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    found, thread = _collect(events)
    container.signal(9)
    thread.join(20)
    assert not thread.is_alive()
    # Those that nobody has fetched are told as one.
    assert len(found) <= 2
    assert _descriptors() == before


def test_the_kill_of_the_program_itself_is_told_before_the_end(limiter):
    container = limiter.create(with_resources(SMALL, "tail", "/dev/zero"))
    events = container.notify_oom()
    container.start()
    found = list(events)
    assert found
    assert not any(event.waiting for event in found)
    assert container.wait(10) == -9


def test_the_end_comes_when_the_container_is_destroyed_meanwhile(limiter):
    container = limiter.running(SMALL)
    found, thread = _collect(container.notify_oom())
    container.destroy(force=True)
    thread.join(20)
    assert not thread.is_alive()
    assert found == []


def test_who_waits_is_let_go_by_closing_from_another_thread(limiter):
    container = limiter.running(SMALL)
    before = _descriptors()
    events = container.notify_oom()
    found, thread = _collect(events)
    while not events._waiting:
        time.sleep(0.001)
    events.close()
    events.close()
    thread.join(20)
    assert not thread.is_alive()
    assert found == []
    assert list(events) == []
    assert _descriptors() == before


def test_it_is_a_context_manager(limiter):
    container = limiter.running(SMALL)
    before = _descriptors()
    with container.notify_oom():
        assert _descriptors() != before
    assert _descriptors() == before


def test_processes_that_wait_for_memory_are_told_where_nothing_is_killed(limiter, layout):
    if layout.hierarchy_of("memory") not in layout.legacy:
        pytest.skip("version 2 always kills")
    resources = {"memory": {**SMALL["memory"], "disableOOMKiller": True}}
    container = limiter.create(with_resources(resources, "tail", "/dev/zero"))
    events = container.notify_oom()
    container.start()
    assert next(events) == OomEvent(kills=0, waiting=True)
    events.close()


def test_pressure_is_told_when_pages_have_to_be_reclaimed(limiter, disk_file):
    program = (
        f"while :; do cat {disk_file} {disk_file} > /dev/shm/x; cat /usr/bin/* > /dev/null; done"
    )
    container = limiter.create(
        with_resources({"memory": {"limit": 8 * MIB, "swap": 8 * MIB}}, "sh", "-c", program)
    )
    with container.notify_memory_pressure("low") as events:
        container.start()
        assert next(events) == MemoryPressureEvent("low")


def test_a_level_that_there_is_not_is_refused_and_leaves_no_descriptor(limiter):
    container = limiter.running({})
    before = _descriptors()
    with pytest.raises(ConfigInvalid, match="low, medium, critical"):
        container.notify_memory_pressure("awful")
    assert _descriptors() == before


def test_a_stopped_container_has_no_events(limiter):
    container = limiter.running({}, "true")
    container.wait(10)
    with pytest.raises(ContainerNotRunning):
        container.notify_oom()


def test_a_backend_without_cgroups_says_that_it_cannot(make_process):
    container = make_process.running()
    with pytest.raises(NotSupported, match="notify_oom"):
        container.notify_oom()


def test_version_2_tells_of_kills_since_the_watch_began(tmp_path):
    text = "low 0\nhigh 0\nmax 1\noom 1\noom_kill {}\noom_group_kill 0\n"
    (tmp_path / "memory.events").write_text(text.format(2))
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    changes = os.open(tmp_path / "memory.events", os.O_RDONLY)
    populated = os.open(tmp_path / "cgroup.events", os.O_RDONLY)
    watch = _UnifiedOom(str(tmp_path), changes, populated)
    events = MemoryEvents(watch)
    assert not watch.over()
    assert watch.happened({}) is None
    (tmp_path / "memory.events").write_text(text.format(5))
    (tmp_path / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert list(events) == [OomEvent(kills=5)]
