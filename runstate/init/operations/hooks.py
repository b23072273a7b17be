"""OCI hooks: the programs that init runs in the container, and the one that it becomes.

A hook that init runs leads a session of its own, so that it can be ended with all its
children. It gets its three streams and no other descriptor.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal wraps it in enums
import errno
import os
import time

from runstate.init import kernel, protocol
from runstate.init.attending import ALONE, LATE, attend, holding
from runstate.init.operations.base import OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from runstate.init.operations.base import Init

    Hook = tuple[str, str, list[str], dict[str, str], int]

_PR_SET_PDEATHSIG = 1
_UMASK = 0o022
_REPORTED = 1500  # bytes of an output, so that a report fits into a page of the exec fifo


def create_container_hook(init: Init, hook: Hook, state: tuple[str, str], bundle: str) -> None:
    """Run a hook before pivot_root: its path is the host's, its place the rootfs."""
    init.hooks += _run(init, hook, state, bundle)


def start_container_hook(init: Init, hook: Hook, state: tuple[str, str], as_program: bool) -> None:
    """Run a hook as the program will be: its user, its rights, its working directory.

    Its environment too, if it says so; then $HOME is the one that was found for the program.
    """
    environment = hook[3]
    if as_program and init.home and not environment.get("HOME"):
        environment["HOME"] = init.home
    told = _run(init, hook, state, "")
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    init.report(told)  # whoever has opened the fifo may be gone
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def become_hook(_init: Init, hook: Hook, directory: str, mask: int) -> None:
    """Become a hook of the host's, in the bundle, or in the root where that is gone."""
    _name, path, arguments, environment, _timeout = hook
    os.umask(mask)
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")
    os.execve(path, arguments, environment)  # noqa: S606 - a shell is not wanted


def _run(init: Init, hook: Hook, state: tuple[str, str], bundle: str) -> bytes:
    """Run it to its end; what is to be told of it."""
    started = time.monotonic()
    timeout = hook[4]
    outputs: list[int] = []
    fds: list[int] = []
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        # The pid is the one that the container sees (runtime.md, State).
        fds.append(holding(f"{state[0]}{os.getpid()}{state[1]}".encode()))
        for _ in range(3):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            outputs.append(reader)
            fds.append(writer)
        pid = os.fork()
        if pid == 0:
            _become(init, hook, fds, bundle)
        while fds:
            os.close(fds.pop())
        try:
            how, (out, err, failure) = _attend(init, pid, outputs, timeout or None)
        finally:
            status = _reap(pid)
    finally:
        for fd in (*outputs, *fds):
            os.close(fd)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if how == ALONE:
        os._exit(1)
    if failure or how == LATE or status:
        numbers = (int(failure or 0), status, timeout if how == LATE else 0)
        fields = (hook[0], hook[1], *map(str, numbers), _text(err), _text(out))
        raise OperationError(0, protocol.HOOK + "\0".join(fields))
    return protocol.pack_hook(hook[0], (time.monotonic() - started) * 1000)


def _attend(
    init: Init, pid: int, outputs: list[int], timeout: float | None
) -> tuple[str, list[bytes]]:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        pidfd = -1  # a seccomp filter may know no such call
    try:
        how, tails = attend(
            pidfd,
            outputs,
            timeout,
            watch=init.channel.fileno(),
            has_ended=lambda: _has_ended(pid),
        )
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return how, [tail[-_REPORTED:] for tail in tails]


def _text(said: bytes) -> str:
    return said.decode("utf-8", "replace").replace("\0", " ")


def _has_ended(pid: int) -> bool:
    options = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, pid, options) is not None


def _reap(pid: int) -> int:
    """The hook's wait status; what still runs of it or with it in its session's group ends."""
    if not _has_ended(pid):
        for end in (os.killpg, os.kill):
            try:
                end(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it leads no group yet
    status = os.waitpid(pid, 0)[1]
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # what it left behind, where init is the first of a pid namespace
    except ChildProcessError:
        pass
    return status


def _become(init: Init, hook: Hook, fds: list[int], bundle: str) -> NoReturn:
    stdin, out, err, report = fds
    _name, path, arguments, environment, _timeout = hook
    try:
        os.setsid()
        kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(stdin, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        if bundle:
            os.umask(_UMASK)
            if init.rootfs >= 0:
                os.fchdir(init.rootfs)
            else:
                os.chdir(bundle)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        report = os.dup2(report, 3, inheritable=False)
        kernel.close_range(4, 0xFFFFFFFF)
        os.execve(path, arguments, environment)  # noqa: S606 - a shell is not wanted
    except OSError as error:
        os.write(report, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(127)
