"""The rules of networks and routes: all that is wrong, each with its path."""

from __future__ import annotations

from typing import Any

import pytest

from runstate.config import Config, ContainerNetwork, Route
from runstate.config.validation import validate


def paths_of(config: Config) -> list[str]:
    return [problem.partition(": ")[0] for problem in validate(config)]


def veth(**more: Any) -> dict[str, Any]:
    return {"type": "veth", "name": "eth0", **more}


def test_they_are_sections_like_the_others(changed):
    network = veth(
        macAddress="02:00:00:00:00:07",
        mtu=1400,
        txQueueLen=77,
        address="192.0.2.2/24",
        gateway="192.0.2.1",
        ipv6Address="2001:db8::2/64",
        ipv6Gateway="2001:db8::1",
        bridge="br0",
        hostInterfaceName="box0",
        hairpinMode=True,
    )
    route = {
        "destination": "10.0.0.0/8",
        "source": "192.0.2.2",
        "gateway": "192.0.2.1",
        "interfaceName": "eth0",
    }
    config = changed({"networks": [{"type": "loopback"}, network], "routes": [route]})
    assert validate(config) == []
    assert config.networks[1].ipv6_address == "2001:db8::2/64"
    assert isinstance(config.networks[1], ContainerNetwork)
    assert isinstance(config.routes[0], Route)
    assert config.to_dict()["networks"] == [{"type": "loopback"}, network]
    assert config.to_dict()["routes"] == [route]
    assert Config.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ({"type": "ipvlan", "name": "eth0"}, ["type"]),
        ({"type": "veth"}, ["name"]),
        ({"type": "loopback", "name": "lo1", "mtu": 5}, ["name", "mtu"]),
        (veth(name="lo"), ["name"]),
        (veth(name="x" * 16), ["name"]),
        (veth(name="eth%d"), ["name"]),
        (veth(bridge="a/b", hostInterfaceName="a b"), ["bridge", "hostInterfaceName"]),
        (veth(macAddress="02:00:00:00:00"), ["macAddress"]),
        (veth(macAddress="01:00:00:00:00:01"), ["macAddress"]),
        (veth(macAddress="00:00:00:00:00:00"), ["macAddress"]),
        (veth(mtu=67), ["mtu"]),
        (veth(mtu=65536), ["mtu"]),
        (veth(mtu=1279, ipv6Address="2001:db8::2/64"), ["mtu"]),
        (veth(hairpinMode=True), ["hairpinMode"]),
        (veth(address="192.0.2.2"), ["address"]),
        (veth(address="192.0.2.2/33"), ["address"]),
        (veth(address="224.0.0.1/24"), ["address"]),
        (veth(address="2001:db8::2/64", ipv6Address="192.0.2.2/24"), ["address", "ipv6Address"]),
        (veth(gateway="192.0.2.1"), ["gateway"]),
        (veth(address="192.0.2.2/24", gateway="192.0.3.1"), ["gateway"]),
        (veth(address="192.0.2.2/24", gateway="192.0.2.2"), ["gateway"]),
        (veth(address="192.0.2.2/24", gateway="router"), ["gateway"]),
        (veth(address="192.0.2.2/24", gateway="169.254.1.1"), ["gateway"]),
        (veth(ipv6Address="2001:db8::2/64", ipv6Gateway="192.0.2.1"), ["ipv6Gateway"]),
    ],
)
def test_a_network_that_cannot_be_is_refused_at_the_property(changed, network, names):
    expected = [f"$.networks[0].{name}" for name in names]
    assert paths_of(changed({"networks": [network]})) == expected


def test_a_gateway_of_the_link_s_own_needs_no_address(changed):
    assert paths_of(changed({"networks": [veth(ipv6Gateway="fe80::1")]})) == []


@pytest.mark.parametrize(
    ("second", "name"),
    [
        ({"name": "eth0"}, "name"),
        ({"name": "eth9"}, "name"),
        ({"name": "eth1", "hostInterfaceName": "box0"}, "hostInterfaceName"),
        ({"name": "eth1", "address": "10.0.0.2/8", "gateway": "10.0.0.1"}, "gateway"),
    ],
)
def test_what_there_can_be_once_is_there_once(changed, second, name):
    first = veth(address="192.0.2.2/24", gateway="192.0.2.1", hostInterfaceName="box0")
    config = changed(
        {
            "networks": [first, {"type": "veth", **second}],
            "linux.netDevices": {"eth5": {"name": "eth9"}},
        }
    )
    assert paths_of(config) == [f"$.networks[1].{name}"]


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ({}, ""),
        ({"destination": "10.0.0.0/8"}, ""),
        ({"destination": "10.0.0.1/8", "gateway": "192.0.2.1"}, ".destination"),
        ({"destination": "ten", "gateway": "192.0.2.1"}, ".destination"),
        ({"gateway": "192.0.2.1/24"}, ".gateway"),
        ({"source": "::", "gateway": "192.0.2.1"}, ".source"),
        ({"destination": "10.0.0.0/8", "gateway": "2001:db8::1"}, ""),
        ({"interfaceName": "eth1"}, ".interfaceName"),
    ],
)
def test_a_route_that_cannot_be_is_refused(changed, route, path):
    assert paths_of(changed({"networks": [veth()], "routes": [route]})) == [f"$.routes[0]{path}"]


def test_a_namespace_that_is_joined_may_have_interfaces_that_nobody_names(changed):
    namespaces = [{"type": "mount"}, {"type": "network", "path": "/run/netns/x"}]
    route = {"interfaceName": "eth1"}
    change = {"linux.namespaces": namespaces, "routes": [route], "hostname": None}
    assert paths_of(changed(change)) == []


def test_the_host_s_own_network_gets_nothing(changed):
    change = {"networks": [veth()], "routes": [{"interfaceName": "lo"}], "hostname": None}
    config = changed({**change, "linux.namespaces": [{"type": "mount"}]})
    assert paths_of(config) == ["$.networks", "$.routes"]
