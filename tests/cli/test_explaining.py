"""The commands that explain: plan, history, diagram."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from runstate.transitions.table import TABLE
from tests import host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.calling import Cli


def test_plan_prints_what_create_would_do_and_touches_nothing(
    cli: Cli, bundle: Callable[..., str]
) -> None:
    path = bundle("echo", "hello world")
    before = host.take(cli.root), os.stat(cli.root).st_mtime_ns

    told = cli.ok("plan", path)

    assert before[0].differences(host.take(cli.root)) == {}
    assert before[1] == os.stat(cli.root).st_mtime_ns
    assert re.search(r"^on the host:\n   1  create the fs by handler '", told)
    assert re.search(r"^ +\d+  execute echo 'hello world'$", told, re.MULTILINE)
    mounted = "mount proc proc on /proc" in told
    assert mounted == (cli.backend == "linux")
    assert ("left out:" in told) == (cli.backend == "process")


def test_plan_makes_no_root_directory(cli: Cli, bundle: Callable[..., str], tmp_path: Path) -> None:
    cli.ok("plan", "--root", str(tmp_path / "root"), bundle("true"))

    assert not (tmp_path / "root").exists()


def test_plan_says_the_operations_that_create_then_executes(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    path = bundle("sleep", "1000")
    planned = re.findall(r"^ +\d+  (.*)$", cli.ok("plan", path), re.MULTILINE)

    cli.ok("create", "-b", path, new_id)

    steps = json.loads(cli.ok("history", "--format", "json", new_id))[0]["steps"]
    assert [step["name"] for step in steps] == planned[: len(steps)]


def test_history_is_a_table_with_durations_also_of_a_container_that_is_gone(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    cli.ok("start", new_id)
    living = cli.ok("history", new_id)
    cli.ok("delete", "--force", new_id)

    gone = cli.ok("history", new_id)

    assert gone.startswith(living.rstrip("\n"))
    head, *rows = gone.splitlines()
    assert head.split() == ["SEQ", "TIME", "TRANSITION", "STATUS", "MS", "OUTCOME"]
    row = r"\d+ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} +(\w+) +(\w+ → \w+) +\d+\.\d\d   (.*)"
    assert [re.fullmatch(row, line).groups() for line in rows] == [  # type: ignore[union-attr]
        ("create", "absent → created", "committed"),
        ("start", "created → running", "committed"),
        ("destroy", "running → absent", "committed"),
    ]


def test_history_has_the_steps_and_why_a_transition_was_rolled_back(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    told = cli("create", "-b", bundle("no-such-program"), new_id).complaint
    why = "find the executable no-such-program: No such file or directory (ENOENT)"
    assert why in told

    table = cli.ok("history", "--steps", new_id)
    (record,) = json.loads(cli.ok("history", "--format", "json", new_id))

    assert f"rolled back: OperationFailed: {why}" in table
    assert "create the fs by handler" in table
    assert record["outcome"] == "rolled back"
    assert why in record["error"]
    outcomes = {step["name"].split(" by ")[0]: step["outcome"] for step in record["steps"]}
    assert outcomes["create the exec"] == "done, undone"
    assert outcomes["run the exec"] == "failed, undone"


def test_an_id_that_was_used_twice_has_the_last_ones_history(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    for program in ("first-program", "second-program"):
        cli("create", "-b", bundle(program), new_id)

    assert "second-program" in cli.ok("history", new_id)
    assert "first-program" not in cli.ok("history", new_id)


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_output_that_the_terminals_encoding_lacks_is_escaped(
    cli: Cli, bundle: Callable[..., str], new_id: str
) -> None:
    cli.ok("create", "-b", bundle("sleep", "1000"), new_id)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    done = cli.run("history", new_id, env=environment)

    assert (done.status, done.err) == (0, "")
    assert r"absent \u2192 created" in done.out


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_the_diagram_has_every_row_of_the_table(cli: Cli) -> None:
    mermaid = cli.ok("diagram")
    graphviz = cli.ok("diagram", "--format", "graphviz")

    assert "stateDiagram" in mermaid
    assert graphviz.startswith("digraph")
    for row in TABLE:
        for source in row.sources:
            arrow = re.escape(f"{source} --> {row.dest_from(source)}: ")
            assert re.search(rf"{arrow}.*\b{row.trigger}\b", mermaid)
            arrow = rf"{source} -> {row.dest_from(source)} \[label=.*\b{row.trigger}\b"
            assert re.search(arrow, graphviz), (row.trigger, source)


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_plan_names_what_the_specification_does_not_define(
    cli: Cli, bundle: Callable[..., str], tmp_path: Path
) -> None:
    path = bundle("true")
    assert "ignored" not in cli.ok("plan", path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["process"]["enviroment"] = ["A=1"]
    (tmp_path / "config.json").write_text(json.dumps(config | {"hostName": "box"}))

    told = cli.ok("plan", path).partition("ignored, for the specification does not define it:\n")[2]

    assert [line.strip() for line in told.splitlines()] == [
        "$.hostName; is hostname meant?",
        "$.process.enviroment",
    ]


@pytest.mark.parametrize("backend", ["process"], indirect=True)
def test_unknown_properties_are_reported_at_the_debug_level_alone(
    cli: Cli, bundle: Callable[..., str], tmp_path: Path, new_id: str
) -> None:
    path = bundle("true")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hostName": "box"}))

    told = cli("--debug", "create", "-b", path, new_id)
    assert told.status == 0
    assert "unknown properties" in told.err
    assert "'hostName'" in told.err
    assert cli("create", "-b", path, f"{new_id}.second").err == ""
