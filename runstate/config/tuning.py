"""The rarer settings of a process and of what it sees around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.section import Int32, Int64, UInt32, UInt64


@frozen(eq=False, repr=False)
class ConsoleSize(Section):
    """A terminal's size, in characters."""

    height: UInt64
    width: UInt64


@frozen(eq=False, repr=False)
class IOPriority(Section):
    """The priority of ioprio_set(2).

    Attributes:
        class_: ``IOPRIO_CLASS_RT``, ``IOPRIO_CLASS_BE`` or ``IOPRIO_CLASS_IDLE``.
        priority: From 0, the highest, to 7.
    """

    class_: str
    priority: Int32 | None = None


@frozen(eq=False, repr=False)
class Scheduler(Section):
    """The attributes of sched_setattr(2); runtime, deadline and period are nanoseconds.

    Attributes:
        policy: ``SCHED_OTHER`` and its like.
        nice: From -20 to 19.
        priority: Of the realtime policies.
        flags: ``SCHED_FLAG_RESET_ON_FORK`` and its like.
        runtime: Of SCHED_DEADLINE.
        deadline: Of SCHED_DEADLINE.
        period: Of SCHED_DEADLINE.
    """

    policy: str
    nice: Int32 | None = None
    priority: Int32 | None = None
    flags: tuple[str, ...] = field(default=(), converter=elements)
    runtime: UInt64 | None = None
    deadline: UInt64 | None = None
    period: UInt64 | None = None


@frozen(eq=False, repr=False)
class ExecCPUAffinity(Section):
    """The CPUs, ``0-3,7``, for a process that `exec` starts.

    Attributes:
        initial: Before it is in the container's cgroup.
        final: Once it is.
    """

    initial: str | None = None
    final: str | None = None


@frozen(eq=False, repr=False)
class MemoryPolicy(Section):
    """The NUMA policy of set_mempolicy(2).

    Attributes:
        mode: ``MPOL_BIND`` and its like.
        nodes: The memory nodes, ``0-3,7``.
        flags: ``MPOL_F_STATIC_NODES`` and its like.
    """

    mode: str | None = None
    nodes: str | None = None
    flags: tuple[str, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class IntelRdt(Section):
    """Cache and memory bandwidth, by the resctrl file system.

    Attributes:
        clos_id: The class of service's name.
        schemata: Lines of its ``schemata`` file.
        l3_cache_schema: The line for the L3 cache.
        mem_bw_schema: The line for memory bandwidth.
        enable_monitoring: Whether to count its use.
    """

    clos_id: str | None = None
    schemata: tuple[str, ...] = field(default=(), converter=elements)
    l3_cache_schema: str | None = None
    mem_bw_schema: str | None = None
    enable_monitoring: bool | None = None


@frozen(eq=False, repr=False)
class Personality(Section):
    """The execution domain of personality(2).

    Attributes:
        domain: ``LINUX`` or ``LINUX32``.
        flags: None are defined yet.
    """

    domain: str | None = None
    flags: tuple[str, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class TimeOffset(Section):
    """How far a clock of the time namespace is from the host's (time_namespaces(7)).

    Attributes:
        secs: Whole seconds.
        nanosecs: Nanoseconds beside them.
    """

    secs: Int64 | None = None
    nanosecs: UInt32 | None = None


@frozen(eq=False, repr=False)
class NetDevice(Section):
    """A network interface to move into the container.

    Attributes:
        name: Its name there; None keeps the host's.
    """

    name: str | None = None
