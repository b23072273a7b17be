"""The rules of the configuration's Linux part (config-linux.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.names import (
    CLOCKS,
    DEVICE_TYPES,
    IPC_SYSCTLS,
    NAMESPACES,
    PROPAGATIONS,
)
from runstate.config.problems import MISSING, json_path
from runstate.config.rules import (
    absolute,
    expect,
    id_ranges,
    needs_namespace,
    one_of,
    some_id,
    within,
)
from runstate.linux.sysctls import sysctl_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.linux import Device, Linux, Namespace
    from runstate.config.rules import Path

# inode(7): the file type's bits of st_mode.
_KINDS = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}


def check_linux(linux: Linux) -> Iterator[str]:
    """All that is wrong with the Linux part."""
    path = ("linux",)
    types = {namespace.type for namespace in linux.namespaces}
    yield from _namespaces((*path, "namespaces"), linux.namespaces)
    yield from _id_mappings(path, linux)
    yield from _clocks(path, linux)
    for name, paths in (
        ("maskedPaths", linux.masked_paths),
        ("readonlyPaths", linux.readonly_paths),
    ):
        for index, masked in enumerate(paths):
            if not masked.startswith("/"):
                yield expect((*path, name, index), masked, "an absolute path")
        if paths and "mount" not in types:
            yield needs_namespace((*path, name), list(paths), "mount")
    for index, device in enumerate(linux.devices):
        yield from _device((*path, "devices", index), device)
    if linux.cgroups_path and ".." in linux.cgroups_path.split("/"):
        yield expect((*path, "cgroupsPath"), linux.cgroups_path, 'a path without ".."')
    yield from one_of(
        (*path, "rootfsPropagation"), linux.rootfs_propagation or None, PROPAGATIONS, "a type"
    )
    for name, value in linux.sysctl.items():
        yield from _sysctl((*path, "sysctl"), name, value, types)
    if linux.resources is not None:
        from runstate.config.validation_resources import check_resources  # noqa: PLC0415

        yield from check_resources((*path, "resources"), linux.resources)
    if linux.seccomp is not None:
        from runstate.config.validation_seccomp import check_seccomp  # noqa: PLC0415 - costs

        yield from check_seccomp((*path, "seccomp"), linux.seccomp)
    if linux.net_devices:
        from runstate.config.validation_net_devices import check_net_devices  # noqa: PLC0415

        yield from check_net_devices((*path, "netDevices"), linux.net_devices, types)
    if linux.memory_policy or linux.personality or linux.intel_rdt:
        from runstate.config.validation_tuning import check_linux_tuning  # noqa: PLC0415

        yield from check_linux_tuning(linux)


# --- namespaces -----------------------------------------------------------------------------


def _namespaces(path: Path, namespaces: tuple[Namespace, ...]) -> Iterator[str]:
    seen = set()
    for index, namespace in enumerate(namespaces):
        here = (*path, index)
        yield from one_of((*here, "type"), namespace.type, NAMESPACES, "a type of namespace")
        if namespace.type in seen:
            yield expect((*here, "type"), namespace.type, "each type once")
        seen.add(namespace.type)
        if namespace.path:
            yield from absolute((*here, "path"), namespace.path)


def _id_mappings(path: Path, linux: Linux) -> Iterator[str]:
    user = next((n for n in linux.namespaces if n.type == "user"), None)
    for name, mappings in (
        ("uidMappings", linux.uid_mappings),
        ("gidMappings", linux.gid_mappings),
    ):
        here = (*path, name)
        if user is not None and not user.path and not mappings:
            yield f"{json_path(here)}: {MISSING}: a new user namespace has no ids without"
        if user is None and mappings:
            yield needs_namespace(here, list(mappings), "user")
        if mappings:
            if not any(mapping.container_id == 0 for mapping in mappings):
                # Init is root while it prepares the container; runc refuses it, too.
                yield expect(here, list(mappings), "a range from the container's 0 on, its root")
            yield from id_ranges(here, mappings)


def _clocks(path: Path, linux: Linux) -> Iterator[str]:
    here = (*path, "timeOffsets")
    for clock, offset in linux.time_offsets.items():
        yield from one_of((*here, clock), clock, CLOCKS, "a clock of time_namespaces(7)")
        yield from within((*here, clock, "nanosecs"), offset.nanosecs, 0, 10**9 - 1)
    if not linux.time_offsets:
        return
    namespace = next((n for n in linux.namespaces if n.type == "time"), None)
    if namespace is None:
        yield needs_namespace(here, linux.time_offsets, "time")
    elif namespace.path:
        yield expect(here, linux.time_offsets, "none for a time namespace that is joined")


def _sysctl(path: Path, name: str, value: str, types: set[str]) -> Iterator[str]:
    """A parameter that is the namespace's own: any other would be set for the whole host."""
    parts = sysctl_path(name).split("/")
    dotted = ".".join(parts)
    here = (*path, name)
    if not all(parts) or ".." in parts or "." in parts:
        yield expect(path, name, "names of kernel parameters such as net.ipv4.ip_forward")
        return
    if dotted in IPC_SYSCTLS or dotted.startswith("fs.mqueue."):
        kind = "ipc"
    elif parts[0] == "net":
        kind = "network"
    elif dotted == "kernel.domainname":
        kind = "uts"
    elif dotted == "kernel.hostname":
        yield expect(here, value, "nothing: the configuration has a hostname of its own for it")
        return
    else:
        yield expect(here, name, "a parameter that a namespace has of its own")
        return
    if kind not in types:
        yield needs_namespace(here, name, kind)


def _device(path: Path, device: Device) -> Iterator[str]:
    yield from one_of((*path, "type"), device.type, DEVICE_TYPES, "a type of device")
    yield from absolute((*path, "path"), device.path)
    for name, number, high in (
        # 12 and 20 bits: the kernel's MAJOR and MINOR (linux/kdev_t.h).
        ("major", device.major, 2**12 - 1),
        ("minor", device.minor, 2**20 - 1),
    ):
        if number is not None:
            yield from within((*path, name), number, 0, high)
        elif device.type != "p":
            yield f"{json_path((*path, name))}: {MISSING}: only a fifo has none"
    if device.file_mode is not None:
        kind = device.file_mode & ~0o7777
        if kind and kind != _KINDS.get(device.type, kind):
            expected = f"permission bits, or with them the type that {device.type!r} is"
            yield expect((*path, "fileMode"), device.file_mode, expected)
    for name, id_ in (("uid", device.uid), ("gid", device.gid)):
        yield from some_id((*path, name), id_, "an id")
