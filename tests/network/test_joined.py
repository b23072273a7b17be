"""A network namespace that is joined is somebody else's: what moves in stays, as the spec says."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Config, Factory
from runstate.errors import ConfigInvalid, ContainerNotExists, OperationFailed
from tests import host, killing
from tests.network.conftest import Inside, addresses, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runstate import Container

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def reaped(clean_host: host.Snapshot) -> Iterator[None]:  # noqa: ARG001 - reap before it looks
    yield
    killing.reap()


@pytest.fixture
def pod() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a network namespace of its own, which others may join."""
    ready = ["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"]
    with subprocess.Popen(ready, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def joining(config: Callable[..., Config], pod: subprocess.Popen[bytes]) -> Callable[..., Config]:
    """A config like any, but with the pod's network."""

    def make(*args: str, **given: Any) -> Config:
        data = config(*args, **given).to_dict()
        for namespace in data["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = f"/proc/{pod.pid}/ns/net"
        return Config.from_dict(data)

    return make


def in_pod(pod: subprocess.Popen[bytes], command: str) -> str:
    nsenter = ["nsenter", f"--net=/proc/{pod.pid}/ns/net"]
    return subprocess.run(
        [*nsenter, *command.split()], check=True, capture_output=True, text=True
    ).stdout


def test_an_interface_stays_in_a_namespace_that_is_another_s(start, joining, pod, device):
    container = start(joining(devices={device: {"name": "eth7"}}))
    assert Inside(container).addresses("eth7") == {"198.51.100.5/24", "2001:db8:51::5/64"}
    container.destroy(force=True)
    assert "data" not in names()
    assert "198.51.100.5/24" in in_pod(pod, "ip address show dev eth7")


def test_a_create_that_fails_takes_back_what_it_has_put_there(start, joining, pod, device):
    unreachable = {"destination": "10.0.0.0/8", "gateway": "10.9.9.9"}
    before = in_pod(pod, "ip link")
    with pytest.raises(OperationFailed, match="reach"):
        start(joining(devices={device: {"name": "eth7"}}, routes=[unreachable]))
    assert addresses("data") == {"198.51.100.5/24", "2001:db8:51::5/64"}
    assert in_pod(pod, "ip link") == before


def test_pairs_and_routes_of_the_container_go_with_it_and_the_pod_s_own_stay(start, joining, pod):
    in_pod(pod, "ip link set lo up")
    in_pod(pod, "ip link add own type ifb")
    in_pod(pod, "ip link set own up")
    in_pod(pod, "ip route add 10.1.0.0/16 dev own")
    before = in_pod(pod, "ip route")
    pair = {"type": "veth", "name": "eth0", "address": "192.0.2.2/24"}
    routes = [{"destination": "10.2.0.0/16", "interfaceName": "own"}]
    container = start(joining(networks=[pair], routes=routes))
    assert ("10.2.0.0/16", None, "own") in Inside(container).routes()
    container.destroy(force=True)
    assert in_pod(pod, "ip route") == before
    assert "eth0" not in in_pod(pod, "ip link")
    assert names() == {"lo"}


def test_a_route_that_the_pod_has_is_not_taken_over(start, joining, pod):
    in_pod(pod, "ip link set lo up")
    in_pod(pod, "ip route add 10.1.0.0/16 dev lo")
    with pytest.raises(OperationFailed, match="such a route already"):
        start(joining(routes=[{"destination": "10.1.0.0/16", "interfaceName": "lo"}]))
    assert "10.1.0.0/16" in in_pod(pod, "ip route")


def test_loopback_is_set_up_there_when_it_is_asked_for(start, joining, pod):
    start(joining(networks=[])).destroy(force=True)
    assert "UP" not in in_pod(pod, "ip link show dev lo").split(">")[0]
    start(joining(networks=[{"type": "loopback"}])).destroy(force=True)
    assert "UP" in in_pod(pod, "ip link show dev lo").split(">")[0]


def test_a_name_that_is_taken_there_is_refused_before_anything_is_done(
    start, joining, pod, device, root
):
    in_pod(pod, "ip link add eth7 type ifb")
    in_pod(pod, "ip link add eth0 type ifb")
    with pytest.raises(ConfigInvalid) as caught:
        start(
            joining(devices={device: {"name": "eth7"}}, networks=[{"type": "veth", "name": "eth0"}])
        )
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "$.linux.netDevices.data.name",
        "$.networks[0].name",
    ]
    assert host.files(root) == []
    assert "data" in names()


def test_the_host_s_own_namespace_by_its_path_is_refused(start, config, device):
    data = config(devices={device: {}}).to_dict()
    index = next(i for i, n in enumerate(data["linux"]["namespaces"]) if n["type"] == "network")
    data["linux"]["namespaces"][index]["path"] = f"/proc/{os.getpid()}/task/{os.getpid()}/ns/net"
    with pytest.raises(ConfigInvalid, match=rf"namespaces\[{index}\].*another than the host's"):
        start(Config.from_dict(data))
    assert "data" in names()


def test_whoever_is_killed_on_the_way_leaves_the_pod_as_it_was(start, joining, pod, device, root):  # noqa: ARG001
    rooms = ("handlers/network/attaching",)
    id_ = host.new_id()
    before = in_pod(pod, "ip link")

    def create() -> Container:
        factory = Factory(root, "linux")
        config = joining(devices={device: {"name": "eth7"}})
        return factory.create(id_, config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)

    def load() -> Container | None:
        factory = Factory(root, "linux")
        try:
            return factory.load(id_)
        except ContainerNotExists:
            return None

    total = killing.count_lines(create, *rooms)
    found = load()
    assert found is not None
    found.destroy(force=True)
    # It stayed there, as it should; for what follows it is needed here.
    in_pod(pod, f"ip link set eth7 netns {os.getpid()} name data")
    for line in killing.sample(total * 9 // 10, 8):  # where the last is, depends on the kernel
        assert killing.killed_at(create, line, *rooms)
        assert load() is None
        killing.reap()
        assert "data" in names()
        assert in_pod(pod, "ip link") == before
