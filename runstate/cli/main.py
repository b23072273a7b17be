"""``runstate``: the parser, and the way from errors to one line and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import runstate
from runstate.errors import AfterHookFailed, RuntimeStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FAILED = 1
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for an error, or the container's own."""
    options = parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = _command(options.command)
        return command(options)
    except RuntimeStateError as error:
        return _report(error, options)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; do not let the interpreter complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _report(error: RuntimeStateError, options: argparse.Namespace) -> int:
    text = error.detail() if options.debug else str(error).replace("\n", " ")
    print(f"runstate: {text}", file=sys.stderr)
    if not options.debug:
        for second in error.cleanup_errors:
            print(f"runstate: while cleaning up: {second}", file=sys.stderr)
    return 0 if isinstance(error, AfterHookFailed) else _FAILED


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    module = "inspection" if name in ("plan", "history", "diagram") else "commands"
    function: Any = getattr(import_module(f"runstate.cli.{module}"), name.replace("-", "_"))
    command: Callable[[argparse.Namespace], int] = function
    return command


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="runstate",
        description="Containers as explicit state machines: an OCI runtime.",
    )
    top.add_argument("--version", action="version", version=_version())
    top.add_argument("--root", metavar="DIR", help="where the containers' states are")
    top.add_argument(
        "--backend", default="linux", metavar="NAME", help="linux (default), process, or another"
    )
    top.add_argument("--debug", action="store_true", help="tell an error's whole story")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    spec = commands.add_parser("spec", help="write a config.json to start from")
    spec.add_argument("-b", "--bundle", default=".", metavar="DIR", help="where (default: here)")
    spec.add_argument("--rootless", action="store_true", help="for an ordinary user")

    create = commands.add_parser("create", help="create a container; its program waits")
    _source(create)
    _id(create)
    run = commands.add_parser("run", help="create and start a container")
    _source(run)
    run.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    run.add_argument("--keep", action="store_true", help="do not delete it when it has ended")
    _id(run)
    run.add_argument("args", nargs="*", metavar="ARG", help="with --rootfs: the program")

    for name, text in (
        ("start", "start the program of a created container"),
        ("state", "print a container's state as JSON"),
        ("pause", "freeze all processes of a container"),
        ("resume", "let them go on"),
    ):
        _id(commands.add_parser(name, help=text))

    kill = commands.add_parser("kill", help="send a signal to a container's program")
    _id(kill)
    kill.add_argument("signal", nargs="?", default="SIGTERM", metavar="SIGNAL")
    delete = commands.add_parser("delete", help="delete a stopped container")
    delete.add_argument("-f", "--force", action="store_true", help="kill it first")
    _id(delete)

    listing = commands.add_parser("list", help="list containers")
    listing.add_argument("-f", "--format", choices=("table", "json"), default="table")
    listing.add_argument("-q", "--quiet", action="store_true", help="ids only")

    execute = commands.add_parser("exec", help="run a program in a running container")
    execute.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    execute.add_argument("-e", "--env", action="append", default=[], metavar="KEY=VALUE")
    execute.add_argument("--cwd", metavar="DIR", help="its working directory")
    execute.add_argument("-u", "--user", metavar="UID[:GID]", help="whom it runs as")
    execute.add_argument("-p", "--process", metavar="FILE", help="its process object, as JSON")
    execute.add_argument("--pid-file", metavar="FILE", help="where to write its pid")
    _id(execute)
    execute.add_argument("args", nargs=argparse.REMAINDER, metavar="ARG")

    plan = commands.add_parser("plan", help="print what create would do; touch nothing")
    plan.add_argument("bundle", metavar="BUNDLE", help="the bundle's directory")
    history = commands.add_parser("history", help="what happened to a container")
    _id(history)
    history.add_argument("--steps", action="store_true", help="each transition's steps as well")
    history.add_argument("-f", "--format", choices=("table", "json"), default="table")
    diagram = commands.add_parser("diagram", help="print the state machine")
    diagram.add_argument(
        "-f", "--format", choices=("mermaid", "graphviz"), default="mermaid", help="as what"
    )
    return top


def _id(command: argparse.ArgumentParser) -> None:
    command.add_argument("id", metavar="ID", help="the container's id")


def _source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-b", "--bundle", default=".", metavar="DIR", help="the bundle (default: here)"
    )
    command.add_argument(
        "--rootfs",
        metavar="host|DIR",
        help="no bundle: a default config on this root file system; `host` is the host's own,"
        " under a layer that is thrown away",
    )
    command.add_argument("--pid-file", metavar="FILE", help="where to write init's pid")
    command.add_argument(
        "--console-socket", metavar="PATH", help="a unix socket that takes the terminal's master"
    )


def _version() -> str:
    return f"runstate version {runstate.__version__}\nspec: 1.3.0"


if __name__ == "__main__":
    sys.exit(main())
