"""Reconciling is pure: every claim against everything that the host can say."""

from __future__ import annotations

from itertools import product

import pytest

from runstate.states.invariants import HostView, reconcile
from runstate.states.status import Status
from runstate.transitions.table import row

VIEWS = [
    HostView(init_alive=alive, waiting=waiting, frozen=frozen)
    for alive, waiting, frozen in product([True, False], repeat=3)
]
ALIVE = [status for status in Status if status.alive]


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("status", ALIVE)
def test_a_claim_of_life_without_init_is_settled_by_exited(status, view):
    assert (reconcile(status, view) == "exited") == (not view.init_alive)


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("status", [Status.STOPPED, Status.ABSENT])
def test_without_init_nothing_is_claimed(status, view):
    assert reconcile(status, view) is None


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("status", list(Status))
def test_what_settles_a_claim_is_legal_and_settling_ends(status, view):
    seen = [status]
    while (trigger := reconcile(seen[-1], view)) is not None:
        transition = row(trigger, seen[-1])
        assert transition is not None, f"{trigger} is illegal in {seen[-1]}"
        seen.append(transition.dest_from(seen[-1]))
        assert len(seen) == len(set(seen)), f"settling goes round: {seen}"


@pytest.mark.parametrize(
    ("status", "waiting", "frozen", "settled"),
    [
        ("created", True, False, "created"),
        ("created", False, False, "running"),
        ("created", False, True, "paused"),
        ("running", False, False, "running"),
        ("running", False, True, "paused"),
        ("pausing", False, False, "running"),
        ("pausing", False, True, "paused"),
        ("paused", False, True, "paused"),
        ("paused", False, False, "running"),
    ],
)
def test_a_claim_that_does_not_hold_becomes_what_the_kernel_says(status, waiting, frozen, settled):
    here, view = Status(status), HostView(init_alive=True, waiting=waiting, frozen=frozen)
    while (trigger := reconcile(here, view)) is not None:
        found = row(trigger, here)
        assert found is not None
        here = found.dest_from(here)
    assert here == settled
