"""The engine's side of the zygote: starting it, asking it for processes, learning of ends.

There is one zygote for each process that uses runstate. It is started when the first
container needs it, from a sealed copy of the interpreter, and ends with this process.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from runstate.errors import InitDied, OperationFailed, explain_errno
from runstate.init import protocol
from runstate.linux import processes, zygote_process
from runstate.linux.operations.namespaces import namespace_names
from runstate.states.state import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runstate.linux.operations import Operation
    from runstate.linux.zygote_process import ZygoteProcess

_REPLY_SECONDS = 30.0


class Child:
    """A process that the zygote has made for us.

    Attributes:
        identity: Its pid and start time.
        pidfd: Its pidfd, open as long as this object is.
        console: The master of its terminal, likewise; -1 if it has none, or none of its own.
    """

    def __init__(
        self, lifeline: socket.socket, launcher: Launcher, before: Sequence[Operation] = ()
    ) -> None:
        self._lifeline = lifeline
        self._launcher = launcher
        self._before = before
        self._lock = threading.Lock()
        self._status: int | None = None
        self._lost = False
        self._identity: ProcessIdentity | None = None
        self.pidfd = -1
        self.console = -1

    @property
    def identity(self) -> ProcessIdentity:
        """Pid and start time; waits for the zygote's answer the first time.

        Raises:
            OperationFailed: The kernel refused to make the process.
            InitDied: The zygote ended before it answered.
        """
        if self._identity is None:
            self._await_spawned()
        assert self._identity is not None  # noqa: S101
        return self._identity

    def _await_spawned(self) -> None:
        self._lifeline.settimeout(_REPLY_SECONDS)
        try:
            reply = protocol.receive_reply(self._lifeline)
        except (TimeoutError, ConnectionResetError):
            reply = None
        finally:
            self._lifeline.settimeout(None)
        if reply is None:
            said = self._launcher.last_words()
            raise InitDied(
                "start a process: the zygote ended, or hangs, and gave no answer"
                + (f"; it said: {said}" if said else "")
            )
        (kind, value, text), fds = reply
        if kind != protocol.SPAWNED:
            text, _, detail = text.partition("\0")
            words = next((o.describe() for o in self._before if o.name == text), text)
            if text.startswith("setns "):
                words = f"join namespaces: {namespace_names(int(text[6:]))}"
            reason = explain_errno(value)
            raise OperationFailed(
                f"start a process ({words})", f"{reason}: {detail}" if detail else reason, value
            )
        self.pidfd = fds[0]
        self._identity = ProcessIdentity(value, int(text))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, and the zygote has reaped it.

        Where the zygote has ended first, the process itself tells that it is over, but nobody
        tells how.

        Returns:
            False when ``timeout`` seconds are over and it is not.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._over():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            poll = select.poll()
            poll.register(self.pidfd if self._lost else self._lifeline, select.POLLIN)
            if not poll.poll(None if left is None else left * 1000) and left == 0.0:
                return self._over()
        return True

    def _over(self) -> bool:
        with self._lock:
            if self._status is None and not self._lost:
                try:
                    data = self._lifeline.recv(protocol.MAX_MESSAGE, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return False
                except OSError:
                    data = b""
                reply = protocol.parse_reply(data)
                if reply is None:
                    self._lost = True
                else:
                    self._status = reply[1]
            return self._status is not None or self._has_ended()

    def _has_ended(self) -> bool:
        if self.pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    @property
    def status(self) -> int | None:
        """The wait status once it has ended; None before, or if the zygote took it along."""
        return self._status

    def kill(self, timeout: float) -> bool:
        """SIGKILL, if it still lives, and wait until it is reaped."""
        if self.pidfd >= 0 and self._status is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        return self.wait(timeout)

    def close(self) -> None:
        """Give up the descriptors; the process itself is left alone."""
        self._lifeline.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self.console >= 0:
            os.close(self.console)
            self.console = -1

    def __del__(self) -> None:
        self.close()


class Launcher:
    """A running zygote."""

    def __init__(self, process: ZygoteProcess) -> None:
        self._process = process.popen
        self._control = process.control
        self._last_words = process.last_words
        self._said = b""

    def launch(
        self,
        channel: socket.socket,
        stdio: tuple[int, int, int],
        *,
        flags: int = 0,
        early: int = 0,
        joins: Sequence[tuple[int, int]] = (),
        before: Sequence[Operation] = (),
        needed: Sequence[str] = (),
        clocks: str = "",
        cgroup: int = -1,
        directory: int = -1,
        extras: Sequence[int] = (),
    ) -> Child:
        """Ask for a process; it may not exist yet when this returns (see ``Child.identity``).

        Args:
            channel: Init's end of the channel.
            stdio: The descriptors that become 0, 1 and 2.
            flags: The CLONE_NEW* of clone3(2).
            early: Those of the plan's unshare(2) that do not depend on what the host looks
                like; a child that was made in advance has them already.
            joins: (descriptor, CLONE_NEW*) of the namespaces to join first.
            before: What happens before that, out here, and is passed on to a child.
            needed: The names of the operations that it will execute in there; their code is
                loaded out here.
            clocks: The lines of timens_offsets for a new time namespace (time_namespaces(7)).
            cgroup: The unified cgroup to be born into (CLONE_INTO_CGROUP); or -1.
            directory: The container's directory, where the exit goes on record; or -1.
            extras: Further descriptors for the plan's use.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spawn = (
            flags,
            early,
            tuple(flag for _fd, flag in joins),
            cgroup >= 0,
            directory >= 0,
            [operation.encode() for operation in before],
            list(needed),
            clocks,
        )
        fds = [channel.fileno(), theirs.fileno(), *stdio]
        fds += [fd for fd in (directory, cgroup) if fd >= 0]
        fds += [fd for fd, _flag in joins]
        fds += extras
        with theirs:
            try:
                protocol.send_spawn(self._control, spawn, fds)
            except OSError as error:
                ours.close()
                raise InitDied(f"start a process: the zygote is gone ({error})") from error
        return Child(ours, self, before)

    def alive(self) -> bool:
        """Whether the zygote still runs; reaps it if not."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The zygote's pid."""
        return self._process.pid

    def last_words(self) -> str:
        """What the zygote wrote to its standard error: only ever a bug's traceback."""
        if self._last_words >= 0:
            self._said = os.pread(self._last_words, 4096, 0)
        return self._said.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Let the zygote go, and reap it. Containers go on."""
        self._control.close()
        self._process.wait()
        self.last_words()
        last_words, self._last_words = self._last_words, -1
        os.close(last_words)

    def disown(self) -> None:
        """In a forked child: the zygote is the parent's."""
        self._control.close()
        os.close(self._last_words)
        self._process.returncode = 0


def is_waiting_init(pid: int) -> bool:
    """Whether the process still runs the zygote's program, so has not been started yet."""
    try:
        return zygote_process.BOOTSTRAP in processes.read_text(f"/proc/{pid}/cmdline").split("\0")
    except OSError:
        return False


_lock = threading.Lock()
_launcher: Launcher | None = None


def get() -> Launcher:
    """This process's zygote, started if need be."""
    global _launcher  # noqa: PLW0603 - one for each process is the point
    with _lock:
        if _launcher is not None and not _launcher.alive():
            _launcher.close()
            _launcher = None
        if _launcher is None:
            _launcher = Launcher(zygote_process.take())
        return _launcher


def close() -> None:
    """End this process's zygote; the next container starts another."""
    global _launcher  # noqa: PLW0603
    with _lock:
        if _launcher is not None:
            _launcher.close()
            _launcher = None


def _after_fork_in_child() -> None:
    global _launcher, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    if _launcher is not None:
        _launcher.disown()
        _launcher = None


atexit.register(close)
os.register_at_fork(after_in_child=_after_fork_in_child)
