"""A failing hook is named with its end and its words, and has the effect that the spec gives it."""

from __future__ import annotations

import os
import signal

import pytest

from runstate import DEVNULL
from runstate.errors import ConfigInvalid, ContainerNotExists, HookFailed, HookWarning
from tests import host
from tests.conftest import config_for
from tests.hooking import POINTS, shell

AT_CREATE = ("prestart", "createRuntime", "createContainer")
ENDS = {
    "status": ("echo out; echo oops >&2; exit 3", "exited with status 3; its stderr: oops"),
    "stdout": ("echo out; exit 3", "exited with status 3; its stdout: out"),
    "silent": ("exit 255", "exited with status 255"),
    "signal": ("echo dying >&2; kill -TERM $$", "was killed by SIGTERM; its stderr: dying"),
}


def failing(notes, point, script="echo oops >&2; exit 3"):
    """Hooks at every point, of which the second of this point fails."""
    hooks = {name: [notes.mark(f"{name}{i}") for i in range(3)] for name in POINTS}
    hooks[point][1] = shell(script)
    return hooks


def nothing_is_left(factory, id_):
    assert factory.list() == []
    with pytest.raises(ContainerNotExists):
        factory.load(id_)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("point", AT_CREATE)
def test_at_create_all_is_undone_and_the_poststop_hooks_run(factory, notes, point, end):
    script, words = ENDS[end]
    id_ = host.new_id()
    config = notes.config(config_for(factory), failing(notes, point, script))
    with pytest.raises(HookFailed) as caught:
        factory.create(id_, config, stdin=DEVNULL)
    assert str(caught.value) == f"run the hook {point}[1] /bin/busybox: {words}"
    assert caught.value.path == "/bin/busybox"
    before = AT_CREATE[: AT_CREATE.index(point)]
    ran = [f"{name}{i}" for name in before for i in range(3)] + [f"{point}0"]
    assert notes.order == [*ran, "poststop0", "poststop1", "poststop2"]
    nothing_is_left(factory, id_)


def test_the_error_has_the_facts_as_attributes(process_factory, notes):
    for script, expected in (
        ("echo oops >&2; exit 3", (3, None, False, "oops\n")),
        ("kill -9 $$", (None, signal.SIGKILL, False, "")),
    ):
        config = notes.config(config_for(process_factory), {"prestart": [shell(script)]})
        with pytest.raises(HookFailed) as caught:
            process_factory.create(host.new_id(), config, stdin=DEVNULL)
        error = caught.value
        assert (error.exit_status, error.signal, error.timed_out, error.stderr) == expected


@pytest.mark.parametrize("end", ENDS)
def test_start_container_fails_the_start_and_the_container_is_stopped(factory, notes, end):
    script, words = ENDS[end]
    config = notes.config(config_for(factory), failing(notes, "startContainer", script))
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        before = notes.order
        with pytest.raises(HookFailed) as caught:
            container.start()
        assert str(caught.value) == f"run the hook startContainer[1] /bin/busybox: {words}"
        assert container.status == "stopped"
        assert notes.order == [*before, "startContainer0"]
        container.destroy()
    assert notes.order[-3:] == ["poststop0", "poststop1", "poststop2"]


def test_another_process_that_starts_it_gets_the_same_error(factory, notes):
    hooks = failing(notes, "startContainer")
    config = notes.config(config_for(factory), hooks)
    id_ = host.new_id()
    with factory.create(id_, config, stdin=DEVNULL):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                factory.load(id_).start()
            except HookFailed as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, encoding="utf-8") as pipe:
            words = "exited with status 3; its stderr: oops"
            assert pipe.read() == f"run the hook startContainer[1] /bin/busybox: {words}"
        os.waitpid(pid, 0)


@pytest.mark.parametrize("end", ENDS)
def test_poststart_fails_the_start_and_the_container_is_stopped(factory, notes, end):
    script, words = ENDS[end]
    config = notes.config(config_for(factory), failing(notes, "poststart", script))
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        with pytest.raises(HookFailed) as caught:
            container.start()
        assert str(caught.value) == f"run the hook poststart[1] /bin/busybox: {words}"
        assert notes.order[-1] == "poststart0"
        assert container.status == "stopped"
        assert container.processes() == []
        container.destroy()
    assert notes.order[-3:] == ["poststop0", "poststop1", "poststop2"]


@pytest.mark.parametrize("point", ["startContainer", "poststart"])
def test_run_leaves_nothing_behind(factory, notes, point):
    id_ = host.new_id()
    config = notes.config(config_for(factory), failing(notes, point))
    with pytest.raises(HookFailed, match=rf"{point}\[1\]"):
        factory.run(id_, config, stdin=DEVNULL)
    assert notes.order[-3:] == ["poststop0", "poststop1", "poststop2"]
    nothing_is_left(factory, id_)


def test_poststop_is_a_warning_and_the_others_go_on(factory, notes):
    id_ = host.new_id()
    config = notes.config(config_for(factory), failing(notes, "poststop"))
    container = factory.run(id_, config, stdin=DEVNULL)
    words = r"run the hook poststop\[1\] /bin/busybox: exited with status 3; its stderr: oops"
    with pytest.warns(HookWarning, match=f"destroy container '{id_}': {words}"):
        container.destroy(force=True)
    assert notes.order[-2:] == ["poststop0", "poststop2"]
    nothing_is_left(factory, id_)
    destroyed = factory.history(id_)[-1]
    assert (destroyed.trigger, destroyed.outcome) == ("destroy", "committed")
    assert "exited with status 3" in destroyed.steps[-2].result["warning"]


def test_poststop_hooks_that_fail_in_an_undo_are_told_beside_the_error(process_factory, notes):
    hooks = {"prestart": [shell("exit 1")], "poststop": [shell("exit 2"), shell("exit 4")]}
    config = notes.config(config_for(process_factory), hooks)
    with pytest.raises(HookFailed, match=r"prestart\[0\].* status 1") as caught:
        process_factory.create(host.new_id(), config, stdin=DEVNULL)
    assert "poststop[0] /bin/busybox: exited with status 2" in caught.value.detail()


@pytest.mark.parametrize("point", POINTS)
def test_one_that_cannot_be_executed_is_named(factory, notes, tmp_path, point):
    path = tmp_path / "hook"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    config = notes.config(config_for(factory), {point: [{"path": str(path)}]})
    words = rf"run the hook {point}\[0\] {path}: No such file or directory \(ENOENT\)"

    def live() -> None:
        with factory.run(host.new_id(), config, stdin=DEVNULL):
            pass

    if point == "poststop":
        with pytest.warns(HookWarning, match=words):
            live()
    else:
        with pytest.raises(HookFailed, match=words):
            live()
    assert factory.list() == []


def test_what_it_says_is_bounded_and_does_nothing_to_a_terminal(factory, notes):
    script = r"""
        i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done >&2
        printf 'a\033[2Jb\rc\a\342\200\256d\377e\000f\n\n\tlast' >&2; exit 1
    """
    for point in ("prestart", "createContainer"):
        config = notes.config(config_for(factory), {point: [shell(script)]})
        with pytest.raises(HookFailed) as caught:
            factory.create(host.new_id(), config, stdin=DEVNULL)
        text = str(caught.value)
        assert text.isprintable(), point
        assert len(text) < 6000, point
        assert "line 2999 | a\\x1b[2Jb | c\\x07\\u202ed\ufffde" in text, point
        assert text.endswith("| last"), point


def test_the_first_one_is_looked_for_before_anything_is_made(factory, notes, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    for path, words in (
        ("/no/such/hook", "'/no/such/hook': No such file or directory; expected an executable"),
        (str(plain), "is not an executable file"),
        (str(tmp_path), "is not an executable file"),
    ):
        for point in AT_CREATE:
            hooks = {point: [{"path": path}], "poststop": [notes.mark("poststop")]}
            id_ = host.new_id()
            with pytest.raises(ConfigInvalid) as caught:
                factory.create(id_, notes.config(config_for(factory), hooks), stdin=DEVNULL)
            assert f"$.hooks.{point}[0].path: " in str(caught.value)
            assert words in str(caught.value)
            with pytest.raises(ContainerNotExists):
                factory.history(id_)
    assert notes.order == []


def test_one_may_be_made_by_another_before_it(factory, notes, tmp_path):
    path = tmp_path / "made"
    make = f"printf '#!/bin/busybox sh\\necho made >> {notes.directory}/order' > {path}"
    hooks = {
        "prestart": [shell(f"{make}; /bin/busybox chmod 755 {path}")],
        "createContainer": [{"path": str(path)}],
        "poststop": [{"path": str(path)}],
    }
    with factory.create(host.new_id(), notes.config(config_for(factory), hooks), stdin=DEVNULL):
        assert notes.order == ["made"]
    assert notes.order == ["made", "made"]
