"""Each step of each transition fails in turn; the host must be as if nobody had asked."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import Config
from runstate.engine.streams import DEVNULL
from runstate.errors import (
    ConfigInvalid,
    ContainerNotExists,
    DeadlineExceeded,
    OperationFailed,
    RuntimeStateError,
)
from runstate.transitions import steps
from tests import host
from tests.legality import assert_legal

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate import Container
    from tests.conftest import Maker

ERRORS = [DeadlineExceeded, OSError, KeyboardInterrupt]


class Sabotage:
    """Makes the n-th step of what follows fail, before or after its act.

    Attributes:
        target: Which step, from 0; -1: none.
        after: Whether it acts before it fails.
        error: The class of what it fails with.
        acted: How many steps have been asked to act.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.target = -1
        self.after = False
        self.error: type[BaseException] = OSError
        self.acted = 0
        for step in steps._KINDS.values():
            monkeypatch.setattr(step, "act", self._wrap(step.act))

    def _wrap(self, act: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        def failing(step: steps.Step, attempt: Any) -> dict[str, Any]:
            number, self.acted = self.acted, self.acted + 1
            if number != self.target:
                return act(step, attempt)
            if self.after:
                act(step, attempt)
            raise (
                OSError(errno.EIO, "injected") if self.error is OSError else self.error("injected")
            )

        return failing

    def arm(self, target: int, error: type[BaseException], *, after: bool) -> None:
        self.target, self.error, self.after, self.acted = target, error, after, 0

    def disarm(self) -> None:
        self.target = -1

    def expect(self, action: Callable[[], object]) -> BaseException:
        """Run the action, which must fail with what was injected."""
        with pytest.raises(OperationFailed if self.error is OSError else self.error) as caught:
            action()
        told = caught.value.detail() if isinstance(caught.value, RuntimeStateError) else ""
        assert "injected" in (told or str(caught.value))
        self.disarm()
        return caught.value


@pytest.fixture
def sabotage(monkeypatch):
    """Steps that fail on order."""
    return Sabotage(monkeypatch)


def last_record(make: Maker, id_: str) -> Any:
    history = make.factory.history(id_)
    assert_legal(history)
    return history[-1]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(6))
def test_a_create_that_fails_leaves_nothing(make, root, sabotage, step, after, error):
    before = host.take(root)
    id_ = host.new_id()
    sabotage.arm(step, error, after=after)
    failure = sabotage.expect(lambda: make.created(id=id_))
    # The error is still held, and with it every frame on its way: that must keep nothing open.
    host.assert_same(before, root)
    with pytest.raises(ContainerNotExists):
        make.factory.load(id_)
    record = last_record(make, id_)
    outcomes = [step.outcome for step in record.steps]
    assert (record.trigger, record.outcome) == ("create", "rolled back")
    assert outcomes == ["done, undone"] * step + ["failed, undone"] + ["planned"] * (5 - step)
    assert make.created(id=id_).status == "created"
    del failure


def test_create_has_six_steps(make, sabotage):
    make.created()
    assert sabotage.acted == 6


TRANSITIONS: dict[str, tuple[str, Callable[[Container], object]]] = {
    "start": ("created", lambda container: container.start()),
    "freeze": ("running", lambda container: container.pause()),
    "resume": ("paused", lambda container: container.resume()),
    "exec": ("running", lambda container: container.exec(["sleep", "1000"], stdin=DEVNULL)),
    "exec in created": (
        "created",
        lambda container: container.exec(["sleep", "1000"], stdin=DEVNULL),
    ),
}
# A program that has run, or a process that has gone on, cannot be made not to have.
LEADS_ON = {("start", True): "running", ("resume", True): "running"}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_that_fails_leaves_the_container_as_it_was(
    make, root, sabotage, name, after, error
):
    status, action = TRANSITIONS[name]
    container = make.in_status(status)
    pid, before = container.pid, host.take(root)
    sabotage.arm(0, error, after=after)
    sabotage.expect(lambda: action(container))
    assert container.status == LEADS_ON.get((name, after), status)
    assert container.pid == pid
    if (name, after) != ("start", True):  # the fifo is gone, and init has another name
        host.assert_same(before, root)
    assert_legal(container.history())
    container.destroy(force=True)


@pytest.mark.root
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("former", [None, 77], ids=["unlimited", "limited"])
def test_an_update_that_fails_leaves_the_limits_as_they_were(
    make_linux, sabotage, error, after, former
):
    container = make_linux.running()
    if former:
        container.update({"pids": {"limit": former}})
    [path] = set(pids_max_files(container.id))
    assert read(path) == str(former or "max")
    sabotage.arm(0, error, after=after)
    sabotage.expect(lambda: container.update({"pids": {"limit": 55}}))
    assert read(path) == str(former or "max")
    container.update({"pids": {"limit": 66}})
    assert read(path) == "66"


def pids_max_files(id_: str) -> list[str]:
    found = []
    for mount_point in host.cgroup_mount_points():
        for directory, _, files in os.walk(mount_point):
            if directory.endswith(id_) and "pids.max" in files:
                found.append(f"{directory}/pids.max")
    return found


def read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("status", ["stopped", "paused"])
def test_a_destroy_that_fails_can_be_finished(make, root, sabotage, status, step, after, error):
    before = host.take(root)
    container = make.in_status(status)
    sabotage.arm(step, error, after=after)
    sabotage.expect(lambda: container.destroy(force=True))
    if error is not KeyboardInterrupt:
        assert sabotage.acted >= 4, "the steps after the one that failed were not tried"
    make.factory.load(container.id).destroy(force=True)
    host.assert_same(before, root)
    assert container.status == "absent"


# --- what really goes wrong -------------------------------------------------------------------


def test_a_missing_executable_is_named(make, root):
    before = host.take(root)
    with pytest.raises(OperationFailed, match=r"no-such-program.*ENOENT"):
        make.created("no-such-program")
    host.assert_same(before, root)


def test_a_file_that_is_no_program_stops_the_container(make):
    container = make.created("/etc/hostname")
    with pytest.raises(OperationFailed, match=r"/etc/hostname") as caught:
        container.start()
    assert caught.value.errno in (errno.EACCES, errno.ENOEXEC)
    assert container.status == "stopped"


def test_a_working_directory_that_is_a_file_is_named(make, root):
    before = host.take(root)
    config = make.config("true")
    config = attrs.evolve(config, process=attrs.evolve(config.process, cwd="/etc/hostname"))
    with pytest.raises(OperationFailed, match=r"/etc/hostname.*ENOTDIR"):
        make.factory.create(host.new_id(), config)
    host.assert_same(before, root)


@pytest.mark.root
@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (
            {"destination": "/mnt", "type": "nosuchfs", "source": "none", "options": ["nodev"]},
            r"mount nosuchfs none on /mnt, flags MS_NODEV: No such device \(ENODEV\)",
        ),
        (
            {"destination": "/mnt", "type": "tmpfs", "source": "t", "options": ["size=what"]},
            r"mount tmpfs t on /mnt, flags 0, data 'size=what',.*EINVAL.*Bad value for 'size'",
        ),
        (
            {"destination": "/etc/hostname/x", "type": "tmpfs", "source": "t"},
            r"mount tmpfs t on /etc/hostname/x.*ENOTDIR",
        ),
    ],
)
def test_a_mount_that_cannot_be_made_is_named(make_linux, root, mount, words):
    before = host.take(root)
    raw = make_linux.config().to_dict()
    raw["mounts"].append(mount)
    with pytest.raises(OperationFailed, match=words):
        make_linux.factory.create(host.new_id(), Config.from_dict(raw))
    host.assert_same(before, root)


@pytest.fixture
def vanishing(rootfs, tmp_path):
    """A config on a rootfs that may be taken away."""
    copy = tmp_path / "rootfs"
    shutil.copytree(rootfs, copy, symlinks=True)
    return copy, Config.default(["/bin/sleep", "1000"], rootfs=str(copy))


@pytest.mark.root
def test_a_rootfs_that_vanishes_before_the_first_step_is_named(linux_factory, root, vanishing):
    path, config = vanishing
    before = host.take(root)
    linux_factory.before("create")(lambda _event: shutil.rmtree(path))
    with pytest.raises(ConfigInvalid, match=str(path)):
        linux_factory.create(host.new_id(), config)
    host.assert_same(before, root)


@pytest.mark.root
def test_a_rootfs_that_vanishes_before_init_enters_it_is_named(
    linux_factory, root, vanishing, monkeypatch
):
    path, config = vanishing
    before = host.take(root)
    act = steps.RunSubstate.act

    def vanish(step, attempt):
        if step.room == "exec":
            shutil.rmtree(path)
        return act(step, attempt)

    monkeypatch.setattr(steps.RunSubstate, "act", vanish)
    with pytest.raises(OperationFailed, match=rf"{path}.*ENOENT"):
        linux_factory.create(host.new_id(), config)
    host.assert_same(before, root)


def test_an_init_that_is_killed_before_it_is_ready_is_a_typed_error(make, root, monkeypatch):
    before = host.take(root)
    act = steps.RunSubstate.act

    def kill(step, attempt):
        if step.room == "exec":
            child = attempt.context.substates["exec"].objects["child"]
            os.kill(child.identity.pid, 9)
        return act(step, attempt)

    monkeypatch.setattr(steps.RunSubstate, "act", kill)
    with pytest.raises(RuntimeStateError) as caught:
        make.created()
    assert caught.value.code in ("InitDied", "OperationFailed")
    host.assert_same(before, root)


def test_an_error_while_undoing_is_attached_to_the_first(make, monkeypatch, sabotage):
    def undo(_step, _attempt):
        raise OperationFailed("undo", "that fails too")

    monkeypatch.setattr(steps.RunSubstate, "undo", undo)
    sabotage.arm(5, DeadlineExceeded, after=True)
    with pytest.raises(DeadlineExceeded, match="injected") as caught:
        make.created()
    assert [str(error) for error in caught.value.cleanup_errors] == ["undo: that fails too"] * 3
    assert "while cleaning up: OperationFailed: undo: that fails too" in caught.value.detail()
