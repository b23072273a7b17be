"""Whoever prepares bind mounts for init may be killed at any line, and nothing is left."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from runstate.errors import ContainerNotExists, OperationFailed
from tests import host, killing
from tests.mounts.conftest import bind

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

_POINTS = 30
_ROOMS = ("handlers/fs", "linux/idmapped", "linux/launcher", "linux/handshake")
_MAP = [{"containerID": 0, "hostID": 1000, "size": 10}]


@pytest.fixture(autouse=True)
def reaped(clean_host: host.Snapshot) -> Iterator[None]:  # noqa: ARG001 - reap before it looks
    """Nobody is left when the host is looked at."""
    yield
    killing.reap()


@pytest.fixture
def mounts(place):
    """One with mappings of its own, one with the container's, one out of reach."""
    (place / "data").mkdir()
    (place / "hidden" / "inner").mkdir(parents=True)
    (place / "hidden").chmod(0o700)
    return [
        {**bind(place / "data", "/a", "idmap"), "uidMappings": _MAP, "gidMappings": _MAP},
        bind(place / "data", "/b", "rbind", "ridmap"),
        bind(place / "hidden" / "inner", "/c"),
    ]


def test_a_create_killed_while_it_opens_mounts_leaves_nothing(user_boxes, mounts, root):
    factory = user_boxes.factory
    config = user_boxes.config("sleep", "1000", mounts=mounts)
    id_ = host.new_id()

    def create() -> None:
        factory.create(id_, config, stdin=-3, stdout=-3, stderr=-3)

    def gone() -> bool:
        factory.list()
        try:
            factory.load(id_).destroy(force=True)
        except ContainerNotExists:
            return True
        return False

    before = host.take(root)
    total = killing.count_lines(create, *_ROOMS)
    assert not gone()
    outcomes = set()
    for line in killing.sample(total, _POINTS):
        killing.killed_at(create, line, *_ROOMS)
        outcomes.add(gone())
        killing.reap()
        host.assert_same(before, root)
    assert True in outcomes


def test_a_create_that_fails_after_it_leaves_nothing_either(user_boxes, mounts, root):
    before = host.take(root)
    fitting_nowhere = {"destination": "/d", "type": "nosuchfs", "source": "x"}
    for last in (fitting_nowhere, bind("/proc/sys", "/d", "idmap")):
        with pytest.raises(OperationFailed, match=r"nosuchfs|cannot be mapped"):
            user_boxes.create(mounts=[*mounts, last])
        host.assert_same(before, root)


def test_a_create_whose_program_is_missing_leaves_nothing(user_boxes, mounts, root):
    before = host.take(root)
    with suppress(OperationFailed):
        user_boxes.create("/no/such/program", mounts=mounts)
        pytest.fail("there was such a program")
    host.assert_same(before, root)
    assert os.listdir(mounts[0]["source"]) == []
