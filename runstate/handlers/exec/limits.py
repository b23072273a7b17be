"""The exec handler's word on cgroups: where a container goes, what it may use, what is wrong.

The config's ``linux.resources`` is checked against this host before anything is made, and an
update is checked and compiled together with what was set before.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import evolve

from runstate.config.memo import json_form, remembered
from runstate.errors import ConfigInvalid, NotSupported
from runstate.linux import privileges
from runstate.linux.cgroups import tree
from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.cgroups.devices import DEFAULT_DEVICE_RULES
from runstate.linux.cgroups.layout import detect
from runstate.linux.cgroups.paths import plan_paths
from runstate.linux.cgroups.resources import needs_unified, problems

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runstate.config import Config
    from runstate.handlers.contract import HandlerContext

NO_CGROUP = "it has no cgroup, which an ordinary user gets only where one is delegated"
_ROOT = ("linux", "resources")
_SHARED_PIDS = (
    "processes: the container has neither a cgroup nor a pid namespace to itself, so what"
    " outlives its init is not found any more, and not ended by destroy"
)
_KERNEL_MEMORY = (
    "$.linux.resources.memory.kernel: left out: Linux counts the kernel's memory into"
    " memory.limit, and has no other limit for it any more"
)
_DEVICES = (
    "$.linux.resources.devices: left out: only root can filter devices; a user namespace lets"
    " nobody make any"
)


def resources_of(config: Config, *, with_defaults: bool) -> dict[str, Any]:
    """The config's limits, as JSON has them; shared, so not to be changed.

    Args:
        config: The container's.
        with_defaults: Whether with the devices that every container may use. As with runc they
            are all, where the config has no rules for others.
    """
    if with_defaults:
        return _with_defaults(config)
    if config.linux is None or config.linux.resources is None:
        return {}
    form: Any = json_form(config)
    resources: dict[str, Any] = form["linux"].get("resources", {})
    return resources


@remembered
def _with_defaults(config: Config) -> dict[str, Any]:
    return _with_default_devices(resources_of(config, with_defaults=False))


def _with_default_devices(resources: dict[str, Any]) -> dict[str, Any]:
    return {**resources, "devices": [*(resources.get("devices") or ()), *DEFAULT_DEVICE_RULES]}


def applied(config: Config, paths: Mapping[str, str]) -> dict[str, Any]:
    """The limits that a new container gets.

    Args:
        config: The container's.
        paths: Of its cgroup.
    """
    resources = resources_of(config, with_defaults=True)
    filterable = "devices" in paths or "" in paths or _has_device_rules(config)
    if filterable and not privileges.is_rootless():
        return resources
    return {name: value for name, value in resources.items() if name != "devices"}


def _has_device_rules(config: Config) -> bool:
    return "devices" in resources_of(config, with_defaults=False)


def plan_cgroup(context: HandlerContext) -> dict[str, str]:
    """The container's cgroup, by controller; empty where there is none for it."""
    linux = context.config.linux
    rootless = privileges.is_rootless()
    # Without a parent of our own, which would come and go with its first and last container.
    default = f"{'' if rootless else '/'}runstate-{context.id}"
    layout = detect()
    path = (linux.cgroups_path if linux is not None else None) or default
    paths = plan_paths(layout, path, context.id, rootless=rootless)
    if (
        "freezer" in paths
        and "devices" in paths
        and layout.mode == "hybrid"
        and not needs_unified(paths, resources_of(context.config, with_defaults=False))
    ):
        # Nothing is left for the unified hierarchy to do, and to move a process there takes
        # a lock against all forks of the host; version 1 lets a process move itself.
        paths.pop("", None)
    return paths


def make_cgroup(context: HandlerContext, cgroup: Cgroup) -> None:
    """Make the container's cgroup, with its limits, and its owner if that shall be the user."""
    cgroup.create()
    cgroup.apply(applied(context.config, cgroup.paths))
    owner = _owner(context.config)
    if owner is not None and owner != os.geteuid():
        from runstate.linux.cgroups.delegation import delegate  # noqa: PLC0415 - few ask

        delegate(cgroup.paths[""], owner)


def _owner(config: Config) -> int | None:
    """The host's id of whom the cgroup is given to (config-linux.md, Cgroup ownership)."""
    if detect().mode != "unified" or config.linux is None or config.process is None:
        return None
    own_namespace = any(n.type == "cgroup" and not n.path for n in config.linux.namespaces)
    writable = any(
        mount.destination == "/sys/fs/cgroup"
        and (mount.source == "cgroup" or mount.type in {"cgroup", "cgroup2"})
        and "ro" not in mount.options
        for mount in config.mounts
    )
    if not (own_namespace and writable):
        return None
    user = config.process.user
    inside = (user.uid or 0) if user is not None else 0
    if all(n.type != "user" for n in config.linux.namespaces):
        return inside
    from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have a user namespace

    return idmaps.host_uid(config, inside)


def missing(context: HandlerContext) -> list[str]:
    """What of the config's limits, and of the place for its cgroup, this host cannot give."""
    resources = resources_of(context.config, with_defaults=False)
    paths = plan_cgroup(context)
    if not paths:
        return [
            problem.partition(": ")[0] + f": cannot be applied: {NO_CGROUP}"
            for problem in _missing_for({}, resources)
            if not problem.startswith("$.linux.resources.devices")
        ]
    cgroup = Cgroup(paths)
    if not os.path.lexists(context.directory) and os.path.isdir(cgroup.primary or ""):
        taken = _taken(cgroup)
        if taken:
            return [f"$.linux.cgroupsPath: the cgroup {cgroup.primary} {taken}"]
    return _missing_for(paths, resources)


def _taken(cgroup: Cgroup) -> str:
    """Why a cgroup that is there already cannot become the container's, in words; or nothing."""
    # One cgroup, one container: ending either would end both. The likely other one has the
    # same id, below another root directory; where it is below this one, the store says so.
    if cgroup.procs():
        remedy = "choose another id, or name a cgroup of the container's own"
        return f"has processes of somebody else in it; {remedy}"
    # Init would stop in it for good, before anybody could tell.
    return "is frozen; thaw it, or name another" if cgroup.frozen() else ""


def _available(paths: dict[str, str]) -> frozenset[str]:
    """The controllers of version 2 that a cgroup there may have."""
    if not privileges.is_rootless() or "" not in paths:
        return detect().unified_controllers
    # An ordinary user has what was delegated, and can take it no higher.
    return tree.controllers_at(os.path.dirname(paths[""]))


def _missing_for(
    paths: dict[str, str], resources: dict[str, Any], former_unified: Collection[str] = ()
) -> list[str]:
    if not resources:
        return []
    found = problems(paths, _available(paths), resources, former_unified)
    if resources.get("hugepageLimits"):
        from runstate.linux.cgroups.pages import unknown_sizes  # noqa: PLC0415 - few ask

        found += unknown_sizes(resources["hugepageLimits"])
    if not found:
        return []
    from runstate.config.problems import json_path  # noqa: PLC0415 - only for the message

    return [f"{json_path((*_ROOT, *path))}: {words}" for path, words in found]


def notices(context: HandlerContext) -> list[str]:
    """What of the limits is left out on this host."""
    linux = context.config.linux
    if not plan_cgroup(context):
        left_out = [f"cgroup: {NO_CGROUP}; so no limits, no pause, no cgroup statistics"]
        if linux is None or not any(n.type == "pid" and not n.path for n in linux.namespaces):
            left_out.append(_SHARED_PIDS)
        return left_out
    resources = linux.resources if linux is not None else None
    if resources is None:
        return []
    left_out = [_KERNEL_MEMORY] if resources.memory is not None and resources.memory.kernel else []
    if resources.devices and privileges.is_rootless():
        left_out.append(_DEVICES)
    return left_out


# --- updates ------------------------------------------------------------------------------------


def problems_of_update(
    context: HandlerContext, cgroup: Cgroup, resources: dict[str, Any]
) -> list[str]:
    """What is wrong with new limits, by themselves, with the old ones, and on this host."""
    from runstate.config import Linux, Resources  # noqa: PLC0415 - only `update` asks
    from runstate.config.merging import merge_resources  # noqa: PLC0415
    from runstate.config.support import unsupported  # noqa: PLC0415
    from runstate.config.validation_resources import check_resources  # noqa: PLC0415

    Resources.from_dict(resources)  # what has a wrong type cannot be merged
    saved = resources_of(context.config, with_defaults=False)
    merged = Resources.from_dict(merge_resources(saved, resources))
    config = evolve(context.config, linux=Linux(resources=merged))
    found = [
        *check_resources(_ROOT, merged),
        *(problem for problem in unsupported(config) if problem.startswith("$.linux.resources")),
    ]
    if resources.get("devices") and privileges.is_rootless():
        found.append("$.linux.resources.devices: only root can filter devices")
    if found:
        return found
    try:
        return _missing_for(
            dict(cgroup.paths), _completed(context, resources), _former_unified(context)
        )
    except (ConfigInvalid, NotSupported) as error:
        return [f"$.{error}"]


def _completed(context: HandlerContext, resources: dict[str, Any]) -> dict[str, Any]:
    from runstate.config.merging import completed  # noqa: PLC0415 - only `update` asks

    if resources.get("devices"):
        resources = _with_default_devices(resources)
    return completed(resources_of(context.config, with_defaults=False), resources)


def _former_unified(context: HandlerContext) -> frozenset[str]:
    return frozenset(resources_of(context.config, with_defaults=False).get("unified", ()))


def update(context: HandlerContext, cgroup: Cgroup, resources: dict[str, Any]) -> None:
    """Apply new limits to a container that lives."""
    cgroup.apply(
        _completed(context, resources), updating=True, former_unified=_former_unified(context)
    )


def former(context: HandlerContext, cgroup: Cgroup, resources: dict[str, Any]) -> dict[str, str]:
    """What the kernel has now of what :func:`update` would change, by file."""
    rules = resources_of(context.config, with_defaults=True).get("devices", [])
    return cgroup.former(_completed(context, resources), rules, _former_unified(context))
