"""Freezing and killing real processes, the well-behaved and the others."""

from __future__ import annotations

import ctypes
import os
import signal
import time

import pytest

from runstate.errors import DeadlineExceeded
from runstate.linux.cgroups import killing
from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.cgroups.layout import detect
from runstate.linux.cgroups.paths import plan_paths

pytestmark = pytest.mark.root
ALL_KINDS = pytest.mark.parametrize("kind", ["all", "legacy", "unified"])
BUSY = "print(flush=True)\nwhile True: pass"


def _ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))


def _child_of(cgroup, name):
    child = Cgroup({key: f"{path}/{name}" for key, path in cgroup.paths.items()})
    # Without controllers of version 2, which would let no process be above.
    Cgroup({key: path for key, path in child.paths.items() if key}).create()
    if "" in child.paths:
        os.makedirs(child.paths[""], exist_ok=True)
    return child


def _busy(spawn, release, cgroup):
    process = spawn(BUSY)
    cgroup.attach(process.pid)
    release(process)
    process.stdout.readline()
    return process


@ALL_KINDS
def test_frozen_processes_use_no_time_until_they_are_thawed(make, spawn, release, await_that, kind):
    cgroup = make(kind)
    cgroup.create()
    outer = _busy(spawn, release, cgroup)
    inner = _busy(spawn, release, _child_of(cgroup, "inner"))
    assert cgroup.frozen() is False
    cgroup.freeze()
    assert cgroup.frozen() is True
    before = [_ticks(process.pid) for process in (outer, inner)]
    # Longer than the clock tick that the figures are counted in.
    time.sleep(0.05)
    assert [_ticks(process.pid) for process in (outer, inner)] == before
    cgroup.thaw()
    assert cgroup.frozen() is False
    await_that(lambda: all(_ticks(p.pid) > t for p, t in zip((outer, inner), before, strict=True)))


@ALL_KINDS
def test_frozen_processes_can_be_killed_and_removed(make, spawn, leftovers, kind):
    cgroup = make(kind)
    cgroup.create()
    processes = [spawn() for _ in range(3)]
    for process in processes:
        cgroup.attach(process.pid)
    cgroup.freeze()
    cgroup.kill()
    assert [process.wait(timeout=10) for process in processes] == [-signal.SIGKILL] * 3
    cgroup.remove()
    assert leftovers() == []


@ALL_KINDS
def test_processes_that_the_container_froze_in_a_sub_cgroup_die_too(make, spawn, leftovers, kind):
    cgroup = make(kind)
    cgroup.create()
    inner = _child_of(cgroup, "inner")
    process = spawn()
    inner.attach(process.pid)
    inner.freeze()
    cgroup.kill()
    assert process.wait(timeout=10) == -signal.SIGKILL
    cgroup.remove()
    assert leftovers() == []


BOMB = """
import os
print(flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


@pytest.mark.parametrize("by_kernel", [True, False])
@ALL_KINDS
def test_a_fork_bomb_dies(top, make, spawn, release, leftovers, await_that, kind, by_kernel):
    paths = dict(make(kind).paths)
    # At a distance in version 1, so that what is bombed has only what its kind has.
    pids = plan_paths(detect(), f"{top}/bounds", "unused").get("pids")
    paths.pop("pids", None)
    cgroup = Cgroup(paths)
    bounds = Cgroup({"pids": pids}) if pids else cgroup
    if not pids and "pids" not in detect().unified_controllers:
        pytest.skip("no controller to bound it with")
    cgroup.create()
    bounds.create()
    bounds.apply({"pids": {"limit": 40}})
    process = spawn(BOMB)
    bounds.attach(process.pid)
    cgroup.attach(process.pid)
    release(process)
    process.stdout.readline()
    await_that(lambda: len(cgroup.procs()) >= 30)
    if by_kernel:
        cgroup.kill()
    else:
        killing._kill_one_by_one(cgroup.paths, cgroup.directories[0], time.monotonic() + 10, 10)
    assert process.wait(timeout=10) == -signal.SIGKILL
    cgroup.remove()
    bounds.remove()
    assert leftovers() == []


@pytest.fixture
def hung_directory(tmp_path):
    """A directory whose look-up never ends: a FUSE file system that nobody serves."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no FUSE: {error}")
    target = os.fsencode(tmp_path)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd
    if libc.mount(b"runstate-test", target, b"fuse", 0, options):
        os.close(fd)
        pytest.skip(f"no FUSE mount: {os.strerror(ctypes.get_errno())}")
    yield str(tmp_path)
    os.close(fd)
    libc.umount2(target, 2)  # MNT_DETACH


@pytest.fixture
def hung(spawn, release, await_that, hung_directory):
    """Start a process in a cgroup that waits in the kernel where it cannot be frozen."""

    def start(cgroup):
        process = spawn("import os, sys\nos.stat(sys.argv[1])", f"{hung_directory}/x")
        cgroup.attach(process.pid)
        release(process)

        def waits():
            with open(f"/proc/{process.pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "D"

        await_that(waits)
        return process

    return start


def test_freezing_gives_up_at_its_deadline_and_lets_the_others_run_again(
    make, spawn, release, await_that, hung
):
    # Version 1 can freeze a process in this place, on newer kernels.
    cgroup = make("unified")
    cgroup.create()
    busy = _busy(spawn, release, cgroup)
    hung(cgroup)
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"not all stopped after 0\.1 s"):
        cgroup.freeze(0.1)
    assert 0.1 <= time.monotonic() - start < 3
    before = _ticks(busy.pid)
    await_that(lambda: _ticks(busy.pid) > before)


@ALL_KINDS
def test_more_processes_than_processors_cannot_stop_in_no_time_and_run_again(
    make, spawn, release, await_that, kind
):
    cgroup = make(kind)
    cgroup.create()
    processes = [_busy(spawn, release, cgroup) for _ in range(4 + len(os.sched_getaffinity(0)))]
    with pytest.raises(DeadlineExceeded, match=cgroup.paths.get("freezer", cgroup.primary)):
        cgroup.freeze(0)
    before = [_ticks(process.pid) for process in processes]
    await_that(lambda: all(_ticks(p.pid) > t for p, t in zip(processes, before, strict=True)))
    cgroup.freeze()
    assert cgroup.frozen() is True


@ALL_KINDS
def test_killing_one_by_one_reaches_a_process_that_waits_in_the_kernel(
    make, spawn, hung, leftovers, kind
):
    cgroup = make(kind)
    cgroup.create()
    sleeper, stuck = spawn(), hung(cgroup)
    cgroup.attach(sleeper.pid)
    killing._kill_one_by_one(cgroup.paths, cgroup.directories[0], time.monotonic() + 5, 0.2)
    assert sleeper.wait(timeout=10) == -signal.SIGKILL
    assert stuck.wait(timeout=10) == -signal.SIGKILL
    cgroup.remove()
    assert leftovers() == []


def test_only_processes_of_the_cgroup_are_signalled(make, spawn):
    cgroup = make()
    cgroup.create()
    inside, outside = spawn(), spawn()
    cgroup.attach(inside.pid)
    killing._signal(cgroup.primary, [inside.pid, outside.pid])
    assert inside.wait(timeout=10) == -signal.SIGKILL
    assert outside.poll() is None
