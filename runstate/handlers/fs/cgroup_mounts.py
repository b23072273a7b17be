"""The mount type ``cgroup``: the container's view of its cgroups, on every kind of host.

On a unified host it is one mount. Else it is a tmpfs with a directory for each version 1
hierarchy, as runc makes it. With a cgroup namespace the hierarchies are mounted anew, and
show the container's own cgroup as their root; without one the container's directories are
bound from the host.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runstate.init import kernel
from runstate.linux import operations, privileges
from runstate.linux.cgroups.layout import detect
from runstate.linux.cgroups.paths import plan_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.handlers.contract import HandlerContext
    from runstate.linux.cgroups.layout import Hierarchy
    from runstate.linux.mounts import MountOptions
    from runstate.linux.operations import Operation


def compile_cgroup_mount(
    context: HandlerContext, kind: str, target: str, options: MountOptions
) -> Iterator[Operation]:
    """The operations for one mount of type ``cgroup`` or ``cgroup2``."""
    layout = detect()
    paths = _container_paths(context)
    own_namespace = context.config.linux is not None and any(
        n.type == "cgroup" for n in context.config.linux.namespaces
    )
    if layout.unified is not None and (kind == "cgroup2" or layout.mode == "unified"):
        yield _hierarchy(layout.unified, target, options, paths, own_namespace=own_namespace)
        return
    flags = options.flags & ~kernel.MS_RDONLY
    yield operations.mount("tmpfs", target, "tmpfs", flags, "mode=755", options.propagation)
    for hierarchy in layout.legacy:
        name = os.path.basename(hierarchy.mount_point)
        where = f"{target}/{name}"
        yield _hierarchy(hierarchy, where, options, paths, own_namespace=own_namespace)
        # Where controllers share a hierarchy, each has a link of its own name to it.
        for controller in hierarchy.names:
            if "=" not in controller and controller != name:
                yield operations.symlink(name, f"{target}/{controller}")
    if options.flags & kernel.MS_RDONLY:
        yield operations.remount_readonly(target)


def _hierarchy(
    hierarchy: Hierarchy,
    target: str,
    options: MountOptions,
    paths: dict[str, str],
    *,
    own_namespace: bool,
) -> Operation:
    if own_namespace:
        if not hierarchy.names:
            return operations.mount(
                "cgroup2", target, "cgroup2", options.flags, options.data, options.propagation
            )
        # A named hierarchy has no controllers, which its mount options must say (cgroups(7)).
        data = ",".join(f"none,{name}" if "=" in name else name for name in hierarchy.names)
        return operations.mount(
            "cgroup", target, "cgroup", options.flags, data, options.propagation
        )
    source = next(
        (paths[name] for name in (*hierarchy.names, "") if name in paths), hierarchy.own_directory
    )
    attributes, cleared = options.attributes()
    return operations.bind(
        source,
        target,
        recursive=True,
        attributes=attributes,
        cleared=cleared,
        propagation=options.propagation,
    )


def _container_paths(context: HandlerContext) -> dict[str, str]:
    substate = context.substates.get("exec")
    if substate is None:
        # Only a plan is wanted, and nothing has been made yet.
        linux = context.config.linux
        wanted = linux.cgroups_path if linux is not None else None
        return plan_paths(detect(), wanted, context.id, rootless=privileges.is_rootless())
    return dict(getattr(substate.options, "cgroup_paths", {}))
