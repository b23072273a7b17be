"""What a running container has used, by controller, as its kernel counts it."""

from __future__ import annotations

import os
import threading
import time

import pytest

from runstate.errors import ContainerNotExists, ContainerNotRunning
from tests.limits.conftest import with_resources

pytestmark = pytest.mark.root
MIB = 1 << 20


@pytest.fixture
def until():
    """Wait until a condition holds; fail after ten seconds."""

    def wait(condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.005)

    return wait


def test_processor_time_is_told_altogether_and_by_processor(limiter, layout, until):
    container = limiter.running({}, "sh", "-c", "while :; do :; done")
    until(lambda: container.stats().cgroup.cpu.total_ns > 20_000_000)
    cpu = container.stats().cgroup.cpu
    if layout.hierarchy_of("cpuacct") in layout.legacy:
        assert len(cpu.per_cpu_ns) >= len(os.sched_getaffinity(0))
        assert sum(cpu.per_cpu_ns) == pytest.approx(cpu.total_ns, rel=0.1)
        assert sum(cpu.per_cpu_user_ns) > sum(cpu.per_cpu_system_ns)


def test_memory_is_told_by_kind_and_node(limiter, until):
    # The kernel gathers some of the figures only when much has changed.
    hold = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 1000"
    limits = {"memory": {"limit": 64 * MIB, "swap": 80 * MIB}}
    container = limiter.running(limits, "sh", "-c", hold)

    def memory():
        return container.stats().cgroup.memory

    until(lambda: (memory().anonymous or 0) > 10 * MIB and sum(memory().by_node["anon"].values()))
    found = memory()
    assert found.limit == 64 * MIB
    assert found.with_swap.limit == 80 * MIB
    assert 0 < found.usage <= found.peak
    assert found.kernel.usage > 0
    assert found.stat
    assert (found.failures, found.oom_kills, found.hierarchical) == (0, 0, True)


def test_a_limit_that_was_hit_is_counted(limiter):
    container = limiter.create(
        with_resources(
            {"memory": {"limit": 16 * MIB, "swap": 17 * MIB}},
            "sh", "-c", "tail /dev/zero; sleep 1000",
        )
    )  # fmt: skip
    container.start()
    deadline = time.monotonic() + 20
    while not container.stats().cgroup.memory.oom_kills:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert container.stats().cgroup.memory.failures > 0


def test_forks_that_the_limit_has_stopped_are_counted(limiter, until):
    container = limiter.running({"pids": {"limit": 2}}, "bash", "-c", "sleep 1000 & sleep 1000")
    until(lambda: container.stats().cgroup.pids.failures)
    pids = container.stats().cgroup.pids
    assert pids.limit == 2
    assert 1 <= pids.current <= 2


def test_processors_and_nodes_are_told(limiter):
    cpu = max(os.sched_getaffinity(0))
    cpuset = limiter.running({"cpu": {"cpus": str(cpu), "mems": "0"}}).stats().cgroup.cpuset
    assert (cpuset.cpus, cpuset.effective_cpus) == ((cpu,), (cpu,))
    assert (cpuset.mems, cpuset.effective_mems) == ((0,), (0,))


def test_bytes_that_were_read_from_a_disk_are_told_by_device(limiter, disk_file, until):
    device = os.stat(disk_file).st_dev
    container = limiter.running(
        {}, "sh", "-c", f"dd if={disk_file} of=/dev/null iflag=direct bs=64k; sleep 1000"
    )

    def read():
        return sum(
            entry.value
            for entry in container.stats().cgroup.block_io.bytes
            if (entry.major, entry.minor, entry.operation)
            == (os.major(device), os.minor(device), "Read")
        )

    until(lambda: read() >= MIB)
    assert container.stats().cgroup.block_io.operations


@pytest.mark.usefixtures("huge_pages")
def test_huge_pages_in_use_are_told_by_size(limiter, until):
    program = (
        "import mmap, time\nm = mmap.mmap(-1, 2 << 20, flags=0x40022)\nm[0] = 1\ntime.sleep(1000)"
    )
    python = os.path.realpath("/usr/bin/python3")
    limits = [{"pageSize": "2MB", "limit": 6 * MIB}]
    container = limiter.running({"hugepageLimits": limits}, python, "-c", program)
    until(lambda: container.stats().cgroup.hugepages["2MB"].usage == 2 * MIB)
    pages = container.stats().cgroup.hugepages["2MB"]
    assert (pages.limit, pages.reserved.limit) == (6 * MIB, 6 * MIB)


@pytest.mark.usefixtures("net_cls", "net_prio")
def test_the_marks_of_packets_are_told(limiter):
    network = {"classID": 0x10002, "priorities": [{"name": "lo", "priority": 4}]}
    marks = limiter.running({"network": network}).stats().cgroup.network
    assert marks.class_id == 0x10002
    assert marks.priorities["lo"] == 4


def test_pressure_is_told_in_the_unified_hierarchy(limiter, layout):
    if layout.unified is None or not os.path.exists("/proc/pressure/cpu"):
        pytest.skip("this host does not measure pressure")
    container = limiter.running({"unified": {"cgroup.max.depth": "9"}})
    stats = container.stats().cgroup
    for pressure in (stats.cpu.pressure, stats.memory.pressure, stats.block_io.pressure):
        assert pressure.some.total_us >= pressure.full.total_us >= 0
        assert 0 <= pressure.some.avg10 <= 100


def test_figures_can_be_read_while_the_container_is_destroyed(limiter):
    failures = []

    def look(container):
        try:
            while True:
                container.stats()
        except (ContainerNotExists, ContainerNotRunning):
            return
        except BaseException as error:  # noqa: BLE001 - threads cannot fail a test themselves
            failures.append(error)

    for _ in range(5):
        container = limiter.running({"pids": {"limit": 50}})
        thread = threading.Thread(target=look, args=(container,))
        thread.start()
        container.destroy(force=True)
        thread.join(20)
        assert not thread.is_alive()
    assert failures == []
