"""linux.netDevices: the host's interfaces move into the container, and back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runstate import Config, Factory
from runstate.errors import ConfigInvalid, OperationFailed
from tests import host
from tests.network.conftest import Inside, addresses, ip, link, names, routes

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.root

ALL = {"198.51.100.5/24", "2001:db8:51::5/64"}


def assert_back(name: str = "data") -> None:
    """The interface is on the host as the fixture made it."""
    found = link(name)
    assert "UP" in found["flags"]
    assert (found["mtu"], found["txqlen"], found["address"]) == (1400, 321, "02:00:00:00:00:0d")
    assert addresses(name) == ALL
    shown = ip(f"-4 address show dev {name}")[0]["addr_info"]
    labelled = [(i["broadcast"], i["label"]) for i in shown if i["scope"] == "global"]
    assert labelled == [("198.51.100.255", f"{name}:main")]
    assert routes() == {"203.0.113.0/24"}
    assert "2001:db8:113::/48" in routes("-6")


def test_an_interface_moves_in_with_its_addresses_under_the_name_that_is_asked_for(
    config, start, device
):
    container = start(config(devices={device: {"name": "eth7"}}))
    inside = Inside(container)
    assert "data" not in names()
    assert "wire" in names()
    assert inside.names() == {"lo", "eth7"}
    found = inside.link("eth7")
    assert "UP" in found["flags"]
    assert (found["mtu"], found["txqlen"], found["address"]) == (1400, 321, "02:00:00:00:00:0d")
    # Permanent ones of global scope, and no others, as the specification has it.
    assert inside.addresses("eth7") == ALL
    shown = inside.ip("-4 address show dev eth7")[0]["addr_info"]
    assert [info["local"] for info in shown] == ["198.51.100.5"]


def test_what_is_sent_through_it_arrives_at_once(config, start, device):
    ip("address add 198.51.100.9/24 dev wire")
    ip("address add 2001:db8:51::9/64 dev wire nodad")
    inside = Inside(start(config(devices={device: {}})))
    assert "1 packets received" in inside.run("ping -c 1 -W 5 198.51.100.9")
    assert "1 packets received" in inside.run("ping -c 1 -W 5 2001:db8:51::9")


def test_it_comes_back_as_it_was(config, start, device):
    container = start(config(devices={device: {"name": "eth7"}}))
    container.destroy(force=True)
    assert_back()


def test_it_comes_back_as_it_was_whatever_the_container_did_to_it(config, start, device):
    container = start(config(devices={device: {"name": "eth7"}}, capable=True))
    Inside(container).run(
        "ip link set eth7 down; ip link set eth7 address 02:00:00:00:00:ff mtu 900"
        " && ip link set eth7 name other && ip address flush dev other"
        " && ip address add 10.1.1.1/8 dev other && ip link set other up"
    )
    container.destroy(force=True)
    assert_back()


def test_a_user_namespace_gets_it_and_gives_it_back(rootfs, start, device):
    data = Config.default(["sleep", "1000"], rootfs=rootfs, rootless=True).to_dict()
    data["linux"]["netDevices"] = {device: {"name": "eth7"}}
    container = start(Config.from_dict(data))
    assert Inside(container).addresses("eth7") == ALL
    container.destroy(force=True)
    assert_back()


def test_one_that_was_down_and_a_bridge_s_port_is_so_again(config, start, bridge):
    ip("link add data type ifb")
    ip(f"link set data master {bridge}")
    container = start(config(devices={"data": {}}))
    assert "UP" in Inside(container).link("data")["flags"]
    container.destroy(force=True)
    assert "UP" not in link("data")["flags"]
    assert link("data")["master"] == bridge


def test_it_outlasts_the_container_s_last_process(config, start, device):
    container = start(config("true", devices={device: {}}))
    container.wait(10)
    assert container.status == "stopped"
    assert "data" not in names()
    container.destroy()
    assert_back()


def test_another_process_gives_it_back(config, start, device, root):
    container = start(config(devices={device: {"name": "eth7"}}))
    runstate(root, "delete", "--force", container.id)
    assert_back()


def test_a_process_in_another_network_namespace_gives_it_back(config, start, device, root):
    container = start(config(devices={device: {"name": "eth7"}}))
    runstate(root, "delete", "--force", container.id, through=("unshare", "--net"))
    assert_back()


def test_a_mount_namespace_that_does_not_see_the_pins_gives_it_back_while_init_lives(
    config, start, device, linux_factory
):
    container = start(config(devices={device: {"name": "eth7"}}))
    for name in ("netns", "netns-host"):
        subprocess.run(["umount", f"{linux_factory.root}/{container.id}/{name}"], check=True)
    container.destroy(force=True)
    assert_back()


def runstate(root: str, *words: str, through: Iterable[str] = ()) -> None:
    command = [*through, sys.executable, "-m", "runstate", "--root", root, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_kernel_numbers_a_template(config, start, device):
    ip("link add second type ifb")
    container = start(config(devices={device: {"name": "net%d"}, "second": {"name": "net%d"}}))
    assert Inside(container).names() == {"lo", "net0", "net1"}
    container.destroy(force=True)
    assert_back()
    assert "second" in names()


def test_two_containers_have_the_interface_one_after_the_other(config, start, device):
    for _ in range(2):
        with start(config(devices={device: {"name": "eth0"}})) as container:
            assert "eth0" in Inside(container).names()
    assert_back()


# --- when it cannot come back as it was --------------------------------------------------------


def test_where_its_name_is_taken_meanwhile_it_comes_back_under_another(config, start, device):
    container = start(config(devices={device: {}}))
    ip("link add data type ifb")
    with pytest.raises(OperationFailed, match=r"'data'.*another of that name.*'dev0'"):
        container.destroy(force=True)
    assert_back("dev0")
    container.destroy(force=True)
    ip("link del data")
    assert names() == {"lo", "wire", "dev0"}


def test_what_the_container_has_removed_is_not_missed(config, start):
    ip("link add data type ifb")
    container = start(config(devices={"data": {}}, capable=True))
    Inside(container).run("ip link del data")
    container.destroy(force=True)
    assert names() == {"lo"}


def test_what_the_container_has_put_in_its_place_does_not_come_out(config, start):
    ip("link add data type ifb")
    container = start(config(devices={"data": {}}, capable=True))
    inside = Inside(container)
    index = inside.link("data")["ifindex"]
    inside.run("ip link del data")
    inside.ip(f"link add data index {index} type veth peer name spy index 77")
    container.destroy(force=True)
    assert names() == {"lo"}


# --- what cannot be done -----------------------------------------------------------------------


def test_an_interface_that_the_host_has_not_is_named_before_anything_is_done(config, start, root):
    with pytest.raises(ConfigInvalid) as caught:
        start(config(devices={"absent": {}, "lost": {"name": "eth0"}}))
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "$.linux.netDevices.absent",
        "$.linux.netDevices.lost",
    ]
    assert host.files(root) == []


def test_a_bridge_stays_where_it_is(config, start, bridge):
    with pytest.raises(ConfigInvalid, match=r'netDevices\["br-test"\].*can be moved.*bridge'):
        start(config(devices={bridge: {}}))


def test_the_host_s_own_network_is_nowhere_to_move_to(config, start, device):
    data = config(devices={device: {}}).to_dict()
    data["linux"]["namespaces"] = [
        namespace for namespace in data["linux"]["namespaces"] if namespace["type"] != "network"
    ]
    with pytest.raises(ConfigInvalid, match=r'\$\.linux\.netDevices: .*type "network"'):
        start(Config.from_dict(data))
    assert_back()


@pytest.mark.parametrize(
    "without",
    [
        ("setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"),
        # Root of a user namespace has every right, but not over the network of others.
        ("unshare", "--user", "--map-root-user"),
    ],
)
def test_without_the_right_to_it_is_an_error_before_anything_is_done(
    config, device, root, tmp_path, without
):
    (tmp_path / "config.json").write_text(json.dumps(config(devices={device: {}}).to_dict()))
    command = ("-m", "runstate", "--root", root, "plan", str(tmp_path))
    done = subprocess.run(
        [*without, sys.executable, *command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "$.linux.netDevices: needs CAP_NET_ADMIN" in done.stderr
    assert_back()


def test_a_create_that_fails_later_gives_it_back(config, start, device, bridge):
    network = {"type": "veth", "name": "eth0", "bridge": bridge, "address": "192.0.2.9/24"}
    unreachable = {"destination": "10.0.0.0/8", "gateway": "10.9.9.9"}
    with pytest.raises(OperationFailed, match=r"route to 10\.0\.0\.0/8 through 10\.9\.9\.9.*reach"):
        start(config(devices={device: {}}, networks=[network], routes=[unreachable]))
    assert_back()
    assert names() == {"lo", "data", "wire", bridge}


def test_after_a_reboot_only_the_names_are_left_to_clean(config, start, device, linux_factory):
    container = start(config(devices={device: {}}))
    directory = f"{linux_factory.root}/{container.id}"
    with open(f"{directory}/state.json", encoding="utf-8") as file:
        text = file.read()
    boot = container.state.network.options["boot_id"]
    container.signal(9)
    container.wait(10)
    with open(f"{directory}/state.json", "w", encoding="utf-8") as file:
        file.write(text.replace(boot, "00000000-0000-0000-0000-000000000000"))
    Factory(linux_factory.root, "linux").load(container.id).destroy(force=True)
    deadline = time.monotonic() + 10
    while names() != {"lo"} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert names() == {"lo"}  # its namespace is gone, and the pair with it


def test_a_route_that_leads_nowhere_by_now_is_left_out_and_on_record(
    config, start, device, linux_factory
):
    container = start(config(devices={device: {}}))
    ip("address add 2001:db8:51::9/64 dev wire nodad")  # the gateway is the host itself now
    container.destroy(force=True)
    assert addresses("data") == ALL
    assert routes() == {"203.0.113.0/24"}
    assert "2001:db8:113::/48" not in routes("-6")
    (journal,) = Path(linux_factory.root, ".history").glob(f"*{container.id}*")
    assert "route to 2001:db8:113:: through data" in journal.read_text()
