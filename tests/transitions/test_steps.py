"""Steps are values: they survive a journal, and say the same before and after."""

from __future__ import annotations

import json

import pytest

from runstate.errors import StateInvalid
from runstate.transitions import hooks, steps

EXAMPLES = [
    steps.CreateSubstate("fs", "bundle"),
    steps.RunSubstate("exec", "linux"),
    steps.AttachNetwork("none"),
    steps.KeepNetwork("none"),
    steps.FinishExec("linux"),
    steps.DestroySubstate("network", "none"),
    steps.ReleaseInit(),
    steps.Freeze(),
    steps.Thaw(),
    steps.Kill(),
    steps.CollectExit(),
    steps.ApplyResources({"pids": {"limit": 3}}, {"/cgroup/pids.max": "5"}),
    steps.StartProcess(("ls", "-l")),
    hooks.RunHook("prestart", 0, "/hook"),
    hooks.RunPoststopHook("poststop", 1, "/hook"),
    hooks.PoststopIfUndone(("/hook", "/other")),
]


def test_there_is_an_example_of_every_step():
    assert {type(step) for step in EXAMPLES} == {
        *steps._KINDS.values(),
        *hooks.KINDS.values(),
    }


@pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: step.kind)
def test_a_step_comes_back_from_a_journal_as_it_was(step):
    read = steps.step_from_dict(json.loads(json.dumps(step.to_dict())))
    assert read.to_dict() == json.loads(json.dumps(step.to_dict())) or read == step
    assert read.describe() == step.describe()


@pytest.mark.parametrize("data", [{"step": "teleport"}, {"step": "create"}, {}])
def test_a_step_of_another_version_is_a_typed_error(data):
    with pytest.raises(StateInvalid, match="use the version that wrote it"):
        steps.step_from_dict(data)
