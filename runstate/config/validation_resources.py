"""The rules of limits by cgroups (config-linux.md, Control groups)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.config.names import DEVICE_RULE_TYPES
from runstate.config.rules import expect, one_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.resources import DeviceCgroup, Memory, Resources
    from runstate.config.rules import Path

_PAGE_SIZE = re.compile(r"[1-9][0-9]*[KMG]B", re.ASCII)


def check_resources(path: Path, resources: Resources) -> Iterator[str]:
    """All that is wrong with the limits."""
    for index, rule in enumerate(resources.devices):
        yield from _device_rule((*path, "devices", index), rule)
    if resources.memory is not None:
        yield from _memory((*path, "memory"), resources.memory)
    for name in resources.unified:
        if not name or "/" in name:
            yield expect((*path, "unified"), name, "names of files in the cgroup's directory")
    for index, limit in enumerate(resources.hugepage_limits):
        if not _PAGE_SIZE.fullmatch(limit.page_size):
            here = (*path, "hugepageLimits", index, "pageSize")
            yield expect(here, limit.page_size, "a size such as 2MB")


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
    ):
        if amount is not None and amount < -1:
            yield expect((*path, name), amount, "bytes, or -1 for no limit")
    if (memory.swap or 0) > 0 and not 0 <= (memory.limit or 0) <= (memory.swap or 0):
        yield expect((*path, "swap"), memory.swap, f"at least the memory limit {memory.limit}")
    if memory.swappiness is not None:
        yield from within((*path, "swappiness"), memory.swappiness, 0, 100)
