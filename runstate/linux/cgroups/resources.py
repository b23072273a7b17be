"""The config's ``linux.resources`` as writes to the files of a cgroup.

Deciding is apart from acting: :func:`compile_writes` reads and writes nothing. Each setting goes
to version 1's file where the controller has a version 1 hierarchy, and else to version 2's, with
the conversions that the runtimes have agreed on. Zero means "leave as it is" for the values for
which the runtimes read it so (memory, shares, quota, period, block weights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.errors import NotSupported
from runstate.linux.cgroups.applying import DeviceFilter, DeviceList, Write
from runstate.linux.cgroups.compiling import Compiler
from runstate.linux.cgroups.devices import DEFAULT_DEVICE_RULES, reduce_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runstate.linux.cgroups.compiling import Effect, Property

__all__ = [
    "DEFAULT_DEVICE_RULES", "DeviceFilter", "DeviceList", "Write", "compile_writes",
    "needs_unified", "problems",
]  # fmt: skip


def compile_writes(
    paths: Mapping[str, str],
    resources: Mapping[str, Any],
    *,
    updating: bool = False,
    former_unified: Collection[str] = (),
) -> tuple[Effect, ...]:
    """What to write, in order, for these resources.

    Args:
        paths: Of :func:`~runstate.linux.cgroups.paths.plan_paths`.
        resources: The config's ``linux.resources``, as JSON has it. For an update, what belongs
            together (:mod:`runstate.config.merging`) has to be complete.
        updating: Processes live in the cgroup: devices that old and new rules allow have to stay
            usable at every moment.
        former_unified: For an update, the files of ``unified`` that were set before.

    Raises:
        ConfigInvalid: Values that contradict each other, or that no cgroup can take.
        NotSupported: No hierarchy has a controller that is needed, or the rules for devices are
            more than version 1 can express.
    """
    compiler = Compiler(paths, updating=updating)
    _compile(compiler, resources, former_unified)
    if compiler.problems:
        words = "; ".join(f"{'.'.join(map(str, path))} {why}" for path, why in compiler.problems)
        raise NotSupported(f"limit resources: {words}")
    return tuple(compiler.writes)


def problems(
    paths: Mapping[str, str],
    available: Collection[str],
    resources: Mapping[str, Any],
    former_unified: Collection[str] = (),
) -> list[tuple[Property, str]]:
    """What of these resources a cgroup on this host cannot have: each property, and why.

    Args:
        paths: Of :func:`~runstate.linux.cgroups.paths.plan_paths`.
        available: The controllers at the root of version 2's hierarchy.
        resources: The config's ``linux.resources``.
        former_unified: As for :func:`compile_writes`.

    Raises:
        ConfigInvalid: As :func:`compile_writes`.
        NotSupported: As :func:`compile_writes`, for rules for devices.
    """
    compiler = Compiler(paths, available)
    _compile(compiler, resources, former_unified)
    return compiler.problems


def needs_unified(paths: Mapping[str, str], resources: Mapping[str, Any]) -> bool:
    """Whether some of these resources are limited by files of version 2."""
    if resources.keys() <= {"devices"} and "devices" in paths:
        return False
    compiler = Compiler(paths)
    _compile(compiler, resources)
    unified = paths.get("")
    return any(
        effect.directory == unified and not (isinstance(effect, Write) and effect.optional)
        for effect in compiler.writes
    )


def _compile(
    compiler: Compiler, resources: Mapping[str, Any], former_unified: Collection[str] = ()
) -> None:
    get = resources.get
    _devices(compiler, get("devices") or ())
    # Most containers have none of these, and need not load what knows them.
    if get("memory"):
        from runstate.linux.cgroups.memory import compile_memory  # noqa: PLC0415

        compile_memory(compiler, resources["memory"])
    if get("cpu"):
        from runstate.linux.cgroups.cpu import compile_cpu  # noqa: PLC0415

        compile_cpu(compiler, resources["cpu"])
    _pids(compiler, get("pids") or {})
    if get("blockIO"):
        from runstate.linux.cgroups.block_io import compile_block_io  # noqa: PLC0415

        compile_block_io(compiler, resources["blockIO"])
    _huge_pages(compiler, get("hugepageLimits") or ())
    _network(compiler, get("network") or {})
    _rdma(compiler, get("rdma") or {})
    if get("unified") or former_unified:
        from runstate.linux.cgroups.unified import compile_unified  # noqa: PLC0415

        compile_unified(compiler, get("unified") or {}, former_unified)


def _devices(compiler: Compiler, rules: Iterable[Mapping[str, Any]]) -> None:
    rules = tuple(rules)
    if not rules:
        return
    if "devices" not in compiler.paths:
        if "" in compiler.paths:
            compiler.writes.append(DeviceFilter(compiler.paths[""], rules))
        else:
            compiler.version("devices", ("devices",))
        return
    allowed, exceptions = reduce_rules(rules)
    if compiler.updating:
        compiler.writes.append(DeviceList(compiler.paths["devices"], allowed, exceptions))
        return
    default, other = ("allow", "deny") if allowed else ("deny", "allow")
    compiler.write("devices", f"devices.{default}", "a")
    if exceptions:
        compiler.write("devices", f"devices.{other}", "\n".join(exceptions))


def _pids(compiler: Compiler, pids: Mapping[str, Any]) -> None:
    limit = pids.get("limit")
    if limit is None:
        return
    # Engines write 0 when they mean none (podman before 5.4.1 for --pids-limit -1), and a
    # container that cannot fork at all is of no use, although the kernel could do that.
    unlimited = limit <= 0
    if unlimited and not compiler.has("pids"):
        return
    if compiler.version("pids", ("pids", "limit")):
        compiler.write("pids", "pids.max", "max" if unlimited else limit, optional=unlimited)


def _huge_pages(compiler: Compiler, limits: Iterable[Mapping[str, Any]]) -> None:
    for index, limit in enumerate(limits):
        version = compiler.version("hugetlb", ("hugepageLimits", index))
        if version:
            file = "limit_in_bytes" if version == 1 else "max"
            size, value = limit["pageSize"], limit["limit"]
            compiler.write("hugetlb", f"hugetlb.{size}.{file}", value)
            # Reservations are counted apart (Linux 5.7); without a limit there, mmap
            # succeeds and the first touch of the page kills the process.
            compiler.write("hugetlb", f"hugetlb.{size}.rsvd.{file}", value, optional=True)


def _network(compiler: Compiler, network: Mapping[str, Any]) -> None:
    class_id = network.get("classID")
    if class_id and compiler.version("net_cls", ("network", "classID"), only=1):
        compiler.write("net_cls", "net_cls.classid", class_id)
    for index, entry in enumerate(network.get("priorities") or ()):
        if compiler.version("net_prio", ("network", "priorities", index), only=1):
            name = entry["name"]
            compiler.write(
                "net_prio", "net_prio.ifpriomap", f"{name} {entry['priority']}",
                key=name, reset=f"{name} 0",
            )  # fmt: skip


_RDMA = {"hcaHandles": "hca_handle", "hcaObjects": "hca_object"}


def _rdma(compiler: Compiler, rdma: Mapping[str, Mapping[str, Any]]) -> None:
    for device, limits in rdma.items():
        words = [
            f"{word}={limits[key]}" for key, word in _RDMA.items() if limits.get(key) is not None
        ]
        if words and compiler.version("rdma", ("rdma", device)):
            reset = " ".join(f"{word}=max" for word in _RDMA.values())
            compiler.write(
                "rdma", "rdma.max", " ".join((device, *words)),
                key=device, reset=f"{device} {reset}",
            )  # fmt: skip
