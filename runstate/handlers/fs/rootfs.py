"""From the config's root, mounts, devices and paths to the operations that make them.

Pure: reads nothing, changes nothing. The order is the runtime spec's (config.md, Mounts;
config-linux.md, Default Devices, Masked Paths): rootfs, mounts, devices, links, hidden paths,
and last the pivot, after which the host is out of sight.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runstate.handlers.fs.cgroup_mounts import compile_cgroup_mount
from runstate.handlers.fs.devices import compile_devices
from runstate.init import kernel
from runstate.linux import operations
from runstate.linux.mounts import parse_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runstate.config import Config, Mount, Process
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.operations import Operation

_PROPAGATION = {
    "private": kernel.MS_PRIVATE,
    "shared": kernel.MS_SHARED,
    "slave": kernel.MS_SLAVE,
    "unbindable": kernel.MS_UNBINDABLE,
}


def compile_rootfs(
    context: HandlerContext, rootfs: Iterable[Operation], extra_mounts: Iterable[Operation] = ()
) -> tuple[Operation, ...]:
    """All operations of a filesystem handler.

    Args:
        context: The container's.
        rootfs: What makes the root file system a mount (``bind_rootfs``, ``overlay_host``).
        extra_mounts: Mounts of the handler's own, before the config's.
    """
    config = context.config
    compiled = [operations.set_propagation("/", kernel.MS_SLAVE | kernel.MS_REC)]
    compiled += rootfs
    compiled += extra_mounts
    for mount in config.mounts:
        compiled += _compile_mount(context, mount)
    compiled += compile_devices(config, dev_is_bound=_binds_dev(config))
    if config.process is not None and config.process.terminal:
        compiled.append(_compile_console(config.process))
    if config.linux is not None:
        compiled += (operations.make_readonly(path) for path in config.linux.readonly_paths)
        compiled += (operations.mask(path) for path in config.linux.masked_paths)
    compiled.append(operations.pivot_root())
    if config.linux is not None and config.linux.rootfs_propagation:
        flag = _PROPAGATION[config.linux.rootfs_propagation]
        compiled.append(operations.set_propagation("/", flag))
    if config.root is not None and config.root.readonly:
        compiled.append(operations.remount_readonly("/"))
    return tuple(compiled)


def _compile_mount(context: HandlerContext, mount: Mount) -> Iterator[Operation]:
    options = parse_options(mount.options)
    target = "/" + mount.destination.lstrip("/")
    if options.bind or mount.type == "bind":
        attributes, cleared = options.attributes()
        yield operations.bind(
            os.path.join(context.bundle, mount.source or ""),
            target,
            recursive=bool(options.flags & kernel.MS_REC),
            attributes=attributes,
            cleared=cleared,
            propagation=options.propagation,
        )
    elif mount.type in ("cgroup", "cgroup2"):
        yield from compile_cgroup_mount(context, target, options)
    else:
        yield operations.mount(
            mount.source or mount.type or "none",
            target,
            mount.type or "",
            options.flags,
            options.data,
            options.propagation,
        )


def _compile_console(process: Process) -> Operation:
    size, user = process.console_size, process.user
    return operations.open_console(
        size.height if size is not None else 0,
        size.width if size is not None else 0,
        user.uid or 0 if user is not None else 0,
    )


def _binds_dev(config: Config) -> bool:
    return any(
        mount.destination.rstrip("/") == "/dev"
        and (mount.type == "bind" or parse_options(mount.options).bind)
        for mount in config.mounts
    )
