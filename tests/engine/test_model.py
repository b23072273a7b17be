"""Real containers against a model: random triggers, kills of init and reloads, in any order."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runstate import Factory
from runstate.engine.streams import DEVNULL
from runstate.errors import ContainerNotExists, ContainerNotPaused, IllegalTransition
from runstate.transitions.table import allowed
from tests import host
from tests.conftest import BACKENDS, config_for
from tests.legality import assert_legal

if TYPE_CHECKING:
    from runstate import Container

ACTIONS: dict[str, Any] = {
    "start": lambda container: container.start(),
    "pause": lambda container: container.pause(),
    "resume": lambda container: container.resume(),
    "exec": lambda container: container.exec(["true"], stdin=DEVNULL),
    "update": lambda container: container.update({"pids": {"limit": 99}}),
    "destroy": lambda container: container.destroy(),
}
LEADS_TO = {"start": "running", "pause": "paused", "resume": "running"}


class Containers(RuleBasedStateMachine):
    """The model is the status of each container, by id."""

    backend = "process"
    root = ""
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.factory = Factory(self.root, self.backend)
        self.containers: dict[str, Container] = {}
        self.model: dict[str, str] = {}

    def teardown(self) -> None:
        for id_ in self.model:
            with suppress(ContainerNotExists):
                self.factory.destroy(id_, force=True)
            assert assert_legal(self.factory.history(id_)) == "absent"
        self.containers.clear()

    @precondition(lambda self: [*self.model.values()].count("absent") + 3 > len(self.model))
    @rule(target=ids)
    def create(self) -> str:
        id_ = host.new_id()
        config = config_for(self.factory)
        self.containers[id_] = self.factory.create(
            id_, config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )
        self.model[id_] = "created"
        return id_

    @rule(id_=ids, trigger=st.sampled_from(list(ACTIONS)))
    def fire(self, id_: str, trigger: str) -> None:
        container, status = self.containers[id_], self.model[id_]
        legal = trigger in allowed(status)  # type: ignore[arg-type]
        if trigger == "update" and self.backend == "process":
            return
        if trigger == "destroy":
            legal = status == "stopped"
        if legal:
            ACTIONS[trigger](container)
            self.model[id_] = LEADS_TO.get(trigger, status)
            if trigger == "destroy":
                self.model[id_] = "absent"
            return
        written = self.journal(id_)
        with pytest.raises((IllegalTransition, ContainerNotExists)) as caught:
            ACTIONS[trigger](container)
        if isinstance(caught.value, IllegalTransition):
            assert (caught.value.status, caught.value.trigger) == (status, trigger)
            assert trigger == "destroy" or caught.value.allowed == allowed(status)  # type: ignore[arg-type]
        else:
            assert status == "absent"
        assert self.journal(id_) == written

    @rule(id_=ids)
    def kill_init(self, id_: str) -> None:
        container, status = self.containers[id_], self.model[id_]
        if status in ("stopped", "absent"):
            return
        pid = container.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        if status == "paused":
            # A version 1 cgroup dies when it is thawed; anything else is dead by now.
            with suppress(ContainerNotPaused):
                container.resume()
        assert container.wait(10) == -signal.SIGKILL
        self.model[id_] = "stopped"

    @rule(id_=ids)
    def reload(self, id_: str) -> None:
        if self.model[id_] == "absent":
            with pytest.raises(ContainerNotExists):
                Factory(self.root, self.backend).load(id_)
        else:
            self.containers[id_] = Factory(self.root, self.backend).load(id_)

    @rule(id_=ids)
    def destroy_by_force(self, id_: str) -> None:
        if self.model[id_] != "absent":
            self.containers[id_].destroy(force=True)
        self.model[id_] = "absent"

    def journal(self, id_: str) -> list[Any]:
        return [record.seq for record in self.factory.history(id_)]

    @invariant()
    def the_status_is_the_model_s(self) -> None:
        for id_, status in self.model.items():
            assert self.containers[id_].status == status

    @invariant()
    def the_list_is_the_model_s(self) -> None:
        living = {id_ for id_, status in self.model.items() if status != "absent"}
        assert {container.id for container in self.factory.list()} == living

    @invariant()
    def every_history_is_legal(self) -> None:
        for id_, status in self.model.items():
            assert assert_legal(self.factory.history(id_)) == status


@pytest.mark.parametrize("backend", BACKENDS)
def test_containers_do_what_the_model_does(root, clean_host, backend):  # noqa: ARG001
    class Machine(Containers):
        pass

    Machine.root, Machine.backend = root, backend
    bounded = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=bounded)
