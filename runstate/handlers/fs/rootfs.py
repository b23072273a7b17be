"""From the config's root, mounts, devices and paths to the operations that make them.

Pure: reads nothing, changes nothing. The order is the runtime spec's (config.md, Mounts;
config-linux.md, Default Devices, Masked Paths): rootfs, mounts, devices, links, hidden paths,
then the pivot, after which the host is out of sight, and last what makes things read-only
that had to be written to until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.fs.devices import compile_devices
from runstate.handlers.fs.mounts import binds_dev, compile_mounts
from runstate.init import kernel
from runstate.linux import operations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runstate.config import Process
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.operations import Operation

_PROPAGATION = {
    "private": kernel.MS_PRIVATE,
    "shared": kernel.MS_SHARED,
    "slave": kernel.MS_SLAVE,
    "unbindable": kernel.MS_UNBINDABLE,
}
_SLAVE = kernel.MS_SLAVE | kernel.MS_REC


def compile_rootfs(
    context: HandlerContext,
    path: str,
    rootfs: Iterable[Operation],
    extra_mounts: Iterable[Operation] = (),
) -> tuple[Operation, ...]:
    """All operations of a filesystem handler.

    Args:
        context: The container's.
        path: The directory on the host that the root file system is mounted on.
        rootfs: What makes the root file system a mount (``bind_rootfs``, ``overlay_host``).
        extra_mounts: Mounts of the handler's own, before the config's.
    """
    config = context.config
    linux = config.linux
    wanted = linux.rootfs_propagation if linux is not None else None
    compiled = list(_propagation_before(wanted, path))
    compiled += rootfs
    compiled += extra_mounts
    mounts, late = compile_mounts(context)
    compiled += mounts
    compiled += compile_devices(config, dev_is_bound=binds_dev(config))
    if config.process is not None and config.process.terminal:
        compiled.append(_compile_console(config.process))
    if linux is not None:
        compiled += (operations.make_readonly(path) for path in linux.readonly_paths)
        compiled += (operations.mask(path) for path in linux.masked_paths)
    compiled.append(operations.pivot_root())
    if wanted:
        compiled.append(operations.set_propagation("/", _flag(wanted)))
    compiled += (operations.remount_readonly(target) for target in late)
    if config.root is not None and config.root.readonly:
        compiled.append(operations.remount_readonly("/"))
    return tuple(compiled)


def _flag(propagation: str) -> int:
    plain = propagation if propagation in _PROPAGATION else propagation[1:]
    return _PROPAGATION[plain] | (0 if plain == propagation else kernel.MS_REC)


def _propagation_before(wanted: str | None, path: str) -> Iterator[Operation]:
    """How mount events pass while the rootfs is made.

    What happens on the host shows in the container or does not; only where the configuration
    says ``shared`` do mounts stay the host's peers, so that volumes can be shared with it. A
    mount that is unbindable could not become a part of the rootfs at all, so that is for the
    end.
    """
    plain = (wanted or "slave").removeprefix("r")
    if plain == "shared":
        from runstate.linux.operations.trees import set_root_propagation  # noqa: PLC0415 - rare

        yield set_root_propagation(_flag(wanted or plain), path)
    elif plain == "slave":
        yield operations.set_propagation("/", _SLAVE)
    else:
        yield operations.set_propagation("/", kernel.MS_PRIVATE | kernel.MS_REC)


def _compile_console(process: Process) -> Operation:
    size, user = process.console_size, process.user
    return operations.open_console(
        size.height if size is not None else 0,
        size.width if size is not None else 0,
        user.uid or 0 if user is not None else 0,
    )
