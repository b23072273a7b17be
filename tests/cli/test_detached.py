"""Containers that outlive the command that made them, and processes that exec leaves there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.calling import children, read_until, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.calling import Cli


def test_a_detached_container_survives_its_caller_as_the_nearest_subreapers_child(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    for command in (["create"], ["run", "--detach"]):
        done = cli.run(*command, "-b", bundle("sleep", "1000"), f"{new_id}.{command[0]}")
        assert (done.status, done.out, done.err) == (0, "", "")
        pid = cli.state(f"{new_id}.{command[0]}")["pid"]

        until(partial(_adopted, pid))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        cli.await_status(f"{new_id}.{command[0]}", "stopped")


def _adopted(pid: int) -> bool:
    return pid in children()


def test_who_is_a_subreaper_learns_the_exit_status_and_so_does_the_state(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.run("create", "-b", bundle("sh", "-c", "exit 12"), new_id)
    pid = cli.state(new_id)["pid"]
    until(partial(_adopted, pid))

    assert cli.run("start", new_id).status == 0
    until(lambda: children()[pid] == "Z")

    assert cli.state(new_id)["exitStatus"] == 12  # of a zombie the kernel still knows it
    assert os.waitpid(pid, 0) == (pid, 12 << 8)
    assert cli.state(new_id)["exitStatus"] == 12


def test_nothing_but_the_program_holds_the_callers_streams(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sh", "-c", "read go; echo done")
    create = cli.spawn("create", "-b", path, new_id, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert create.wait(30) == 0
    assert cli.run("start", new_id).status == 0
    assert create.stdin is not None
    assert create.stdout is not None

    create.stdin.write(b"go\n")
    create.stdin.close()

    # To the end of file: it comes when the program has ended, and no one else has a copy.
    assert create.stdout.read() == b"done\n"
    cli.await_status(new_id, "stopped")


def test_detached_run_says_nothing_and_does_not_wait(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"

    done = cli.run("run", "-d", "--pid-file", str(pid_file), "-b", bundle("sleep", "99"), new_id)

    assert (done.status, done.out, done.err) == (0, "", "")
    state = cli.state(new_id)
    assert (state["status"], state["pid"]) == ("running", int(pid_file.read_text()))


def test_exec_runs_beside_the_program_with_what_its_options_say(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    cli.ok("start", new_id)

    done = cli.run("exec", "--cwd", "/etc", "-e", "A=b=c", "--env", "PATH=/bin", new_id, "--",
                   "/bin/sh", "-c", 'pwd; echo "$A $PATH"; echo err >&2; exit 3')  # fmt: skip

    assert (done.status, done.out, done.err) == (3, "/etc\nb=c /bin\n", "err\n")


def test_exec_in_a_created_container_leaves_it_created(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)

    assert cli.run("exec", new_id, "echo", "hello").out == "hello\n"

    assert cli.state(new_id)["status"] == "created"


def test_exec_takes_a_process_from_a_file(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    described = {"cwd": "/", "args": ["sh", "-c", "echo $X; exit 2"],
                 "env": ["PATH=/bin:/usr/bin", "X=y"]}  # fmt: skip
    (tmp_path / "process.json").write_text(json.dumps(described))
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)

    done = cli.run("exec", "--process", str(tmp_path / "process.json"), new_id)

    assert (done.status, done.out, done.err) == (2, "y\n", "")
    (tmp_path / "process.json").write_text('{"cwd": "/", "args": "sh"}')
    told = cli("exec", "-p", str(tmp_path / "process.json"), new_id).complaint
    assert '$.args: expected an array of strings, got "sh"' in told
    told = cli("exec", "-p", str(tmp_path / "process.json"), new_id, "ls").complaint
    assert "name a program after the ID, or give a process by --process: not both" in told


def test_exec_refuses_what_it_does_not_understand(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    for words, why in (
        ([new_id], "name a program after the ID; or use --process FILE"),
        ([new_id, "--"], "name a program after the ID"),
        (["-e", "A", new_id, "ls"], "--env 'A': expected NAME=VALUE"),
        (["-e", "=A", new_id, "ls"], "--env '=A': expected NAME=VALUE"),
        (["-u", "joe", new_id, "ls"], "--user 'joe': expected UID or UID:GID, in numbers"),
        (["-u", "1:", new_id, "ls"], "--user '1:': expected UID or UID:GID, in numbers"),
        (["--user=-1", new_id, "ls"], "--user '-1': expected UID or UID:GID, in numbers"),
        (["--cwd", "/no/such", new_id, "ls"], "change to the working directory /no/such: No such"),
        ([new_id, "no-such-program"], "find the executable no-such-program: No such file"),
    ):
        told = cli("exec", *words).complaint
        assert why in told, told
    assert cli.state(new_id)["status"] == "created"


def test_a_detached_exec_goes_on_and_dies_with_its_container(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    cli.ok("start", new_id)
    pid_file = tmp_path / "pid"

    done = cli.run("exec", "-d", "--pid-file", str(pid_file), new_id, "sleep", "1000")

    assert (done.status, done.out, done.err) == (0, "", "")
    pid = int(pid_file.read_text())
    assert "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    until(partial(_adopted, pid))
    delete = cli.spawn("delete", "--force", new_id)
    # A pid namespace ends when all that was in it is reaped, and this one is ours to reap.
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert delete.wait(30) == 0


def test_a_pid_file_of_exec_that_cannot_be_written_ends_the_process(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)

    told = cli("exec", "-d", "--pid-file", "/no/such/pid", new_id, "sleep", "1000").complaint

    assert "write the pid file /no/such/pid: No such file or directory" in told
    until(lambda: len(_named("sleep")) == 0)


def _named(name: str) -> list[int]:
    """This process's own children that run a program of this name."""
    return [
        pid for pid in children()
        if name in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    ]  # fmt: skip


def test_containers_of_two_commands_are_independent(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sh", "-c", "echo up; read go")
    names = [f"{new_id}.{number}" for number in range(3)]
    running = [
        cli.spawn("run", "-b", path, name, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in names
    ]
    for process in running:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"up\n")
    assert cli.ok("list", "-q").split() == names

    cli.ok("kill", names[1], "KILL")

    assert running[1].wait(30) == 137
    assert cli.ok("list", "-q").split() == [names[0], names[2]]
    for process in (running[0], running[2]):
        process.communicate(b"go\n", timeout=30)
        assert process.returncode == 0
