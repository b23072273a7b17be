"""``exec``: a further program in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.cli.foreground import attend_process
from runstate.cli.lifecycle import factory
from runstate.cli.noted import NotedSignals
from runstate.cli.output import write_pid_file
from runstate.errors import ConfigInvalid, NotSupported

if TYPE_CHECKING:
    import argparse

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
    with NotedSignals() as notes:
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
        if options.pid_file:
            try:
                write_pid_file(options.pid_file, process.pid)
            except BaseException:
                process.kill()
                process.wait()
                raise
        return 0 if options.detach else attend_process(process, notes)


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

    return load_process(path)
