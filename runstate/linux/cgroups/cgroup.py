"""One container's cgroup: making it, filling it, limiting, freezing, killing, removing it."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from runstate.errors import NotSupported, OperationFailed, RuntimeStateError
from runstate.linux.cgroups import freezer, killing, layout, tree
from runstate.linux.cgroups.applying import Write, perform
from runstate.linux.cgroups.files import is_gone, read_value, write_failed, write_value
from runstate.linux.cgroups.resources import compile_writes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runstate.linux.cgroups.figures import CgroupStats

# What version 2 measures for every container, limited or not.
_CORE_CONTROLLERS = frozenset({"cpu", "memory", "pids"})


def _copy(paths: Mapping[str, str]) -> dict[str, str]:
    return dict(paths)


@frozen
class Cgroup:
    """A container's cgroup in all hierarchies. Every method may be called twice.

    One without paths, as a user without a delegated cgroup has, can be made, attached to and
    removed, which does nothing; but it cannot freeze or kill.

    Attributes:
        paths: Of :func:`~runstate.linux.cgroups.paths.plan_paths`; what state.json keeps.
    """

    paths: Mapping[str, str] = field(converter=_copy)

    @property
    def directories(self) -> tuple[str, ...]:
        """The distinct directories, the :attr:`primary` one first."""
        primary = self.primary
        if primary is None:
            return ()
        return tuple(dict.fromkeys((primary, *self.paths.values())))

    @property
    def primary(self) -> str | None:
        """The directory that every process of the container is in before it is in any other.

        It is attached to first, so that also after a crash half way all processes are found in
        it; and it is the unified one where there is one, because that can kill and tell.
        """
        paths = self.paths
        if "" in paths:
            return paths[""]
        if "freezer" in paths:
            return paths["freezer"]
        return next(iter(paths.values()), None)

    def exists(self) -> bool:
        """Whether any of the directories is there."""
        return any(map(os.path.isdir, self.directories))

    def create(self) -> tuple[str, ...]:
        """Make the directories, ready for processes. On failure, none of them is left behind.

        Returns:
            Those that were there before: of another container, or left over, or prepared by
            the engine that called. Look whether they have processes.

        Raises:
            OperationFailed: The kernel refuses.
        """
        made: list[str] = []
        existed: list[str] = []
        try:
            for directory in self.directories:
                (made if tree.make_cgroup(directory) else existed).append(directory)
            cpuset = self.paths.get("cpuset")
            if cpuset is not None:
                self._inherit_cpuset(cpuset)
            self._enable_core_controllers()
        except BaseException as error:
            self._unmake(made, error)
            for directory in self.directories:
                tree.remove_parents(directory)
            raise
        return tuple(existed)

    def _unmake(self, made: Sequence[str], error: BaseException) -> None:
        for directory in made:
            try:
                tree.remove_cgroup(directory, time.monotonic(), unified=False)
            except RuntimeStateError as cleanup_error:
                if isinstance(error, RuntimeStateError):
                    error.add_cleanup_error(cleanup_error)

    def _inherit_cpuset(self, directory: str) -> None:
        try:
            tree.inherit_cpuset(directory)
        except OSError as error:
            raise OperationFailed.from_os_error(
                f"copy the processors and memory nodes of its parent to cgroup {directory}", error
            ) from error

    def _enable_core_controllers(self) -> None:
        unified = self.paths.get("")
        # On a hybrid host the controllers are version 1's.
        if unified is None or any(name and "=" not in name for name in self.paths):
            return
        parent = os.path.dirname(unified)
        core = _CORE_CONTROLLERS & layout.detect().unified_controllers
        if not core:
            return
        try:
            tree.enable_controllers(parent, core)
        except (NotSupported, OperationFailed):
            # Nobody has asked for a limit yet: what cannot be measured is left out. A limit
            # that needs a controller will say in full why it is not there.
            for controller in core if len(core) > 1 else ():
                try:
                    tree.enable_controllers(parent, frozenset({controller}))
                except (NotSupported, OperationFailed):
                    continue

    # --- processes --------------------------------------------------------------------------

    def attach(self, pid: int, *, beside: int | None = None) -> None:
        """Move a process into the cgroup.

        In the kernel this waits for a moment in which no process forks or exits, which after
        idle time takes milliseconds. A process that starts in the unified cgroup
        (:meth:`open_unified`) and moves itself by :attr:`self_attach_files` need not wait.

        Args:
            pid: The process, as this process's pid namespace numbers it.
            beside: A process of the container. If it has made sub-cgroups with controllers, so
                that its top takes no processes any more, ``pid`` goes to where this one is.

        Raises:
            OperationFailed: The kernel refuses; ESRCH if the process is gone.
        """
        value = b"%d" % pid
        for directory in self.directories:
            try:
                write_value(directory + "/cgroup.procs", value)
            except OSError as error:
                if error.errno == errno.EBUSY and beside is not None:
                    self._attach_beside(value, beside, error)
                else:
                    raise write_failed(str(pid), "cgroup.procs", directory, error) from error

    def _attach_beside(self, value: bytes, beside: int, refusal: OSError) -> None:
        top = self.paths[""]
        words = f"attach process {value.decode()} to cgroup {top}, or to that of process {beside}"
        unified = layout.detect().unified
        try:
            own = layout.parse_own_paths(read_value(f"/proc/{beside}/cgroup")).get("", "/")
            if unified is None:
                raise refusal
            directory = layout.Hierarchy(
                (), unified.mount_point, unified.mount_root, own
            ).own_directory
            if not directory.startswith(top + "/"):
                raise refusal
            write_value(directory + "/cgroup.procs", value)
        except OSError as error:
            raise OperationFailed.from_os_error(words, error) from error

    @property
    def self_attach_files(self) -> tuple[str, ...]:
        """The version 1 files to which a process with one thread writes ``0`` to move itself.

        A thread that moves itself alone takes no lock against forks (unlike cgroup.procs).
        """
        unified = self.paths.get("")
        return tuple(f"{path}/tasks" for path in self.directories if path != unified)

    def open_unified(self) -> int | None:
        """A descriptor of the unified directory, for CLONE_INTO_CGROUP; None without one.

        Raises:
            OperationFailed: It cannot be opened.
        """
        directory = self.paths.get("")
        return None if directory is None else _open_directory(directory)

    def procs(self) -> list[int]:
        """The pids in the cgroup and in all sub-cgroups, each once, in no particular order.

        Raises:
            OperationFailed: The kernel refuses to tell.
        """
        primary = self.primary
        return [] if primary is None else tree.list_processes(primary)

    # --- freezing ---------------------------------------------------------------------------

    def freeze(self, deadline_s: float = 10.0) -> None:
        """Stop all processes; see :func:`~runstate.linux.cgroups.freezer.freeze`."""
        freezer.freeze(self.paths, deadline_s)

    def thaw(self) -> None:
        """Let all processes continue; see :func:`~runstate.linux.cgroups.freezer.thaw`."""
        freezer.thaw(self.paths)

    def frozen(self) -> bool:
        """Whether all processes are stopped; False too while they are only being stopped."""
        return freezer.is_frozen(self.paths)

    # --- the end ----------------------------------------------------------------------------

    def kill(self, deadline_s: float = 10.0) -> None:
        """Kill all processes, frozen or not, however fast they fork.

        On return each has its SIGKILL; :meth:`remove` waits until they are gone.

        Args:
            deadline_s: In seconds; it matters only on hosts without cgroup.kill (Linux 5.14).

        Raises:
            NotSupported: The container has no cgroup.
            DeadlineExceeded: New processes came faster than the old ones could be killed.
            OperationFailed: The kernel refuses.
        """
        primary = self.primary
        if primary is None:
            raise NotSupported("kill all processes: the container has no cgroup to find them by")
        killing.kill(self.paths, primary, deadline_s)

    def remove(self, deadline_s: float = 10.0) -> None:
        """Remove the cgroup, with its sub-cgroups, and the parents that were made for it.

        Waits for processes that are dying; it kills none.

        Args:
            deadline_s: How many seconds they have.

        Raises:
            DeadlineExceeded: Processes are still in it.
            OperationFailed: The kernel refuses.
        """
        deadline = time.monotonic() + deadline_s
        unified = self.paths.get("")
        # The unified one comes first: when it has told that it is empty, the others are too.
        for directory in self.directories:
            tree.remove_cgroup(directory, deadline, unified=directory == unified)
            tree.remove_parents(directory)

    # --- limits -----------------------------------------------------------------------------

    def apply(
        self,
        resources: Mapping[str, Any],
        *,
        updating: bool = False,
        former_unified: Collection[str] = (),
    ) -> None:
        """Set limits, of a new container or of one that runs.

        Args:
            resources: The config's ``linux.resources``, as JSON has it.
            updating: See :func:`~runstate.linux.cgroups.resources.compile_writes`.
            former_unified: Likewise.

        Raises:
            ConfigInvalid, NotSupported: See
                :func:`~runstate.linux.cgroups.resources.compile_writes`.
            OperationFailed: The kernel refuses; what was written before stays.
        """
        writes = compile_writes(
            self.paths, resources, updating=updating, former_unified=former_unified
        )
        if not writes:
            return
        unified = self.paths.get("")
        if unified is not None:
            needed = {
                write.controller
                for write in writes
                if isinstance(write, Write) and write.directory == unified and not write.optional
            } - {""}
            if needed:
                tree.enable_controllers(os.path.dirname(unified), frozenset(needed))
            self._check_before_update(resources.get("memory") or {}, unified)
        perform(writes)

    def former(
        self,
        resources: Mapping[str, Any],
        device_rules: Sequence[Mapping[str, Any]],
        former_unified: Collection[str] = (),
    ) -> dict[str, str]:
        """What an update would change, as it is now; see :func:`read_former`.

        Args:
            resources: As :meth:`apply` will be given them.
            device_rules: The container's present ones.
            former_unified: As :meth:`apply` will be given them.

        Raises:
            ConfigInvalid, NotSupported: As :meth:`apply`.
            OperationFailed: The kernel refuses to tell.
        """
        from runstate.linux.cgroups.former import read_former  # noqa: PLC0415 - updates alone

        writes = compile_writes(self.paths, resources, updating=True, former_unified=former_unified)
        return read_former(writes, device_rules)

    def restore(self, values: Mapping[str, str]) -> None:
        """Write back what :meth:`former` has told; the cgroup being gone is as good.

        Raises:
            OperationFailed: The kernel refuses.
        """
        from runstate.linux.cgroups.former import restore_former  # noqa: PLC0415

        restore_former(values)

    def _check_before_update(self, memory: Mapping[str, Any], unified: str) -> None:
        """Version 1's kernel refuses what version 2's would kill for (config-linux.md, Memory)."""
        if not memory.get("checkBeforeUpdate") or "memory" in self.paths:
            return
        try:
            usage = int(read_value(f"{unified}/memory.current"))
        except OSError as error:
            if is_gone(error):
                return
            raise OperationFailed.from_os_error(
                f"read the memory usage of cgroup {unified}", error
            ) from error
        for name, what in (("limit", "memory"), ("swap", "memory and swap")):
            limit = memory.get(name) or 0
            if 0 < limit <= usage:
                raise OperationFailed(
                    f"limit the {what} of cgroup {unified} to {limit} bytes",
                    f"it uses {usage}, and checkBeforeUpdate says not to kill for it",
                )

    def stats(self) -> CgroupStats:
        """What the cgroup has used; see :func:`~runstate.linux.cgroups.stats.read_stats`."""
        from runstate.linux.cgroups.stats import read_stats  # noqa: PLC0415 - a class to build

        return read_stats(self.paths)


def _open_directory(directory: str) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OperationFailed.from_os_error(f"open cgroup {directory}", error) from error
