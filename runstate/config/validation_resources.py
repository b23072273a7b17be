"""The rules of limits by cgroups (config-linux.md, Control groups)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.config.names import DEVICE_RULE_TYPES
from runstate.config.problems import MISSING, json_path
from runstate.config.rules import expect, one_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.controllers import BlockIO, Network, Rdma
    from runstate.config.resources import CPU, DeviceCgroup, Memory, Resources
    from runstate.config.rules import Path

_PAGE_SIZE = re.compile(r"[1-9][0-9]*[KMG]B", re.ASCII)
_LIST = re.compile(r"[0-9, \n-]*", re.ASCII)

# The scheduler's bounds (kernel/sched/core.c, sched-bwc.rst), in microseconds.
_MIN_PERIOD, _MAX_PERIOD, _MIN_QUOTA = 1000, 1_000_000, 1000
_MIN_WEIGHT, _MAX_WEIGHT = 10, 1000


def check_resources(path: Path, resources: Resources) -> Iterator[str]:
    """All that is wrong with the limits."""
    for index, rule in enumerate(resources.devices):
        yield from _device_rule((*path, "devices", index), rule)
    if resources.memory is not None:
        yield from _memory((*path, "memory"), resources.memory)
    if resources.cpu is not None:
        yield from _cpu((*path, "cpu"), resources.cpu)
    if resources.block_io is not None:
        yield from _block_io((*path, "blockIO"), resources.block_io)
    if resources.network is not None:
        yield from _network((*path, "network"), resources.network)
    for name in resources.unified:
        if not re.fullmatch(r"[A-Za-z0-9_]+\.[^/\0\n]+", name):
            expected = "names of files in the cgroup's directory, such as memory.high"
            yield expect((*path, "unified"), name, expected)
    for index, limit in enumerate(resources.hugepage_limits):
        if not _PAGE_SIZE.fullmatch(limit.page_size):
            here = (*path, "hugepageLimits", index, "pageSize")
            yield expect(here, limit.page_size, "a size such as 2MB")
    for name, rdma in resources.rdma.items():
        yield from _rdma((*path, "rdma"), name, rdma)


def _device_rule(path: Path, rule: DeviceCgroup) -> Iterator[str]:
    # "" is what Go writes for no type at all.
    yield from one_of((*path, "type"), rule.type or None, DEVICE_RULE_TYPES, "a type of device")
    if rule.access and not set(rule.access) <= set("rwm"):
        yield expect((*path, "access"), rule.access, "letters of rwm")
    for name, number in (("major", rule.major), ("minor", rule.minor)):
        # -1 is written by some for every number.
        yield from within((*path, name), number, -1, 2**32 - 1)


def _memory(path: Path, memory: Memory) -> Iterator[str]:
    for name, amount in (
        ("limit", memory.limit),
        ("reservation", memory.reservation),
        ("swap", memory.swap),
        ("kernel", memory.kernel),
        ("kernelTCP", memory.kernel_tcp),
    ):
        if amount is not None and amount < -1:
            yield expect((*path, name), amount, "bytes, or -1 for no limit")
    limit, swap = memory.limit or 0, memory.swap or 0
    if swap > 0 and not 0 < limit <= swap:
        expected = f"at least the memory limit {limit}" if limit > 0 else "a memory limit as well"
        yield expect((*path, "swap"), swap, expected)
    if memory.swappiness is not None:
        yield from within((*path, "swappiness"), memory.swappiness, 0, 100)
    if memory.use_hierarchy is False:
        yield expect((*path, "useHierarchy"), False, "true, as Linux has it since 5.11")


def _cpu(path: Path, cpu: CPU) -> Iterator[str]:
    quota = cpu.quota or 0
    if quota < -1 or 0 < quota < _MIN_QUOTA:
        yield expect((*path, "quota"), quota, f"at least {_MIN_QUOTA}, or -1 for no limit")
    if cpu.period:
        yield from within((*path, "period"), cpu.period, _MIN_PERIOD, _MAX_PERIOD)
    if cpu.burst is not None and 0 < quota < cpu.burst:
        yield expect((*path, "burst"), cpu.burst, f"at most the quota {quota}")
    if cpu.realtime_runtime is not None and cpu.realtime_runtime < -1:
        yield expect((*path, "realtimeRuntime"), cpu.realtime_runtime, "microseconds, or -1")
    yield from within((*path, "idle"), cpu.idle, 0, 1)
    for name, value in (("cpus", cpu.cpus), ("mems", cpu.mems)):
        if value is not None and not _LIST.fullmatch(value):
            yield expect((*path, name), value, "numbers and ranges such as 0-3,7")


def _block_io(path: Path, block: BlockIO) -> Iterator[str]:
    yield from _weight((*path, "weight"), block.weight)
    for index, device in enumerate(block.weight_device):
        here = (*path, "weightDevice", index)
        yield from _numbers(here, device.major, device.minor)
        yield from _weight((*here, "weight"), device.weight)
        if device.weight is None and device.leaf_weight is None:
            yield f"{json_path((*here, 'weight'))}: {MISSING}"
    for name, devices in (
        ("throttleReadBpsDevice", block.throttle_read_bps_device),
        ("throttleWriteBpsDevice", block.throttle_write_bps_device),
        ("throttleReadIOPSDevice", block.throttle_read_iops_device),
        ("throttleWriteIOPSDevice", block.throttle_write_iops_device),
    ):
        for index, throttle in enumerate(devices):
            here = (*path, name, index)
            yield from _numbers(here, throttle.major, throttle.minor)
            if throttle.rate is None:
                yield f"{json_path((*here, 'rate'))}: {MISSING}"


def _numbers(path: Path, major: int, minor: int) -> Iterator[str]:
    # 12 and 20 bits: the kernel's MAJOR and MINOR (linux/kdev_t.h).
    yield from within((*path, "major"), major, 0, 2**12 - 1)
    yield from within((*path, "minor"), minor, 0, 2**20 - 1)


def _weight(path: Path, weight: int | None) -> Iterator[str]:
    # Zero is what engines write for none.
    if weight:
        yield from within(path, weight, _MIN_WEIGHT, _MAX_WEIGHT)


def _network(path: Path, network: Network) -> Iterator[str]:
    for index, entry in enumerate(network.priorities):
        if not entry.name or set(entry.name) & set(" \n\0/"):
            yield expect((*path, "priorities", index, "name"), entry.name, "an interface's name")


def _rdma(path: Path, name: str, rdma: Rdma) -> Iterator[str]:
    if not name or set(name) & set(" \n"):
        yield expect(path, name, "names of devices")
    if rdma.hca_handles is None and rdma.hca_objects is None:
        yield f"{json_path((*path, name))}: {MISSING}: hcaHandles or hcaObjects"
