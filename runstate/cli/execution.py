"""``exec``: a further program in a container."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from runstate.cli.foreground import attend_process
from runstate.cli.lifecycle import factory
from runstate.cli.noted import NotedSignals
from runstate.cli.output import send_console, write_pid_file
from runstate.errors import ConfigInvalid, NotSupported

if TYPE_CHECKING:
    import argparse

    from runstate.engine.process import Process

_ID_MAX = (1 << 32) - 2  # -1 means "no change" to setresuid(2)


def exec(options: argparse.Namespace) -> int:  # noqa: A001 - the command's name
    """Run a program in a container; in the foreground its exit status is ours."""
    args = options.args[1:] if options.args[:1] == ["--"] else options.args
    if bool(args) == bool(options.process):
        raise NotSupported(
            "exec: name a program after the ID"
            + (", or give a process by --process: not both" if args else "; or use --process FILE")
        )
    described = _process(options.process)
    _check_terminal(options, described)
    if described is not None and described.terminal and not options.detach:
        described = _with_our_size(described)
    with NotedSignals() as notes, ExitStack() as stack:
        process = (
            factory(options)
            .load(options.id)
            .popen(
                args,
                env=_environment(options.env),
                cwd=options.cwd,
                user=_user(options.user),
                process=described,
            )
        )
        try:
            if options.console_socket:
                send_console(options.console_socket, process)
            if options.pid_file:
                write_pid_file(options.pid_file, process.pid)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return 0 if options.detach else _attend(process, notes, stack)


def _attend(process: Process, notes: NotedSignals, stack: ExitStack) -> int:
    terminal = None
    if process.console is not None:
        from runstate.cli.terminal import Terminal, raw_mode  # noqa: PLC0415 - few have one

        terminal = Terminal(process.console)
        terminal.resize()
        stack.enter_context(raw_mode())
    return attend_process(process, notes, terminal)


def _with_our_size(process: Any) -> Any:
    """The process with the size of our window: a program asks for its own at the beginning."""
    from attrs import evolve  # noqa: PLC0415 - few have a terminal

    from runstate.config import ConsoleSize  # noqa: PLC0415

    try:
        columns, rows = os.get_terminal_size(0)
    except OSError:
        return process  # standard input is something else
    return evolve(process, console_size=ConsoleSize(height=rows, width=columns))


def _check_terminal(options: argparse.Namespace, process: Any) -> None:
    wanted = process is not None and bool(process.terminal)
    if options.console_socket and not (wanted and options.detach):
        raise NotSupported(
            "exec: --console-socket: it takes the terminal of a process by --process that asks for"
            " one, and with --detach; in the foreground the terminal is joined to this one"
        )
    if wanted and options.detach and not options.console_socket:
        raise NotSupported(
            "exec: the process's terminal is true, and nobody is there to take the terminal; name"
            " who is by --console-socket, or leave --detach out"
        )


def _environment(entries: list[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigInvalid(f"exec: --env {entry!r}: expected NAME=VALUE")
        variables[name] = value
    return variables


def _user(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    uid, colon, gid = text.partition(":")
    try:
        ids = int(uid), int(gid) if colon else 0
    except ValueError:
        ids = (-1, -1)
    if not all(0 <= number <= _ID_MAX for number in ids):
        raise ConfigInvalid(f"exec: --user {text!r}: expected UID or UID:GID, in numbers")
    return ids


def _process(path: str | None) -> Any:
    if path is None:
        return None
    from runstate.config import load_process  # noqa: PLC0415 - few ask

    return load_process(path, rules=True)
