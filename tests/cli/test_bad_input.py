"""Bad input: one line that says what is wrong and what to do, and nothing is left behind."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.calling import Cli

_ANYWHERE = ["process", pytest.param("linux", marks=pytest.mark.root)]


@pytest.mark.parametrize(
    "words", [["state"], ["start"], ["kill"], ["delete"], ["pause"], ["resume"], ["exec"],
              ["history"]],
)  # fmt: skip
@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_an_unknown_id(cli: Cli, words: list[str]) -> None:
    command = words[0]
    program = ["ls"] if command == "exec" else []

    assert cli(command, "nobody", *program).complaint == (
        f"{command}: container 'nobody' does not exist in {cli.root}; `list` shows which there are"
    )


@pytest.mark.parametrize("backend", ["process"], indirect=True)
@pytest.mark.parametrize(
    ("container_id", "why"),
    [
        ("", "at least one character"),
        ("..", "it means a directory"),
        ("a/b", "'/' at character 2"),
        ("naïve", "'ï' at character 3"),
        ("a\nb", "letters, digits, '_', '+', '-' and '.' are allowed"),
        ("x" * 1025, "1025 characters; 1024 are the most"),
    ],
)
def test_a_bad_id(cli: Cli, bundle: Callable[..., str], container_id: str, why: str) -> None:
    for words in (("create", "-b", bundle("true")), ("state",), ("delete", "-f")):
        assert why in cli(*words, container_id).complaint


def test_a_used_id(cli: Cli, bundle: Callable[..., str], new_id: str) -> None:
    path = bundle("sleep", "1000")
    cli.ok("create", "-b", path, new_id)
    before = cli.state(new_id)

    for command in ("create", "run"):
        assert cli(command, "-b", path, new_id).complaint == (
            f"{command}: a container {new_id!r} exists already; `delete` it first, or choose"
            " another id"
        )

    assert cli.state(new_id) == before


@pytest.mark.root
@pytest.mark.parametrize("backend", ["linux"], indirect=True)
def test_an_id_whose_cgroup_is_in_use_below_another_root(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    path = bundle("sleep", "1000")
    cli.ok("create", "-b", path, new_id)
    cli.ok("start", new_id)

    second = cli("create", "--root", str(tmp_path / "other"), "-b", path, new_id).complaint

    assert "has processes of somebody else in it; choose another id" in second
    assert cli.state(new_id)["status"] == "running"


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_a_bundle_that_is_none(cli: Cli, tmp_path: Path, new_id: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "config.json").mkdir(parents=True)

    def complaint(name: str) -> str:
        told = cli("create", "-b", str(tmp_path / name), new_id).complaint
        assert str(tmp_path / name) in told
        assert told == cli("plan", str(tmp_path / name)).complaint.replace(
            "plan: ", f"create: container {new_id!r}: ", 1
        )
        return told

    assert "there is no such directory" in complaint("missing")
    assert "a bundle is the directory with config.json in it" in complaint("file")
    assert "`runstate spec` writes one" in complaint("empty")
    assert "Is a directory" in complaint("odd")


@pytest.mark.parametrize("backend", ["process"], indirect=True)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "$: not JSON: Expecting value at line 1, column 1"),
        ("{", "$: not JSON"),
        ('{"ociVersion": "1.0.2"', "line 1, column 23"),
        ("[]", "$: expected"),
        ("{}", "$.ociVersion: required, but missing"),
        ('{"ociVersion": "1.0.2", "process": {"cwd": "/", "args": [1]}}', "$.process.args[0]: exp"),
        ('{"ociVersion": "1.0.2", "process": {"cwd": "x", "args": ["a"]}}', "$.process.cwd: "),
        ('{"ociVersion": "1.0.2", "root": {"path": 5}}', "$.root.path: expected a string, got 5"),
    ],
)
def test_a_config_that_is_none(cli: Cli, tmp_path: Path, new_id: str, text: str, why: str) -> None:
    (tmp_path / "config.json").write_text(text)

    for words in (("create", "-b", str(tmp_path), new_id), ("plan", str(tmp_path))):
        done = cli(*words)
        assert done.status == 1
        assert why in done.err


def test_a_missing_executable(cli: Cli, bundle: Callable[..., str], new_id: str) -> None:
    for name, why in (
        ("no-such-program", "no such executable in $PATH"),
        ("/no/such/program", "no such executable in the container"),
        ("/etc/passwd", "/etc/passwd is not an executable file"),
        ("/etc", "/etc is not an executable file"),
    ):
        told = cli("run", "-b", bundle(name), new_id).complaint
        assert told.startswith(f"run: container {new_id!r}: find the executable {name}: "), told
        assert why in told


def test_a_cwd_that_is_none(cli: Cli, bundle: Callable[..., str], new_id: str) -> None:
    told = cli("run", "-b", bundle("true", cwd="/etc/passwd"), new_id).complaint
    assert told.startswith(f"run: container {new_id!r}: change to the working directory /etc/pass")
    assert "Not a directory (ENOTDIR)" in told


@pytest.mark.root
@pytest.mark.parametrize("backend", ["linux"], indirect=True)
def test_a_rootfs_that_is_none(cli: Cli, tmp_path: Path, new_id: str) -> None:
    (tmp_path / "file").touch()
    for name, why in (("missing", "No such file or directory"), ("file", "is not a directory")):
        path = str(tmp_path / name)
        told = cli("run", "--rootfs", path, new_id, "ls").complaint
        assert told.startswith(f"run: create container {new_id!r}: $.root.path: {path!r}")
        assert why in told


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_an_unknown_backend(cli: Cli, bundle: Callable[..., str], new_id: str) -> None:
    told = cli("create", "--backend", "nosuch", "-b", bundle("true"), new_id).complaint
    assert "find backend 'nosuch': there is none; runstate has linux, process" in told


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_a_program_for_a_bundle_is_refused_with_the_way_to_say_it(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    told = cli("run", "-b", bundle("true"), new_id, "ls", "-l").complaint
    assert told.endswith("to run a program without a bundle, say --rootfs host before the ID")
    told = cli("run", "-b", bundle("true"), new_id, "--detach").complaint
    assert told.endswith("options of `run` go before the ID")


@pytest.mark.parametrize("backend", _ANYWHERE, indirect=True)
@pytest.mark.parametrize(
    ("status", "command", "why"),
    [
        ("created", "pause", "is created; start it first"),
        ("created", "resume", "is created; there is nothing to resume; start it first"),
        ("created", "delete", "is created; `delete --force` deletes it all the same"),
        ("running", "start", "is running; it has been started already"),
        ("running", "resume", "is running; there is nothing to resume"),
        ("running", "delete", "is running; `kill` it and wait for its end, or `delete --force` it"),
        ("paused", "start", "is paused; it has been started already; `resume` lets it go on"),
        ("paused", "pause", "is paused; it needs no more"),
        ("paused", "exec", "is paused; resume it first"),
        ("paused", "delete", "is paused; `resume` and `kill` it, or `delete --force` it"),
        ("stopped", "start", "is stopped; it cannot be started again: `delete` it, and create it"),
        ("stopped", "pause", "is stopped; its program has ended"),
        ("stopped", "resume", "is stopped; its program has ended"),
        ("stopped", "kill", "is stopped; its program has ended"),
        ("stopped", "exec", "is stopped; its program has ended; exec needs a container that"),
    ],
)
def test_a_command_in_the_wrong_status(
    cli: Cli, bundle: Callable[..., str], new_id: str, status: str, command: str, why: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    if status != "created":
        cli.ok("start", new_id)
    if status == "paused":
        cli.ok("pause", new_id)
    if status == "stopped":
        cli.ok("kill", new_id, "KILL")
    before = cli.await_status(new_id, status)
    program = ["true"] if command == "exec" else []

    told = cli(command, new_id, *program).complaint

    assert told.startswith(f"{command}: container {new_id!r} {why}")
    assert cli.state(new_id) == before


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_a_root_that_is_no_directory(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    options = ("--root", str(tmp_path / "file"))
    for words in (("create", *options, "-b", bundle("true"), new_id), ("list", *options)):
        told = cli(*words).complaint
        assert str(tmp_path / "file") in told
        assert "Not a directory (ENOTDIR)" in told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], check=True)
    yield path
    gc.collect()  # an error's traceback may still hold a journal that is on it
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.root
def test_a_root_on_a_full_disk(
    cli: Cli, bundle: Callable[..., str], new_id: str, small_disk: Path
) -> None:
    path = bundle("sleep", "1000")
    options = ("--root", str(small_disk / "root"))
    cli.ok("create", *options, "-b", path, new_id)
    try:
        before = json.loads(cli.ok("state", *options, new_id))
        with (small_disk / "filler").open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

        second = cli("create", *options, "-b", path, f"{new_id}.second").complaint
        started = cli("start", *options, new_id).complaint

        for told in (second, started):
            assert "No space left on device (ENOSPC); free space there, or use another root" in told
        # The program may have been let go by the time that this could not be saved.
        state = json.loads(cli.ok("state", *options, new_id))
        assert state == {**before, "status": state["status"]}
        assert state["status"] in ("created", "running")
        assert cli.ok("list", *options, "-q").split() == [new_id]
    finally:
        cli.ok("delete", *options, "-f", new_id)
    assert os.listdir(small_disk / "root") == [".history"]


@pytest.mark.root
def test_a_root_that_is_read_only(
    cli: Cli, bundle: Callable[..., str], new_id: str, small_disk: Path
) -> None:
    path = bundle("sleep", "1000")
    options = ("--root", str(small_disk / "root"))
    cli.ok("create", *options, "-b", path, new_id)
    try:
        before = json.loads(cli.ok("state", *options, new_id))
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

        second = cli("create", *options, "-b", path, f"{new_id}.second").complaint
        started = cli("start", *options, new_id).complaint

        for told in (second, started):
            assert "Read-only file system (EROFS); the root directory has to be on a writ" in told
        assert json.loads(cli.ok("state", *options, new_id)) == before
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        cli.ok("start", *options, new_id)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        cli.ok("delete", *options, "-f", new_id)


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_debug_tells_the_whole_story(cli: Cli, new_id: str) -> None:
    done = cli("--debug", "create", "-b", "/nowhere", new_id)

    assert done.status == 1
    assert done.err.startswith("runstate: ConfigInvalid: config.json of bundle '/nowhere'")
    assert "caused by FileNotFoundError" in done.err


@pytest.mark.root
@pytest.mark.parametrize("backend", ["linux"], indirect=True)
def test_every_mistake_of_a_config_is_a_line(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    path = bundle("true", cwd="work", oom_score_adj=5000, env=("A=1", "B"))
    config = json.loads((tmp_path / "config.json").read_text())
    config["root"]["path"] = "/no/such/rootfs"
    (tmp_path / "config.json").write_text(json.dumps(config))

    for words, subject in (
        (("plan", path), "plan"),
        (("create", "-b", path, new_id), f"create container {new_id!r}"),
        (("run", "-b", path, new_id), f"run: create container {new_id!r}"),
    ):
        done = cli(*words)
        assert done.status == 1
        assert done.err.splitlines() == [
            f"runstate: {subject}: 4 problems:",
            '  $.process.cwd: expected an absolute path, got "work"',
            '  $.process.env[1]: expected KEY=value, got "B"',
            "  $.process.oomScoreAdj: expected a number from -1000 to 1000, got 5000",
            (
                "  $.root.path: '/no/such/rootfs': No such file or directory; expected the"
                " rootfs's directory"
            ),
        ]


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_more_mistakes_than_anybody_reads_are_counted(cli: Cli, bundle: Callable[..., str]) -> None:
    path = bundle("true", env=("A",) * 70)

    told = cli("plan", path).err.splitlines()
    assert (told[0], told[-1]) == ("runstate: plan: 70 problems:", "  and 20 more")
    assert cli("--debug", "plan", path).err.count("expected KEY=value") == 71
