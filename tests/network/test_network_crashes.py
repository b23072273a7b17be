"""A process that is killed at work on a network leaves nothing: who comes next repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import runstate.handlers.network.giving_back
import runstate.handlers.network.missing  # noqa: F401 - loaded once, not in each killed child
from runstate import DEVNULL, Factory
from runstate.errors import ContainerNotExists
from tests import host, killing
from tests.network.conftest import addresses, link, names, routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runstate import Config, Container

pytestmark = pytest.mark.root

ROOMS = ("handlers/network/", "linux/interfaces", "linux/netlink", "linux/pins")


@pytest.fixture(autouse=True)
def reaped(clean_host: host.Snapshot) -> Iterator[None]:  # noqa: ARG001 - reap before it looks
    yield
    killing.reap()


@pytest.fixture
def everything(config: Callable[..., Config], device: str, bridge: str) -> Config:
    """A config with an interface of the host's, a pair, and routes."""
    pair = {"type": "veth", "name": "eth0", "bridge": bridge, "address": "192.0.2.2/24"}
    route = {"destination": "10.0.0.0/8", "gateway": "192.0.2.1"}
    return config(devices={device: {"name": "eth7"}}, networks=[pair], routes=[route])


def make(root: str, config: Config, id_: str) -> Container:
    return Factory(root, "linux").run(id_, config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)


def load(root: str, id_: str) -> Container | None:
    """The container as another process finds it, once it is repaired; None if it is gone."""
    factory = Factory(root, "linux")
    factory.list()
    try:
        return factory.load(id_)
    except ContainerNotExists:
        return None


def on_host() -> dict[str, Any]:
    found = link("data")
    return {
        "names": names(),
        "up": "UP" in found["flags"],
        "size": (found["mtu"], found["txqlen"], found["address"]),
        "addresses": addresses("data"),
        "routes": routes() | routes("-6"),
    }


def test_a_create_killed_anywhere_is_undone_or_whole(start, everything, root):  # noqa: ARG001
    id_ = host.new_id()
    before, snapshot = on_host(), host.take(root)

    def create() -> None:
        make(root, everything, id_)

    total = killing.count_lines(create, *ROOMS)
    found = load(root, id_)
    assert found is not None
    found.destroy(force=True)
    outcomes = set()
    for line in killing.sample(total, 24):
        killing.killed_at(create, line, *ROOMS)
        container = load(root, id_)
        outcomes.add(container is not None)
        if container is not None:
            container.destroy(force=True)
        killing.reap()
        assert on_host() == before, line
        host.assert_same(snapshot, root)
    assert False in outcomes


def test_a_destroy_killed_anywhere_is_finished_by_the_next(start, everything, root):  # noqa: ARG001
    id_ = host.new_id()
    before = on_host()

    def destroy() -> None:
        Factory(root, "linux").load(id_).destroy(force=True)

    make(root, everything, id_)
    total = killing.count_lines(destroy, *ROOMS)
    for line in killing.sample(total, 16):
        make(root, everything, id_)
        killing.killed_at(destroy, line, *ROOMS)
        container = load(root, id_)
        if container is not None:
            container.destroy(force=True)
        killing.reap()
        assert on_host() == before, line


def test_a_recovery_that_is_killed_itself_is_finished_by_the_next(start, everything, root):  # noqa: ARG001
    id_ = host.new_id()
    before = on_host()

    def create() -> None:
        make(root, everything, id_)

    def recover() -> None:
        assert load(root, id_) is None

    late = killing.count_lines(create, *ROOMS) * 9 // 10
    found = load(root, id_)
    assert found is not None
    found.destroy(force=True)
    killing.killed_at(create, late, *ROOMS)
    total = killing.count_lines(recover, *ROOMS)
    for line in killing.sample(total, 8):
        killing.killed_at(create, late, *ROOMS)
        killing.killed_at(recover, line, *ROOMS)
        assert load(root, id_) is None, line
        killing.reap()
        assert on_host() == before, line
