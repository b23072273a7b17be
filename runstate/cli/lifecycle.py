"""The OCI commands that make, move and end a container, as runc has them."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

from runstate.cli.noted import NotedSignals
from runstate.cli.output import send_console, write_pid_file
from runstate.config import Config, load
from runstate.engine.factory import Factory
from runstate.errors import (
    ConfigInvalid,
    ContainerNotExists,
    NotSupported,
    OperationFailed,
    RuntimeStateError,
)

if TYPE_CHECKING:
    import argparse

    from runstate.engine.container import Container


def factory(options: argparse.Namespace) -> Factory:
    """The factory that the global options describe."""
    return Factory(options.root, options.backend or "linux")


def spec(options: argparse.Namespace) -> int:
    """Write config.json; never over one that is there."""
    from runstate.config.defaults import spec as default_spec  # noqa: PLC0415

    path = os.path.join(options.bundle, "config.json")
    text = json.dumps(default_spec(rootless=options.rootless).to_dict(), indent="\t")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise ConfigInvalid(
            f"spec: {path} exists; remove it first, or name another directory by --bundle"
        ) from None
    except OSError as error:
        raise OperationFailed.from_os_error(f"spec: write {path}", error) from error
    return 0


# --- create and run -----------------------------------------------------------------------------


def create(options: argparse.Namespace) -> int:
    """Create a container."""
    with NotedSignals() as notes:
        container = _create(options, notes, detached=True)
        return 0 if container is not None else _interrupted(notes)


def run(options: argparse.Namespace) -> int:
    """Create, start, and, in the foreground, wait and delete."""
    with NotedSignals() as notes, ExitStack() as stack:
        container = _create(options, notes, detached=options.detach)
        if container is None:
            return _interrupted(notes)
        try:
            if options.detach:
                container.start()
                return 0
            code = _run(container, notes, stack)
        except BaseException as error:
            stack.close()
            _destroy_after(container, error)
            if isinstance(error, KeyboardInterrupt) and notes.interrupted:
                return _interrupted(notes)
            raise
        if not options.keep:
            container.destroy(force=True)
        return code


def _run(container: Container, notes: NotedSignals, stack: ExitStack) -> int:
    from runstate.cli.foreground import attend  # noqa: PLC0415 - only here

    terminal = None
    if container.console is not None:
        from runstate.cli.terminal import Terminal, raw_mode  # noqa: PLC0415 - few have one

        terminal = Terminal(container.console)
        # Before it starts: a program asks for the size of its window once, at the beginning.
        terminal.resize()
        stack.enter_context(raw_mode())
    notes.forward()
    container.start()
    return attend(container, notes, terminal)


def _create(
    options: argparse.Namespace, notes: NotedSignals, *, detached: bool
) -> Container | None:
    """The container; None if a signal came meanwhile, and it is gone again."""
    config, bundle = _config(options)
    _check_terminal(options, config, detached=detached)
    try:
        container = factory(options).create(options.id, config, bundle=bundle)
    except KeyboardInterrupt:
        if not notes.interrupted:
            raise
        return None  # it was cut off in one of its hooks
    try:
        if options.console_socket:
            send_console(options.console_socket, container)
        if options.pid_file:
            write_pid_file(options.pid_file, container.pid)
    except BaseException as error:
        _destroy_after(container, error)
        raise
    if notes.interrupted:
        container.destroy(force=True)
        return None
    return container


def _interrupted(notes: NotedSignals) -> int:
    return 128 + notes.interrupted


def _destroy_after(container: Container, error: BaseException) -> None:
    try:
        container.destroy(force=True)
    except RuntimeStateError as second:
        if isinstance(error, RuntimeStateError):
            error.add_cleanup_error(second)
        else:
            error.add_note(f"while destroying container {container.id!r}: {second}")


def _config(options: argparse.Namespace) -> tuple[Config, str]:
    args = options.args[1:] if options.args[:1] == ["--"] else options.args
    if options.rootfs is None:
        if args:
            name = options.command
            remedy = (
                f"options of `{name}` go before the ID"
                if args[0].startswith("-")
                else "to run a program without a bundle, say --rootfs host before the ID"
            )
            raise NotSupported(
                f"{name}: {args[0]!r} after the ID: a bundle's program is in its config.json;"
                f" {remedy}"
            )
        return load(options.bundle, rules=True), options.bundle
    rootfs = options.rootfs if options.rootfs == "host" else os.path.abspath(options.rootfs)
    return Config.default(args or ["sh"], rootfs=rootfs, hostname=options.id[:64]), os.getcwd()


def _check_terminal(options: argparse.Namespace, config: Config, *, detached: bool) -> None:
    terminal = config.process is not None and bool(config.process.terminal)
    if options.console_socket and not terminal:
        raise NotSupported(
            f"{options.command}: --console-socket: the config asks for no terminal; set its"
            " process.terminal to true, or leave the option out"
        )
    if options.console_socket and not detached:
        raise NotSupported(
            "run: --console-socket: in the foreground the terminal is joined to this one; add"
            " --detach, or leave the option out"
        )
    if terminal and detached and not options.console_socket:
        raise NotSupported(
            f"{options.command}: the config's process.terminal is true, and nobody is there to"
            " take the terminal; name who is by --console-socket, use `run` without --detach, or"
            " set process.terminal to false"
        )


# --- the others ---------------------------------------------------------------------------------


def start(options: argparse.Namespace) -> int:
    """Start a created container."""
    factory(options).load(options.id).start()
    return 0


def pause(options: argparse.Namespace) -> int:
    """Freeze a container."""
    factory(options).load(options.id).pause()
    return 0


def resume(options: argparse.Namespace) -> int:
    """Thaw a container."""
    factory(options).load(options.id).resume()
    return 0


def kill(options: argparse.Namespace) -> int:
    """Send a signal."""
    number = parse_signal(options.signal)
    factory(options).load(options.id).signal(number)
    return 0


def parse_signal(text: str) -> int:
    """A signal by number, or by name with or without SIG.

    Raises:
        NotSupported: There is no such signal.
    """
    name = text.upper()
    try:
        if text.isdigit():
            return int(signal.Signals(int(text)))
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except (KeyError, ValueError):
        raise NotSupported(
            f"kill: there is no signal {text!r}; say a number, or a name such as TERM, KILL or"
            " SIGUSR1"
        ) from None


def delete(options: argparse.Namespace) -> int:
    """Delete a container; with --force one that is not there is as good as deleted."""
    try:
        factory(options).destroy(options.id, force=options.force)
    except ContainerNotExists:
        if not options.force:
            raise
    return 0
