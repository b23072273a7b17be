"""The exec handler ``linux``: init in namespaces and a cgroup, started through the zygote."""

from __future__ import annotations

import os
import signal as signals
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from runstate.errors import InitDied, OperationFailed
from runstate.handlers.contract import HandlerContext, ProcessSpec, Substate
from runstate.handlers.exec import checking, filtering, lifecycle, limits, namespaces, rdt
from runstate.handlers.exec.further import compile_before, compile_further
from runstate.handlers.exec.initial import compile_initial
from runstate.handlers.exec.requirements import raise_ceilings
from runstate.handlers.exec.streams import give_to_user
from runstate.init import kernel
from runstate.linux import launcher, processes
from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.handshake import Handshake

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.linux.launcher import Child
    from runstate.linux.operations import Operation
    from runstate.states.state import ProcessIdentity

_NEED_CGROUP = ("freeze", "thaw", "update", "notify_oom", "notify_memory_pressure")


@frozen
class LinuxExecOptions:
    """What is saved.

    Attributes:
        namespaces: The CLONE_NEW* of the namespaces that the container has to itself or joined.
        cgroup_paths: Its cgroups, by controller, as libcontainer saves them; may be empty.
        resctrl: Where it is in the resctrl file system; empty if not by its config.
        joined: The CLONE_NEW* of those that it joined.
    """

    namespaces: int
    cgroup_paths: dict[str, str] = field(factory=dict)
    resctrl: dict[str, str] = field(factory=dict)
    joined: int = 0

    @property
    def made(self) -> int:
        """The CLONE_NEW* of the namespaces that were made for the container."""
        return self.namespaces & ~self.joined

    @property
    def cgroup(self) -> Cgroup | None:
        """The container's cgroup, if it has one."""
        return Cgroup(self.cgroup_paths) if self.cgroup_paths else None


class LinuxExec:
    """Init by clone3, further processes by joining init's namespaces."""

    options_type = LinuxExecOptions
    runs_hooks = True

    # --- before any effect ------------------------------------------------------------------

    def check(self, context: HandlerContext) -> list[str]:
        """What of the config this host cannot do."""
        return checking.missing_on_host(context)

    def check_process(self, context: HandlerContext, process: Any) -> list[str]:
        """What of a further process cannot be done."""
        return checking.missing_for_process(context, process)

    def check_resources(self, context: HandlerContext, resources: dict[str, Any]) -> list[str]:
        """What of new limits is wrong, or cannot be done on this host."""
        return limits.problems_of_update(context, _required(context), resources)

    def notices(self, context: HandlerContext) -> list[str]:
        """What has to be left out on this host."""
        return checking.left_out(context)

    def preview(self, context: HandlerContext) -> tuple[Operation, ...]:
        """The operations of ``run``."""
        return compile_initial(context, _options(context))

    # --- the contract -------------------------------------------------------------------------

    def create(self, context: HandlerContext) -> Substate:
        """Make the cgroup and the exec fifo, and ask for the process."""
        options = _options(context)
        substate = Substate(options)
        context.substates["exec"] = substate  # what destroy needs if the rest fails
        # If this process dies from here on, who repairs it knows what there may be.
        context.note({"options": asdict(options, recurse=False)})
        filtering.connect_agent(context)
        cgroup = options.cgroup
        if cgroup is not None:
            limits.make_cgroup(context, cgroup)
        rdt.create(context, options.resctrl)
        give_to_user(context.config, context.config.process, context.stdio)
        fifo = lifecycle.make_fifo(context.directory, _root_of(context, options))
        substate.objects["handshake"] = handshake = Handshake()
        directory = os.open(context.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with (
                namespaces.opened(context.config, context.descriptors) as joins,
                lifecycle.cgroup_entry(cgroup) as (unified, files),
            ):
                substate.objects["child"] = launcher.get().launch(
                    handshake.theirs,
                    context.stdio,
                    flags=options.made & namespaces.BY_CLONE,
                    early=options.made & namespaces.EARLY,
                    joins=joins,
                    clocks=namespaces.clock_lines(context.config),
                    cgroup=unified,
                    directory=directory,
                    extras=[*context.descriptors.values(), fifo, *files],
                )
        finally:
            handshake.theirs.close()
            os.close(directory)
            os.close(fifo)
        return substate

    def run(self, context: HandlerContext) -> Substate:
        """Have init execute everything, up to where it meets the host, if it does."""
        substate = context.substates["exec"]
        options: LinuxExecOptions = substate.options
        handshake: Handshake = substate.objects["handshake"]
        child: Child = substate.objects["child"]
        pid = 0
        if filtering.tells_agent(context.config):
            pid = _identity(child, options).pid
        plan = substate.objects["plan"] = compile_initial(context, options, pid)
        try:
            handshake.send_plan(plan, context.deadline)
        except InitDied:
            _identity(child, options)  # if there never was one, it says why
            raise
        if options.made & _USER:
            from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have one

            pid = _identity(child, options).pid
            raise_ceilings(pid, context.config.process)
            idmaps.write_maps(pid, context.config, context.deadline)
            handshake.proceed()
        if not context.meets_host:
            return self.finish(context)
        context.init = self._identity_after(substate, handshake.await_meeting)
        return substate

    def finish(self, context: HandlerContext) -> Substate:
        """Have init execute the rest, put it on record, and leave it waiting in the fifo."""
        substate = context.substates["exec"]
        handshake: Handshake = substate.objects["handshake"]
        if context.meets_host:
            handshake.proceed()
        init = context.init = self._identity_after(
            substate, lambda: lifecycle.await_ready(handshake, context)
        )
        context.note({"init_process_pid": init.pid, "init_process_start": init.start})
        rdt.assign(substate.options.resctrl, init.pid)
        handshake.proceed()
        console = handshake.take_console()
        handshake.close()
        del substate.objects["handshake"]
        return Substate(substate.options, {**substate.objects, "console": console})

    @staticmethod
    def _identity_after(substate: Substate, wait: Callable[[], None]) -> ProcessIdentity:
        """Which process init is, when it has come to where it is waited for."""
        child: Child = substate.objects["child"]
        try:
            wait()
        except InitDied:
            _identity(child, substate.options)  # if there never was one, it says why
            raise
        return _identity(child, substate.options)

    def destroy(self, context: HandlerContext) -> Substate:
        """End every process and remove the cgroup and the fifo."""
        substate = context.substates.get("exec")
        cgroup = substate.options.cgroup if substate is not None else None
        if cgroup is None and substate is None:
            paths = limits.plan_cgroup(context)
            cgroup = Cgroup(paths) if paths else None
        lifecycle.let_go(substate)
        self._kill(context, cgroup)
        lifecycle.reap(context, substate)
        if cgroup is not None:
            cgroup.remove(context.deadline)
        if substate is not None:
            rdt.remove(substate.options.resctrl)
        lifecycle.remove_fifo(context.directory)
        return substate or Substate(None)

    # --- abilities ------------------------------------------------------------------------------

    def lacks(self, context: HandlerContext, ability: str) -> str | None:
        """Why an ability cannot be used with this container, if it cannot."""
        return limits.NO_CGROUP if ability in _NEED_CGROUP and _cgroup(context) is None else None

    waiting = staticmethod(lifecycle.waiting)
    release = staticmethod(lifecycle.release)

    def signal(self, context: HandlerContext, number: int) -> None:
        """Send a signal to init; SIGKILL to all, where init's end is not the end of them."""
        if number == signals.SIGKILL and not _options_of(context).made & kernel.CLONE_NEWPID:
            self.kill(context)
        else:
            lifecycle.signal(context, number)

    def kill(self, context: HandlerContext) -> None:
        """SIGKILL to every process; returns when init is gone."""
        self._kill(context, _cgroup(context))

    @staticmethod
    def _kill(context: HandlerContext, cgroup: Cgroup | None) -> None:
        # With no process there is none that could make another.
        if cgroup is not None and cgroup.procs():
            cgroup.kill(context.deadline)
        elif cgroup is None:
            lifecycle.end_others(context, _options_of(context).made)
        if context.init is not None:
            lifecycle.end(context.init, context.deadline)

    def freeze(self, context: HandlerContext) -> None:
        """Freeze the cgroup; returns when the kernel says that it is frozen."""
        _required(context).freeze(context.deadline)

    def thaw(self, context: HandlerContext) -> None:
        """Thaw the cgroup."""
        _required(context).thaw()

    def frozen(self, context: HandlerContext) -> bool:
        """Whether the cgroup is frozen."""
        cgroup = _cgroup(context)
        return cgroup is not None and cgroup.frozen()

    def processes(self, context: HandlerContext) -> list[int]:
        """The host's pids of all processes."""
        cgroup = _cgroup(context)
        if cgroup is not None:
            return cgroup.procs()
        return lifecycle.without_cgroup(context, _options_of(context).made)

    def stats(self, context: HandlerContext) -> Any:
        """What the cgroup counts; None without one."""
        cgroup = _cgroup(context)
        return None if cgroup is None else cgroup.stats()

    def notify_oom(self, context: HandlerContext) -> Any:
        """An iterator of the times that memory runs out."""
        from runstate.linux.cgroups.watches import watch_oom  # noqa: PLC0415 - few ask

        return watch_oom(_required(context).paths, _pidfd(context, "watch"))

    def notify_memory_pressure(self, context: HandlerContext, level: str) -> Any:
        """An iterator of the times that memory gets tight."""
        from runstate.linux.cgroups.watches import watch_pressure  # noqa: PLC0415 - few ask

        return watch_pressure(_required(context).paths, level, _pidfd(context, "watch"))

    def update(self, context: HandlerContext, resources: dict[str, Any]) -> None:
        """Change limits."""
        limits.update(context, _required(context), resources)

    def limits(self, context: HandlerContext, resources: dict[str, Any]) -> dict[str, str]:
        """What the cgroup has now of what ``update`` would change, by file."""
        return limits.former(context, _required(context), resources)

    def restore_limits(self, context: HandlerContext, former: dict[str, str]) -> None:
        """Put back what ``limits`` told."""
        _required(context).restore(former)

    def exec(self, context: HandlerContext, spec: ProcessSpec) -> Child:
        """Start a further process in init's namespaces and cgroup."""
        options: LinuxExecOptions = context.substates["exec"].options
        pidfd = _pidfd(context, "exec")
        cgroup = options.cgroup

        def make_plan(pid: int) -> list[Operation]:
            if pid and options.resctrl:
                rdt.assign(options.resctrl, pid)
            status = "created" if self.waiting(context) else "running"
            load = filtering.loading(context, spec.process, pid, status)
            return compile_further(
                context,
                spec.process,
                cgroup,
                load,
                own_userns=bool(options.namespaces & _USER),
            )

        assert context.init is not None  # noqa: S101 - its pidfd is there
        flags = namespaces.to_enter(options.namespaces, options.joined, context.init.pid)
        give_to_user(context.config, spec.process, spec.stdio, context.init.pid)
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            filtering.connect_agent(context)
            return lifecycle.start_process(
                make_plan,
                spec.stdio,
                [(pidfd, flags)] if flags else [],
                cgroup,
                context,
                before=compile_before(spec.process, own_userns=bool(options.namespaces & _USER)),
                knows_pid=bool(options.resctrl) or filtering.tells_agent(context.config),
                proc=proc,
            )
        finally:
            os.close(proc)
            os.close(pidfd)


_USER = kernel.CLONE_NEWUSER


def _options(context: HandlerContext) -> LinuxExecOptions:
    made, joined = namespaces.made_and_joined(context.config)
    cgroup_paths = limits.plan_cgroup(context)
    return LinuxExecOptions(made | joined, cgroup_paths, rdt.plan(context), joined)


def _root_of(context: HandlerContext, options: LinuxExecOptions) -> tuple[int, int] | None:
    """The host's ids of the container's root; None without a user namespace."""
    if not options.namespaces & _USER:
        return None
    from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have one

    ids = idmaps.of_container(context.config)
    return ids.root if ids is not None else None


def _cgroup(context: HandlerContext) -> Cgroup | None:
    substate = context.substates.get("exec")
    cgroup: Cgroup | None = substate.options.cgroup if substate is not None else None
    return cgroup


def _options_of(context: HandlerContext) -> LinuxExecOptions:
    substate = context.substates.get("exec")
    return LinuxExecOptions(0) if substate is None else substate.options


def _pidfd(context: HandlerContext, operation: str) -> int:
    if context.init is None:
        raise OperationFailed(operation, "the container has no init")
    pidfd = processes.open_pidfd(context.init)
    if pidfd is None:
        raise OperationFailed(operation, f"init (process {context.init.pid}) is gone")
    return pidfd


def _identity(child: Child, options: LinuxExecOptions) -> ProcessIdentity:
    try:
        return child.identity
    except OperationFailed as error:
        raise namespaces.explained(error, options.made, options.joined) from error


def _required(context: HandlerContext) -> Cgroup:
    cgroup = _cgroup(context)
    if cgroup is None:
        raise OperationFailed(f"container {context.id!r}", limits.NO_CGROUP)
    return cgroup
