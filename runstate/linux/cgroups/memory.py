"""The memory controller: the config's ``memory`` as writes.

Version 1 limits memory, and memory with swap together; version 2 limits memory, and swap by
itself. The config has version 1's terms. Zero means "leave as it is", and -1 "without limit".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.errors import ConfigInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runstate.linux.cgroups.compiling import Compiler

_AMOUNTS = ("limit", "swap", "reservation", "kernelTCP")


def compile_memory(compiler: Compiler, memory: Mapping[str, Any]) -> None:
    """Note what to write for these limits.

    ``kernel`` is not among it: Linux counts that into the limit, and takes no other for it any
    more; runc leaves it out as well.

    Raises:
        ConfigInvalid: Swap cannot be limited so.
    """
    amounts = {key: memory[key] for key in _AMOUNTS if memory.get(key)}
    limit, swap = amounts.get("limit", 0), amounts.get("swap", 0)
    if swap > 0 and swap < limit:
        raise ConfigInvalid(
            f"linux.resources.memory.swap: {swap}; it is the limit of memory and swap "
            f"together, so it must be at least the memory limit, {limit}"
        )
    both = [key for key in ("limit", "swap", "reservation") if key in amounts]
    if both:
        version = compiler.version("memory", *(("memory", key) for key in both))
        if version == 1:
            _limits_v1(compiler, limit, swap, amounts.get("reservation", 0))
        elif version == 2:
            _limits_v2(compiler, limit, swap, amounts.get("reservation", 0))
    _legacy_only(compiler, memory, amounts.get("kernelTCP"))


def _legacy_only(compiler: Compiler, memory: Mapping[str, Any], tcp: int | None) -> None:
    def possible(key: str) -> bool:
        return compiler.version("memory", ("memory", key), only=1) == 1

    if tcp is not None and possible("kernelTCP"):
        compiler.write("memory", "memory.kmem.tcp.limit_in_bytes", tcp)
    swappiness, no_oom_killer = memory.get("swappiness"), memory.get("disableOOMKiller")
    if swappiness is not None and possible("swappiness"):
        compiler.write("memory", "memory.swappiness", swappiness)
    # Engines write false for what is so anyway; it is of use when it was true before.
    wanted = no_oom_killer or (no_oom_killer is False and "memory" in compiler.paths)
    if wanted and possible("disableOOMKiller"):
        compiler.write("memory", "memory.oom_control", int(bool(no_oom_killer)))


def _limits_v1(compiler: Compiler, limit: int, swap: int, reservation: int) -> None:
    if limit < 0 and not swap:
        # No limit on memory, but the old one on memory with swap: nobody means that.
        compiler.write("memory", "memory.memsw.limit_in_bytes", -1, optional=True)
    # The kernel keeps limit <= limit with swap at every moment: which of the two may be
    # written first depends on the values before. Limit first fails only when it rises
    # above the old limit with swap, and then the other order is the right one.
    if limit:
        compiler.write("memory", "memory.limit_in_bytes", limit, may_follow=bool(swap))
    if swap:
        # Without swap accounting in the kernel, no limit is what holds.
        compiler.write("memory", "memory.memsw.limit_in_bytes", swap, optional=swap < 0)
    if reservation:
        compiler.write("memory", "memory.soft_limit_in_bytes", reservation)


def _limits_v2(compiler: Compiler, limit: int, swap: int, reservation: int) -> None:
    if swap > 0 and limit <= 0:
        raise ConfigInvalid(
            f"linux.resources.memory.swap: {swap} without memory.limit; cgroup version 2 "
            "counts swap alone, which is the difference of the two: give both"
        )
    if limit < 0 or swap < 0:
        # Also where only memory became unlimited, as with version 1.
        if limit < 0 or swap:
            compiler.write("memory", "memory.swap.max", "max", optional=True)
    elif swap:
        # Without swap accounting in the kernel, no swap is all that can be granted.
        compiler.write("memory", "memory.swap.max", swap - limit, optional=swap == limit)
    if limit:
        compiler.write("memory", "memory.max", _limit(limit))
    if reservation:
        compiler.write("memory", "memory.low", _limit(reservation))


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)
