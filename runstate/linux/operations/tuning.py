"""How the process is scheduled and where its memory comes from: what few containers ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# include/uapi/linux/sched.h
POLICIES = ("OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE")
FLAGS = (
    "RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN",
    "UTIL_CLAMP_MAX",
)  # fmt: skip
# include/uapi/linux/ioprio.h
IO_CLASSES = ("NONE", "RT", "BE", "IDLE")
_IO_CLASS_SHIFT = 13
# include/uapi/linux/mempolicy.h
MEMORY_MODES = (
    "DEFAULT", "PREFERRED", "BIND", "INTERLEAVE", "LOCAL", "PREFERRED_MANY", "WEIGHTED_INTERLEAVE",
)  # fmt: skip
MEMORY_FLAGS = {"NUMA_BALANCING": 1 << 13, "RELATIVE_NODES": 1 << 14, "STATIC_NODES": 1 << 15}
# include/uapi/linux/personality.h
PERSONALITIES = {"LINUX": 0, "LINUX32": 8}


def set_scheduler(
    policy: str,
    flags: Iterable[str],
    nice: int,
    priority: int,
    times: tuple[int, int, int] = (0, 0, 0),
) -> Operation:
    """A scheduling policy, by the kernel's names (``SCHED_FIFO``, ``SCHED_FLAG_RECLAIM``).

    Args:
        policy: The policy.
        flags: Its flags.
        nice: The nice value, of those policies that have one.
        priority: Of the realtime policies.
        times: Runtime, deadline and period of SCHED_DEADLINE, in nanoseconds.
    """
    number = POLICIES.index(policy.removeprefix("SCHED_"))
    bits = sum(1 << FLAGS.index(flag.removeprefix("SCHED_FLAG_")) for flag in set(flags))
    return Operation("set_scheduler", (number, bits, nice, priority, times))


def set_io_priority(io_class: str, priority: int) -> Operation:
    """A class (``IOPRIO_CLASS_BE``) of input and output, and the priority in it."""
    number = IO_CLASSES.index(io_class.removeprefix("IOPRIO_CLASS_"))
    return Operation("set_io_priority", (number << _IO_CLASS_SHIFT | priority,))


def set_affinity(cpus: Iterable[int]) -> Operation:
    """The CPUs to run on; none: all of the cgroup's."""
    return Operation("set_affinity", (sorted(cpus),))


def set_memory_policy(mode: str, flags: Iterable[str], nodes: Iterable[int]) -> Operation:
    """A memory policy, by the kernel's names (``MPOL_BIND``, ``MPOL_F_STATIC_NODES``)."""
    number = MEMORY_MODES.index(mode.removeprefix("MPOL_"))
    for flag in flags:
        number |= MEMORY_FLAGS[flag.removeprefix("MPOL_F_")]
    return Operation("set_memory_policy", (number, sorted(nodes)))


def set_personality(domain: str) -> Operation:
    """The execution domain."""
    return Operation("set_personality", (PERSONALITIES[domain],))


def _scheduler_words(
    policy: int, flags: int, nice: int, priority: int, times: tuple[int, int, int]
) -> str:
    words = f"schedule by SCHED_{POLICIES[policy]}"
    words += f", nice {nice}" if nice else ""
    words += f", priority {priority}" if priority else ""
    if any(times):
        words += ", runtime {}, deadline {}, period {} ns".format(*times)
    names = [name for bit, name in enumerate(FLAGS) if flags >> bit & 1]
    return words + (f", flags {'|'.join(names)}" if names else "")


def _memory_words(mode: int, nodes: list[int]) -> str:
    names = [name for name, bit in MEMORY_FLAGS.items() if mode & bit]
    kind = MEMORY_MODES[mode & ~sum(MEMORY_FLAGS.values())]
    words = f"set the memory policy MPOL_{kind}" + (f", flags {'|'.join(names)}" if names else "")
    return words + (f", nodes {', '.join(map(str, nodes))}" if nodes else "")


WORDS: dict[str, Callable[..., str]] = {
    "set_scheduler": _scheduler_words,
    "set_io_priority": (
        lambda value: (
            f"set the I/O priority {value & 7} of class"
            f" IOPRIO_CLASS_{IO_CLASSES[value >> _IO_CLASS_SHIFT]}"
        )
    ),
    "set_affinity": (
        lambda cpus: f"run on the CPUs {', '.join(map(str, cpus)) or 'of the cgroup'}"
    ),
    "set_memory_policy": _memory_words,
    "set_personality": lambda domain: (
        f"set the personality {next(n for n, v in PERSONALITIES.items() if v == domain)}"
    ),
}
