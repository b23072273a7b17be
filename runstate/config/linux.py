"""The Linux part of the configuration (config-linux.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.resources import Resources
    from runstate.config.seccomp import Seccomp
    from runstate.config.section import FileMode, Int64, UInt32
    from runstate.config.tuning import (
        IntelRdt,
        MemoryPolicy,
        NetDevice,
        Personality,
        TimeOffset,
    )


@frozen(eq=False, repr=False)
class Namespace(Section):
    """A namespace to make, or, with a path, one to join.

    Attributes:
        type: ``pid``, ``network``, ``mount``, ``ipc``, ``uts``, ``user``, ``cgroup`` or ``time``.
        path: The namespace's file, in the runtime's mount namespace.
    """

    type: str
    path: str | None = None


@frozen(eq=False, repr=False)
class IDMapping(Section):
    """A range of user or group ids, as a line of ``/proc/PID/uid_map`` (user_namespaces(7)).

    Attributes:
        container_id: The first id inside.
        host_id: The first id outside.
        size: How many.
    """

    container_id: UInt32
    host_id: UInt32
    size: UInt32


@frozen(eq=False, repr=False)
class Device(Section):
    """A device node to make, as mknod(2) does.

    Attributes:
        type: ``c`` or ``u`` (character), ``b`` (block), ``p`` (fifo).
        path: Where, in the container.
        major: The device's numbers; a fifo has none.
        minor: As above.
        file_mode: The permission bits.
        uid: The owner, in the container's user namespace.
        gid: The group.
    """

    type: str
    path: str
    major: Int64 | None = None
    minor: Int64 | None = None
    file_mode: FileMode | None = None
    uid: UInt32 | None = None
    gid: UInt32 | None = None


@frozen(eq=False, repr=False)
class Linux(Section):
    """What is particular to Linux.

    Attributes:
        namespaces: The namespaces that the container does not share with the runtime.
        uid_mappings: The user namespace's user ids.
        gid_mappings: The user namespace's group ids.
        time_offsets: The time namespace's clocks: ``monotonic``, ``boottime``.
        devices: Devices beside the default ones.
        net_devices: Network interfaces to move into the container, by the host's name.
        cgroups_path: Where in the cgroup hierarchy; None lets the runtime choose.
        resources: Limits, by cgroups.
        rootfs_propagation: The root mount's propagation type (mount_namespaces(7)).
        masked_paths: Paths that the container cannot read.
        readonly_paths: Paths that the container cannot write.
        mount_label: The SELinux label of mounts.
        sysctl: Kernel parameters (sysctl(8)), by their dotted names.
        seccomp: The system call filter.
        intel_rdt: Intel's Resource Director Technology.
        memory_policy: set_mempolicy(2).
        personality: personality(2).
    """

    namespaces: tuple[Namespace, ...] = field(default=(), converter=elements)
    uid_mappings: tuple[IDMapping, ...] = field(default=(), converter=elements)
    gid_mappings: tuple[IDMapping, ...] = field(default=(), converter=elements)
    time_offsets: dict[str, TimeOffset] = field(factory=dict)
    devices: tuple[Device, ...] = field(default=(), converter=elements)
    net_devices: dict[str, NetDevice] = field(factory=dict)
    cgroups_path: str | None = None
    resources: Resources | None = None
    rootfs_propagation: str | None = None
    masked_paths: tuple[str, ...] = field(default=(), converter=elements)
    readonly_paths: tuple[str, ...] = field(default=(), converter=elements)
    mount_label: str | None = None
    sysctl: dict[str, str] = field(factory=dict)
    seccomp: Seccomp | None = None
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    personality: Personality | None = None
