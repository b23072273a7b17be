"""The hooks of a configuration on the command line: in plans, in errors, in the history."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Config
from runstate.cli.noted import NotedSignals
from tests import host
from tests.cli.calling import until
from tests.hooking import POINTS, Notes, shell

if TYPE_CHECKING:
    from collections.abc import Callable

FAILS = shell("echo oops >&2; exit 3")
WORDS = "run the hook {}[0] /bin/busybox: exited with status 3; its stderr: oops"


@pytest.fixture
def notes(tmp_path) -> Notes:
    directory = tmp_path / "notes"
    directory.mkdir()
    return Notes(directory)


@pytest.fixture
def with_hooks(bundle, notes) -> Callable[..., str]:
    """Writes a bundle with hooks; its directory."""

    def write(hooks: dict[str, Any], *args: str) -> str:
        path: str = bundle(*(args or ("sleep", "1000")))
        file = Path(path) / "config.json"
        config = json.loads(file.read_text())
        where = str(notes.directory)
        bind = {"destination": where, "source": where, "type": "bind", "options": ["bind"]}
        config["mounts"] = [*config.get("mounts", ()), bind]
        file.write_text(json.dumps({**config, "hooks": hooks}))
        return path

    return write


def test_plan_shows_them_where_they_run(cli, with_hooks):
    path = with_hooks({point: [{"path": "/bin/true"}] for point in POINTS})
    lines = [line.lstrip(" 0123456789") for line in cli.ok("plan", path).splitlines()]
    places = {point: lines.index(f"run the hook {point}[0] /bin/true") for point in POINTS}
    assert lines[1] == "if this has to be undone, run the hooks poststop: /bin/true"
    assert places["prestart"] + 1 == places["createRuntime"]
    assert lines[places["createRuntime"] + 1].startswith("let init go on")
    assert lines[places["createRuntime"] + 2] == "inside the new process:"
    assert "wait until the host" in lines[places["createContainer"] - 1]
    if cli.backend == "linux":
        assert lines[places["createContainer"] + 1].startswith("pivot into the rootfs")
    released = lines.index("wait in the exec fifo to be started")
    assert released < places["startContainer"] < lines.index("execute sleep 1000")
    assert lines[places["poststart"] - 1] == "on the host, when the program has started:"
    assert lines[places["poststop"] - 1] == "on the host, when the container is destroyed:"


@pytest.mark.parametrize("point", POINTS[:3])
def test_create_fails_by_one_line(cli, with_hooks, new_id, point):
    path = with_hooks({point: [FAILS]})
    complaint = cli.run("create", "-b", path, new_id).complaint
    assert complaint == f"create: container {new_id!r}: {WORDS.format(point)}"
    assert cli.ok("list", "-q") == ""


@pytest.mark.parametrize("point", POINTS[3:5])
def test_start_fails_by_one_line_and_it_is_stopped(cli, with_hooks, new_id, point):
    path = with_hooks({point: [FAILS]})
    assert cli.run("create", "-b", path, new_id).status == 0
    complaint = cli.run("start", new_id).complaint
    assert complaint == f"start: container {new_id!r}: {WORDS.format(point)}"
    assert cli.state(new_id)["status"] == "stopped"
    cli.ok("delete", new_id)


def test_a_failing_poststop_hook_is_a_warning(cli, with_hooks, new_id, notes):
    path = with_hooks({"poststop": [FAILS, notes.mark("next")]})
    assert cli.run("create", "-b", path, new_id).status == 0
    done = cli.run("delete", "--force", new_id)
    told = f"runstate: warning: destroy container {new_id!r}: {WORDS.format('poststop')}\n"
    assert (done.status, done.out, done.err) == (0, "", told)
    assert notes.order == ["next"]


def test_the_history_has_each_with_its_time_and_its_end(cli, with_hooks, new_id):
    hooks = {point: [shell("/bin/busybox sleep 0.05")] for point in POINTS}
    hooks["poststop"].append(FAILS)
    path = with_hooks(hooks)
    cli.run("create", "-b", path, new_id)
    cli.run("start", new_id)
    cli.run("delete", "--force", new_id)
    lines = cli.ok("history", "--steps", new_id).splitlines()
    for point in POINTS:
        (line,) = (line for line in lines if f"the hook {point}[0] " in line)
        time, outcome = line.split()[-2:]
        assert float(time) >= 50, line
        assert outcome == "done", line
    assert lines[-1].endswith(f"done, but HookFailed: {WORDS.format('poststop').replace('0', '1')}")


@pytest.mark.parametrize("point", ["prestart", "createContainer", "startContainer", "poststart"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_hook_that_hangs(cli, with_hooks, new_id, notes, point, number):
    file = notes.directory / "in"
    hooks = {
        point: [shell(f"echo in > {file}; /bin/busybox sleep 1000; :")],
        "poststop": [notes.mark("poststop")],
    }
    process = cli.spawn("run", "-b", with_hooks(hooks), new_id)
    until(lambda: file.exists() and file.read_text())
    os.kill(process.pid, number)
    assert process.wait(10) == 128 + number
    assert cli.ok("list", "-q") == ""
    assert notes.order == ["poststop"]


@pytest.mark.parametrize("forwarding", [False, True])
def test_a_signal_that_comes_before_the_wait_ends_it_too(make_process, notes, forwarding):
    hooks = {
        "prestart": [shell("/bin/busybox sleep 1000; :")],
        "poststop": [notes.mark("poststop")],
    }
    config = Config.from_dict({**make_process.config().to_dict(), "hooks": hooks})
    with NotedSignals() as noted:
        if forwarding:
            noted.forward()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            make_process.factory.create(host.new_id(), config, stdin=DEVNULL)
    assert notes.order == ["poststop"]


def test_a_signal_that_was_meant_for_the_program_ends_no_wait(make_process, notes):
    config = Config.from_dict(
        {**make_process.config().to_dict(), "hooks": {"poststart": [notes.mark("poststart")]}}
    )
    with NotedSignals() as noted:
        noted.forward()
        signal.raise_signal(signal.SIGTERM)
        assert noted.take() == [signal.SIGTERM]
        make_process.factory.run(host.new_id(), config, stdin=DEVNULL).destroy(force=True)
    assert notes.order == ["poststart"]
