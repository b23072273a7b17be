"""What exec handlers share: the fifo, releasing, signalling, ending and reaping init."""

from __future__ import annotations

import os
import select
import signal as signals
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runstate.errors import DeadlineExceeded, InitDied, NoProcessOps, OperationFailed
from runstate.init import kernel
from runstate.linux import handshake, launcher, operations, processes
from runstate.linux.handshake import Handshake
from runstate.linux.operations import RARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runstate.config import Config
    from runstate.handlers.contract import HandlerContext, Substate
    from runstate.linux.cgroups.cgroup import Cgroup
    from runstate.linux.launcher import Child
    from runstate.linux.operations import Operation
    from runstate.states.state import ProcessIdentity

FIFO = "exec.fifo"


def make_fifo(directory: str, owner: tuple[int, int] | None) -> int:
    """Make the exec fifo; a descriptor that init can open it by.

    Args:
        directory: The container's directory.
        owner: The host's ids of the container's root, in a user namespace.
    """
    path = f"{directory}/{FIFO}"
    try:
        os.mkfifo(path)
        # Init opens it as the program's user, who is anyone; the directory keeps others out.
        os.chmod(path, 0o622)  # noqa: S103
        # The mode is enough; whom it belongs to is to say only where that can be said.
        if owner is not None and owner[0] != os.geteuid() and os.geteuid() == 0:
            os.chown(path, *owner)
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise OperationFailed.from_os_error(f"make the exec fifo {path}", error) from error


def remove_fifo(directory: str) -> None:
    """Remove the exec fifo; gone already is as good."""
    try:
        os.unlink(f"{directory}/{FIFO}")
    except FileNotFoundError:
        return


def missing_hooks(config: Config) -> list[str]:
    """The hook that runs first, if it is not there to be executed."""
    if config.hooks is None:
        return []
    from runstate.handlers import hooks  # noqa: PLC0415 - few have them

    return hooks.missing(config)


def before_pivot(context: HandlerContext) -> list[Operation]:
    """What init does last while the host is in sight: meet it, then its own hooks."""
    meeting = [operations.meet_host()] if context.meets_host else []
    if context.config.hooks is None:
        return meeting
    from runstate.handlers import hooks  # noqa: PLC0415 - few have them

    return meeting + hooks.before_pivot(context)


def before_program(context: HandlerContext) -> list[Operation]:
    """What init does when it has been released, and is not the program yet."""
    if context.config.hooks is None:
        return []
    from runstate.handlers import hooks  # noqa: PLC0415 - few have them

    return hooks.before_program(context)


def await_ready(shake: Handshake, context: HandlerContext) -> None:
    """Wait until init is ready; its hooks take the time that they take."""
    if context.config.hooks is None:
        shake.await_ready()
        return
    from runstate.handlers import hooks  # noqa: PLC0415 - few have them

    shake.allow(hooks.patience(context.config, hooks.CREATE_CONTAINER, context.deadline))
    with hooks.inside(context):
        shake.await_ready()
    shake.allow(context.deadline)
    context.substates["exec"].objects["hooks"] = shake.hooks


def waiting(context: HandlerContext) -> bool:
    """Whether init waits in the fifo to be started."""
    return (
        context.init is not None
        and launcher.is_waiting_init(context.init.pid)
        and os.path.exists(f"{context.directory}/{FIFO}")
    )


def release(context: HandlerContext) -> list[tuple[str, float]]:
    """Let init become the program; returns, when it has, the hooks that it has run before."""
    if context.init is None:
        raise NoProcessOps(f"start container {context.id!r}: it has no init process")
    plan = context.substates["exec"].objects.get("plan", ())
    path = f"{context.directory}/{FIFO}"
    if context.config.hooks is None:
        ran = handshake.release(path, context.init, plan, context.deadline)
    else:
        from runstate.handlers import hooks  # noqa: PLC0415 - few have them

        patience = hooks.patience(context.config, hooks.START_CONTAINER, context.deadline)
        with hooks.inside(context):
            ran = handshake.release(path, context.init, plan, patience)
    remove_fifo(context.directory)
    return ran


def signal(context: HandlerContext, number: int) -> None:
    """Send a signal to init."""
    if context.init is None or not processes.send_signal(context.init, number):
        raise NoProcessOps(f"signal container {context.id!r}: its init process is gone")


def end(process: ProcessIdentity, deadline: float) -> None:
    """SIGKILL this very process, and wait until it is dead."""
    pidfd = processes.open_pidfd(process)
    if pidfd is None:
        return
    try:
        signals.pidfd_send_signal(pidfd, signals.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(deadline * 1000):
            raise DeadlineExceeded(
                f"kill process {process.pid}: it still lives after {deadline:g} s,"
                f" {processes.waits_for(process.pid)}"
            )
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


def without_cgroup(context: HandlerContext, made: int) -> list[int]:
    """The pids of a container's processes, as far as its own namespaces tell.

    Args:
        context: The container's.
        made: The CLONE_NEW* of the namespaces that were made for it.
    """
    if context.init is None:
        return []
    for flag, name in ((kernel.CLONE_NEWPID, "pid"), (kernel.CLONE_NEWNS, "mnt")):
        if made & flag:
            return processes.in_namespace_of(context.init.pid, name)
    return [context.init.pid] if processes.is_alive(context.init) else []


def end_others(context: HandlerContext, made: int) -> None:
    """End a container's processes where neither a cgroup nor init's own end does it.

    Before init, for by its namespaces they are found.
    """
    init = context.init
    if init is None or made & kernel.CLONE_NEWPID or not processes.is_alive(init):
        return
    while others := set(without_cgroup(context, made)) - {init.pid}:
        known = [process for pid in others if (process := processes.identify(pid)) is not None]
        # A pid may have become somebody else's before it was looked at.
        still = set(without_cgroup(context, made))
        for process in known:
            if process.pid in still:
                end(process, context.deadline)


def let_go(substate: Substate | None) -> None:
    """Close the channel: a process that is not on record ends by itself."""
    if substate is not None:
        open_handshake: Handshake | None = substate.objects.pop("handshake", None)
        if open_handshake is not None:
            open_handshake.close()


def reap(context: HandlerContext, substate: Substate | None) -> None:
    """Wait until the zygote has reaped init, if it is a child of this process's zygote."""
    child: Child | None = substate.objects.get("child") if substate is not None else None
    if substate is None or child is None:
        return
    if not child.wait(context.deadline):
        raise DeadlineExceeded(f"end init of container {context.id!r}: it is not reaped yet")
    child.close()
    console = substate.objects.pop("console", -1)
    if console >= 0:
        os.close(console)


def start_process(
    make_plan: Callable[[int], Sequence[Operation]],
    stdio: tuple[int, int, int],
    joins: Sequence[tuple[int, int]],
    cgroup: Cgroup | None,
    context: HandlerContext,
    *,
    before: Sequence[Operation] = (),
    knows_pid: bool = False,
    proc: int = -1,
) -> Child:
    """Start a further process, and return when it is its program.

    Args:
        make_plan: Gives what the process with a pid shall execute: it joins the cgroup first, by
            the descriptors after the context's, and ends with the exec.
        stdio: Its standard streams.
        joins: The namespaces to join.
        cgroup: Where it belongs before it runs anything.
        context: The container's.
        before: What happens before the namespaces are joined.
        knows_pid: Whether the pid is in what it executes, and not only 0.
        proc: A descriptor of the host's /proc, which becomes the last of the process's further
            ones; or -1.
    """
    shake = Handshake()
    child: Child | None = None
    try:
        plan = make_plan(0)
        with cgroup_entry(cgroup) as (unified, files):
            child = launcher.get().launch(
                shake.theirs,
                stdio,
                joins=joins,
                before=before,
                needed=[operation.name for operation in plan if operation.name in RARE],
                cgroup=unified,
                extras=[*context.descriptors.values(), *files, *([proc] if proc >= 0 else [])],
            )
        shake.theirs.close()
        if knows_pid:
            plan = make_plan(child.identity.pid)
        try:
            shake.send_plan(plan, context.deadline)
        except InitDied:
            _ = child.identity  # if there never was a process, it says why
            raise
        process = child.identity
        shake.await_ready()
        context.note({"pid": process.pid, "start": process.start})
        shake.proceed()
        shake.await_exec()
        child.console = shake.take_console()
    except BaseException:
        shake.close()
        if child is not None:
            child.kill(context.deadline)
            child.close()
        raise
    shake.close()
    return child


@contextmanager
def cgroup_entry(cgroup: Cgroup | None) -> Iterator[tuple[int, list[int]]]:
    """Descriptors by which a new process enters a cgroup: by its birth, and by itself.

    Yields:
        The unified directory's, for CLONE_INTO_CGROUP, or -1; and those of the files that a
        process writes itself into (``join_cgroups``).
    """
    unified: int | None = None
    files: list[int] = []
    try:
        if cgroup is not None:
            unified = cgroup.open_unified()
            for path in cgroup.self_attach_files:
                files.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))  # noqa: PERF401 - a failure must find the earlier
        yield -1 if unified is None else unified, files
    except OSError as error:
        raise OperationFailed.from_os_error(f"open the cgroup's {error.filename}", error) from error
    finally:
        for fd in files if unified is None else (unified, *files):
            os.close(fd)
