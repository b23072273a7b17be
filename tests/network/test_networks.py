"""networks and routes: the interfaces that runstate makes for a container."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runstate import DEVNULL, Config, Factory
from runstate.errors import ConfigInvalid, OperationFailed, TransitionVetoed
from tests import host
from tests.network.conftest import Inside, ip, link, names

pytestmark = pytest.mark.root


def veth(number: int = 2, **more: Any) -> dict[str, Any]:
    return {"type": "veth", "name": "eth0", "address": f"192.0.2.{number}/24", **more}


def host_ends() -> set[str]:
    return {name for name in names() if name.startswith("rs")}


def test_two_containers_on_a_bridge_reach_each_other_and_the_host(config, start, bridge):
    more = {"bridge": bridge, "gateway": "192.0.2.1"}
    server = "echo hello | nc -l -p 7000"
    one = Inside(start(config("sh", "-c", f"{server}; sleep 1000", networks=[veth(2, **more)])))
    other = Inside(start(config(networks=[veth(3, **more)])))
    assert "1 packets received" in other.run("ping -c 1 -W 5 192.0.2.2")
    assert "1 packets received" in one.run("ping -c 1 -W 5 192.0.2.1")
    assert other.run("until nc 192.0.2.2 7000; do sleep 0.05; done") == "hello\n"


def test_the_container_s_end_is_as_the_config_says(config, start, bridge):
    network = veth(
        bridge=bridge,
        mtu=1400,
        txQueueLen=77,
        macAddress="02:00:00:00:00:07",
        gateway="192.0.2.1",
        ipv6Address="2001:db8::2/64",
        ipv6Gateway="fe80::1",
        hairpinMode=True,
    )
    inside = Inside(start(config(networks=[network])))
    found = inside.link("eth0")
    assert "UP" in found["flags"]
    assert (found["mtu"], found["txqlen"], found["address"]) == (1400, 77, "02:00:00:00:00:07")
    assert inside.addresses("eth0") == {"192.0.2.2/24", "2001:db8::2/64"}
    assert inside.routes() == {("default", "192.0.2.1", "eth0")}
    assert ("default", "fe80::1", "eth0") in inside.routes("-6")
    flags = {i["local"]: i for i in inside.ip("-6 address show dev eth0")[0]["addr_info"]}
    assert not flags["2001:db8::2"].get("tentative", False)


def test_the_host_s_end_is_a_port_of_the_bridge(config, start, bridge):
    ip(f"link set {bridge} mtu 1450")
    start(config(networks=[veth(bridge=bridge, hairpinMode=True, txQueueLen=77)]))
    (name,) = host_ends()
    found = link(name)
    assert "UP" in found["flags"]
    assert (found["master"], found["mtu"], found["txqlen"]) == (bridge, 1450, 77)
    assert found["linkinfo"]["info_slave_data"]["hairpin"] is True


def test_without_a_bridge_the_host_s_end_stands_alone_under_the_name_it_gets(config, start):
    inside = Inside(start(config(networks=[veth(hostInterfaceName="to-box")])))
    ip("address add 192.0.2.1/24 dev to-box")
    assert "master" not in link("to-box")
    assert "1 packets received" in inside.run("ping -c 1 -W 5 192.0.2.1")


def test_several_interfaces_and_a_long_id_make_names_that_fit(config, start):
    id_ = f"{host.new_id()}-{'long' * 60}"
    networks = [veth(2), {"type": "veth", "name": "eth1", "address": "198.51.100.2/24"}]
    container = start(config(networks=networks), id_)
    assert Inside(container).names() == {"lo", "eth0", "eth1"}
    assert len(host_ends()) == 2
    assert all(len(name) <= 15 for name in host_ends())


def test_routes_lead_where_the_config_says(config, start, bridge):
    routes = [
        {"destination": "198.51.100.0/24", "gateway": "192.0.2.1"},
        {"destination": "203.0.113.0/24", "interfaceName": "eth0", "source": "192.0.2.2"},
        {"destination": "2001:db8:7::/48", "interfaceName": "eth0"},
        {"gateway": "192.0.2.1", "interfaceName": "eth0"},
    ]
    inside = Inside(start(config(networks=[veth(bridge=bridge)], routes=routes)))
    assert inside.routes() == {
        ("198.51.100.0/24", "192.0.2.1", "eth0"),
        ("203.0.113.0/24", None, "eth0"),
        ("default", "192.0.2.1", "eth0"),
    }
    assert ("2001:db8:7::/48", None, "eth0") in inside.routes("-6")
    assert inside.ip("route get 203.0.113.5")[0]["prefsrc"] == "192.0.2.2"


@pytest.mark.parametrize(
    "networks", [[], [{"type": "loopback"}, {"type": "loopback", "name": "lo"}]]
)
def test_loopback_is_up_and_is_not_the_host_s_affair(config, start, networks):
    container = start(config(networks=networks))
    inside = Inside(container)
    assert inside.addresses("lo") == set()
    assert "1 packets received" in inside.run("ping -c 1 -W 5 127.0.0.1")
    assert container.state.network.options == {}
    steps = {step.name for record in container.history() for step in record.steps}
    assert not [name for name in steps if name.startswith("attach")]


def test_who_asks_for_no_interface_does_not_load_what_makes_them(rootfs, root):
    code = (
        "import sys; from runstate import DEVNULL, Config, Factory\n"
        f"config = Config.default(['sleep', '1000'], rootfs={str(rootfs)!r})\n"
        f"with Factory({root!r}).run({host.new_id()!r}, config, stdin=DEVNULL) as box:\n"
        "    box.stats()\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pyroute2" not in done.stdout
    assert "runstate" in done.stdout


def test_many_at_once_do_not_get_in_each_other_s_way(config, start, bridge):
    def live(number: int) -> set[str]:
        network = veth(number, bridge=bridge, gateway="192.0.2.1")
        with start(config(networks=[network])) as container:
            return Inside(container).addresses("eth0")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(live, range(10, 34)))
    assert found == [{f"192.0.2.{number}/24"} for number in range(10, 34)]
    assert names() == {"lo", bridge}


def test_an_event_loop_may_run_around_it(config, start, bridge):
    async def live() -> set[str]:
        with start(config(networks=[veth(bridge=bridge)])) as container:
            return Inside(container).addresses("eth0")

    assert asyncio.run(live()) == {"192.0.2.2/24"}
    assert names() == {"lo", bridge}


def test_a_container_in_a_user_namespace_has_its_interface_too(rootfs, start, bridge):
    data = Config.default(
        ["sleep", "1000"], rootfs=rootfs, env={"PATH": "/bin"}, rootless=True
    ).to_dict()
    data["networks"] = [veth(bridge=bridge)]
    container = start(Config.from_dict(data))
    assert Inside(container).addresses("eth0") == {"192.0.2.2/24"}
    container.destroy(force=True)
    assert names() == {"lo", bridge}


def test_what_the_interface_has_carried_is_counted(config, start, bridge):
    container = start(config(networks=[veth(bridge=bridge)]))
    Inside(container).run("ping -c 3 -i 0.1 -W 5 192.0.2.1")
    counted = container.stats().network["eth0"]
    assert counted.rx_packets >= 3
    assert counted.tx_packets >= 3
    assert counted.tx_bytes >= 3 * 84
    assert (counted.rx_errors, counted.tx_errors, counted.tx_dropped) == (0, 0, 0)


def test_what_nobody_wanted_is_counted_as_dropped(config, start):
    container = start(config(networks=[veth(hostInterfaceName="to-box")]))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("to-box", 0))
        for _ in range(5):
            sender.send(b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5" + bytes(46))
    shown = Inside(container).ip("-statistics link show dev eth0")[0]["stats64"]
    counted = container.stats().network["eth0"]
    assert counted.rx_dropped == shown["rx"]["dropped"] >= 5
    assert counted.rx_errors == shown["rx"]["errors"]
    assert counted.tx_dropped == shown["tx"]["dropped"]
    assert counted.tx_errors == shown["tx"]["errors"]


def test_a_plan_says_what_the_host_will_do_and_does_nothing(config, linux_factory, root):
    given = {"networks": [veth()], "routes": [{"interfaceName": "eth0"}]}
    ip("link add data type ifb")
    steps, _, _ = linux_factory.plan(config(devices={"data": {"name": "eth7"}}, **given))
    (attach,) = [step.describe() for step in steps if step.kind == "attach"]
    work = "move data in as eth7; make a pair, eth0 inside; set a route to everything"
    assert attach == f"attach the network by handler 'interfaces': {work}"
    assert names() == {"lo", "data"}
    assert host.files(root) == []
    ip("link del data")


# --- gone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [False, True])
def test_both_ends_are_gone_with_the_container(config, start, bridge, ended):
    container = start(config("true" if ended else "sleep", "1000", networks=[veth(bridge=bridge)]))
    if ended:
        container.wait(10)
    container.destroy(force=True)
    assert names() == {"lo", bridge}


def test_a_create_that_fails_leaves_no_interface(config, start, bridge):
    with pytest.raises(OperationFailed, match="/no/such/program"):
        start(config("/no/such/program", networks=[veth(bridge=bridge)]))
    assert names() == {"lo", bridge}


def test_a_hook_that_vetoes_leaves_no_interface(config, linux_factory, bridge):
    def veto(_event: object) -> None:
        raise PermissionError("not today")

    linux_factory.before("start")(veto)
    with pytest.raises(TransitionVetoed, match="not today"):
        linux_factory.run(host.new_id(), config(networks=[veth(bridge=bridge)]), stdin=DEVNULL)
    assert names() == {"lo", bridge}
    ip(f"link del {bridge}")


def test_another_process_removes_them(config, start, bridge, root):
    container = start(config(networks=[veth(bridge=bridge)]))
    command = [sys.executable, "-m", "runstate", "--root", root, "delete", "--force", container.id]
    subprocess.run(command, check=True, timeout=60)
    assert names() == {"lo", bridge}


# --- what the host cannot do ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "path", "words"),
    [
        (veth(bridge="absent"), "$.networks[0].bridge", "the host, which has no"),
        (veth(bridge="lo"), "$.networks[0].bridge", "a bridge of the host"),
        (veth(hostInterfaceName="br-test"), "$.networks[0].hostInterfaceName", "a free name"),
    ],
)
def test_what_the_host_lacks_is_named_before_anything_is_done(
    config, start, bridge, root, network, path, words
):
    with pytest.raises(ConfigInvalid) as caught:
        start(config(networks=[network]))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: expected")
    assert words in problem
    assert host.files(root) == []
    assert names() == {"lo", bridge}


def test_a_name_that_is_taken_in_the_meantime_is_named(config, linux_factory, bridge):
    def meanwhile(_event: object) -> None:
        ip("link add to-box type veth peer name somebody-s")

    linux_factory.before("create")(meanwhile)
    network = veth(hostInterfaceName="to-box", bridge=bridge)
    with pytest.raises(OperationFailed, match=r"'to-box' on the host and 'eth0' in the container"):
        linux_factory.create(host.new_id(), config(networks=[network]), stdin=DEVNULL)
    assert names() == {"lo", bridge, "to-box", "somebody-s"}
    ip("link del to-box")
    ip(f"link del {bridge}")


def test_a_container_whose_state_names_the_handler_by_its_old_name_is_found_and_destroyed(
    config, start, linux_factory
):
    container = start(config())
    path = f"{linux_factory.root}/{container.id}/state.json"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert text.count('"interfaces"') == 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace('"interfaces"', '"loopback"'))
    found = Factory(linux_factory.root, "linux").load(container.id)
    assert found.state.network.handler == "loopback"
    assert set(found.stats().network) == {"lo"}
    found.destroy(force=True)
    assert host.files(linux_factory.root) == []
