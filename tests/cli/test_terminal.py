"""A container's terminal: joined to ours in the foreground, or handed to who takes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.cli.calling import read_until, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.calling import Cli

pytestmark = [
    pytest.mark.root,
    pytest.mark.parametrize("backend", ["linux"], indirect=True),
]
_FOREVER = "while :; do sleep 0.01; done"


@attrs.frozen
class Screen:
    """A terminal as a person has one before them: what is typed and shown, and its other side."""

    master: int
    slave: int

    def attach(self) -> dict[str, Any]:
        """The options that make it the controlling terminal of a new process."""
        return {
            "stdin": self.slave, "stdout": self.slave, "stderr": self.slave,
            "start_new_session": True,
            "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        }  # fmt: skip

    def type(self, keys: bytes) -> None:
        assert os.write(self.master, keys) == len(keys)

    def shows(self, wanted: bytes) -> bytes:
        return read_until(self.master, wanted)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    @property
    def raw(self) -> bool:
        return not self.modes[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


@pytest.fixture
def screen() -> Iterator[Screen]:
    master, slave = pty.openpty()
    made = Screen(master, slave)
    made.resize(24, 80)
    yield made
    os.close(master)
    os.close(slave)


def test_a_program_has_the_terminal_and_it_is_given_back(
    cli: Cli, bundle: Callable[..., str], new_id: str, screen: Screen
) -> None:
    before = screen.modes
    path = bundle(
        "sh",
        "-c",
        "tty; echo ready >/dev/console; read line; echo got $line; exit 7",
        terminal=True,
    )
    process = cli.spawn("run", "-b", path, new_id, **screen.attach())

    assert b"/dev/pts/0\r\n" in screen.shows(b"ready\r\n")
    assert screen.raw
    screen.type(b"hello\r")
    screen.shows(b"got hello\r\n")

    assert process.wait(30) == 7
    assert screen.modes == before


def test_every_key_goes_to_the_program(
    cli: Cli, bundle: Callable[..., str], new_id: str, screen: Screen
) -> None:
    traps = "trap 'echo interrupted' INT; trap 'echo quit; exit 4' QUIT"
    path = bundle("sh", "-c", f"{traps}; echo ready; {_FOREVER}", terminal=True)
    process = cli.spawn("run", "-b", path, new_id, **screen.attach())
    screen.shows(b"ready\r\n")

    screen.type(b"\x03")
    screen.shows(b"interrupted\r\n")
    screen.type(b"\x1c")
    screen.shows(b"quit\r\n")

    assert process.wait(30) == 4


def test_the_window_has_our_windows_size_from_the_beginning_and_follows_it(
    cli: Cli, bundle: Callable[..., str], new_id: str, screen: Screen
) -> None:
    screen.resize(40, 132)
    path = bundle("sh", "-c", f"stty size; trap 'stty size; exit' WINCH; echo ready; {_FOREVER}",
                  terminal=True)  # fmt: skip
    process = cli.spawn("run", "-b", path, new_id, **screen.attach())

    assert b"40 132\r\n" in screen.shows(b"ready\r\n")
    screen.resize(50, 99)
    screen.shows(b"50 99\r\n")

    assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_ends_run_gives_the_terminal_back(
    cli: Cli, bundle: Callable[..., str], new_id: str, screen: Screen, number: signal.Signals
) -> None:
    before = screen.modes
    process = cli.spawn("run", "-b", bundle("sleep", "1000", terminal=True), new_id,
                        **screen.attach())  # fmt: skip
    cli.await_status(new_id, "running")
    until(lambda: screen.raw)

    process.send_signal(number)

    assert process.wait(30) == 128 + number
    assert screen.modes == before
    assert cli.ok("list", "-q") == ""


def test_a_program_that_cannot_start_leaves_the_terminal_and_no_descriptor(
    cli: Cli, bundle: Callable[..., str], new_id: str, screen: Screen
) -> None:
    before = screen.modes
    path = bundle("no-such-program", terminal=True)

    process = cli.spawn("run", "-b", path, new_id, **screen.attach())
    screen.shows(b"no such executable")
    assert process.wait(30) == 1
    assert screen.modes == before
    assert "no such executable" in cli("run", "-b", path, new_id).complaint


def test_output_of_a_program_that_ends_at_once_is_not_lost(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sh", "-c", "seq 1 20000", terminal=True)

    done = cli.run("run", "-b", path, new_id)

    assert done.status == 0
    assert done.out.splitlines() == [str(number) for number in range(1, 20001)]


@pytest.mark.parametrize("given", [b"", b"one\ntwo\n", b"one\nno newline"])
def test_the_end_of_our_input_is_the_end_of_the_programs(
    cli: Cli, bundle: Callable[..., str], new_id: str, given: bytes
) -> None:
    path = bundle("sh", "-c", "stty -echo; echo ready; cat; echo end", terminal=True)
    process = cli.spawn("run", "-b", path, new_id, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\r\n")

    out, _ = process.communicate(given, timeout=30)

    assert process.returncode == 0
    assert out == given.replace(b"\n", b"\r\n") + b"end\r\n"


def test_input_that_is_not_read_does_not_hold_up_output(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sh", "-c", "stty raw -echo; echo ready; seq 1 50000; exit 3", terminal=True)
    process = cli.spawn("run", "-b", path, new_id, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = read_until(process.stdout.fileno(), b"ready\n")

    rest, _ = process.communicate(bytes(1 << 20), timeout=60)

    assert process.returncode == 3
    out = (first + rest).split(b"ready\n")[1]
    assert out.split() == [b"%d" % number for number in range(1, 50001)]


def test_much_input_arrives_whole(cli: Cli, bundle: Callable[..., str], new_id: str) -> None:
    size = 1 << 20
    path = bundle("sh", "-c", f"stty raw -echo; echo ready; head -c {size} | sha256sum",
                  terminal=True)  # fmt: skip
    data = os.urandom(size)
    process = cli.spawn("run", "-b", path, new_id, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")

    out, _ = process.communicate(data, timeout=60)

    from hashlib import sha256

    assert out.split()[0].decode() == sha256(data).hexdigest()


def test_a_reader_that_goes_hangs_the_terminal_up(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    process = cli.spawn("run", "-b", bundle("yes", terminal=True), new_id,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"y\r\ny\r\n")
    process.stdout.close()

    assert process.wait(30) == 128 + signal.SIGHUP
    assert cli.ok("list", "-q") == ""


# --- the console socket -------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Who takes the terminal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "console.sock"))
        listening.listen()
        listening.settimeout(30)
        yield listening


@contextlib.contextmanager
def received(listener: socket.socket) -> Iterator[int]:
    """The one descriptor that comes over the one connection."""
    connection, _ = listener.accept()
    with connection:
        message, fds, _, _ = socket.recv_fds(connection, 4096, 8)
        assert message
        assert len(fds) == 1
        assert not connection.recv(1)
    try:
        yield fds[0]
    finally:
        os.close(fds[0])


@pytest.mark.parametrize("command", ["create", "run"])
def test_the_console_socket_gets_the_master(
    cli: Cli, bundle: Callable[..., str], new_id: str, listener: socket.socket, command: str
) -> None:
    path = bundle("sh", "-c", "tty; read line; echo got $line; exit 5", terminal=True)
    detach = ["--detach"] if command == "run" else []
    done = cli.run(command, *detach, "--console-socket", listener.getsockname(), "-b", path, new_id)
    assert (done.status, done.out, done.err) == (0, "", "")

    with received(listener) as master:
        if command == "create":
            cli.ok("start", new_id)
        read_until(master, b"/dev/pts/0\r\n")
        os.write(master, b"hello\n")
        read_until(master, b"got hello\r\n")
        cli.await_status(new_id, "stopped")


def test_a_terminal_that_nobody_takes_is_refused(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    nobody = str(tmp_path / "nobody")
    with_terminal = bundle("true", terminal=True)
    for command in (["create"], ["run", "-d"]):
        told = cli(*command, "-b", with_terminal, new_id).complaint
        assert "nobody is there to take the terminal; name who is by --console-socket" in told
        told = cli(*command, "--console-socket", nobody, "-b", with_terminal, new_id).complaint
        assert f"send the terminal to the console socket {nobody}: No such file" in told
    told = cli("run", "--console-socket", nobody, "-b", with_terminal, new_id).complaint
    assert "in the foreground the terminal is joined to this one" in told
    without = bundle("true")
    told = cli("create", "--console-socket", nobody, "-b", without, new_id).complaint
    assert "the config asks for no terminal" in told
    assert cli.ok("list", "-q") == ""
