"""What a cgroup has used: memory, processor time, processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from runstate.errors import OperationFailed
from runstate.linux.cgroups.files import is_gone, read_all, read_value

if TYPE_CHECKING:
    from collections.abc import Mapping

# Version 1 says "no limit" with the largest page-aligned number: LONG_MAX rounded down.
_NO_LIMIT = 0x7FFFFFFFFFFFF000 - (1 << 20)


@frozen
class CgroupStats:
    """One look at a cgroup; a value that this host does not provide is None.

    Attributes:
        memory_usage: Bytes in use now, page cache included.
        memory_limit: In bytes; None also where there is no limit.
        memory_peak: The most bytes that were in use at once.
        memory_cache: Bytes of page cache.
        memory_anonymous: Bytes of anonymous memory.
        memory_kernel: Bytes that the kernel uses on the cgroup's behalf.
        oom_kills: How many processes the kernel killed because memory ran out.
        cpu_total_ns: Processor time, in nanoseconds.
        cpu_user_ns: Of it, in user mode.
        cpu_system_ns: Of it, in the kernel.
        cpu_periods: How many enforcement periods of the quota have passed.
        cpu_throttled_periods: In how many of them the quota ran out.
        cpu_throttled_ns: For how long processes had to wait for that, in nanoseconds.
        pids_current: Processes and threads now.
        pids_limit: The most there may be; None also where there is no limit.
    """

    memory_usage: int | None = None
    memory_limit: int | None = None
    memory_peak: int | None = None
    memory_cache: int | None = None
    memory_anonymous: int | None = None
    memory_kernel: int | None = None
    oom_kills: int | None = None
    cpu_total_ns: int | None = None
    cpu_user_ns: int | None = None
    cpu_system_ns: int | None = None
    cpu_periods: int | None = None
    cpu_throttled_periods: int | None = None
    cpu_throttled_ns: int | None = None
    pids_current: int | None = None
    pids_limit: int | None = None


def read_stats(paths: Mapping[str, str]) -> CgroupStats:
    """The figures of the cgroup at these paths, each from the version that has its controller.

    A cgroup that is gone has only None.

    Raises:
        OperationFailed: A file is there but cannot be read.
    """
    unified = paths.get("")
    values: dict[str, int | None] = {}
    memory = paths.get("memory")
    if memory is not None:
        values |= _memory_v1(memory)
    elif unified is not None:
        values |= _memory_v2(unified)
    if "cpuacct" in paths or "cpu" in paths:
        values |= _cpu_v1(paths.get("cpuacct"), paths.get("cpu"))
    elif unified is not None:
        values |= _cpu_v2(unified)
    pids = paths.get("pids", unified)
    if pids is not None:
        values["pids_current"] = _number(f"{pids}/pids.current")
        values["pids_limit"] = _number(f"{pids}/pids.max")
    return CgroupStats(**values)


def _memory_v1(directory: str) -> dict[str, int | None]:
    stat = _table(f"{directory}/memory.stat")
    limit = _number(f"{directory}/memory.limit_in_bytes")
    return {
        "memory_usage": _number(f"{directory}/memory.usage_in_bytes"),
        "memory_limit": None if limit is None or limit >= _NO_LIMIT else limit,
        "memory_peak": _number(f"{directory}/memory.max_usage_in_bytes"),
        # The total_ figures include the sub-cgroups, as usage does.
        "memory_cache": stat.get("total_cache", stat.get("cache")),
        "memory_anonymous": stat.get("total_rss", stat.get("rss")),
        "memory_kernel": _number(f"{directory}/memory.kmem.usage_in_bytes"),
        "oom_kills": _table(f"{directory}/memory.oom_control").get("oom_kill"),
    }


def _memory_v2(directory: str) -> dict[str, int | None]:
    stat = _table(f"{directory}/memory.stat")
    return {
        "memory_usage": _number(f"{directory}/memory.current"),
        "memory_limit": _number(f"{directory}/memory.max"),
        "memory_peak": _number(f"{directory}/memory.peak"),
        "memory_cache": stat.get("file"),
        "memory_anonymous": stat.get("anon"),
        "memory_kernel": stat.get("kernel"),
        "oom_kills": _table(f"{directory}/memory.events").get("oom_kill"),
    }


def _cpu_v1(cpuacct: str | None, cpu: str | None) -> dict[str, int | None]:
    values: dict[str, int | None] = {}
    if cpuacct is not None:
        values["cpu_total_ns"] = _number(f"{cpuacct}/cpuacct.usage")
        values["cpu_user_ns"] = _number(f"{cpuacct}/cpuacct.usage_user")
        values["cpu_system_ns"] = _number(f"{cpuacct}/cpuacct.usage_sys")
    if cpu is not None:
        stat = _table(f"{cpu}/cpu.stat")
        values["cpu_periods"] = stat.get("nr_periods")
        values["cpu_throttled_periods"] = stat.get("nr_throttled")
        values["cpu_throttled_ns"] = stat.get("throttled_time")
    return values


def _cpu_v2(directory: str) -> dict[str, int | None]:
    stat = _table(f"{directory}/cpu.stat")
    return {
        "cpu_total_ns": _from_microseconds(stat.get("usage_usec")),
        "cpu_user_ns": _from_microseconds(stat.get("user_usec")),
        "cpu_system_ns": _from_microseconds(stat.get("system_usec")),
        "cpu_periods": stat.get("nr_periods"),
        "cpu_throttled_periods": stat.get("nr_throttled"),
        "cpu_throttled_ns": _from_microseconds(stat.get("throttled_usec")),
    }


def _from_microseconds(value: int | None) -> int | None:
    return None if value is None else value * 1000


def _number(path: str) -> int | None:
    try:
        text = read_value(path)
    except OSError as error:
        _check_absent(path, error)
        return None
    return None if text == "max" else int(text)


def _table(path: str) -> dict[str, int]:
    try:
        text = read_all(path)
    except OSError as error:
        _check_absent(path, error)
        return {}
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {key: int(value) for key, value in pairs}


def _check_absent(path: str, error: OSError) -> None:
    if not is_gone(error):
        raise OperationFailed.from_os_error(f"read {path}", error) from error
