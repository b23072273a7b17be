"""What the memory controller tells, in the terms of both versions."""

from __future__ import annotations

import os

from runstate.linux.cgroups import reading
from runstate.linux.cgroups.figures import Amount, MemoryStats, Pressure


def read_memory(legacy: str | None, unified: str | None) -> MemoryStats:
    """The figures of the one directory or the other.

    Args:
        legacy: Of version 1's memory controller, if it has one.
        unified: Of version 2, if there is one; it tells of pressure in both cases.

    Raises:
        OperationFailed: A file is there but cannot be read.
    """
    pressure = reading.pressure(f"{unified}/memory.pressure") if unified else None
    if legacy is not None:
        return _read_v1(legacy, pressure)
    return _read_v2(unified, pressure) if unified is not None else MemoryStats()


def _read_v1(directory: str, pressure: Pressure | None) -> MemoryStats:
    stat = reading.table(f"{directory}/memory.stat")
    whole = _amount_v1(f"{directory}/memory")
    return MemoryStats(
        whole.usage,
        whole.limit,
        whole.peak,
        whole.failures,
        swap=Amount(usage=stat.get("total_swap")),
        with_swap=_amount_v1(f"{directory}/memory.memsw"),
        kernel=_amount_v1(f"{directory}/memory.kmem"),
        kernel_tcp=_amount_v1(f"{directory}/memory.kmem.tcp"),
        # The total_ figures include the sub-cgroups, as usage does.
        cache=stat.get("total_cache", stat.get("cache")),
        anonymous=stat.get("total_rss", stat.get("rss")),
        oom_kills=reading.table(f"{directory}/memory.oom_control").get("oom_kill"),
        hierarchical=reading.flag(f"{directory}/memory.use_hierarchy"),
        stat=stat,
        by_node=_by_node_v1(f"{directory}/memory.numa_stat"),
        pressure=pressure,
    )


def _amount_v1(prefix: str) -> Amount:
    return Amount(
        reading.number(f"{prefix}.usage_in_bytes"),
        reading.limit_v1(f"{prefix}.limit_in_bytes"),
        reading.number(f"{prefix}.max_usage_in_bytes"),
        reading.number(f"{prefix}.failcnt"),
    )


def _by_node_v1(path: str) -> dict[str, dict[int, int]]:
    """Lines such as ``total=9 N0=5 N1=4``, in pages."""
    size = os.sysconf("SC_PAGE_SIZE")
    found = {}
    for line in reading.lines(path):
        first, *pairs = line.split()
        name, equals, _ = first.partition("=")
        if equals:
            found[name] = {node: pages * size for node, pages in _nodes(pairs)}
    return found


def _nodes(pairs: list[str]) -> list[tuple[int, int]]:
    return [
        (int(node[1:]), int(value))
        for node, _, value in (pair.partition("=") for pair in pairs)
        if node[:1] == "N" and value.isdecimal()
    ]


def _read_v2(directory: str, pressure: Pressure | None) -> MemoryStats:
    stat = reading.table(f"{directory}/memory.stat")
    events = reading.table(f"{directory}/memory.events")
    usage = reading.number(f"{directory}/memory.current")
    limit = reading.number(f"{directory}/memory.max")
    swap = Amount(
        reading.number(f"{directory}/memory.swap.current"),
        reading.number(f"{directory}/memory.swap.max"),
        reading.number(f"{directory}/memory.swap.peak"),
        reading.table(f"{directory}/memory.swap.events").get("max"),
    )
    return MemoryStats(
        usage,
        limit,
        reading.number(f"{directory}/memory.peak"),
        events.get("max"),
        swap=swap,
        with_swap=Amount(_sum(usage, swap.usage), _sum(limit, swap.limit)),
        kernel=Amount(usage=stat.get("kernel")),
        cache=stat.get("file"),
        anonymous=stat.get("anon"),
        oom_kills=events.get("oom_kill"),
        hierarchical=True if stat else None,
        stat=stat,
        events=events,
        by_node=_by_node_v2(f"{directory}/memory.numa_stat"),
        pressure=pressure,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _by_node_v2(path: str) -> dict[str, dict[int, int]]:
    """Lines such as ``anon N0=5 N1=4``."""
    found = {}
    for line in reading.lines(path):
        name, *pairs = line.split()
        found[name] = dict(_nodes(pairs))
    return found
