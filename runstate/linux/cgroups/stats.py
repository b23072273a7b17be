"""What a cgroup has used: each figure from the version that has its controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.cgroups import reading
from runstate.linux.cgroups.figures import (
    Amount,
    BlockIOEntry,
    BlockIOStats,
    CgroupStats,
    CpusetStats,
    CpuStats,
    HugepageStats,
    NetworkMarks,
    PidsStats,
    Pressure,
    RdmaStats,
)
from runstate.linux.cgroups.memory_stats import read_memory
from runstate.linux.cgroups.pages import page_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_stats(paths: Mapping[str, str]) -> CgroupStats:
    """The figures of the cgroup at these paths; a cgroup that is gone has none.

    Raises:
        OperationFailed: A file is there but cannot be read.
    """
    unified = paths.get("")
    cpuset, pids = paths.get("cpuset", unified), paths.get("pids", unified)
    return CgroupStats(
        cpu=_cpu(paths),
        cpuset=_cpuset(cpuset) if cpuset else CpusetStats(),
        memory=read_memory(paths.get("memory"), unified),
        pids=_pids(pids) if pids else PidsStats(),
        block_io=_block_io(paths.get("blkio"), unified),
        hugepages=_hugepages(paths.get("hugetlb"), unified),
        rdma=_rdma(paths.get("rdma", unified)),
        network=_network(paths.get("net_cls"), paths.get("net_prio")),
    )


# --- processor time -------------------------------------------------------------------------------


def _cpu(paths: Mapping[str, str]) -> CpuStats:
    unified = paths.get("")
    pressure = reading.pressure(f"{unified}/cpu.pressure") if unified else None
    accounting, controller = paths.get("cpuacct"), paths.get("cpu")
    if accounting is None and controller is None:
        return _cpu_v2(unified, pressure) if unified else CpuStats()
    stat = reading.table(f"{controller}/cpu.stat") if controller else {}
    per_cpu = _per_cpu(accounting) if accounting else {}
    return CpuStats(
        total_ns=reading.number(f"{accounting}/cpuacct.usage"),
        user_ns=reading.number(f"{accounting}/cpuacct.usage_user"),
        system_ns=reading.number(f"{accounting}/cpuacct.usage_sys"),
        per_cpu_ns=reading.numbers(f"{accounting}/cpuacct.usage_percpu"),
        per_cpu_user_ns=per_cpu.get("user", ()),
        per_cpu_system_ns=per_cpu.get("system", ()),
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        throttled_ns=stat.get("throttled_time"),
        burst_periods=stat.get("nr_bursts"),
        burst_ns=stat.get("burst_time"),
        pressure=pressure,
    )


def _per_cpu(accounting: str) -> dict[str, tuple[int, ...]]:
    """cpuacct.usage_all: a line for each processor, below the columns' names."""
    rows = [line.split() for line in reading.lines(f"{accounting}/cpuacct.usage_all")]
    if not rows:
        return {}
    columns = zip(*rows, strict=True)
    return {name: tuple(map(int, values)) for name, *values in columns if name != "cpu"}


def _cpu_v2(directory: str, pressure: Pressure | None) -> CpuStats:
    stat = reading.table(f"{directory}/cpu.stat")

    def nanoseconds(name: str) -> int | None:
        value = stat.get(name)
        return None if value is None else value * 1000

    return CpuStats(
        total_ns=nanoseconds("usage_usec"),
        user_ns=nanoseconds("user_usec"),
        system_ns=nanoseconds("system_usec"),
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        throttled_ns=nanoseconds("throttled_usec"),
        burst_periods=stat.get("nr_bursts"),
        burst_ns=nanoseconds("burst_usec"),
        pressure=pressure,
    )


def _cpuset(directory: str) -> CpusetStats:
    def file(name: str) -> str:
        return f"{directory}/cpuset.{name}"

    def first(*names: str) -> tuple[int, ...] | None:
        found = (reading.id_list(file(name)) for name in names)
        return next((ids for ids in found if ids is not None), None)

    return CpusetStats(
        cpus=first("cpus"),
        mems=first("mems"),
        effective_cpus=first("effective_cpus", "cpus.effective"),
        effective_mems=first("effective_mems", "mems.effective"),
        cpu_exclusive=reading.flag(file("cpu_exclusive")),
        mem_exclusive=reading.flag(file("mem_exclusive")),
        mem_hardwall=reading.flag(file("mem_hardwall")),
        memory_migrate=reading.flag(file("memory_migrate")),
        memory_spread_page=reading.flag(file("memory_spread_page")),
        memory_spread_slab=reading.flag(file("memory_spread_slab")),
        memory_pressure=reading.number(file("memory_pressure")),
        sched_load_balance=reading.flag(file("sched_load_balance")),
        sched_relax_domain_level=reading.number(file("sched_relax_domain_level")),
    )


def _pids(directory: str) -> PidsStats:
    return PidsStats(
        current=reading.number(f"{directory}/pids.current"),
        limit=reading.number(f"{directory}/pids.max"),
        peak=reading.number(f"{directory}/pids.peak"),
        failures=reading.table(f"{directory}/pids.events").get("max"),
    )


# --- block devices --------------------------------------------------------------------------------

# Version 2's words for an operation, by what is counted.
_UNIFIED_BYTES = {"rbytes": "Read", "wbytes": "Write", "dbytes": "Discard"}
_UNIFIED_OPERATIONS = {"rios": "Read", "wios": "Write", "dios": "Discard"}


def _block_io(legacy: str | None, unified: str | None) -> BlockIOStats:
    pressure = reading.pressure(f"{unified}/io.pressure") if unified else None
    if legacy is not None:
        return BlockIOStats(
            bytes=_entries(legacy, "bfq.io_service_bytes", "throttle.io_service_bytes"),
            operations=_entries(legacy, "bfq.io_serviced", "throttle.io_serviced"),
            queued=_entries(legacy, "bfq.io_queued"),
            service_time_ns=_entries(legacy, "bfq.io_service_time"),
            wait_time_ns=_entries(legacy, "bfq.io_wait_time"),
            merged=_entries(legacy, "bfq.io_merged"),
            time_ms=_entries(legacy, "bfq.time"),
            sectors=_entries(legacy, "bfq.sectors"),
            pressure=pressure,
        )
    if unified is None:
        return BlockIOStats()
    stat = reading.lines(f"{unified}/io.stat")
    return BlockIOStats(
        bytes=_unified_entries(stat, _UNIFIED_BYTES),
        operations=_unified_entries(stat, _UNIFIED_OPERATIONS),
        pressure=pressure,
    )


def _entries(directory: str, *names: str) -> tuple[BlockIOEntry, ...]:
    """The entries of the first of these files that has any."""
    for name in names:
        found = []
        for line in reading.lines(f"{directory}/blkio.{name}_recursive"):
            words = line.split()
            major, colon, minor = words[0].partition(":")
            # The last line is the total of all devices.
            if colon and major.isdecimal() and minor.isdecimal():
                operation = words[1] if len(words) > 2 else ""
                found.append(BlockIOEntry(int(major), int(minor), operation, int(words[-1])))
        if found:
            return tuple(found)
    return ()


def _unified_entries(stat: list[str], words: Mapping[str, str]) -> tuple[BlockIOEntry, ...]:
    found = []
    for line in stat:
        device, *pairs = line.split()
        major, colon, minor = device.partition(":")
        if not colon:
            continue
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in words:
                found.append(BlockIOEntry(int(major), int(minor), words[key], int(value)))
    return tuple(found)


# --- the others -----------------------------------------------------------------------------------


def _hugepages(legacy: str | None, unified: str | None) -> dict[str, HugepageStats]:
    directory = legacy or unified
    if directory is None:
        return {}
    found = {}
    for size in page_sizes():
        prefix = f"{directory}/hugetlb.{size}"
        used = _hugepage_amount(prefix, legacy=legacy is not None)
        if used.usage is not None:
            reserved = _hugepage_amount(f"{prefix}.rsvd", legacy=legacy is not None)
            found[size] = HugepageStats(
                used.usage, used.limit, used.peak, used.failures, reserved=reserved
            )
    return found


def _hugepage_amount(prefix: str, *, legacy: bool) -> Amount:
    if legacy:
        return Amount(
            reading.number(f"{prefix}.usage_in_bytes"),
            reading.limit_v1(f"{prefix}.limit_in_bytes"),
            reading.number(f"{prefix}.max_usage_in_bytes"),
            reading.number(f"{prefix}.failcnt"),
        )
    return Amount(
        reading.number(f"{prefix}.current"),
        reading.number(f"{prefix}.max"),
        None,
        reading.table(f"{prefix}.events").get("max"),
    )


def _rdma(directory: str | None) -> dict[str, RdmaStats]:
    if directory is None:
        return {}
    current = _rdma_lines(f"{directory}/rdma.current")
    limits = _rdma_lines(f"{directory}/rdma.max")
    return {
        device: RdmaStats(
            current.get(device, {}).get("hca_handle"),
            current.get(device, {}).get("hca_object"),
            limits.get(device, {}).get("hca_handle"),
            limits.get(device, {}).get("hca_object"),
        )
        for device in {**current, **limits}
    }


def _rdma_lines(path: str) -> dict[str, dict[str, int]]:
    found = {}
    for line in reading.lines(path):
        device, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        found[device] = {key: int(value) for key, value in values.items() if value != "max"}
    return found


def _network(classes: str | None, priorities: str | None) -> NetworkMarks:
    return NetworkMarks(
        reading.number(f"{classes}/net_cls.classid") if classes else None,
        reading.table(f"{priorities}/net_prio.ifpriomap") if priorities else {},
    )
