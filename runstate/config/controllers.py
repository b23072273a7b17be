"""Limits by the cgroup controllers that few configurations use (config-linux.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.section import Int64, UInt16, UInt32, UInt64


@frozen(eq=False, repr=False)
class WeightDevice(Section):
    """A block device's weight, 10 to 1000.

    Attributes:
        major: The device's major number.
        minor: Its minor number.
        weight: The weight of the container's tasks.
        leaf_weight: Their weight against child cgroups.
    """

    major: Int64
    minor: Int64
    weight: UInt16 | None = None
    leaf_weight: UInt16 | None = None


@frozen(eq=False, repr=False)
class ThrottleDevice(Section):
    """A block device's ceiling.

    Attributes:
        major: The device's major number.
        minor: Its minor number.
        rate: Bytes or operations a second.
    """

    major: Int64
    minor: Int64
    rate: UInt64 | None = None


@frozen(eq=False, repr=False)
class BlockIO(Section):
    """The blkio (io, in cgroup v2) controller.

    Attributes:
        weight: The weight on every device, 10 to 1000; 0 is as good as None.
        leaf_weight: The same against child cgroups.
        weight_device: Weights by device.
        throttle_read_bps_device: Bytes read a second.
        throttle_write_bps_device: Bytes written a second.
        throttle_read_iops_device: Reads a second.
        throttle_write_iops_device: Writes a second.
    """

    weight: UInt16 | None = None
    leaf_weight: UInt16 | None = None
    weight_device: tuple[WeightDevice, ...] = field(default=(), converter=elements)
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = field(default=(), converter=elements)
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = field(default=(), converter=elements)
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = field(default=(), converter=elements)
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class HugepageLimit(Section):
    """The hugetlb controller, for one page size.

    Attributes:
        page_size: ``2MB``.
        limit: Bytes.
    """

    page_size: str
    limit: UInt64


@frozen(eq=False, repr=False)
class InterfacePriority(Section):
    """The net_prio controller's priority for one interface."""

    name: str
    priority: UInt32


@frozen(eq=False, repr=False)
class Network(Section):
    """The net_cls and net_prio controllers.

    Attributes:
        class_id: The class that packets are tagged with.
        priorities: By interface.
    """

    class_id: UInt32 | None = None
    priorities: tuple[InterfacePriority, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class Rdma(Section):
    """The rdma controller, for one device: how many handles and objects."""

    hca_handles: UInt32 | None = None
    hca_objects: UInt32 | None = None
