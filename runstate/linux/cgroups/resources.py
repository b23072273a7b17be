"""The config's ``linux.resources`` as writes to the files of a cgroup.

Deciding is apart from acting: :func:`compile_writes` reads and writes nothing. Each setting goes
to version 1's file where the controller has a version 1 hierarchy, and else to version 2's, with
the conversions that the runtimes have agreed on. Zero means "leave as it is" for the values for
which the runtimes read it so (memory, shares, quota, period, block weights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.errors import ConfigInvalid, NotSupported
from runstate.linux.cgroups.applying import DeviceFilter, Write
from runstate.linux.cgroups.devices import DEFAULT_DEVICE_RULES, reduce_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runstate.linux.cgroups.layout import Layout

__all__ = [
    "DEFAULT_DEVICE_RULES", "DeviceFilter", "Write", "compile_writes", "cpu_weight",
    "missing_controllers",
]  # fmt: skip

_UNIFIED_NAMES = {"blkio": "io"}


def compile_writes(
    paths: Mapping[str, str], resources: Mapping[str, Any]
) -> tuple[Write | DeviceFilter, ...]:
    """What to write, in order, for these resources.

    Args:
        paths: Of :func:`~runstate.linux.cgroups.paths.plan_paths`.
        resources: The config's ``linux.resources``, as JSON has it. For an update, ``quota`` and
            ``period`` belong together: with a period alone, version 2 has no other quota than
            none.

    Raises:
        ConfigInvalid: Values that contradict each other, or that no cgroup can take.
        NotSupported: No hierarchy has a controller that is needed, or the rules for devices are
            more than version 1 can express.
    """
    compiler = _Compiler(paths, None)
    compiler.compile(resources)
    if compiler.missing:
        raise NotSupported(
            f"limit resources: no cgroup for {', '.join(compiler.missing)} on this host; "
            "mount the controller, or leave the limit out"
        )
    return tuple(compiler.writes)


def missing_controllers(layout: Layout, resources: Mapping[str, Any]) -> list[str]:
    """The controllers that these resources need and this host does not have, each once.

    Raises:
        ConfigInvalid: As :func:`compile_writes`.
        NotSupported: As :func:`compile_writes`, for rules for devices.
    """
    paths = {name: h.mount_point for h in layout.legacy for name in h.names}
    if layout.unified is not None:
        paths[""] = layout.unified.mount_point
    compiler = _Compiler(paths, layout.unified_controllers)
    compiler.compile(resources)
    return compiler.missing


def cpu_weight(shares: int) -> int:
    """Version 1's cpu.shares (2 to 262144) as version 2's cpu.weight (1 to 10000).

    The classic, linear conversion: ``1 + (shares - 2) * 9999 / 262142``. With it the default of
    1024 shares becomes a weight of 39, not the default of 100; newer runtimes bend the line to
    meet that point, and differ in how.
    """
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


class _Compiler:
    def __init__(self, paths: Mapping[str, str], available: Collection[str] | None) -> None:
        self.paths = paths
        self.available = available
        self.writes: list[Write | DeviceFilter] = []
        self.missing: list[str] = []

    def compile(self, resources: Mapping[str, Any]) -> None:
        self._devices(resources.get("devices") or ())
        self._memory(resources.get("memory") or {})
        self._cpu(resources.get("cpu") or {})
        self._cpuset(resources.get("cpu") or {})
        self._pids(resources.get("pids") or {})
        self._block_io(resources.get("blockIO") or {})
        self._huge_pages(resources.get("hugepageLimits") or ())
        self._network(resources.get("network") or {})
        self._rdma(resources.get("rdma") or {})
        self._unified(resources.get("unified") or {})

    # --- where ------------------------------------------------------------------------------

    def _version(self, controller: str, *, legacy_only: bool = False) -> int:
        """1 or 2, the version that has the controller here; 0 for neither, which is noted."""
        if controller in self.paths:
            return 1
        if not legacy_only and self._is_unified(controller):
            return 2
        if controller not in self.missing:
            self.missing.append(controller)
        return 0

    def _is_unified(self, controller: str) -> bool:
        name = _UNIFIED_NAMES.get(controller, controller)
        return "" in self.paths and (self.available is None or name in self.available)

    def _write(
        self, controller: str, file: str, value: object, *, optional: bool = False,
        may_follow: bool = False, instead: tuple[str, object] | None = None,
    ) -> None:  # fmt: skip
        directory = self.paths.get(controller)
        if directory is None:
            directory = self.paths[""]
            controller = _UNIFIED_NAMES.get(controller, controller)
        other = instead and Write(controller, directory, instead[0], str(instead[1]))
        self.writes.append(
            Write(controller, directory, file, str(value), optional, may_follow, other)
        )

    # --- what -------------------------------------------------------------------------------

    def _devices(self, rules: Iterable[Mapping[str, Any]]) -> None:
        rules = tuple(rules)
        if not rules:
            return
        if "devices" not in self.paths:
            if "" in self.paths:
                self.writes.append(DeviceFilter(self.paths[""], rules))
            else:
                self.missing.append("devices")
            return
        allowed, exceptions = reduce_rules(rules)
        default, other = ("allow", "deny") if allowed else ("deny", "allow")
        self._write("devices", f"devices.{default}", "a")
        if exceptions:
            self._write("devices", f"devices.{other}", "\n".join(exceptions))

    def _memory(self, memory: Mapping[str, Any]) -> None:
        limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
        reservation = memory.get("reservation") or 0
        swappiness, no_oom_killer = memory.get("swappiness"), memory.get("disableOOMKiller")
        if not (limit or swap or reservation or swappiness is not None or no_oom_killer):
            return
        if swap > 0 and limit > 0 and swap < limit:
            raise ConfigInvalid(
                f"linux.resources.memory.swap: {swap}; it is the limit of memory and swap "
                f"together, so it must be at least the memory limit, {limit}"
            )
        version = self._version("memory")
        if version == 1:
            self._memory_v1(limit, swap, reservation)
            if swappiness is not None:
                self._write("memory", "memory.swappiness", swappiness)
            if no_oom_killer:
                self._write("memory", "memory.oom_control", 1)
        elif version == 2:
            self._memory_v2(limit, swap, reservation)

    def _memory_v1(self, limit: int, swap: int, reservation: int) -> None:
        if limit < 0 and not swap:
            # No limit on memory, but the old one on memory with swap: nobody means that.
            self._write("memory", "memory.memsw.limit_in_bytes", -1, optional=True)
        # The kernel keeps limit <= limit with swap at every moment: which of the two may be
        # written first depends on the values before. Limit first fails only when it rises
        # above the old limit with swap, and then the other order is the right one.
        if limit:
            self._write("memory", "memory.limit_in_bytes", limit, may_follow=bool(swap))
        if swap:
            self._write("memory", "memory.memsw.limit_in_bytes", swap)
        if reservation:
            self._write("memory", "memory.soft_limit_in_bytes", reservation)

    def _memory_v2(self, limit: int, swap: int, reservation: int) -> None:
        if swap > 0 and limit <= 0:
            raise ConfigInvalid(
                f"linux.resources.memory.swap: {swap} without memory.limit; cgroup version 2 "
                "counts swap alone, which is the difference of the two: give both"
            )
        if limit < 0 or swap < 0:
            # Also where only memory became unlimited, as with version 1.
            if limit < 0 or swap:
                self._write("memory", "memory.swap.max", "max", optional=True)
        elif swap:
            # Without swap accounting in the kernel, no swap is all that can be granted.
            self._write("memory", "memory.swap.max", swap - limit, optional=swap == limit)
        if limit:
            self._write("memory", "memory.max", _limit(limit))
        if reservation:
            self._write("memory", "memory.low", _limit(reservation))

    def _cpu(self, cpu: Mapping[str, Any]) -> None:
        numbers = {key: cpu[key] for key in _CPU_NUMBERS if cpu.get(key)}
        # Zero is a value for these two, which puts them back.
        numbers |= {key: cpu[key] for key in ("idle", "burst") if cpu.get(key) is not None}
        if not numbers:
            return
        realtime = "realtimeRuntime" in numbers or "realtimePeriod" in numbers
        version = self._version("cpu", legacy_only=realtime)
        if not version:
            return
        if "idle" in numbers:
            self._write("cpu", "cpu.idle", numbers["idle"])
            if numbers["idle"]:
                # The kernel refuses a weight for an idle cgroup.
                numbers.pop("shares", None)
        if version == 1:
            self._cpu_v1(numbers)
        else:
            self._cpu_v2(numbers)

    def _cpu_v1(self, numbers: Mapping[str, int]) -> None:
        quota, runtime = numbers.get("quota"), numbers.get("realtimeRuntime")
        if "shares" in numbers:
            self._write("cpu", "cpu.shares", numbers["shares"])
        if "period" in numbers:
            # Refused when the old quota over the new period is more than the parent has.
            self._write("cpu", "cpu.cfs_period_us", numbers["period"], may_follow=bool(quota))
        if quota:
            self._write("cpu", "cpu.cfs_quota_us", max(quota, -1))
        if "burst" in numbers:
            self._write("cpu", "cpu.cfs_burst_us", numbers["burst"])
        if "realtimePeriod" in numbers:
            self._write(
                "cpu", "cpu.rt_period_us", numbers["realtimePeriod"], may_follow=bool(runtime)
            )
        if runtime:
            self._write("cpu", "cpu.rt_runtime_us", runtime)

    def _cpu_v2(self, numbers: Mapping[str, int]) -> None:
        quota, period = numbers.get("quota", 0), numbers.get("period")
        if "shares" in numbers:
            self._write("cpu", "cpu.weight", cpu_weight(numbers["shares"]))
        if quota or period:
            # A quota alone leaves the period as it is.
            value = str(quota) if quota > 0 else "max"
            self._write("cpu", "cpu.max", f"{value} {period}" if period else value)
        if "burst" in numbers:
            self._write("cpu", "cpu.max.burst", numbers["burst"])

    def _cpuset(self, cpu: Mapping[str, Any]) -> None:
        cpus, mems = cpu.get("cpus"), cpu.get("mems")
        if (cpus or mems) and self._version("cpuset"):
            if cpus:
                self._write("cpuset", "cpuset.cpus", cpus)
            if mems:
                self._write("cpuset", "cpuset.mems", mems)

    def _pids(self, pids: Mapping[str, Any]) -> None:
        limit = pids.get("limit")
        if limit is None:
            return
        # Engines write 0 when they mean none (podman before 5.4.1 for --pids-limit -1), and a
        # container that cannot fork at all is of no use, although the kernel could do that.
        unlimited = limit <= 0
        if unlimited and not ("pids" in self.paths or self._is_unified("pids")):
            return
        if self._version("pids"):
            self._write("pids", "pids.max", "max" if unlimited else limit, optional=unlimited)

    def _block_io(self, block: Mapping[str, Any]) -> None:
        throttles = [(key, rule) for key in _THROTTLES for rule in block.get(key) or ()]
        weight = block.get("weight") or 0
        by_device = [rule for rule in block.get("weightDevice") or () if rule.get("weight")]
        if not (throttles or weight or by_device):
            return
        version = self._version("blkio")
        # Which I/O scheduler gives weights, and so the file's name, is the kernel's choice.
        file, other = (
            ("blkio.bfq.weight", "blkio.weight") if version == 1 else ("io.bfq.weight", "io.weight")
        )
        for rule in [{"weight": weight}] * bool(weight) + by_device if version else ():
            value = rule["weight"]
            scaled = value if version == 1 else 1 + (value - 10) * 9999 // 990
            if "major" in rule:
                suffix, prefix = "_device" if version == 1 else "", f"{_device(rule)} "
            else:
                suffix = prefix = ""
            self._write(
                "blkio", f"{file}{suffix}", f"{prefix}{value}",
                instead=(f"{other}{suffix}", f"{prefix}{scaled}"),
            )  # fmt: skip
        for key, rule in throttles if version else ():
            legacy_file, unified_key = _THROTTLES[key]
            if version == 1:
                self._write("blkio", legacy_file, f"{_device(rule)} {rule['rate']}")
            else:
                rate = rule["rate"] or "max"
                self._write("blkio", "io.max", f"{_device(rule)} {unified_key}={rate}")

    def _huge_pages(self, limits: Iterable[Mapping[str, Any]]) -> None:
        for limit in limits:
            version = self._version("hugetlb")
            if version:
                file = "limit_in_bytes" if version == 1 else "max"
                size, value = limit["pageSize"], limit["limit"]
                self._write("hugetlb", f"hugetlb.{size}.{file}", value)
                # Reservations are counted apart (Linux 5.7); without a limit there, mmap
                # succeeds and the first touch of the page kills the process.
                self._write("hugetlb", f"hugetlb.{size}.rsvd.{file}", value, optional=True)

    def _network(self, network: Mapping[str, Any]) -> None:
        class_id, priorities = network.get("classID"), network.get("priorities") or ()
        if class_id and self._version("net_cls", legacy_only=True):
            self._write("net_cls", "net_cls.classid", class_id)
        for entry in priorities:
            if self._version("net_prio", legacy_only=True):
                value = f"{entry['name']} {entry['priority']}"
                self._write("net_prio", "net_prio.ifpriomap", value)

    def _rdma(self, rdma: Mapping[str, Mapping[str, Any]]) -> None:
        for device, limits in rdma.items():
            if self._version("rdma"):
                words = [device]
                for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
                    if limits.get(key) is not None:
                        words.append(f"{word}={limits[key]}")
                self._write("rdma", "rdma.max", " ".join(words))

    def _unified(self, files: Mapping[str, str]) -> None:
        for file, value in files.items():
            if "/" in file or "\0" in file or "." not in file:
                raise ConfigInvalid(
                    f"linux.resources.unified: {file!r} is no name of a cgroup version 2 file"
                )
            controller = file.partition(".")[0]
            core = controller == "cgroup"
            known = self.available is None or core or controller in self.available
            if "" not in self.paths or not known:
                name = f"{controller} of cgroup version 2"
                if name not in self.missing:
                    self.missing.append(name)
                continue
            self.writes.append(
                Write("" if core else controller, self.paths[""], file, value.rstrip("\n"))
            )


_CPU_NUMBERS = ("shares", "quota", "period", "realtimeRuntime", "realtimePeriod")


def _device(rule: Mapping[str, Any]) -> str:
    return f"{rule['major']}:{rule['minor']}"


_THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}
