"""The OCI commands: a container's whole life, what they print, and what they leave."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runstate import Config
from runstate.cli.lifecycle import parse_signal
from runstate.errors import NotSupported
from tests.cli.calling import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.calling import Cli

_SCHEMAS = Path(__file__).parents[3] / "shared" / "oci-schema"


def test_a_container_goes_through_its_whole_life(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sleep", "1000")

    assert cli.ok("create", "--bundle", path, new_id) == ""
    created = cli.state(new_id)
    assert (created["status"], created["id"], created["bundle"]) == ("created", new_id, path)
    os.kill(created["pid"], 0)
    cli.ok("start", new_id)
    assert cli.state(new_id) == {**created, "status": "running"}
    cli.ok("pause", new_id)
    assert cli.state(new_id) == {**created, "status": "paused"}
    cli.ok("resume", new_id)
    assert cli.state(new_id)["status"] == "running"
    cli.ok("kill", new_id, "KILL")
    stopped = cli.await_status(new_id, "stopped")
    assert (stopped["pid"], stopped["exitStatus"]) == (0, 137)
    cli.ok("delete", new_id)
    assert "does not exist" in cli("state", new_id).complaint
    assert cli.ok("list", "-q") == ""


def test_create_and_start_are_calls_of_different_processes(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    with said.open("wb") as out:
        for words in (("create", "-b", bundle("echo", "hello"), new_id), ("start", new_id)):
            process = cli.spawn(*words, stdin=subprocess.DEVNULL, stdout=out)
            assert process.wait(30) == 0

    cli.await_status(new_id, "stopped")
    assert said.read_bytes() == b"hello\n"
    assert cli.run("delete", new_id).status == 0


@pytest.mark.parametrize("status", ["created", "running", "stopped"])
def test_the_state_keeps_the_specs_schema(
    cli: Cli, bundle: Callable[..., str], new_id: str, status: str
) -> None:
    if not _SCHEMAS.is_dir():
        pytest.skip("the specification's schemas are not beside this repository")
    from jsonschema import Draft4Validator
    from referencing import Registry
    from referencing.jsonschema import DRAFT4

    schemas = {name: json.loads((_SCHEMAS / name).read_text())
               for name in ("state-schema.json", "defs.json")}  # fmt: skip
    registry: Registry[Any] = Registry().with_resources(
        (name, DRAFT4.create_resource(schema)) for name, schema in schemas.items()
    )
    path = bundle("sleep", "1000")
    config = json.loads(Path(path, "config.json").read_text())
    config["annotations"] = {"org.example.of": "a test"}
    Path(path, "config.json").write_text(json.dumps(config))
    cli.ok("create", "-b", path, new_id)
    if status != "created":
        cli.ok("start", new_id)
    if status == "stopped":
        cli.ok("kill", new_id, "9")
    state = cli.await_status(new_id, status)

    Draft4Validator(schemas["state-schema.json"], registry=registry).validate(state)
    assert state["annotations"] == config["annotations"]


def test_list_has_all_containers_as_a_table_as_json_and_as_ids(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sleep", "1000")
    names = [f"{new_id}.{letter}" for letter in "ba"]
    for name in names:
        cli.ok("create", "-b", path, name)
    cli.ok("start", names[0])

    assert cli.ok("list", "--quiet").split() == sorted(names)
    head, *rows = [line.split() for line in cli.ok("list").splitlines()]
    assert head == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    told = json.loads(cli.ok("list", "--format", "json"))
    try:
        owner = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        owner = str(os.geteuid())  # nobody has to have a name
    assert [item["id"] for item in told] == sorted(names)
    assert [item["status"] for item in told] == ["created", "running"]
    assert rows == [[str(item[key.lower()]) for key in head] for item in told]
    for item in told:
        state = cli.state(item["id"])
        assert item == {**state, "owner": item["owner"]}
        assert item["owner"] == owner


def test_one_unreadable_container_does_not_hide_the_others(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sleep", "1000")
    broken = f"{new_id}.broken"
    for name in (broken, new_id):
        cli.ok("create", "-b", path, name)
    Path(cli.root, broken, "state.json").write_text("{")

    done = cli("list", "-q")

    assert (done.status, done.out.split()) == (1, [new_id])
    assert broken in done.complaint
    assert "not JSON" in done.complaint
    cli.ok("delete", "--force", broken)
    assert cli.ok("list", "-q").split() == [new_id]


@pytest.mark.parametrize("status", ["created", "running", "paused", "stopped"])
def test_delete_by_force_deletes_whatever_lives(
    cli: Cli, bundle: Callable[..., str], new_id: str, status: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    if status != "created":
        cli.ok("start", new_id)
    if status == "paused":
        cli.ok("pause", new_id)
    if status == "stopped":
        cli.ok("kill", new_id, "KILL")
    cli.await_status(new_id, status)

    cli.ok("delete", "--force", new_id)
    cli.ok("delete", "--force", new_id)

    assert "does not exist" in cli("delete", new_id).complaint


@pytest.mark.parametrize(
    ("text", "number"),
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("hup", 1), ("RTMIN", 34)],
)
def test_a_signal_has_a_number_and_names(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "NOSUCH", "SIG", "9.0", "²"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(NotSupported, match="there is no signal"):
        parse_signal(text)


def test_kill_sends_the_signal_and_sigterm_without_one(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    traps = "".join(f"trap 'echo {name}' {name};" for name in ("USR1", "TERM"))
    path = bundle("sh", "-c", f"{traps} echo ready; while :; do sleep 0.01; done")
    with told.open("wb") as out:
        assert cli.spawn("run", "-d", "-b", path, new_id, stdout=out).wait(30) == 0
    until(lambda: told.read_text() == "ready\n")

    cli.ok("kill", new_id, "USR1")
    until(lambda: told.read_text() == "ready\nUSR1\n")
    cli.ok("kill", new_id)
    until(lambda: told.read_text() == "ready\nUSR1\nTERM\n")


def test_spec_writes_a_config_but_never_over_one(cli: Cli, tmp_path: Path) -> None:
    cli.ok("spec", "--bundle", str(tmp_path))
    written = (tmp_path / "config.json").read_text()
    config = Config.from_bundle(tmp_path)

    assert config.process is not None
    assert config.process.terminal
    assert config.to_dict() == json.loads(written)
    assert "exists; remove it first" in cli("spec", "-b", str(tmp_path)).complaint
    assert (tmp_path / "config.json").read_text() == written
    missing = cli("spec", "-b", str(tmp_path / "missing")).complaint
    assert missing.startswith(f"spec: write {tmp_path}/missing/config.json: No such file")


def test_the_pid_file_has_inits_pid(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    cli.ok("create", "--pid-file", str(pid_file), "-b", bundle("sleep", "9"), new_id)

    assert pid_file.read_text() == str(cli.state(new_id)["pid"])
    assert os.listdir(tmp_path).count("pid") == len([n for n in os.listdir(tmp_path) if "pid" in n])


def test_a_pid_file_that_cannot_be_written_undoes_the_container(
    cli: Cli, bundle: Callable[..., str], new_id: str, tmp_path: Path
) -> None:
    path = bundle("sleep", "1000")

    done = cli("create", "--pid-file", str(tmp_path / "no" / "pid"), "-b", path, new_id)

    assert "write the pid file" in done.complaint
    assert "No such file or directory" in done.complaint
    assert cli.ok("list", "-q") == ""


@pytest.mark.root
@pytest.mark.parametrize("backend", ["linux"], indirect=True)
def test_the_command_line_runs_a_program_on_the_hosts_root(cli: Cli, new_id: str) -> None:
    done = cli.run("run", "--rootfs", "host", new_id, "sh", "-c", "hostname; echo $$; exit 7")

    assert (done.status, done.out, done.err) == (7, f"{new_id}\n1\n", "")
    listing = cli.run("run", "--rootfs", "host", new_id, "ls", "-ld", "/")
    assert (listing.status, listing.err) == (0, "")
    assert listing.out.startswith("d")
    assert cli.run("run", "--rootfs", "host", new_id, "--", "echo", "--", "-d").out == "-- -d\n"


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_what_a_signal_ended_has_its_number_and_128_for_a_status(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sh", "-c", "kill -9 $$")

    assert cli.run("run", "--keep", "-b", path, new_id).status == 128 + signal.SIGKILL
    assert cli.state(new_id)["exitStatus"] == 128 + signal.SIGKILL
