"""The devices of a container: those that each has, and those of the configuration.

In a user namespace mknod(2) makes none (CAP_MKNOD of the first one is needed), so the host's
nodes are bound; init does the same where the kernel refuses for another reason.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

from runstate.linux import operations, privileges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config import Config
    from runstate.config.linux import Device
    from runstate.linux.operations import Operation

# config-linux.md, Default Devices; /dev/console only exists with a terminal.
_DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
_DEFAULT_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_MODE = 0o666


def compile_devices(config: Config, *, dev_is_bound: bool) -> Iterator[Operation]:
    """The devices, and the links that go with them.

    Args:
        config: The container's.
        dev_is_bound: Whether /dev is somebody else's, with devices of its own: nothing is
            made in there then, as runc does it.
    """
    configured: tuple[Device, ...] = config.linux.devices if config.linux else ()
    bound = has_user_namespace(config)
    if not dev_is_bound:
        taken = {_path_of(device) for device in configured}
        for path, major, minor in _DEFAULT_DEVICES:
            if path not in taken:
                make = operations.bind_device if bound else operations.mknod
                yield make(path, stat.S_IFCHR | _MODE, major, minor)
    for device in configured:
        if not (dev_is_bound and _path_of(device).startswith("/dev/")):
            yield _compile(device, bound=bound)
    if not dev_is_bound:
        for target, path in _DEFAULT_LINKS:
            yield operations.symlink(target, path)


def _path_of(device: Device) -> str:
    return posixpath.normpath(device.path)


def _compile(device: Device, *, bound: bool) -> Operation:
    mode = _MODE if device.file_mode is None else stat.S_IMODE(device.file_mode)
    mode |= _TYPES[device.type]
    if device.type == "p":
        major = minor = 0
    else:
        major, minor = device.major or 0, device.minor or 0
        if bound:
            return operations.bind_device(device.path, mode, major, minor)
    owner = (device.uid or 0, device.gid or 0)
    return operations.mknod(
        device.path, mode, major, minor, owner if any(owner) else None, only_same=True
    )


def has_user_namespace(config: Config) -> bool:
    """Whether the container is in a user namespace: one of its own, or this process's."""
    own = config.linux is not None and any(n.type == "user" for n in config.linux.namespaces)
    return own or privileges.in_user_namespace()


# --- before any effect ---------------------------------------------------------------------------


def missing_devices(config: Config) -> list[str]:
    """The configuration's devices that would have to be bound, and that the host has not."""
    if config.linux is None or not config.linux.devices or not has_user_namespace(config):
        return []
    problems = []
    for index, device in enumerate(config.linux.devices):
        if device.type != "p" and not _on_host(device):
            problems.append(
                f"$.linux.devices[{index}]: {device.path!r}: in a user namespace a device is the"
                f" host's own, and the host has no {device.type} {device.major}:{device.minor}"
                " there, nor in /dev"
            )
    return problems


def _on_host(device: Device) -> bool:
    kind = "block" if device.type == "b" else "char"
    number = os.makedev(device.major or 0, device.minor or 0)
    try:
        found = os.stat(device.path)
    except OSError:
        return os.path.exists(f"/sys/dev/{kind}/{device.major}:{device.minor}/uevent")
    same_type = stat.S_IFMT(found.st_mode) == _TYPES[device.type]
    return (same_type and found.st_rdev == number) or os.path.exists(
        f"/sys/dev/{kind}/{device.major}:{device.minor}/uevent"
    )


def left_out(config: Config) -> list[str]:
    """What a bound device does not have of the configuration: the host's node stays as it is."""
    if config.linux is None or not config.linux.devices or not has_user_namespace(config):
        return []
    paths = [
        device.path
        for device in config.linux.devices
        if device.type != "p"
        and not (device.file_mode is None and device.uid is None and device.gid is None)
    ]
    if not paths:
        return []
    return [f"devices: {', '.join(paths)}: the host's own, with the mode and owner it has there"]
