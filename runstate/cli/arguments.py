"""The command line's grammar: ``runstate [GLOBAL OPTION]… COMMAND [OPTION]… ARGUMENT…``.

Only the parser of the command that was given is built. Global options are taken after the
command as well. What follows the ID of ``run`` and ``exec`` is the program's, options too.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

import runstate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Parser = argparse.ArgumentParser

_SPEC_VERSION = "1.3.0"  # a test holds it to the config's


class Usage(Exception):
    """The words make no command. The message says what is wrong and where help is."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and exit status 1, as for every other error."""
        name = self.prog.partition(" ")[2]
        raise Usage(f"{f'{name}: ' if name else ''}{message}; see `{self.prog} --help`")


def parse(words: Sequence[str]) -> argparse.Namespace | str:
    """What was asked for: a command's options, or the text that is the whole answer.

    Raises:
        Usage: The words make no command.
    """
    position = _find_command(words)
    if position is None:
        if "--version" in words:
            return f"runstate version {runstate.__version__}\nspec: {_SPEC_VERSION}"
        return _help()
    name = words[position]
    if name == "help":
        return _help()
    if name not in COMMANDS:
        raise Usage(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    module, summary, declare = COMMANDS[name]
    parser = _Parser(prog=f"runstate {name}", description=summary, allow_abbrev=False)
    declare(parser)
    for option, metavar, text in _GLOBAL:
        parser.add_argument(option, metavar=metavar, help=text)
    parser.add_argument("--debug", action="store_true", help=_DEBUG)
    parser.set_defaults(command=name, module=module)
    return parser.parse_args([*words[:position], *words[position + 1 :]])


def _find_command(words: Sequence[str]) -> int | None:
    """Where the command is; None for help and version."""
    with_value = {option for option, _metavar, _text in _GLOBAL}
    position = 0
    while position < len(words):
        word = words[position]
        if word in ("-h", "--help", "--version"):
            return None
        if word in with_value:
            position += 2
        elif word == "--debug" or word.partition("=")[0] in with_value:
            position += 1
        elif word.startswith("-"):
            raise Usage(f"there is no option {word!r} before the command; see `runstate --help`")
        else:
            return position
    raise Usage("name a command; see `runstate --help`")


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {c[1]}" for name, c in COMMANDS.items())
    options = [*_GLOBAL, ("--debug", "", _DEBUG), ("--version", "", "print the version")]
    described = "\n".join(f"  {f'{o} {m}':15} {text}" for o, m, text in options)
    return f"""\
usage: runstate [OPTION]... COMMAND ...

Containers as explicit state machines: an OCI runtime.

commands (`runstate COMMAND --help` tells more):
{commands}

options:
{described}

To see one at work, without any image: runstate run --rootfs host demo ls -l /
Errors are one line (a config's problems one each), and exit status 1; run and exec exit as
their program does."""


# --- the commands -------------------------------------------------------------------------------

_DEBUG = "tell an error's whole story, and what else is worth knowing"
_GLOBAL = (
    ("--root", "DIR", "where the containers' states are kept"),
    ("--backend", "NAME", "how new containers are made: linux (the default), process, or another"),
)


def _id(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="the container's id")


def _format(parser: Parser, *choices: str) -> None:
    parser.add_argument(
        "-f", "--format", choices=choices, default=choices[0], help=f"(default: {choices[0]})"
    )


def _source(parser: Parser) -> None:
    parser.add_argument(
        "-b", "--bundle", default=".", metavar="DIR",
        help="the directory with config.json (default: the working directory)",
    )  # fmt: skip
    parser.add_argument(
        "--rootfs", metavar="host|DIR",
        help="no bundle, but a default config on this root file system; `host` is the host's own"
        " under a layer that is thrown away",
    )  # fmt: skip
    parser.add_argument("--pid-file", metavar="FILE", help="where to write init's pid")
    parser.add_argument(
        "--console-socket", metavar="PATH",
        help="the unix socket that takes the terminal, where config.json asks for one",
    )  # fmt: skip


def _program(parser: Parser) -> None:
    _id(parser)
    program = parser.add_argument(
        "args", nargs=argparse.REMAINDER, metavar="ARG", help="the program and its arguments"
    )
    program.required = False  # argparse takes even the rest of nothing for required


def _spec(parser: Parser) -> None:
    parser.add_argument(
        "-b", "--bundle", default=".", metavar="DIR", help="where (default: the working directory)"
    )
    parser.add_argument("--rootless", action="store_true", help="for a user without privileges")


def _create(parser: Parser) -> None:
    _source(parser)
    _program(parser)


def _run(parser: Parser) -> None:
    _source(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    parser.add_argument("--keep", action="store_true", help="do not delete it when it has ended")
    _program(parser)


def _kill(parser: Parser) -> None:
    _id(parser)
    parser.add_argument(
        "signal", nargs="?", default="SIGTERM", metavar="SIGNAL",
        help="its name or number (default: SIGTERM)",
    )  # fmt: skip


def _delete(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--force", action="store_true",
        help="kill it first if it lives; one that is not there is as good as deleted",
    )  # fmt: skip
    _id(parser)


def _list(parser: Parser) -> None:
    _format(parser, "table", "json")
    parser.add_argument("-q", "--quiet", action="store_true", help="ids only")


def _exec(parser: Parser) -> None:
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    parser.add_argument(
        "-e", "--env", action="append", default=[], metavar="NAME=VALUE",
        help="a further variable; may be given more than once",
    )  # fmt: skip
    parser.add_argument("--cwd", metavar="DIR", help="its working directory")
    parser.add_argument("-u", "--user", metavar="UID[:GID]", help="whom it runs as, in numbers")
    parser.add_argument(
        "-p", "--process", metavar="FILE", help="a `process` object as config.json has one"
    )
    parser.add_argument("--pid-file", metavar="FILE", help="where to write its pid")
    parser.add_argument(
        "--console-socket", metavar="PATH",
        help="the unix socket that takes the terminal, where the process asks for one",
    )  # fmt: skip
    _program(parser)


def _plan(parser: Parser) -> None:
    parser.add_argument(
        "bundle", metavar="BUNDLE", nargs="?", default=".",
        help="the directory with config.json (default: the working directory)",
    )  # fmt: skip


def _history(parser: Parser) -> None:
    _id(parser)
    parser.add_argument("--steps", action="store_true", help="each transition's steps as well")
    _format(parser, "table", "json")


def _diagram(parser: Parser) -> None:
    _format(parser, "mermaid", "graphviz")


COMMANDS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "spec": ("lifecycle", "write a config.json to start from", _spec),
    "run": ("lifecycle", "create a container and start its program", _run),
    "create": ("lifecycle", "create a container; its program waits to be started", _create),
    "start": ("lifecycle", "start the program of a created container", _id),
    "state": ("inspection", "print a container's state as JSON", _id),
    "kill": ("lifecycle", "send a signal to a container's program", _kill),
    "delete": ("lifecycle", "delete a container that has stopped", _delete),
    "list": ("inspection", "list the containers", _list),
    "pause": ("lifecycle", "freeze all processes of a container", _id),
    "resume": ("lifecycle", "let them go on", _id),
    "exec": ("execution", "run a further program in a running container", _exec),
    "plan": ("inspection", "print what `create` would do, and touch nothing", _plan),
    "history": ("inspection", "print what happened to a container, also to one that is gone",
                _history),
    "diagram": ("inspection", "print the state machine", _diagram),
}  # fmt: skip
