"""Running a hook on the host: through the zygote, watched, and ended with all its children.

It has three streams and no other descriptor, the environment that it was given and nothing
else, and a session of its own. Its identity is on record before it runs.
"""

from __future__ import annotations

import os
import select
import signal as signals
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

from runstate.errors import DeadlineExceeded, HookFailed, OperationFailed, explain_errno
from runstate.init import protocol
from runstate.init.attending import LATE, attend, holding
from runstate.linux import interruption, launcher, processes
from runstate.linux.handshake import Handshake
from runstate.linux.operations import hooks as operations
from runstate.linux.operations import on_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.linux.launcher import Child
    from runstate.linux.operations.hooks import HookCommand
    from runstate.states.state import ProcessIdentity

_REAPING_SECONDS = 10.0


def run(
    hook: HookCommand,
    state: str,
    directory: str,
    *,
    record: Callable[[ProcessIdentity], None],
    deadline: float,
    limit: float | None,
    interruptible: bool,
) -> None:
    """Run a hook on the host to its end.

    Args:
        hook: Which.
        state: What it reads on its standard input.
        directory: Its working directory.
        record: Puts the process on record; the hook runs when this has returned.
        deadline: Seconds until the process has to be there.
        limit: Seconds that it may take then; None: for ever.
        interruptible: Whether a signal that a command has noted may end the wait.

    Raises:
        HookFailed: It could not be executed, failed, or took too long.
        InitDied: There is no zygote to start it.
    """
    shake = Handshake()
    fds = [holding(state.encode())]
    child: Child | None = None
    try:
        for _ in range(2):
            fds += os.pipe2(os.O_CLOEXEC)
        stdin, out, out_writer, err, err_writer = fds
        child = launcher.get().launch(shake.theirs, (stdin, out_writer, err_writer))
        shake.theirs.close()
        for fd in (stdin, out_writer, err_writer):
            os.close(fd)
            fds.remove(fd)
        _start(hook, directory, shake, child, record, deadline)
        with interruption.interruptible() if interruptible else nullcontext():
            how, (said, told) = attend(child.pidfd, (err, out), limit)
    except BaseException:
        _kill(child)
        raise
    else:
        if how == LATE:
            _kill(child)
        child.wait(_REAPING_SECONDS)
    finally:
        shake.close()
        for fd in fds:
            os.close(fd)
        if child is not None:
            child.close()
    late = (limit or 0.0) if how == LATE else 0.0
    if late or child.status != 0:
        raise failure(hook.name, hook.path, child.status, late, _decoded(said), _decoded(told))


def _start(
    hook: HookCommand,
    directory: str,
    shake: Handshake,
    child: Child,
    record: Callable[[ProcessIdentity], None],
    deadline: float,
) -> None:
    plan = [on_record(keep_channel=True), operations.become_hook(hook, directory, _umask())]
    shake.send_plan(plan, deadline)
    process = child.identity
    shake.await_ready()
    record(process)
    shake.proceed()
    try:
        shake.await_exec()
    except OperationFailed as error:
        reason = explain_errno(error.errno)
        raise HookFailed(hook.describe(), reason, path=hook.path, errno=error.errno) from error


def _kill(child: Child | None) -> None:
    """End it with its process group, if it has come so far that it has one."""
    if child is not None and child.pidfd >= 0:
        processes.signal_group(child.pidfd, child.identity.pid, signals.SIGKILL)
        child.kill(_REAPING_SECONDS)


def _umask() -> int:
    """This process's own, which only setting it tells otherwise (proc(5), status)."""
    for line in processes.read_text("/proc/self/status").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _decoded(said: bytes) -> str:
    return said.decode("utf-8", "replace")


def failure(
    name: str, path: str, status: int | None, late: float, stderr: str, stdout: str
) -> HookFailed:
    """The error for a hook that has run.

    Args:
        name: Which.
        path: Its path.
        status: Its wait status; None where nobody knows.
        late: The seconds that it had, if it took longer; else 0.
        stderr: The last that it wrote there.
        stdout: The last that it wrote there, for one that says what is wrong in the wrong place.
    """
    code = signal = None
    if late:
        reason = f"did not end within {late:.3g} s, and was killed"
    elif status is None:
        reason = "ended, and nobody could learn how"
    elif os.WIFSIGNALED(status):
        signal = os.WTERMSIG(status)
        reason = f"was killed by {_signal_name(signal)}"
    else:
        code = os.WEXITSTATUS(status)
        reason = f"exited with status {code}"
    for stream, said in (("stderr", stderr), ("stdout", stdout)):
        if said.strip():
            reason += f"; its {stream}: {printable(said)}"
            break
    return HookFailed(
        operations.words(name, path), reason, path=path, exit_status=code, signal=signal,
        timed_out=late > 0, stderr=stderr,
    )  # fmt: skip


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def raise_report(text: str) -> NoReturn:
    """Raise what init reports of a hook that it has run."""
    report = protocol.unpack_hook_failure(text)
    if report is None:
        raise HookFailed("run a hook", "failed, and init's report of it cannot be read")
    name, path, number, status, late, err, out = report
    if number:
        raise HookFailed(operations.words(name, path), explain_errno(number), number, path=path)
    raise failure(name, path, status, late, err, out)


def printable(said: str) -> str:
    """What a program has written, on one line, with nothing in it that a terminal would obey."""
    lines = (line.strip() for line in said.splitlines())
    text = " | ".join(line for line in lines if line)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def end(leader: ProcessIdentity, deadline: float) -> None:
    """End a hook that a dead runtime has left, with its process group, and wait for it.

    Raises:
        DeadlineExceeded: It still lives.
    """
    pidfd = processes.open_pidfd(leader)
    if pidfd is None:
        return
    try:
        processes.signal_group(pidfd, leader.pid, signals.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(deadline * 1000):
            raise DeadlineExceeded(
                f"end the hook that process {leader.pid} is: it still lives after {deadline:g} s,"
                f" {processes.waits_for(leader.pid)}"
            )
    finally:
        os.close(pidfd)
