"""Who is killed while joining, or while setting clocks, leaves nothing and keeps nobody waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runstate import DEVNULL, Factory
from runstate.errors import ContainerNotExists
from tests import host, killing
from tests.namespaces.conftest import root_map
from tests.namespaces.test_joining import path

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

ROOMS = ("handlers/exec", "linux/launcher.py", "linux/namespaces.py")


@pytest.fixture(autouse=True)
def reaped(clean_host: host.Snapshot) -> Iterator[None]:  # noqa: ARG001 - reap before it looks
    """Nobody is left when the host is looked at."""
    yield
    killing.reap()


@pytest.mark.parametrize("kind", ["joined", "made"])
def test_a_create_that_is_killed_on_the_way_is_undone_or_whole(make_in, root, kind):
    pause = make_in.run(make_in.config())
    if kind == "joined":
        shared = ("network", "ipc", "uts", "pid", "cgroup")
        config = make_in.config(time=None, **{name: path(pause, name) for name in shared})
    else:
        config = make_in.config(time=None, user=None)
        config["linux"] |= root_map()
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000}}
    id_ = host.new_id()

    def create() -> None:
        make_in.factory.create(id_, config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)

    before = host.take(root)
    total = killing.count_lines(create, *ROOMS)
    Factory(root).load(id_).destroy(force=True)
    outcomes = set()
    for line in killing.sample(total, 12):
        killing.killed_at(create, line, *ROOMS)
        factory = Factory(root)
        factory.list()
        try:
            container = factory.load(id_)
        except ContainerNotExists:
            outcomes.add("undone")
        else:
            outcomes.add(container.status)
            container.start()
            container.destroy(force=True)
        killing.reap()
        host.assert_same(before, root)
    assert "undone" in outcomes
    assert outcomes <= {"undone", "created"}
    assert pause.status == "running"
