"""The rules of what few configurations tune: scheduling, affinity, NUMA, RDT, personality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.names import (
    IO_CLASSES,
    MEMORY_FLAGS,
    MEMORY_MODES,
    PERSONALITIES,
    SCHEDULER_FLAGS,
    SCHEDULER_POLICIES,
)
from runstate.config.problems import MISSING, json_path
from runstate.config.rules import expect, list_of_numbers, one_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.linux import Linux
    from runstate.config.process import Process
    from runstate.config.rules import Path
    from runstate.config.tuning import (
        IntelRdt,
        IOPriority,
        MemoryPolicy,
        Personality,
        Scheduler,
    )

LEAST_RUNTIME = 1024
"""Nanoseconds: the kernel's least runtime of SCHED_DEADLINE (``DL_SCALE``, sched(7))."""

_WITH_NICE = frozenset({"SCHED_OTHER", "SCHED_BATCH"})
_WITH_PRIORITY = frozenset({"SCHED_FIFO", "SCHED_RR"})
_WITH_NODES = frozenset(
    {"MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED_MANY"}
)
_WITHOUT_NODES = frozenset({"MPOL_DEFAULT", "MPOL_LOCAL"})
_OF_NODES = frozenset({"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"})


def check_process_tuning(path: Path, process: Process) -> Iterator[str]:
    """All that is wrong with a process's scheduling, priority and affinity."""
    if process.io_priority is not None:
        yield from _io_priority((*path, "ioPriority"), process.io_priority)
    if process.scheduler is not None:
        yield from _scheduler((*path, "scheduler"), process.scheduler)
    affinity = process.exec_cpu_affinity
    if affinity is not None:
        for name, cpus in (("initial", affinity.initial), ("final", affinity.final)):
            yield from list_of_numbers((*path, "execCPUAffinity", name), cpus, "CPUs")


def check_linux_tuning(linux: Linux) -> Iterator[str]:
    """All that is wrong with the memory policy, the personality and Intel's RDT."""
    if linux.memory_policy is not None:
        yield from _memory_policy(("linux", "memoryPolicy"), linux.memory_policy)
    if linux.personality is not None:
        yield from _personality(("linux", "personality"), linux.personality)
    if linux.intel_rdt is not None:
        yield from _intel_rdt(("linux", "intelRdt"), linux.intel_rdt)


# --- of a process -----------------------------------------------------------------------------


def _io_priority(path: Path, priority: IOPriority) -> Iterator[str]:
    yield from one_of((*path, "class"), priority.class_, IO_CLASSES, "a class of ioprio_set(2)")
    yield from within((*path, "priority"), priority.priority, 0, 7)


def _scheduler(path: Path, scheduler: Scheduler) -> Iterator[str]:
    """The rules of sched_setattr(2); what is zero counts as absent, as Go writes it."""
    policy = scheduler.policy
    known = policy in SCHEDULER_POLICIES
    yield from one_of((*path, "policy"), policy, SCHEDULER_POLICIES, "a policy of sched(7)")
    if policy == "SCHED_ISO":
        yield expect((*path, "policy"), policy, "a policy that Linux has made, not only reserved")
    yield from within((*path, "nice"), scheduler.nice, -20, 19)
    if known and scheduler.nice and policy not in _WITH_NICE:
        yield expect((*path, "nice"), scheduler.nice, f"none with {policy}: SCHED_OTHER's alone")
    if policy in _WITH_PRIORITY:
        yield from within((*path, "priority"), scheduler.priority or 0, 1, 99)
    elif known and scheduler.priority:
        expected = f"none with {policy}: SCHED_FIFO's and SCHED_RR's alone"
        yield expect((*path, "priority"), scheduler.priority, expected)
    for index, flag in enumerate(scheduler.flags):
        yield from one_of((*path, "flags", index), flag, SCHEDULER_FLAGS, "a flag")
    if policy == "SCHED_DEADLINE":
        yield from _deadline(path, scheduler)
    elif known:
        for name in ("runtime", "deadline", "period"):
            value = getattr(scheduler, name)
            if value:
                expected = f"none with {policy}: SCHED_DEADLINE's alone"
                yield expect((*path, name), value, expected)


def _deadline(path: Path, scheduler: Scheduler) -> Iterator[str]:
    runtime, deadline = scheduler.runtime or 0, scheduler.deadline or 0
    period = scheduler.period or deadline
    yield from within((*path, "runtime"), runtime, LEAST_RUNTIME, 2**63 - 1, "nanoseconds")
    if runtime > deadline:
        yield expect((*path, "deadline"), deadline, f"at least the runtime, {runtime}")
    if deadline > period:
        yield expect((*path, "period"), period, f"at least the deadline, {deadline}")
    for name, value in (("deadline", deadline), ("period", period)):
        if value >= 2**63:
            yield expect((*path, name), value, "nanoseconds below 2^63")


# --- of Linux -----------------------------------------------------------------------------------


def _memory_policy(path: Path, policy: MemoryPolicy) -> Iterator[str]:
    """The rules of set_mempolicy(2)."""
    mode, nodes, flags = policy.mode, policy.nodes or "", policy.flags
    if mode is None and (nodes or flags):
        yield f"{json_path((*path, 'mode'))}: {MISSING}: the policy that nodes and flags are of"
    yield from one_of((*path, "mode"), mode, MEMORY_MODES, "a mode")
    yield from list_of_numbers((*path, "nodes"), nodes, "memory nodes")
    if mode in _WITH_NODES and not nodes.strip(", "):
        yield expect((*path, "nodes"), nodes, f"the memory nodes of {mode}, as in 0-3,7")
    if mode in _WITHOUT_NODES and nodes:
        yield expect((*path, "nodes"), nodes, f"none with {mode}")
    for index, flag in enumerate(flags):
        here = (*path, "flags", index)
        yield from one_of(here, flag, MEMORY_FLAGS, "a flag")
        if flag in _OF_NODES and (
            mode in _WITHOUT_NODES or (mode == "MPOL_PREFERRED" and not nodes)
        ):
            yield expect(here, flag, f"no flag about nodes where {mode} has none")
        if flag == "MPOL_F_NUMA_BALANCING" and mode in MEMORY_MODES - {
            "MPOL_BIND",
            "MPOL_PREFERRED_MANY",
        }:
            yield expect(here, flag, "this flag with MPOL_BIND or MPOL_PREFERRED_MANY only")
    if _OF_NODES.issubset(flags):
        yield expect((*path, "flags"), list(flags), "one of static and relative nodes")


def _personality(path: Path, personality: Personality) -> Iterator[str]:
    if personality.domain is None and personality.flags:
        yield f"{json_path((*path, 'domain'))}: {MISSING}: the execution domain"
    yield from one_of((*path, "domain"), personality.domain, PERSONALITIES, "a domain")
    for index, flag in enumerate(personality.flags):
        yield expect((*path, "flags", index), flag, "none: the specification defines no flags")


# Directories that every class of service, or the top of resctrl, has for something else.
_RESERVED_CLASSES = (".", "..", "info", "mon_groups", "mon_data")


def _intel_rdt(path: Path, rdt: IntelRdt) -> Iterator[str]:
    """The rules of a directory in resctrl, and of lines in its schemata."""
    name = rdt.clos_id or ""
    if name in _RESERVED_CLASSES or ("/" in name and name != "/") or "\n" in name:
        expected = "the name of a directory, or / for the root class"
        yield expect((*path, "closID"), name, expected)
    schema = rdt.mem_bw_schema
    if schema is not None and not (schema.startswith("MB:") and "\n" not in schema):
        yield expect((*path, "memBwSchema"), schema, "one line, MB:…")
    for index, line in enumerate(rdt.schemata):
        if "\n" in line or ":" not in line:
            yield expect((*path, "schemata", index), line, "one line, such as L3:0=f")
