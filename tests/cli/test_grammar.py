"""What the words on the command line mean, and that wrong ones are one line and status 1."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import runstate
from runstate.cli import main
from runstate.cli.arguments import COMMANDS, Usage, parse
from runstate.config.defaults import OCI_VERSION


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name a command; see `runstate --help`"),
        (["--root", "/x"], "name a command"),
        (["frobnicate"], "there is no command 'frobnicate'; there are spec, run, create"),
        (["--frob", "list"], "there is no option '--frob' before the command"),
        (["-d", "run", "x"], "there is no option '-d' before the command"),
        (["create"], "create: the following arguments are required: ID; see `runstate create -"),
        (["run", "-d"], "run: the following arguments are required: ID"),
        (["state", "a", "b"], "state: unrecognized arguments: b; see `runstate state --help`"),
        (["delete", "--frob", "a"], "delete: unrecognized arguments: --frob"),
        (["delete", "--forc", "a"], "delete: unrecognized arguments: --forc"),
        (["list", "--format", "xml"], "list: argument -f/--format: invalid choice: 'xml'"),
        (["list", "--root"], "list: argument --root: expected one argument"),
    ],
)
def test_wrong_words_are_one_line_that_leads_to_help(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"runstate: {complaint}"), captured.err
    assert captured.err.count("\n") == 1


def test_help_names_every_command_and_each_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["help"], ["--root", "/x", "--help"]):
        assert main.run(words) == 0
        shown = re.findall(r"^  ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)
        assert shown == list(COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main.run([name, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: runstate {name} ")


def test_version_is_the_packages_and_the_specs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0

    assert capsys.readouterr().out == (
        f"runstate version {runstate.__version__}\nspec: {OCI_VERSION}\n"
    )


@pytest.mark.parametrize("name", ["run", "exec"])
def test_what_follows_the_id_is_the_programs(name: str) -> None:
    options = parse([name, "-d", "box", "ls", "-la", "--root", "x", "--help"])

    assert not isinstance(options, str)
    assert (options.id, options.detach, options.root) == ("box", True, None)
    assert options.args == ["ls", "-la", "--root", "x", "--help"]


@pytest.mark.parametrize(
    "words",
    [
        ["--root", "/x", "--backend=process", "--debug", "list", "-q"],
        ["list", "-q", "--root=/x", "--backend", "process", "--debug"],
        ["--root", "/x", "list", "--debug", "--backend", "process", "-q"],
    ],
)
def test_global_options_go_before_and_behind_the_command(words: list[str]) -> None:
    options = parse(words)

    assert not isinstance(options, str)
    assert (options.command, options.quiet) == ("list", True)
    assert (options.root, options.backend, options.debug) == ("/x", "process", True)


def test_the_value_of_an_option_is_not_taken_for_the_command() -> None:
    options = parse(["--root", "create", "list"])

    assert not isinstance(options, str)
    assert (options.command, options.root) == ("list", "create")
    with pytest.raises(Usage, match="name a command"):
        parse(["--root", "list"])


def test_every_command_has_a_function_of_its_name() -> None:
    from importlib import import_module

    for name, (module, _, _) in COMMANDS.items():
        assert callable(getattr(import_module(f"runstate.cli.{module}"), name))


@pytest.mark.parametrize(
    "call", [["-m", "runstate"], ["-c", "from runstate.cli.main import main; main()"]]
)
def test_the_exit_status_and_the_output_reach_the_caller(call: list[str]) -> None:
    good = subprocess.run(
        [sys.executable, *call, "--version"], capture_output=True, text=True, check=False
    )
    bad = subprocess.run(
        [sys.executable, *call, "frobnicate"], capture_output=True, text=True, check=False
    )

    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("runstate version ")
    assert (bad.returncode, bad.stdout) == (1, "")


def test_output_that_cannot_be_written_is_an_error_and_a_closed_pipe_a_silent_one() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "runstate", "--version"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "runstate: write to standard output: No space left on device (ENOSPC)\n",
    )  # fmt: skip

    with subprocess.Popen(
        [sys.executable, "-c", "import time; input()\nfrom runstate.cli.main import main; main()",
         "--help"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(b"\n", timeout=30)
    assert (process.returncode, err) == (1, b"")


def test_what_needs_no_container_imports_no_engine() -> None:
    told = subprocess.run(
        [
            sys.executable, "-c",
            ("import sys\nfrom runstate.cli import main\nmain.run(['--version'])\n"
            "print(*sorted(m for m in sys.modules if m.split('.')[0] in"
            " ('attrs', 'attr', 'cattrs', 'transitions', 'runstate')))"),
        ],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()[-1].split()  # fmt: skip

    assert told == [
        "runstate", "runstate.cli", "runstate.cli.advice", "runstate.cli.arguments",
        "runstate.cli.main", "runstate.errors",
    ]  # fmt: skip
