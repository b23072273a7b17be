from __future__ import annotations

import attrs
import pytest

from runstate.states.state import ExitStatus, ProcessIdentity, SavedSubstate, State
from runstate.states.status import Status


@pytest.mark.parametrize(
    ("code", "signal", "returncode", "shell"),
    [
        (0, None, 0, 0),
        (3, None, 3, 3),
        (None, 9, -9, 137),
        (None, 15, -15, 143),
        (None, None, None, None),
    ],
)
def test_an_exit_reads_as_in_subprocess_and_as_in_a_shell(code, signal, returncode, shell):
    status = ExitStatus(code, signal, 0.0)
    assert (status.returncode, status.shell) == (returncode, shell)


def test_the_same_pid_started_at_another_time_is_another_process():
    assert ProcessIdentity(7, 100) != ProcessIdentity(7, 101)
    assert len({ProcessIdentity(7, 100), ProcessIdentity(7, 100)}) == 1


def test_a_change_is_a_new_state_and_leaves_the_old_one():
    none = SavedSubstate("none", None)
    old = State(
        "web", Status.CREATED, {}, 0.0, "/bundle", ProcessIdentity(7, 1), "boot", "linux",
        fs=none, network=none, exec=none,
    )  # fmt: skip
    new = attrs.evolve(old, status=Status.RUNNING)
    assert (old.status, new.status) == (Status.CREATED, Status.RUNNING)
    assert new.init == old.init
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        old.status = Status.STOPPED  # type: ignore[misc]
