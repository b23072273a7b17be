"""A container, as its users hold it."""

from __future__ import annotations

import os
import select
import signal as signals
import subprocess
import time
import warnings
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import attrs

from runstate.config import Config
from runstate.config import load as load_config
from runstate.engine import recovery
from runstate.engine.hooks import Hooks
from runstate.engine.process import Process
from runstate.engine.runner import attach
from runstate.engine.streams import PIPE, Streams
from runstate.errors import (
    AfterHookFailed,
    ContainerNotExists,
    ContainerNotRunning,
    DeadlineExceeded,
    HookWarning,
    NoProcessOps,
    NotSupported,
    RuntimeStateError,
    StateInvalid,
)
from runstate.handlers.contract import ProcessSpec, Stats, ability, offers
from runstate.linux import processes
from runstate.states.status import Status
from runstate.transitions.attempt import Attempt
from runstate.transitions.table import allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from runstate.config import Process as ProcessConfig
    from runstate.engine.hooks import TransitionEvent
    from runstate.engine.lifecycle import Lifecycle
    from runstate.engine.streams import Stream
    from runstate.handlers.contract import HandlerContext, Handlers
    from runstate.linux.cgroups.notification import MemoryEvents, MemoryPressureEvent, OomEvent
    from runstate.linux.launcher import Child
    from runstate.persistence.history import TransitionRecord
    from runstate.states.state import State


class Container:
    """One container. Made by :class:`runstate.Factory`; safe to use from many threads.

    Every change of its state is a transition: guarded, journalled, undone if it fails. Several
    processes may use one container; its state is what the kernel says, then what is saved.

    Attributes:
        stdin: Our end of the program's standard input, if `create` was asked for a PIPE.
        stdout: Likewise, its output.
        stderr: Likewise.
    """

    def __init__(
        self, lifecycle: Lifecycle, config: Config | None = None, streams: Streams | None = None
    ) -> None:
        self._lifecycle = lifecycle
        self._hooks = Hooks(lifecycle.hooks)
        lifecycle.hooks = self._hooks
        self._config = config
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        if streams is not None:
            self._adopt(streams)

    def _adopt(self, streams: Streams) -> None:
        for number, (name, mode) in enumerate(
            (("stdin", "wb"), ("stdout", "rb"), ("stderr", "rb"))
        ):
            fd, streams.ours[number] = streams.ours[number], -1
            if fd >= 0:
                setattr(self, name, open(fd, mode))  # noqa: SIM115 - the caller's to close

    def __repr__(self) -> str:
        return f"<runstate.Container {self.id!r}>"

    # --- what it is -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id."""
        return self._lifecycle.directory.id

    @property
    def state(self) -> State:
        """All that is known about it, settled against the kernel.

        Raises:
            ContainerNotExists: It has been destroyed.
            StateInvalid: What is saved cannot be read.
        """
        return self._lifecycle.settled(self._config_of)

    @property
    def status(self) -> Status:
        """Its status, settled against the kernel; ``absent`` once it is destroyed."""
        try:
            return self.state.status
        except ContainerNotExists:
            return Status.ABSENT

    @property
    def config(self) -> Config:
        """Its OCI configuration."""
        return self._config_of(self._lifecycle.load())

    @property
    def bundle(self) -> str:
        """The directory that relative paths of its config start from."""
        return self._lifecycle.load().bundle

    @property
    def notices(self) -> tuple[str, ...]:
        """What had to be left out of its config on this host."""
        return self._lifecycle.load().notices

    @property
    def pid(self) -> int | None:
        """The host's pid of its init process; None when it is stopped."""
        state = self.state
        return state.init.pid if state.status.alive and state.init is not None else None

    @property
    def console(self) -> int | None:
        """The master of its terminal, a descriptor that stays the container's own.

        None if it has no terminal, or was not made by this process.
        """
        console: int = self._lifecycle.live.rooms.get("exec", {}).get("console", -1)
        return console if console >= 0 else None

    def _config_of(self, state: State) -> Config:
        if self._config is None:
            self._config = load_config(state.config)
        return self._config

    def history(self) -> tuple[TransitionRecord, ...]:
        """Every transition since it was created, from its journal; the oldest first."""
        from runstate.persistence.history import timeline  # noqa: PLC0415 - few ask

        return timeline(self._lifecycle.directory.journal.read(strict=False))

    # --- hooks ----------------------------------------------------------------------------------

    def before(
        self, trigger: str
    ) -> Callable[[Callable[[TransitionEvent], object]], Callable[[TransitionEvent], object]]:
        """A decorator: call the function before this transition of this container; see Factory."""
        return self._hooks.add("before", trigger)

    def after(
        self, trigger: str
    ) -> Callable[[Callable[[TransitionEvent], object]], Callable[[TransitionEvent], object]]:
        """A decorator: call the function after this transition of this container; see Factory."""
        return self._hooks.add("after", trigger)

    # --- transitions ----------------------------------------------------------------------------

    def _fire(self, *triggers: str, **arguments: Any) -> dict[str, Any]:
        """Fire triggers one after the other under one lock; the outcome of the last."""
        lifecycle = self._lifecycle
        expires = time.monotonic() + lifecycle.deadline
        events = []
        outcome: dict[str, Any] = {}
        try:
            with lifecycle.locked(triggers[0]):
                state, context = lifecycle.settle(self._config_of, expires)
                handlers = lifecycle.handlers(state)
                for trigger in triggers:
                    attempt = Attempt(trigger, state.status, context, handlers, state, arguments)
                    try:
                        events.append(lifecycle.fire(attempt, self))
                    except RuntimeStateError as error:
                        self._settle_after(error)
                        raise
                    outcome = attempt.outcome
                    state = attempt.state or state
                if triggers[-1] == "destroy":
                    lifecycle.directory.retire()
        except BaseException as error:
            failed = self._run_after(events)
            if failed is not None:
                attach(error, failed)
            raise
        failed = self._run_after(events)
        if failed is not None:
            if "child" in outcome:
                outcome["child"].close()  # it goes on, but the caller never gets to hold it
            raise failed
        for text in outcome.get("warnings", ()):
            warnings.warn(f"{triggers[-1]} container {self.id!r}: {text}", HookWarning, 3)
        return outcome

    def _run_after(self, events: list[TransitionEvent]) -> AfterHookFailed | None:
        failed: AfterHookFailed | None = None
        for event in events:
            try:
                self._hooks.run_after(event)
            except AfterHookFailed as error:
                if failed is None:
                    failed = error
                else:
                    failed.add_cleanup_error(error)
        return failed

    def _settle_after(self, error: RuntimeStateError) -> None:
        """A failure may have cost the container its init; say so in its state."""
        try:
            self._lifecycle.settle(self._config_of)
        except RuntimeStateError as second:
            error.add_cleanup_error(second)

    def start(self) -> None:
        """Let init become the program; returns when it has.

        Raises:
            IllegalTransition: It is not `created`.
            OperationFailed: The program could not be executed; the container is stopped now.
        """
        try:
            self._fire("start")
        except NoProcessOps:
            # Another, who may have died since, has released init, and it went on just now.
            if self.status is Status.CREATED:
                raise
            self._fire("start")

    def pause(self) -> None:
        """Freeze all processes; returns when the kernel says that they are frozen.

        Raises:
            ContainerNotRunning: It does not run.
            NotSupported: It has no cgroup to freeze.
            DeadlineExceeded: The kernel did not freeze it in time; it runs on.
        """
        self._fire("pause", "freeze")

    def resume(self) -> None:
        """Let all processes go on.

        Raises:
            ContainerNotPaused: It is not paused.
        """
        self._fire("resume")

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change limits.

        Args:
            resources: As ``linux.resources`` of the OCI config, in its JSON form; what is not
                named stays as it is.

        Raises:
            ConfigInvalid: The limits are not valid, or this host lacks a controller.
        """
        self._fire("update", resources=dict(resources))
        self._config = None

    def destroy(self, *, force: bool = False) -> None:
        """Leave nothing of it on the host. Its journal moves to the root's history.

        Args:
            force: Kill it first if it still lives.

        Raises:
            ContainerNotStopped: It lives, and force was not asked for.
        """
        if force:
            try:
                self._lifecycle.load()
            except StateInvalid:
                self._destroy_unreadable()
                return
        self._fire("destroy", force=force)

    def _destroy_unreadable(self) -> None:
        with self._lifecycle.locked("destroy"):
            recovery.finish_destroy(self._lifecycle)

    # --- processes ------------------------------------------------------------------------------

    def _settled(self) -> tuple[State, HandlerContext, Handlers]:
        state = self.state
        lifecycle = self._lifecycle
        return state, lifecycle.context(state, self._config_of(state)), lifecycle.handlers(state)

    def signal(self, number: int) -> None:
        """Send a signal to init.

        A signal to a paused container is delivered when it is resumed.

        Args:
            number: As in :mod:`signal`.

        Raises:
            ContainerNotRunning: It is stopped.
        """
        lifecycle = self._lifecycle
        with lifecycle.locked("signal"):
            state, context = lifecycle.settle(self._config_of)
            if not state.status.alive:
                raise ContainerNotRunning(
                    f"signal container {self.id!r}: it is {state.status}",
                    trigger="signal",
                    status=state.status,
                    allowed=allowed(state.status),
                )
            lifecycle.note(signal=signals.Signals(number).name)
            ability(lifecycle.handlers(state), "signal", context)(context, number)

    def _living(self, what: str) -> tuple[HandlerContext, Handlers]:
        state, context, handlers = self._settled()
        if not state.status.alive:
            raise ContainerNotRunning(
                f"{what} of container {self.id!r}: it is {state.status}",
                trigger=what,
                status=state.status,
                allowed=allowed(state.status),
            )
        return context, handlers

    def _child(self) -> Child | None:
        child: Child | None = self._lifecycle.live.rooms.get("exec", {}).get("child")
        return child

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until init has ended.

        Args:
            timeout: Seconds; None: for ever.

        Returns:
            The exit code, or the negative number of the signal that ended it, as subprocess
            has it; None where nobody could learn it.

        Raises:
            DeadlineExceeded: It still runs.
        """
        state = self.state
        if state.status.alive and state.init is not None:
            child = self._child()
            over = child.wait(timeout) if child is not None else _await_death(state, timeout)
            if not over:
                raise DeadlineExceeded(
                    f"wait for container {self.id!r}: it still runs after {timeout:g} s"
                )
            state = self._await_settled()
        return None if state.exit is None else state.exit.returncode

    def _await_settled(self) -> State:
        with self._lifecycle.locked("wait"):
            return self._lifecycle.settle(self._config_of)[0]

    def popen(
        self,
        args: Iterable[str],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: tuple[int, int] | None = None,
        process: ProcessConfig | None = None,
        text: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
    ) -> Process:
        """Start a further process in the container, like :class:`subprocess.Popen`.

        Args:
            args: The program and its arguments.
            stdin: None inherits, PIPE, DEVNULL, a file, or a descriptor.
            stdout: Likewise.
            stderr: Likewise, or STDOUT.
            env: Further variables, beside those of the container's program.
            cwd: The working directory; the program's where not given.
            user: User and group id; the program's where not given.
            process: The whole ``process`` object of the OCI config, instead of the program's.
            text: Streams of text rather than bytes.
            encoding: Their encoding; utf-8 where not given.
            errors: How encoding errors are met.

        Raises:
            ContainerNotRunning: It is stopped.
            ContainerPaused: It is paused.
            OperationFailed: The program cannot be executed.
        """
        arguments = tuple(args)
        described = self._describe(process, arguments, env, cwd, user)
        with Streams(stdin, stdout, stderr) as streams:
            spec = ProcessSpec(described, streams.child)
            child = self._fire("exec", spec=spec)["child"]
            streams.close_child_ends()
            return Process(arguments, child, streams, text=text, encoding=encoding, errors=errors)

    def _describe(
        self,
        process: ProcessConfig | None,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        cwd: str | None,
        user: tuple[int, int] | None,
    ) -> ProcessConfig:
        base = process or self.config.process
        if base is None:
            raise NoProcessOps(f"exec in container {self.id!r}: its config has no process")
        changes: dict[str, Any] = {"args": args} if args else {}
        if env:
            kept = [entry for entry in base.env if entry.partition("=")[0] not in env]
            changes["env"] = (*kept, *(f"{name}={value}" for name, value in env.items()))
        if cwd is not None:
            changes["cwd"] = cwd
        if user is not None:
            from runstate.config import User  # noqa: PLC0415 - few ask

            umask = base.user.umask if base.user is not None else None
            changes["user"] = User(uid=user[0], gid=user[1], umask=umask)
        if base.terminal and process is None:
            changes["terminal"] = None
        return attrs.evolve(base, **changes)

    def exec(
        self,
        args: Iterable[str],
        *,
        input: Any = None,  # noqa: A002 - subprocess's name
        capture_output: bool = False,
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a further process in the container to its end, like :func:`subprocess.run`.

        Args:
            args: The program and its arguments.
            input: What it reads on stdin.
            capture_output: Whether to return what it writes.
            timeout: Seconds; then it is killed.
            check: Whether an exit code other than 0 raises.
            options: As for ``popen``.

        Raises:
            subprocess.TimeoutExpired: It took too long, and has been killed.
            subprocess.CalledProcessError: It failed, and ``check`` was asked for.
        """
        if input is not None:
            options["stdin"] = PIPE
        if capture_output:
            if "stdout" in options or "stderr" in options:
                raise NotSupported("exec: capture_output excludes stdout and stderr")
            options["stdout"] = options["stderr"] = PIPE
        with self.popen(args, **options) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        code = process.returncode if process.returncode is not None else -255
        if check and code:
            raise subprocess.CalledProcessError(code, process.args, out, err)
        return subprocess.CompletedProcess(process.args, code, out, err)

    def processes(self) -> list[int]:
        """The host's pids of all processes; empty when it is stopped."""
        state, context, handlers = self._settled()
        if not state.status.alive:
            return []
        pids: list[int] = ability(handlers, "processes", context)(context)
        return pids

    def stats(self) -> Stats:
        """What it uses.

        Raises:
            ContainerNotRunning: It is stopped.
        """
        context, handlers = self._living("stats")
        network = {}
        if offers(handlers, "stats", room="network"):
            network = ability(handlers, "stats", context, room="network")(context)
        cgroup = ability(handlers, "stats", context)(context)
        count = len(ability(handlers, "processes", context)(context))
        return Stats(cgroup, network, count)

    def notify_oom(self) -> MemoryEvents[OomEvent]:
        """Be told each time that memory runs out; libcontainer's NotifyOOM.

        Returns:
            An iterator, which blocks until it happens and ends when the container has no
            processes any more. Close it, or use it as a context manager, to end it before.

        Raises:
            ContainerNotRunning: It is stopped.
            NotSupported: It has no cgroup, or this host no memory controller.
        """
        context, handlers = self._living("notify_oom")
        events: MemoryEvents[OomEvent] = ability(handlers, "notify_oom", context)(context)
        return events

    def notify_memory_pressure(self, level: str = "low") -> MemoryEvents[MemoryPressureEvent]:
        """Be told each time that memory gets tight; libcontainer's NotifyMemoryPressure.

        Args:
            level: ``low``, ``medium`` or ``critical``: cgroup version 1's levels, and in
                version 2 that, in two seconds, some processes were stalled for 0.1 s, some for
                0.3 s, or all for 0.3 s.

        Returns:
            As ``notify_oom``.

        Raises:
            ConfigInvalid: There is no such level.
            ContainerNotRunning: It is stopped.
            NotSupported: It has no cgroup, or this host no memory controller.
        """
        context, handlers = self._living("notify_memory_pressure")
        notify = ability(handlers, "notify_memory_pressure", context)
        events: MemoryEvents[MemoryPressureEvent] = notify(context, level)
        return events

    # --- with -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):  # what is still unsent, nobody can read any more
                    stream.close()
        try:
            self.destroy(force=True)
        except ContainerNotExists:
            return  # destroyed within the block
        except RuntimeStateError as failure:
            if error is None:
                raise
            error.add_note(f"while destroying container {self.id!r}: {failure}")


def _await_death(state: State, timeout: float | None) -> bool:
    """Wait for a process that is not our child, by its pidfd (pidfd_open(2))."""
    if state.init is None:
        return True
    pidfd = processes.open_pidfd(state.init)
    if pidfd is None:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    finally:
        os.close(pidfd)
