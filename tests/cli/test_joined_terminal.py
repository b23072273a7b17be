"""The terminal of a further process: joined to ours, or handed to who takes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import host
from tests.cli.calling import read_until, until
from tests.cli.test_terminal import Screen, listener, received, screen  # noqa: F401 - fixtures

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.cli.calling import Cli

pytestmark = [
    pytest.mark.root,
    pytest.mark.parametrize("backend", ["linux"], indirect=True),
]
SCRIPT = "tty; stty size; echo ready; read line; echo got $line; exit 6"


@pytest.fixture
def running(cli: Cli, bundle: Callable[..., str], new_id: str) -> str:
    """The id of a container that runs."""
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    cli.ok("start", new_id)
    return new_id


@pytest.fixture
def process(tmp_path: Path) -> str:
    """The file of a process with a terminal."""
    path = tmp_path / "process.json"
    described = {
        "terminal": True, "cwd": "/", "args": ["/bin/sh", "-c", SCRIPT], "env": ["PATH=/bin"],
    }  # fmt: skip
    path.write_text(json.dumps(described))
    return str(path)


def test_a_further_program_has_our_terminal_and_it_is_given_back(
    cli: Cli,
    running: str,
    process: str,
    screen: Screen,  # noqa: F811 - the fixture
) -> None:
    before = screen.modes
    screen.resize(40, 132)
    spawned = cli.spawn("exec", "--process", process, running, **screen.attach())

    shown = screen.shows(b"ready\r\n")
    assert b"/dev/pts/0\r\n40 132\r\n" in shown
    assert screen.raw
    screen.type(b"hello\r")
    screen.shows(b"got hello\r\n")

    assert spawned.wait(30) == 6
    assert screen.modes == before


def test_the_console_socket_gets_a_further_program_s_master(
    cli: Cli,
    running: str,
    process: str,
    listener: socket.socket,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    pid_file = str(tmp_path / "pid")
    options = ["--detach", "--console-socket", listener.getsockname(), "--pid-file", pid_file]
    done = cli.run("exec", *options, "--process", process, running)
    assert (done.status, done.out, done.err) == (0, "", "")

    with received(listener) as master:
        read_until(master, b"ready\r\n")
        os.write(master, b"hello\n")
        read_until(master, b"got hello\r\n")
    # The command that made it is gone, so it is ours to reap.
    pid = int(Path(pid_file).read_text())
    until(lambda: (host.stat_fields(pid) or ("", "", 0))[2] == os.getpid())
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 6


def test_a_further_program_s_terminal_that_nobody_takes_is_refused(
    cli: Cli, running: str, process: str, tmp_path: Path
) -> None:
    nobody = str(tmp_path / "nobody")
    told = cli("exec", "--detach", "--process", process, running).complaint
    assert "nobody is there to take the terminal" in told
    told = cli("exec", "--console-socket", nobody, "--process", process, running).complaint
    assert "in the foreground the terminal is joined to this one" in told
    told = cli("exec", "-d", "--console-socket", nobody, "--process", process, running).complaint
    assert f"send the terminal to the console socket {nobody}: No such file" in told
