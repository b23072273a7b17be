"""Figures: what each file of the kernel's comes to, and that they vanish without an error."""

from __future__ import annotations

import os

import pytest

from runstate.errors import OperationFailed
from runstate.linux.cgroups import reading, stats
from runstate.linux.cgroups.figures import (
    Amount,
    BlockIOEntry,
    CgroupStats,
    HugepageStats,
    Pressure,
    RdmaStats,
    Stall,
)
from runstate.linux.cgroups.stats import read_stats

PRESSURE = (
    "some avg10=1.25 avg60=0.50 avg300=0.00 total=77\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
)


@pytest.fixture
def cgroup(tmp_path):
    """A directory with the files that it is told."""

    def make(**files):
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        return str(tmp_path)

    return make


def test_processor_time_of_version_2_becomes_nanoseconds(cgroup):
    text = (
        "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\n"
        "throttled_usec 2\nnr_bursts 1\nburst_usec 6\n"
    )
    found = read_stats({"": cgroup(cpu__stat=text, cpu__pressure=PRESSURE)}).cpu
    assert (found.total_ns, found.user_ns, found.system_ns) == (30000, 20000, 10000)
    assert (found.periods, found.throttled_periods, found.throttled_ns) == (4, 3, 2000)
    assert (found.burst_periods, found.burst_ns) == (1, 6000)
    assert found.pressure == Pressure(Stall(1.25, 0.5, 0.0, 77), Stall(0.0, 0.0, 0.0, 5))


def test_pressure_of_kernels_that_tell_only_some_of_it(cgroup):
    line = PRESSURE.splitlines()[0]
    found = read_stats({"": cgroup(io__pressure=line)}).block_io.pressure
    assert found == Pressure(Stall(1.25, 0.5, 0.0, 77), None)


def test_memory_of_version_2_is_counted_in_the_terms_of_both_versions(cgroup):
    directory = cgroup(
        memory__current="100\n",
        memory__max="300\n",
        memory__peak="200\n",
        memory__stat="anon 60\nfile 30\nkernel 10\n",
        memory__events="low 0\nhigh 1\nmax 7\noom 2\noom_kill 3\n",
        memory__swap__current="5\n",
        memory__swap__max="50\n",
        memory__numa_stat="anon N0=40 N1=20\n",
    )
    found = read_stats({"": directory}).memory
    assert (found.usage, found.limit, found.peak, found.failures) == (100, 300, 200, 7)
    assert (found.anonymous, found.cache, found.kernel.usage) == (60, 30, 10)
    assert found.swap == Amount(5, 50)
    assert found.with_swap == Amount(105, 350)
    assert found.oom_kills == 3
    assert found.events["high"] == 1
    assert found.by_node == {"anon": {0: 40, 1: 20}}


def test_no_limit_is_none_in_either_version(cgroup):
    unlimited = cgroup(memory__max="max", pids__max="max", memory__limit_in_bytes=str(2**63 - 4096))
    assert read_stats({"": unlimited}).memory.limit is None
    assert read_stats({"": unlimited}).pids.limit is None
    assert read_stats({"memory": unlimited}).memory.limit is None


def test_io_of_version_2_is_told_by_device_and_operation(cgroup):
    text = "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 \n"
    found = read_stats({"": cgroup(io__stat=text)}).block_io
    assert found.bytes[:2] == (BlockIOEntry(254, 0, "Read", 10), BlockIOEntry(254, 0, "Write", 20))
    assert found.operations[:2] == (
        BlockIOEntry(254, 0, "Read", 1),
        BlockIOEntry(254, 0, "Write", 2),
    )


def test_io_of_version_1_comes_from_where_the_kernel_counts_it(cgroup):
    directory = cgroup(
        blkio__bfq__io_service_bytes_recursive="Total 0\n",
        blkio__throttle__io_service_bytes_recursive="8:0 Read 7\n8:0 Total 7\nTotal 7\n",
        blkio__bfq__io_serviced_recursive="8:0 Read 3\n8:0 Total 3\nTotal 3\n",
        blkio__bfq__sectors_recursive="8:0 9\n",
    )
    found = read_stats({"blkio": directory}).block_io
    assert found.bytes == (BlockIOEntry(8, 0, "Read", 7), BlockIOEntry(8, 0, "Total", 7))
    assert found.operations == (BlockIOEntry(8, 0, "Read", 3), BlockIOEntry(8, 0, "Total", 3))
    assert found.sectors == (BlockIOEntry(8, 0, "", 9),)


def test_huge_pages_are_told_by_size(cgroup, monkeypatch):
    monkeypatch.setattr(stats, "page_sizes", lambda: ["2MB", "1GB"])
    files = {
        "hugetlb__2MB__current": "4", "hugetlb__2MB__max": "max", "hugetlb__2MB__events": "max 2",
        "hugetlb__2MB__rsvd__current": "6", "hugetlb__2MB__rsvd__max": "8",
    }  # fmt: skip
    assert read_stats({"": cgroup(**files)}).hugepages == {
        "2MB": HugepageStats(4, None, None, 2, reserved=Amount(6, 8, None, None))
    }
    files = {
        "hugetlb__1GB__usage_in_bytes": "1", "hugetlb__1GB__limit_in_bytes": "2",
        "hugetlb__1GB__max_usage_in_bytes": "3", "hugetlb__1GB__failcnt": "4",
    }  # fmt: skip
    assert read_stats({"hugetlb": cgroup(**files)}).hugepages == {"1GB": HugepageStats(1, 2, 3, 4)}


def test_rdma_is_told_by_device(cgroup):
    directory = cgroup(
        rdma__current="mlx4_0 hca_handle=1 hca_object=20\nocrdma1 hca_handle=0 hca_object=0\n",
        rdma__max="mlx4_0 hca_handle=2 hca_object=max\n",
    )
    assert read_stats({"": directory}).rdma == {
        "mlx4_0": RdmaStats(1, 20, 2, None),
        "ocrdma1": RdmaStats(0, 0, None, None),
    }


def test_the_processors_of_version_1_are_told_one_by_one(cgroup):
    directory = cgroup(
        cpuacct__usage="30",
        cpuacct__usage_percpu="10 20 \n",
        cpuacct__usage_all="cpu user system\n0 4 6\n1 15 5\n",
    )
    found = read_stats({"cpuacct": directory}).cpu
    assert found.total_ns == 30
    assert found.per_cpu_ns == (10, 20)
    assert found.per_cpu_user_ns == (4, 15)
    assert found.per_cpu_system_ns == (6, 5)


def test_lists_of_processors_are_spelt_out(cgroup):
    directory = cgroup(cpuset__cpus="0-2,5\n", cpuset__mems="\n", cpuset__cpu_exclusive="1\n")
    found = read_stats({"cpuset": directory}).cpuset
    assert (found.cpus, found.mems, found.cpu_exclusive) == ((0, 1, 2, 5), (), True)


def test_an_empty_directory_has_no_figures(cgroup):
    assert read_stats({"": cgroup(), "memory": cgroup(), "cpu": cgroup()}) == CgroupStats()
    assert read_stats({}) == CgroupStats()


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(cgroup):
    directory = cgroup()
    os.mkdir(f"{directory}/pids.current")
    with pytest.raises(OperationFailed, match=r"read .*/pids\.current"):
        read_stats({"": directory})


def test_pressure_that_is_not_measured_is_none(cgroup, monkeypatch):
    def read_all(_path):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(reading, "read_all", read_all)
    assert read_stats({"": cgroup()}).cpu.pressure is None
