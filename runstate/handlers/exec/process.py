"""The exec handler ``process``: a plain child process, no isolation, no privileges.

For tests, and for machines without namespaces. What of the config it leaves out, it says in
the container's notices. Each process leads a session of its own; pausing is SIGSTOP to the
process groups, which a program could undo, and killing reaches what stays in them.
"""

from __future__ import annotations

import os
import signal as signals
import time
from typing import TYPE_CHECKING

from runstate.errors import DeadlineExceeded, OperationFailed
from runstate.handlers.contract import HandlerContext, ProcessSpec, Substate
from runstate.handlers.exec import lifecycle
from runstate.handlers.exec.program import search_path, variables
from runstate.linux import launcher, operations, processes
from runstate.linux.handshake import Handshake

if TYPE_CHECKING:
    from typing import Any

    from runstate.linux.launcher import Child
    from runstate.linux.operations import Operation
    from runstate.states.state import ProcessIdentity

_RECORDS = "processes"


class ProcessExec:
    """Init is a child of the zygote, and so is each further process."""

    options_type = None
    runs_hooks = True

    def check(self, context: HandlerContext) -> list[str]:
        """Little of a config is impossible here; what is left out is in the notices."""
        return lifecycle.missing_hooks(context.config)

    def notices(self, context: HandlerContext) -> list[str]:
        """What of the config this handler leaves out."""
        config = context.config
        left_out = ["isolation: none; the backend 'process' starts a plain child process"]
        left_out += [
            f"{name}: left out by the backend 'process'"
            for name in ("hostname", "domainname", "linux", "networks", "routes")
            if getattr(config, name)
        ]
        process = config.process
        if process is not None:
            user = process.user
            if user is not None and (user.uid or 0) != os.geteuid():
                left_out.append(f"process.user: left out, the program runs as {os.geteuid()}")
            left_out += [
                f"process.{name}: left out by the backend 'process'"
                for name in (
                    "terminal", "capabilities", "apparmor_profile", "selinux_label",
                    "io_priority", "scheduler", "exec_cpu_affinity",
                )
                if getattr(process, name)
            ]  # fmt: skip
        return left_out

    def preview(self, context: HandlerContext) -> tuple[Operation, ...]:
        """The operations of ``run``."""
        return self._compile(context)

    # --- the contract -------------------------------------------------------------------------

    def create(self, context: HandlerContext) -> Substate:
        """Make the exec fifo, and ask for the process."""
        substate = Substate({})
        context.substates["exec"] = substate
        fifo = lifecycle.make_fifo(context.directory, None)
        handshake = Handshake()
        directory = os.open(context.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            substate.objects["handshake"] = handshake
            substate.objects["child"] = launcher.get().launch(
                handshake.theirs, context.stdio, directory=directory, extras=[fifo]
            )
        finally:
            handshake.theirs.close()
            os.close(directory)
            os.close(fifo)
        return substate

    def run(self, context: HandlerContext) -> Substate:
        """Have init prepare, up to where it meets the host, if it does."""
        substate = context.substates["exec"]
        handshake: Handshake = substate.objects["handshake"]
        child: Child = substate.objects["child"]
        plan = substate.objects["plan"] = self._compile(context)
        handshake.send_plan(plan, context.deadline)
        context.init = child.identity
        if not context.meets_host:
            return self.finish(context)
        handshake.await_meeting()
        return substate

    def finish(self, context: HandlerContext) -> Substate:
        """Put init on record, and leave it waiting in the fifo."""
        substate = context.substates["exec"]
        handshake: Handshake = substate.objects["handshake"]
        if context.meets_host:
            handshake.proceed()
        lifecycle.await_ready(handshake, context)
        init = substate.objects["child"].identity
        context.note({"init_process_pid": init.pid, "init_process_start": init.start})
        handshake.proceed()
        handshake.close()
        del substate.objects["handshake"]
        return substate

    def destroy(self, context: HandlerContext) -> Substate:
        """End every process, and remove the fifo and the records."""
        substate = context.substates.get("exec")
        lifecycle.let_go(substate)
        self.kill(context)
        lifecycle.reap(context, substate)
        lifecycle.remove_fifo(context.directory)
        return substate or Substate({})

    # --- abilities ------------------------------------------------------------------------------

    waiting = staticmethod(lifecycle.waiting)
    release = staticmethod(lifecycle.release)
    signal = staticmethod(lifecycle.signal)

    def kill(self, context: HandlerContext) -> None:
        """SIGKILL to every process group; returns when the leaders are gone."""
        leaders = self._leaders(context)
        if context.config.hooks is not None and context.init is not None:
            # A hook that init runs leads a group of its own.
            leaders += processes.children(context.init)
        for leader in leaders:
            _signal_group(leader, signals.SIGKILL)
            lifecycle.end(leader, context.deadline)

    def freeze(self, context: HandlerContext) -> None:
        """SIGSTOP to every process group; returns when all are stopped."""
        deadline = time.monotonic() + context.deadline
        while not self.frozen(context):
            if time.monotonic() > deadline:
                self.thaw(context)
                raise DeadlineExceeded(f"pause container {context.id!r}: not all processes stop")
            for leader in self._leaders(context):
                _signal_group(leader, signals.SIGSTOP)
            # Only the parent is told of a stop, and that is the zygote: look again.
            os.sched_yield()

    def thaw(self, context: HandlerContext) -> None:
        """SIGCONT to every process group."""
        for leader in self._leaders(context):
            _signal_group(leader, signals.SIGCONT)

    def frozen(self, context: HandlerContext) -> bool:
        """Whether every process is stopped."""
        states = [processes.state_of(pid) for pid in self.processes(context)]
        return bool(states) and all(state in "TtZX" for state in states)

    def processes(self, context: HandlerContext) -> list[int]:
        """The pids of all processes of the groups."""
        groups = {leader.pid for leader in self._leaders(context)}
        return processes.in_process_groups(groups)

    def stats(self, _context: HandlerContext) -> Any:
        """There is no cgroup to count."""
        return None

    def exec(self, context: HandlerContext, spec: ProcessSpec) -> Child:
        """Start a further process beside init."""
        plan = [
            *_compile_program(spec.process),
            operations.on_record(keep_channel=True),
            *_execute(spec.process),
        ]
        child = lifecycle.start_process(lambda _child: plan, spec.stdio, [], None, context)
        try:
            self.forget(context)
            _remember(context.directory, child.identity)
        except BaseException:
            child.kill(context.deadline)
            child.close()
            self.forget(context)
            raise
        return child

    def forget(self, context: HandlerContext) -> None:
        """Drop the records of processes that are gone; the container's lock is held."""
        for process in _remembered(context.directory):
            if not processes.is_alive(process):
                _forget(context.directory, process)

    # --- processes ------------------------------------------------------------------------------

    @staticmethod
    def _leaders(context: HandlerContext) -> list[ProcessIdentity]:
        leaders = [] if context.init is None else [context.init]
        leaders += _remembered(context.directory)
        return [leader for leader in leaders if processes.is_alive(leader)]

    @staticmethod
    def _compile(context: HandlerContext) -> tuple[Operation, ...]:
        process = context.config.process
        assert process is not None  # noqa: S101 - validation saw to it
        return (
            operations.open_proc(),
            *lifecycle.before_pivot(context),
            *_compile_program(process),
            operations.on_record(),
            operations.wait_in_fifo(0),
            *lifecycle.before_program(context),
            *_execute(process),
        )


def _compile_program(process: Any) -> list[Operation]:
    user = process.user
    mask = user.umask if user is not None and user.umask is not None else 0o022
    plan = [
        operations.set_rlimit(operations.rlimit(limit.type), limit.soft, limit.hard)
        for limit in process.rlimits
    ]
    if process.oom_score_adj is not None:
        plan.append(operations.set_oom_score_adj(process.oom_score_adj))
    if process.no_new_privileges:
        plan.append(operations.set_no_new_privs())
    return [
        *plan,
        operations.chdir(process.cwd),
        operations.umask(mask),
        operations.find_executable(process.args[0], search_path(process.env)),
    ]


def _execute(process: Any) -> list[Operation]:
    return [
        operations.prepare_program(process.args, variables(process.env)),
        operations.execute(process.args),
    ]


def _signal_group(leader: ProcessIdentity, number: int) -> None:
    try:
        os.killpg(leader.pid, number)
    except ProcessLookupError:
        return


def _remember(directory: str, process: ProcessIdentity) -> None:
    path = f"{directory}/{_RECORDS}/{process.pid}"
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        with open(f"{path}/start", "w", encoding="ascii") as record:
            record.write(f"{process.start}\n")
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"put process {process.pid} on record", error
        ) from error


def _forget(directory: str, process: ProcessIdentity) -> None:
    path = f"{directory}/{_RECORDS}/{process.pid}"
    try:
        os.unlink(f"{path}/start")
        os.rmdir(path)
        os.rmdir(f"{directory}/{_RECORDS}")
    except OSError:
        return  # others are still on record there; or it is done, or goes with the directory


def _remembered(directory: str) -> list[ProcessIdentity]:
    from runstate.states.state import ProcessIdentity  # noqa: PLC0415 - typing only otherwise

    found = []
    try:
        names = os.listdir(f"{directory}/{_RECORDS}")
    except FileNotFoundError:
        return []
    for name in names:
        try:
            with open(f"{directory}/{_RECORDS}/{name}/start", encoding="ascii") as record:
                found.append(ProcessIdentity(int(name), int(record.read())))
        except (FileNotFoundError, ValueError):
            continue  # being written, or torn: the journal's note has it too
    return found
