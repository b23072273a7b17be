"""`run` and `exec` in the foreground: streams, signals, exit statuses, and nothing left behind."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.calling import read_until, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.calling import Cli

_LINUX = pytest.mark.parametrize("backend", ["linux"], indirect=True)


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_run_exits_as_its_program_does(
    cli: Cli, bundle: Callable[..., str], new_id: str, code: int
) -> None:
    path = bundle("sh", "-c", f"echo out; echo err >&2; exit {code}")

    done = cli.run("run", "-b", path, new_id)

    assert (done.status, done.out, done.err) == (code, "out\n", "err\n")
    assert cli.ok("list", "-q") == ""
    assert [line.split()[3] for line in cli.ok("history", new_id).splitlines()[1:]] == [
        "create", "start", "exited", "destroy",
    ]  # fmt: skip


def test_megabytes_pass_through_pipes_without_loss(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    data = random.Random(1).randbytes(4 << 20)  # noqa: S311 - not for secrets
    cat = cli.spawn("run", "-b", bundle("cat"), new_id,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    out, _ = cat.communicate(data, timeout=60)

    assert cat.returncode == 0
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_megabytes_pass_through_exec_without_loss(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    data = random.Random(2).randbytes(4 << 20)  # noqa: S311 - not for secrets
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    cat = cli.spawn("exec", new_id, "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    out, _ = cat.communicate(data, timeout=60)

    assert cat.returncode == 0
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_a_reader_that_goes_ends_the_program_and_leaves_nothing(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    process = cli.spawn("run", "-b", bundle("yes"), new_id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()

    # busybox's yes meets EPIPE where it ignores SIGPIPE, as the first process of a pid
    # namespace does.
    assert process.wait(30) in (1, 128 + signal.SIGPIPE)
    assert cli.ok("list", "-q") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_program_gets_the_signals_that_run_gets(
    cli: Cli, bundle: Callable[..., str], new_id: str, number: signal.Signals
) -> None:
    name = number.name.removeprefix("SIG")
    path = bundle(
        "sh",
        "-c",
        f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.01; done",
    )
    process = cli.spawn("run", "-b", path, new_id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")

    process.send_signal(number)

    assert read_until(process.stdout.fileno(), b"\n") == f"got {name}\n".encode()
    assert process.wait(30) == 5
    assert cli.ok("list", "-q") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_program_that_has_nothing_to_say_to_it(
    cli: Cli, bundle: Callable[..., str], new_id: str, number: signal.Signals
) -> None:
    process = cli.spawn("run", "-b", bundle("sleep", "1000"), new_id)
    cli.await_status(new_id, "running")

    process.send_signal(number)

    assert process.wait(30) == 128 + number
    assert cli.ok("list", "-q") == ""


def test_a_signal_does_not_end_a_program_that_ignores_it(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sh", "-c", "trap '' TERM; trap 'exit 3' USR1; echo ready;"
                  " while :; do sleep 0.01; done")  # fmt: skip
    process = cli.spawn("run", "-b", path, new_id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    read_until(process.stdout.fileno(), b"ready\n")

    process.send_signal(signal.SIGTERM)
    until(lambda: "SIGTERM" in Path(cli.root, new_id, "journal.jsonl").read_text())
    process.send_signal(signal.SIGUSR1)

    assert process.wait(30) == 3


def test_exec_exits_as_its_program_does_and_passes_signals_on(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    cli.ok("start", new_id)

    assert cli.run("exec", new_id, "sh", "-c", "exit 9").status == 9
    assert cli.run("exec", new_id, "sh", "-c", "kill -KILL $$").status == 137
    for number in (signal.SIGINT, signal.SIGTERM):
        process = cli.spawn("exec", new_id, "sh", "-c", "echo ready; exec sleep 1000",
                            stdout=subprocess.PIPE)  # fmt: skip
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert cli.state(new_id)["status"] == "running"


def test_run_leaves_nothing_whenever_a_signal_comes(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sleep", "1000")
    chance = random.Random(3)  # noqa: S311 - not for secrets
    statuses = set()
    for number in (signal.SIGTERM, signal.SIGINT) * 6:
        process = cli.spawn("run", "-b", path, new_id, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.0, 0.5))  # any instant of its life will do
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        statuses.add(process.returncode)
        # Before it minds signals it dies of them, or Python does, and has made nothing yet.
        assert process.returncode in (128 + number, -number) or b"KeyboardInterrupt" in err, err
        assert cli.ok("list", "-q") == ""
    assert statuses & {143, 130}


def test_an_impatient_second_interrupt_leaves_what_the_next_command_repairs(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sleep", "1000")
    for _ in range(8):
        process = cli.spawn("run", "-b", path, new_id, stderr=subprocess.DEVNULL)
        while not os.path.exists(f"{cli.root}/{new_id}") and process.poll() is None:
            time.sleep(0.001)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.001)
        assert process.returncode in (
            130,
            -signal.SIGINT,
        )  # the latter while Python starts, or ends
        cli.ok("delete", "--force", new_id)
        assert cli.ok("list", "-q") == ""


def test_killing_run_leaves_the_container_to_whoever_comes_next(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    process = cli.spawn("run", "-b", bundle("sleep", "1000"), new_id)
    pid = cli.await_status(new_id, "running")["pid"]

    process.kill()
    process.wait(30)

    assert cli.state(new_id)["pid"] == pid
    cli.ok("delete", "--force", new_id)


def test_keep_leaves_the_stopped_container(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    assert cli.run("run", "--keep", "-b", bundle("sh", "-c", "exit 4"), new_id).status == 4

    state = cli.state(new_id)
    assert (state["status"], state["exitStatus"]) == ("stopped", 4)
    cli.ok("delete", new_id)


@pytest.mark.root
@_LINUX
def test_a_paused_container_that_is_told_to_end_ends_when_it_is_resumed(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    process = cli.spawn(
        "run", "-b", bundle("sh", "-c", "trap 'exit 6' TERM; while :; do sleep 0.01; done"), new_id
    )
    cli.await_status(new_id, "running")
    until(lambda: _catches(cli.state(new_id)["pid"], signal.SIGTERM))
    cli.ok("pause", new_id)

    process.send_signal(signal.SIGTERM)
    until(lambda: "SIGTERM" in Path(cli.root, new_id, "journal.jsonl").read_text())
    assert cli.state(new_id)["status"] == "paused"
    cli.ok("resume", new_id)

    assert process.wait(30) == 6


def _catches(pid: int, number: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
