"""Each guard's refusal: what it says, and that nothing has changed."""

from __future__ import annotations

import os

import attrs
import pytest

from runstate import Backend, Config
from runstate.errors import (
    ConfigInvalid,
    ContainerNotStopped,
    IdInUse,
    InvalidIdFormat,
    NoProcessOps,
    NotSupported,
)
from runstate.handlers import registry
from runstate.handlers.exec.process import ProcessExec
from runstate.states.status import Status
from runstate.transitions import guards
from runstate.transitions.table import TABLE
from tests import host
from tests.conftest import attempt


class PlainExec:
    """An exec handler with the contract's three functions and what starting needs, no more."""

    options_type = None

    def __init__(self) -> None:
        inner = ProcessExec()
        for name in ("create", "run", "destroy", "waiting", "release", "kill"):
            setattr(self, name, getattr(inner, name))


@pytest.fixture
def plain(make_factory, monkeypatch):
    """A container whose exec handler can neither freeze, nor update, nor exec."""
    monkeypatch.setattr(registry, "_registered", {("exec", "plain"): PlainExec})
    monkeypatch.setattr(registry, "_made", {})
    factory = make_factory(Backend("plain", "none", "none", "plain"))
    container = factory.run(host.new_id(), Config.minimal(["sleep", "1000"]))
    yield container
    container.destroy(force=True)


@pytest.mark.root
def test_can_exec_tells_of_broken_rules_along_with_what_cannot_be(make_linux):
    container = make_linux.running()
    base = attrs.evolve(container.config.process, env=("A",), command_line="x")
    with pytest.raises(ConfigInvalid) as caught:
        container.exec(["true"], process=base, cwd="x")
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "$.cwd",
        "$.env[0]",
        "$.process.commandLine",
    ]


def test_every_guard_of_the_table_has_a_test_here():
    tested = {
        guards.config_valid, guards.backend_can, guards.init_waiting, guards.init_not_waiting,
        guards.init_gone, guards.can_freeze, guards.can_update, guards.can_exec, guards.forced,
        guards.can_checkpoint, guards.image_matches,
    }  # fmt: skip
    assert {guard for row in TABLE for guard in row.guards} == tested


@pytest.mark.parametrize("id_", ["", ".", "..", "a/b", "a b", "ä", "x" * 1025, "a\0"])
def test_create_refuses_an_id_that_is_none(make_process, id_):
    with pytest.raises(InvalidIdFormat):
        make_process.factory.create(id_, make_process.config())


def test_create_refuses_an_id_that_is_in_use(make):
    container = make.running()
    with pytest.raises(IdInUse, match=container.id):
        make.created(id=container.id)
    assert container.status == "running"


def test_config_valid_names_the_place_of_what_breaks_the_spec(make):
    config = make.config()
    config = attrs.evolve(config, process=attrs.evolve(config.process, cwd="relative"))
    with pytest.raises(ConfigInvalid) as caught:
        make.factory.create(host.new_id(), config)
    assert any("$.process.cwd" in problem for problem in caught.value.problems)


@pytest.mark.root
def test_backend_can_names_what_the_host_has_not(make_linux):
    config = make_linux.config()
    root = attrs.evolve(config.root, path="/no/such/rootfs")
    with pytest.raises(ConfigInvalid, match=r"\$\.root\.path: '/no/such/rootfs'"):
        make_linux.factory.create(host.new_id(), attrs.evolve(config, root=root))


class MachineExec(ProcessExec):
    """An exec handler that takes a virtual machine's section."""

    takes = frozenset({"vm"})


def test_backend_can_refuses_a_virtual_machine_unless_a_handler_takes_it(make_factory, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {("exec", "machine"): MachineExec})
    monkeypatch.setattr(registry, "_made", {})
    config = attrs.evolve(Config.minimal(["true"]), vm={"kernel": {"path": "/k"}}, zos={"a": 1})

    with pytest.raises(ConfigInvalid) as caught:
        make_factory().create(host.new_id(), config)
    assert [problem[:6] for problem in caught.value.problems] == ["$.vm: ", "$.zos:"]
    taking = make_factory(Backend("machine", "none", "none", "machine"))
    with pytest.raises(ConfigInvalid) as caught:
        taking.create(host.new_id(), config)
    assert [problem[:6] for problem in caught.value.problems] == ["$.zos:"]
    with taking.create(host.new_id(), attrs.evolve(config, zos=None)) as container:
        assert container.config.vm == {"kernel": {"path": "/k"}}
        assert container.state.config["vm"] == {"kernel": {"path": "/k"}}


def test_what_breaks_the_spec_and_what_the_backend_cannot_do_are_one_report(make):
    config = make.config()
    config = attrs.evolve(
        config,
        process=attrs.evolve(config.process, cwd="relative"),
        freebsd={"devices": [5]},
    )
    with pytest.raises(ConfigInvalid) as caught:
        make.factory.create(host.new_id(), config)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "$.process.cwd",
        "$.freebsd",
    ]


def test_init_waiting_refuses_an_init_that_does_not_wait(make):
    container = make.running()
    too_late = attempt(container, "start", Status.CREATED)
    with pytest.raises(NoProcessOps, match="does not wait to be started"):
        container._lifecycle.fire(too_late, None)


def test_init_not_waiting_refuses_an_init_that_waits(make):
    container = make.created()
    with pytest.raises(NoProcessOps, match="still waits to be started"):
        container._fire("started")
    assert container.status == "created"


def test_init_gone_refuses_an_init_that_lives(make):
    container = make.running()
    with pytest.raises(ContainerNotStopped, match=f"process {container.pid}"):
        container._fire("exited")


def test_can_freeze_refuses_a_handler_that_cannot(plain):
    with pytest.raises(NotSupported, match=r"pause container .* handler 'plain' cannot do that"):
        plain.pause()
    assert plain.status == "running"


def test_can_update_refuses_a_handler_that_cannot(make_process):
    container = make_process.running()
    with pytest.raises(NotSupported, match=r"update container .* handler 'process' cannot do that"):
        container.update({"pids": {"limit": 1}})


@pytest.mark.root
@pytest.mark.parametrize(
    "resources", [{"pids": {"limit": "many"}}, {"memory": 7}, {"cpu": {"cpus": []}}]
)
def test_can_update_refuses_what_is_no_limit(make_linux, resources):
    container = make_linux.running()
    with pytest.raises(ConfigInvalid):
        container.update(resources)
    assert container.status == "running"


def test_can_exec_refuses_a_handler_that_cannot(plain):
    with pytest.raises(NotSupported, match=r"exec container .* handler 'plain' cannot do that"):
        plain.exec(["true"])


@pytest.mark.parametrize(
    ("args", "options", "place"), [((), {}, "args"), (("true",), {"cwd": "x"}, "cwd")]
)
def test_can_exec_refuses_a_process_that_breaks_the_spec(make, args, options, place):
    container = make.running()
    base = attrs.evolve(container.config.process, args=())
    with pytest.raises(ConfigInvalid, match=place):
        container.exec(args, process=base, **options)


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_forced_refuses_to_destroy_what_lives(make, status):
    container = make.in_status(status)
    with pytest.raises(ContainerNotStopped, match="stop it first, or force it") as caught:
        container.destroy()
    assert caught.value.status == status
    os.kill(container.pid, 0)


@pytest.mark.parametrize(("status", "trigger"), [("running", "checkpoint"), ("stopped", "restore")])
def test_checkpoint_and_restore_say_that_they_are_not_there_yet(make, status, trigger):
    container = make.in_status(status)
    with pytest.raises(NotSupported, match=f"{trigger} container .*not supported yet"):
        container._fire(trigger)
    assert container.status == status


def test_runs_hooks_are_refused_where_the_exec_handler_runs_none(make_process, monkeypatch):
    hooks = {point: [{"path": "/bin/true"}] for point in ("createContainer", "startContainer")}
    config = Config.from_dict({**make_process.config().to_dict(), "hooks": hooks})
    monkeypatch.setattr(ProcessExec, "runs_hooks", False)
    with pytest.raises(ConfigInvalid) as caught:
        make_process.factory.create(host.new_id(), config)
    assert caught.value.problems == tuple(
        f"$.hooks.{point}: the exec handler 'process' cannot run hooks inside" for point in hooks
    )
