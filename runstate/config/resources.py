"""Limits by cgroups (config-linux.md, Control groups): what most configurations set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.controllers import BlockIO, HugepageLimit, Network, Rdma
    from runstate.config.section import Int64, UInt64


@frozen(eq=False, repr=False)
class DeviceCgroup(Section):
    """A rule of the devices controller; later rules win.

    Attributes:
        allow: Whether it allows or denies.
        type: ``a`` (all, also when None), ``c`` or ``b``.
        major: None is every number.
        minor: None is every number.
        access: Letters of ``rwm``: read, write, mknod.
    """

    allow: bool
    type: str | None = None
    major: Int64 | None = None
    minor: Int64 | None = None
    access: str | None = None


@frozen(eq=False, repr=False)
class Memory(Section):
    """The memory controller; amounts are bytes, and -1 is without limit.

    Attributes:
        limit: Of memory.
        reservation: The soft limit.
        swap: Of memory and swap together, as cgroup v1 counts it.
        kernel: Of kernel memory (no longer in Linux).
        kernel_tcp: Of TCP buffers.
        swappiness: How eagerly to swap, 0 to 100.
        disable_oom_killer: Whether processes wait for memory rather than die.
        use_hierarchy: Whether children count (Linux always does, since 5.11).
        check_before_update: Whether to refuse a limit below what is in use.
    """

    limit: Int64 | None = None
    reservation: Int64 | None = None
    swap: Int64 | None = None
    kernel: Int64 | None = None
    kernel_tcp: Int64 | None = None
    swappiness: UInt64 | None = None
    disable_oom_killer: bool | None = None
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


@frozen(eq=False, repr=False)
class CPU(Section):
    """The cpu and cpuset controllers; times are microseconds.

    Attributes:
        shares: The relative weight, 2 to 262144, as cgroup v1 has it.
        quota: The time allowed in each period; -1 is without limit.
        period: The length of a period.
        burst: How much unused time may be kept.
        realtime_runtime: The realtime scheduler's quota.
        realtime_period: The realtime scheduler's period.
        cpus: The CPUs to use, ``0-3,7``.
        mems: The memory nodes to use.
        idle: 1 for SCHED_IDLE, 0 for none.
    """

    shares: UInt64 | None = None
    quota: Int64 | None = None
    period: UInt64 | None = None
    burst: UInt64 | None = None
    realtime_runtime: Int64 | None = None
    realtime_period: UInt64 | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: Int64 | None = None


@frozen(eq=False, repr=False)
class Pids(Section):
    """The pids controller.

    Attributes:
        limit: How many tasks; zero and less is without limit.
    """

    limit: Int64


@frozen(eq=False, repr=False)
class Resources(Section):
    """All limits of a container.

    Attributes:
        unified: Files of cgroup v2 and what to write there.
        devices: The devices controller's rules, in order.
        memory: The memory controller.
        cpu: The cpu and cpuset controllers.
        pids: The pids controller.
        block_io: The blkio or io controller.
        hugepage_limits: The hugetlb controller, one for each page size.
        network: The net_cls and net_prio controllers.
        rdma: The rdma controller, by device.
    """

    unified: dict[str, str] = field(factory=dict)
    devices: tuple[DeviceCgroup, ...] = field(default=(), converter=elements)
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = None
    hugepage_limits: tuple[HugepageLimit, ...] = field(default=(), converter=elements)
    network: Network | None = None
    rdma: dict[str, Rdma] = field(factory=dict)
