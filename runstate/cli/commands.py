"""The OCI commands, as runc has them."""

from __future__ import annotations

import json
import os
import signal as signals
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runstate.cli.output import print_table, send_console, write_pid_file
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
    import builtins

    from runstate.engine.container import Container
    from runstate.states.state import State


def _factory(options: argparse.Namespace) -> Factory:
    return Factory(options.root, options.backend)


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
            f"spec: {path} exists; remove it first, or name another --bundle"
        ) from None
    except OSError as error:
        raise OperationFailed.from_os_error(f"spec: write {path}", error) from error
    return 0


def _config(options: argparse.Namespace) -> tuple[Config, str]:
    if options.rootfs is None:
        if getattr(options, "args", None):
            raise NotSupported(
                f"run: arguments {options.args} need --rootfs; a bundle's program is in its"
                " config.json"
            )
        return load(options.bundle), options.bundle
    rootfs = options.rootfs if options.rootfs == "host" else os.path.abspath(options.rootfs)
    args = getattr(options, "args", None) or ["sh"]
    return Config.default(args, rootfs=rootfs, hostname=options.id[:64]), os.getcwd()


def _create(options: argparse.Namespace, *, foreground: bool) -> Container:
    config, bundle = _config(options)
    terminal = config.process is not None and bool(config.process.terminal)
    if terminal and not foreground and not options.console_socket:
        raise NotSupported(
            "create: the config's process.terminal is true, so --console-socket has to name who"
            " takes the terminal; or set it to false"
        )
    if options.console_socket and not terminal:
        raise NotSupported("create: --console-socket needs a config with process.terminal true")
    container = _factory(options).create(options.id, config, bundle=bundle)
    try:
        if options.console_socket:
            send_console(options.console_socket, container)
        if options.pid_file:
            write_pid_file(options.pid_file, container.pid)
    except BaseException:
        container.destroy(force=True)
        raise
    return container


def create(options: argparse.Namespace) -> int:
    """Create a container."""
    _create(options, foreground=False)
    return 0


def run(options: argparse.Namespace) -> int:
    """Create, start, and, in the foreground, wait and delete."""
    container = _create(options, foreground=not options.detach)
    try:
        container.start()
        if options.detach:
            return 0
        code = _foreground(container)
    except BaseException as error:
        try:
            container.destroy(force=True)
        except RuntimeStateError as second:
            error.add_note(f"while destroying container {container.id!r}: {second}")
        raise
    if not options.keep:
        container.destroy(force=True)
    return code


def _foreground(container: Container) -> int:
    from runstate.cli.foreground import attend  # noqa: PLC0415 - termios and friends

    return attend(container)


def start(options: argparse.Namespace) -> int:
    """Start a created container."""
    _factory(options).load(options.id).start()
    return 0


def pause(options: argparse.Namespace) -> int:
    """Freeze a container."""
    _factory(options).load(options.id).pause()
    return 0


def resume(options: argparse.Namespace) -> int:
    """Thaw a container."""
    _factory(options).load(options.id).resume()
    return 0


def kill(options: argparse.Namespace) -> int:
    """Send a signal."""
    _factory(options).load(options.id).signal(parse_signal(options.signal))
    return 0


def parse_signal(text: str) -> int:
    """A signal by number, or by name with or without SIG.

    Raises:
        NotSupported: There is no such signal.
    """
    try:
        if text.isdigit():
            return int(signals.Signals(int(text)))
        name = text.upper()
        return int(signals.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except (KeyError, ValueError):
        raise NotSupported(f"kill: there is no signal {text!r}") from None


def delete(options: argparse.Namespace) -> int:
    """Delete a container; with --force one that is not there is as good as deleted."""
    try:
        _factory(options).destroy(options.id, force=options.force)
    except ContainerNotExists:
        if not options.force:
            raise
    return 0


def state(options: argparse.Namespace) -> int:
    """Print the OCI state (runtime.md, State), with runc's further fields."""
    print(json.dumps(_describe(_factory(options).load(options.id).state), indent=2))
    return 0


def _describe(state: State) -> dict[str, Any]:
    root = state.config.get("root", {}).get("path", "")
    alive = state.status.alive
    described: dict[str, Any] = {
        "ociVersion": state.config.get("ociVersion", ""),
        "id": state.id,
        # OCI knows no `pausing`; the container runs until the kernel says that it is paused.
        "status": "running" if state.status == "pausing" else str(state.status),
        "pid": state.init.pid if alive and state.init is not None else 0,
        "bundle": state.bundle,
        "rootfs": os.path.join(state.bundle, root) if root else "",
        "created": _rfc3339(state.created),
        "annotations": state.config.get("annotations", {}),
        "owner": "",
    }
    if state.exit is not None:
        described["exitStatus"] = state.exit.shell
    return described


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def list(options: argparse.Namespace) -> int:  # noqa: A001 - the command's name
    """List all containers; one that cannot be read is an error after the others."""
    described, errors = [], []
    for container in _factory(options).list():
        try:
            described.append(_describe(container.state))
        except ContainerNotExists:
            continue
        except RuntimeStateError as error:
            errors.append(error)
    if options.quiet:
        for item in described:
            print(item["id"])
    elif options.format == "json":
        print(json.dumps(described))
    else:
        print_table(
            ("ID", "PID", "STATUS", "BUNDLE", "CREATED"),
            [(d["id"], str(d["pid"]), d["status"], d["bundle"], d["created"]) for d in described],
        )
    if errors:
        raise errors[0]
    return 0


def exec(options: argparse.Namespace) -> int:  # noqa: A001 - the command's name
    """Run a program in a container."""
    args = [*options.args]
    if args[:1] == ["--"]:
        args.pop(0)
    if not args and not options.process:
        raise NotSupported("exec: name a program, or give its process object by --process")
    container = _factory(options).load(options.id)
    process = container.popen(
        args,
        env=_environment(options.env),
        cwd=options.cwd,
        user=_user(options.user),
        process=_process(options.process),
    )
    if options.pid_file:
        write_pid_file(options.pid_file, process.pid)
    if options.detach:
        return 0
    from runstate.cli.foreground import forwarding, shell_status  # noqa: PLC0415

    with forwarding(process.send_signal):
        return shell_status(process.wait())


def _environment(entries: builtins.list[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigInvalid(f"exec: --env {entry!r}: expected KEY=VALUE")
        variables[name] = value
    return variables


def _user(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    uid, _, gid = text.partition(":")
    try:
        return int(uid), int(gid or 0)
    except ValueError:
        raise ConfigInvalid(f"exec: --user {text!r}: expected UID or UID:GID, in numbers") from None


def _process(path: str | None) -> Any:
    if path is None:
        return None
    from runstate.config import load_process  # noqa: PLC0415 - few ask

    return load_process(path)
