"""Version 2's way to tell of memory pressure, on a cgroup of its hierarchy alone."""

from __future__ import annotations

import os
import threading

import pytest

from runstate.errors import NotSupported
from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.cgroups.notification import MemoryPressureEvent
from runstate.linux.cgroups.watches import watch_oom, watch_pressure

pytestmark = pytest.mark.root

THRASH = """
import mmap, os, sys
path = sys.argv[1]
with open(path, "wb") as file:
    for _ in range(64):
        file.write(os.urandom(1 << 20))
os.sync()
print(flush=True)
with open(path, "rb") as file:
    view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    while True:
        sum(view[n] for n in range(0, len(view), 4096))
"""


@pytest.fixture
def thrashing(make, spawn, release, tmp_path):
    """A process that has a quarter of the memory that it works on; it is in all hierarchies."""
    cgroup = make("all")
    if "memory" not in cgroup.paths or not os.path.exists("/proc/pressure/memory"):
        pytest.skip("needs version 1's memory controller and pressure stall information")
    cgroup.create()
    cgroup.apply({"memory": {"limit": 16 << 20}})
    process = spawn(THRASH, str(tmp_path / "data"))
    cgroup.attach(process.pid)

    def start():
        release(process)
        process.stdout.readline()

    yield cgroup, process, start
    if (tmp_path / "data").exists():
        os.truncate(tmp_path / "data", 0)


@pytest.mark.parametrize("level", ["low", "critical"])
def test_a_trigger_on_pressure_is_told_and_ends_with_the_last_process(thrashing, level):
    cgroup, process, start = thrashing
    before = len(os.listdir("/proc/self/fd"))
    unified = {"": cgroup.paths[""]}
    events = watch_pressure(unified, level, os.pidfd_open(process.pid))
    start()
    assert next(events) == MemoryPressureEvent(level)
    thread = threading.Thread(target=lambda: list(events))
    thread.start()
    process.kill()
    process.wait()
    thread.join(20)
    assert not thread.is_alive()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_cgroup_that_goes_ends_the_watch(make):
    cgroup = make("unified")
    if not os.path.exists("/proc/pressure/memory"):
        pytest.skip("this host does not measure pressure")
    cgroup.create()
    events = watch_pressure(cgroup.paths, "medium", os.pidfd_open(os.getpid()))
    cgroup.remove()
    assert list(events) == []


def test_without_a_memory_controller_there_is_nothing_to_watch(make):
    cgroup = make("unified")
    before = len(os.listdir("/proc/self/fd"))
    for paths in ({}, {"cpu": "/nowhere"}, cgroup.paths):
        with pytest.raises(NotSupported, match=r"no .*memory"):
            watch_oom(paths, os.pidfd_open(os.getpid()))
        with pytest.raises(NotSupported, match=r"no .*memory"):
            watch_pressure(Cgroup(paths).paths, "low", os.pidfd_open(os.getpid()))
    assert len(os.listdir("/proc/self/fd")) == before
