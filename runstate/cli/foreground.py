"""Staying with a program to its end: signals passed on, its terminal joined to ours."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from runstate.cli.noted import ENDING
from runstate.errors import RuntimeStateError
from runstate.linux import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.cli.noted import NotedSignals
    from runstate.cli.terminal import Terminal
    from runstate.engine.container import Container
    from runstate.engine.process import Process

_UNKNOWN = 255


def attend(container: Container, notes: NotedSignals, terminal: Terminal | None) -> int:
    """Stay with a running container to its end.

    A signal that would end the program ends the container, also where the kernel protects the
    program from it, because it is the first process of its pid namespace and has not said what
    to do about it (pid_namespaces(7)): `run` is a foreground command, and Ctrl-C ends one.

    Returns:
        Its exit status, as a shell has it.
    """
    init = container.state.init
    pidfd = None if init is None else processes.open_pidfd(init)
    ended_by = 0

    def forward(number: int) -> None:
        nonlocal ended_by
        if terminal is not None and number == signal.SIGWINCH:
            terminal.resize()
            return
        with suppress(RuntimeStateError):  # it is ending, as the next poll is about to say
            container.signal(number)
            if number in ENDING and init is not None and not _cares_about(init.pid, number):
                ended_by = ended_by or number
                container.signal(signal.SIGKILL)

    if pidfd is not None:
        try:
            _until_end(pidfd, notes, forward, terminal)
        finally:
            os.close(pidfd)
    if terminal is not None:
        terminal.drain()
    code = container.wait()
    if code == -signal.SIGKILL and ended_by:
        return 128 + ended_by
    return _UNKNOWN if code is None else shell_status(code)


def attend_process(process: Process, notes: NotedSignals, terminal: Terminal | None = None) -> int:
    """Stay with a further process to its end; its exit status, as a shell has it."""

    def forward(number: int) -> None:
        if terminal is not None and number == signal.SIGWINCH:
            terminal.resize()
        else:
            process.send_signal(number)

    notes.forward()
    if process.poll() is None:
        _until_end(process.pidfd, notes, forward, terminal)
    if terminal is not None:
        terminal.drain()
    return shell_status(process.wait())


def shell_status(code: int) -> int:
    """128 + n for the negative number of a signal."""
    return 128 - code if code < 0 else code


def _until_end(
    pidfd: int, notes: NotedSignals, forward: Callable[[int], None], terminal: Terminal | None
) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(notes, select.POLLIN)
    hung_up = False
    while True:
        if terminal is not None:
            terminal.watch(poll)
        ready = dict(poll.poll())
        if notes.fileno() in ready:
            for number in notes.take():
                forward(number)
        if terminal is not None:
            for fd, events in ready.items():
                terminal.step(fd, events)
            if terminal.abandoned and not hung_up:
                hung_up = True
                forward(signal.SIGHUP)
        if pidfd in ready:
            return


def _cares_about(pid: int, number: int) -> bool:
    """Whether a process catches, ignores or blocks a signal (proc_pid_status(5))."""
    try:
        status = processes.read_text(f"/proc/{pid}/status")
    except OSError:
        return True  # it is gone already
    bit = 1 << (number - 1)
    masks = {
        name: int(value, 16)
        for name, _, value in (line.partition(":") for line in status.splitlines())
        if name in ("SigBlk", "SigIgn", "SigCgt")
    }
    return any(mask & bit for mask in masks.values())
