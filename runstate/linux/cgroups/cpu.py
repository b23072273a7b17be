"""The cpu and cpuset controllers: the config's ``cpu`` as writes. Times are microseconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runstate.linux.cgroups.compiling import Compiler

MIN_SHARES, MAX_SHARES = 2, 262144
"""What version 1 takes (MIN_SHARES and MAX_SHARES in the kernel's scheduler)."""

_MAX_WEIGHT = 10000
# Zero means "leave as it is" for these; for the other two it is a value.
_NUMBERS = ("shares", "quota", "period", "realtimeRuntime", "realtimePeriod")
_VALUES = ("idle", "burst")
_REALTIME: tuple[str, ...] = ("realtimePeriod", "realtimeRuntime")


def cpu_weight(shares: int) -> int:
    """Version 1's cpu.shares (2 to 262144) as version 2's cpu.weight (1 to 10000).

    A parabola between the logarithms of both, through their least, default and greatest
    values: 2 to 1, 1024 to 100, 262144 to 10000. It is the conversion of runc since 1.3.2, of
    crun since 1.23 and of Kubernetes; runtimes before had a straight line, by which the default
    shares became a weight of 39.
    """
    if shares <= MIN_SHARES:
        return 1
    if shares >= MAX_SHARES:
        return _MAX_WEIGHT
    bits = math.log2(shares)
    return math.ceil(10 ** (bits * (bits + 125) / 612 - 7 / 34))


def compile_cpu(compiler: Compiler, cpu: Mapping[str, Any]) -> None:
    """Note what to write for these limits."""
    numbers: dict[str, int] = {key: cpu[key] for key in _NUMBERS if cpu.get(key)}
    numbers |= {key: cpu[key] for key in _VALUES if cpu.get(key) is not None}
    realtime = {key: numbers.pop(key) for key in _REALTIME if key in numbers}
    if realtime and compiler.version("cpu", *(("cpu", key) for key in realtime), only=1):
        _realtime(compiler, realtime)
    if numbers:
        version = compiler.version("cpu", *(("cpu", key) for key in numbers))
        if version:
            _shared(compiler, numbers, version)
    for key in ("cpus", "mems"):
        if cpu.get(key) and compiler.version("cpuset", ("cpu", key)):
            compiler.write("cpuset", f"cpuset.{key}", cpu[key])


def _realtime(compiler: Compiler, numbers: Mapping[str, int]) -> None:
    # First of all, as runc does it: a process with a realtime policy cannot enter a cgroup
    # that grants it no time.
    runtime = numbers.get("realtimeRuntime")
    if "realtimePeriod" in numbers:
        compiler.write(
            "cpu", "cpu.rt_period_us", numbers["realtimePeriod"], may_follow=bool(runtime)
        )
    if runtime:
        compiler.write("cpu", "cpu.rt_runtime_us", runtime)


def _shared(compiler: Compiler, numbers: dict[str, int], version: int) -> None:
    if "idle" in numbers:
        compiler.write("cpu", "cpu.idle", numbers["idle"], optional=not numbers["idle"])
        if numbers["idle"]:
            # The kernel refuses a weight for an idle cgroup.
            numbers.pop("shares", None)
    if version == 1:
        _limits_v1(compiler, numbers)
    else:
        _limits_v2(compiler, numbers)


def _limits_v1(compiler: Compiler, numbers: Mapping[str, int]) -> None:
    quota = numbers.get("quota")
    if "shares" in numbers:
        shares = numbers["shares"]
        if not MIN_SHARES <= shares <= MAX_SHARES:
            # The kernel would take the nearest that there is, and say nothing.
            expected = f"expected from {MIN_SHARES} to {MAX_SHARES}, got {shares}"
            compiler.refuse(("cpu", "shares"), expected)
        compiler.write("cpu", "cpu.shares", shares)
    burst = numbers.get("burst")
    if burst is not None and quota:
        # In the end it fits the quota; which of the two fits the other first depends on the
        # values before. None fits every quota.
        compiler.write("cpu", "cpu.cfs_burst_us", 0, optional=not burst)
    if "period" in numbers:
        # Refused when the old quota over the new period is more than the parent has.
        compiler.write("cpu", "cpu.cfs_period_us", numbers["period"], may_follow=bool(quota))
    if quota:
        compiler.write("cpu", "cpu.cfs_quota_us", max(quota, -1))
    if burst is not None and (burst or not quota):
        compiler.write("cpu", "cpu.cfs_burst_us", burst, optional=not burst)


def _limits_v2(compiler: Compiler, numbers: Mapping[str, int]) -> None:
    quota, period, burst = numbers.get("quota", 0), numbers.get("period"), numbers.get("burst")
    if "shares" in numbers:
        compiler.write("cpu", "cpu.weight", cpu_weight(numbers["shares"]))
    if burst is not None and quota:
        compiler.write("cpu", "cpu.max.burst", 0, optional=not burst)
    if quota or period:
        # A quota alone leaves the period as it is.
        value = str(quota) if quota > 0 else "max"
        compiler.write("cpu", "cpu.max", f"{value} {period}" if period else value)
    if burst is not None and (burst or not quota):
        compiler.write("cpu", "cpu.max.burst", burst, optional=not burst)
