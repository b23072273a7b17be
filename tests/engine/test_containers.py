"""What a factory and a container offer besides transitions: finding, running, reading, waiting."""

from __future__ import annotations

import subprocess

import pytest

from runstate import PIPE, STDOUT, Factory
from runstate.engine.streams import DEVNULL
from runstate.errors import ConfigInvalid, ContainerNotExists, NotSupported, OperationFailed
from tests import host
from tests.legality import assert_legal


def test_leaving_the_with_block_destroys_the_container(make, root):
    before = host.take(root)
    with make.running() as container:
        assert container.status == "running"
    assert container.status == "absent"
    host.assert_same(before, root)


def test_an_error_in_the_with_block_is_the_one_that_is_seen(make, root):
    before = host.take(root)
    with pytest.raises(ZeroDivisionError), make.running():
        _ = 1 / 0
    host.assert_same(before, root)


def test_a_run_that_cannot_start_leaves_nothing(make, root):
    before = host.take(root)
    with pytest.raises(OperationFailed):
        make.factory.run(host.new_id(), make.config("/etc/hostname"), stdin=DEVNULL)
    host.assert_same(before, root)


def test_what_the_program_reads_and_writes_goes_through_pipes(make):
    config = make.config("sh", "-c", "read line; echo got $line; echo trouble >&2; exit 3")
    container = make.factory.run(host.new_id(), config, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    with container:
        container.stdin.write(b"it\n")
        container.stdin.close()
        assert container.stdout.read() == b"got it\n"
        assert container.stderr.read() == b"trouble\n"
        assert container.wait(10) == 3


def test_nothing_can_be_read_after_the_container_was_destroyed(make):
    container = make.created()
    container.destroy(force=True)
    for ask in ("state", "config", "bundle", "notices"):
        with pytest.raises(ContainerNotExists):
            getattr(container, ask)


def test_a_list_has_all_containers_in_order(make):
    ids = [make.created().id for _ in range(3)]
    listed = make.factory.list()
    assert [container.id for container in listed] == sorted(ids)
    assert [container.status for container in listed] == ["created"] * 3


def test_another_factory_finds_the_same_container(make):
    container = make.running()
    found = Factory(make.factory.root, "process").load(container.id)
    assert found.state == container.state
    assert found.config == container.config
    assert found.bundle == container.bundle
    found.pause()
    assert container.status == "paused"


def test_the_history_outlives_the_container(make):
    container = make.running()
    container.destroy(force=True)
    history = make.factory.history(container.id)
    assert [record.trigger for record in history] == ["create", "start", "destroy"]
    assert assert_legal(history) == "absent"


def test_an_id_that_was_given_free_can_be_used_again(make):
    first = make.running()
    first.destroy(force=True)
    second = make.running(id=first.id)
    assert second.status == "running"
    assert [record.trigger for record in make.factory.history(first.id)] == ["create", "start"]
    assert_legal(second.history())


def test_a_long_id_is_as_good_as_any(make, root):
    before = host.take(root)
    id_ = host.new_id() + "-" + "x" * (1023 - len(host.new_id()))
    container = make.running(id=id_)
    assert make.factory.load(id_).status == "running"
    assert [found.id for found in make.factory.list()] == [id_]
    container.destroy(force=True)
    host.assert_same(before, root)


@pytest.mark.root
def test_a_container_of_the_same_id_in_another_root_is_left_alone(make_linux, tmp_path):
    # Their cgroups would be the same one.
    container = make_linux.running()
    other = Factory(tmp_path / "other", "linux")
    with pytest.raises(ConfigInvalid, match="has processes of somebody else in it"):
        other.create(container.id, make_linux.config(), stdin=DEVNULL)
    assert container.status == "running"
    assert container.processes() == [container.pid]
    assert other.list() == []


def test_a_plan_touches_nothing(make, root):
    before = host.take(root)
    steps, operations, _notices = make.factory.plan(make.config("true"))
    assert len(steps) == 6
    assert operations
    assert all(step.describe() for step in (*steps, *operations))
    host.assert_same(before, root)


# --- further processes ------------------------------------------------------------------------


def test_exec_is_like_subprocess_run(make):
    container = make.running()
    done = container.exec(
        ["sh", "-c", "cat; echo $COLOUR; pwd; exit 2"],
        input="in\n",
        capture_output=True,
        text=True,
        env={"COLOUR": "red"},
        cwd="/usr",
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "in\nred\n/usr\n", "")
    with pytest.raises(subprocess.CalledProcessError):
        container.exec(["false"], check=True, stdin=DEVNULL)


def test_an_exec_that_takes_too_long_is_killed(make, root):
    container = make.running()
    before = host.take(root)
    with pytest.raises(subprocess.TimeoutExpired):
        container.exec(["sleep", "1000"], timeout=0.05, stdin=DEVNULL)
    assert container.processes() == [container.pid]
    if "linux" in repr(make.factory):  # the other keeps a record of each
        host.assert_same(before, root)


def test_popen_gives_a_process_to_talk_to(make):
    container = make.running()
    with container.popen(["cat"], stdin=PIPE, stdout=PIPE, stderr=STDOUT, text=True) as process:
        assert process.pid in container.processes()
        assert process.poll() is None
        assert process.communicate("hello\n", 10) == ("hello\n", None)
    assert process.returncode == 0


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_process_can_be_ended(make, end):
    with make.running().popen(["sleep", "1000"], stdin=DEVNULL) as process:
        getattr(process, end)()
        assert process.wait(10) == {"terminate": -15, "kill": -9}[end]


def test_much_output_is_read_while_much_input_is_written(make):
    data = b"x" * 1_000_000
    done = make.running().exec(["cat"], input=data, capture_output=True)
    assert done.stdout == data


def test_processes_of_exec_end_with_the_container(make, root):
    before = host.take(root)
    container = make.running()
    with container.popen(["sh", "-c", "sleep 1000 & sleep 1000"], stdin=DEVNULL) as process:
        container.destroy(force=True)
        assert process.wait(10) == -9
    del process
    host.assert_same(before, root)


def test_capturing_excludes_streams(make_process):
    with pytest.raises(NotSupported, match="capture_output excludes"):
        make_process.running().exec(["true"], capture_output=True, stdout=PIPE)


def test_stats_count_the_processes(make):
    container = make.running()
    stats = container.stats()
    assert stats.processes == 1
    if "linux" in repr(make.factory):
        assert set(stats.network) == {"lo"}
        assert stats.cgroup is not None
