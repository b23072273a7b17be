"""What a cgroup has used, as values: one class for each controller.

A figure that this host does not provide, or that is no more, is None; so is a limit where there
is none. Times are nanoseconds and amounts bytes, where nothing else is said.
"""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Stall:
    """How much of the time processes were stalled (Documentation/accounting/psi.rst).

    Attributes:
        avg10: In the last 10 seconds, in percent.
        avg60: In the last minute.
        avg300: In the last five minutes.
        total_us: Altogether, in microseconds.
    """

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@frozen
class Pressure:
    """Pressure on a resource, by the kernel's pressure stall information.

    Attributes:
        some: When at least one process was stalled.
        full: When all of them were at once. For processor time Linux tells it since 5.13.
    """

    some: Stall | None = None
    full: Stall | None = None


@frozen
class CpuStats:
    """Processor time.

    Attributes:
        total_ns: In user mode and in the kernel.
        user_ns: In user mode.
        system_ns: In the kernel.
        per_cpu_ns: Of each processor; version 1 alone tells this and the next two.
        per_cpu_user_ns: Of each processor, in user mode.
        per_cpu_system_ns: Of each processor, in the kernel.
        periods: How many enforcement periods of the quota have passed.
        throttled_periods: In how many of them the quota ran out.
        throttled_ns: For how long processes had to wait for that.
        burst_periods: In how many periods more than the quota was used.
        burst_ns: How much more, altogether.
        pressure: None outside of version 2's hierarchy.
    """

    total_ns: int | None = None
    user_ns: int | None = None
    system_ns: int | None = None
    per_cpu_ns: tuple[int, ...] = ()
    per_cpu_user_ns: tuple[int, ...] = ()
    per_cpu_system_ns: tuple[int, ...] = ()
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None
    burst_periods: int | None = None
    burst_ns: int | None = None
    pressure: Pressure | None = None


@frozen
class CpusetStats:
    """Where processes may run (cpuset(7)). Only the first four are version 2's too.

    Attributes:
        cpus: The processors that were asked for; none in version 2 means all of the parent's.
        mems: The memory nodes that were asked for.
        effective_cpus: The processors that it comes to.
        effective_mems: The memory nodes that it comes to.
        cpu_exclusive: Whether no other cpuset may use these processors.
        mem_exclusive: Whether no other cpuset may use these nodes.
        mem_hardwall: Whether the kernel's own allocations are bound to the nodes as well.
        memory_migrate: Whether pages move along when the nodes change.
        memory_spread_page: Whether the page cache is spread evenly over the nodes.
        memory_spread_slab: Whether the kernel's file data is.
        memory_pressure: How often memory had to be reclaimed, in a thousandth a second.
        sched_load_balance: Whether the scheduler moves processes between the processors.
        sched_relax_domain_level: How far it searches for work at once; -1 is the default.
    """

    cpus: tuple[int, ...] | None = None
    mems: tuple[int, ...] | None = None
    effective_cpus: tuple[int, ...] | None = None
    effective_mems: tuple[int, ...] | None = None
    cpu_exclusive: bool | None = None
    mem_exclusive: bool | None = None
    mem_hardwall: bool | None = None
    memory_migrate: bool | None = None
    memory_spread_page: bool | None = None
    memory_spread_slab: bool | None = None
    memory_pressure: int | None = None
    sched_load_balance: bool | None = None
    sched_relax_domain_level: int | None = None


@frozen
class Amount:
    """One kind of memory, in bytes.

    Attributes:
        usage: In use now.
        limit: The most that may be in use.
        peak: The most that was in use at once.
        failures: How often the limit was hit.
    """

    usage: int | None = None
    limit: int | None = None
    peak: int | None = None
    failures: int | None = None


@frozen
class MemoryStats(Amount):
    """Memory; the attributes of :class:`Amount` are about all of it, page cache included.

    Attributes:
        swap: What is swapped out; version 2 counts it by itself, version 1 only with memory.
        with_swap: Memory and swap together; version 2's is their sum, without a peak.
        kernel: What the kernel uses on the cgroup's behalf.
        kernel_tcp: Of it, for buffers of TCP; version 1 alone counts it by itself.
        cache: Bytes of page cache.
        anonymous: Bytes of anonymous memory.
        oom_kills: How many processes the kernel killed because memory ran out.
        hierarchical: Whether sub-cgroups are counted in.
        stat: All of memory.stat, by the kernel's names. In version 1, those with ``total_``
            count sub-cgroups in.
        events: All of memory.events, by the kernel's names; version 2 alone has it.
        by_node: Memory by kind and memory node; in bytes, but as memory.stat counts it in
            version 2.
        pressure: None outside of version 2's hierarchy.
    """

    swap: Amount = Amount()
    with_swap: Amount = Amount()
    kernel: Amount = Amount()
    kernel_tcp: Amount = Amount()
    cache: int | None = None
    anonymous: int | None = None
    oom_kills: int | None = None
    hierarchical: bool | None = None
    stat: dict[str, int] = field(factory=dict)
    events: dict[str, int] = field(factory=dict)
    by_node: dict[str, dict[int, int]] = field(factory=dict)
    pressure: Pressure | None = None


@frozen
class PidsStats:
    """Processes and threads.

    Attributes:
        current: How many there are now.
        limit: The most there may be.
        peak: The most there were at once (Linux 6.1).
        failures: How many forks the limit has stopped.
    """

    current: int | None = None
    limit: int | None = None
    peak: int | None = None
    failures: int | None = None


@frozen
class BlockIOEntry:
    """One figure about one device.

    Attributes:
        major: The device's major number.
        minor: Its minor number.
        operation: ``Read``, ``Write``, ``Discard``, in version 1 also ``Sync``, ``Async`` and
            ``Total``; empty where operations are not told apart.
        value: Of what it is entered for.
    """

    major: int
    minor: int
    operation: str
    value: int


@frozen
class BlockIOStats:
    """Input and output of block devices, sub-cgroups included.

    Only the first two are told by every kernel; the others are those of version 1's BFQ with
    debugging.

    Attributes:
        bytes: How many bytes were transferred.
        operations: How many operations were completed.
        queued: How many operations are waiting.
        service_time_ns: Between dispatch and completion.
        wait_time_ns: In queues.
        merged: How many operations were merged into others.
        time_ms: For how many milliseconds devices were allotted.
        sectors: How many sectors were transferred.
        pressure: None outside of version 2's hierarchy.
    """

    bytes: tuple[BlockIOEntry, ...] = ()
    operations: tuple[BlockIOEntry, ...] = ()
    queued: tuple[BlockIOEntry, ...] = ()
    service_time_ns: tuple[BlockIOEntry, ...] = ()
    wait_time_ns: tuple[BlockIOEntry, ...] = ()
    merged: tuple[BlockIOEntry, ...] = ()
    time_ms: tuple[BlockIOEntry, ...] = ()
    sectors: tuple[BlockIOEntry, ...] = ()
    pressure: Pressure | None = None


@frozen
class HugepageStats(Amount):
    """Huge pages of one size; the attributes of :class:`Amount` are about those in use.

    Attributes:
        reserved: Those reserved, in use or not (Linux 5.7).
    """

    reserved: Amount = Amount()


@frozen
class RdmaStats:
    """Handles and objects of one RDMA device.

    Attributes:
        hca_handles: In use now.
        hca_objects: In use now.
        hca_handles_limit: The most there may be.
        hca_objects_limit: The most there may be.
    """

    hca_handles: int | None = None
    hca_objects: int | None = None
    hca_handles_limit: int | None = None
    hca_objects_limit: int | None = None


@frozen
class NetworkMarks:
    """How packets are marked; version 1 alone has it.

    Attributes:
        class_id: The class that packets are tagged with; 0 for none.
        priorities: By interface of the runtime's network namespace.
    """

    class_id: int | None = None
    priorities: dict[str, int] = field(factory=dict)


@frozen
class CgroupStats:
    """One look at a cgroup; controllers that it does not have leave their figures None.

    Attributes:
        cpu: The controllers cpu and cpuacct.
        cpuset: The controller cpuset.
        memory: The controller memory.
        pids: The controller pids.
        block_io: The controller blkio, in version 2 io.
        hugepages: The controller hugetlb, by page size, ``2MB``.
        rdma: The controller rdma, by device.
        network: The controllers net_cls and net_prio.
    """

    cpu: CpuStats = CpuStats()
    cpuset: CpusetStats = CpusetStats()
    memory: MemoryStats = MemoryStats()
    pids: PidsStats = PidsStats()
    block_io: BlockIOStats = BlockIOStats()
    hugepages: dict[str, HugepageStats] = field(factory=dict)
    rdma: dict[str, RdmaStats] = field(factory=dict)
    network: NetworkMarks = NetworkMarks()
