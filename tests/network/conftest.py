"""A network namespace that stands for the host, so that no interface of the real one is used.

Each test's thread is in a new one; what it starts, containers and commands, takes that for the
host's. It is there before the host's snapshot is taken, and goes after it has been compared.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Config
from runstate.init import kernel
from tests import host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runstate import Container, Factory


@pytest.fixture(autouse=True)
def _own_network() -> Iterator[None]:
    if os.geteuid() != 0:
        yield  # the test is skipped
        return
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    kernel.unshare(kernel.CLONE_NEWNET)
    try:
        ip("link set lo up")
        yield
    finally:
        kernel.setns(outside, kernel.CLONE_NEWNET)
        os.close(outside)


def ip(command: str) -> Any:
    """What iproute2's ``ip`` says, which knows nothing of runstate."""
    done = subprocess.run(
        ["ip", "-json", *command.split()], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"ip {command}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def names() -> set[str]:
    """The interfaces of the namespace that stands for the host."""
    return {link["ifname"] for link in ip("link show")}


def link(name: str) -> dict[str, Any]:
    """An interface on the host."""
    found: dict[str, Any] = ip(f"-details link show dev {name}")[0]
    return found


def addresses(name: str) -> set[str]:
    """An interface's addresses of global scope, on the host."""
    return _global(ip(f"address show dev {name}"))


def _global(shown: Any) -> set[str]:
    return {
        f"{info['local']}/{info['prefixlen']}"
        for info in shown[0]["addr_info"]
        if info["scope"] == "global"
    }


def routes(*flags: str) -> set[str]:
    """The static routes on the host."""
    shown = ip(" ".join([*flags, "route show"])) or []
    return {route["dst"] for route in shown if route.get("protocol") != "kernel"}


class Inside:
    """What iproute2 on the host shows of a container's network, and what a program there says."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def ip(self, command: str) -> Any:
        """What ``ip`` says in the container's network namespace."""
        text = subprocess.run(
            [
                "nsenter",
                f"--net=/proc/{self.container.pid}/ns/net",
                "ip",
                "-json",
                *command.split(),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return json.loads(text) if text.strip() else None

    def names(self) -> set[str]:
        return {link["ifname"] for link in self.ip("link show")}

    def link(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ip(f"-details link show dev {name}")[0]
        return found

    def addresses(self, name: str) -> set[str]:
        return _global(self.ip(f"address show dev {name}"))

    def routes(self, *flags: str) -> set[tuple[str, str | None, str]]:
        """The static routes: destination, gateway, interface."""
        shown = self.ip(" ".join([*flags, "route show"])) or []
        return {
            (route["dst"], route.get("gateway"), route["dev"])
            for route in shown
            if route.get("protocol") != "kernel"
        }

    def run(self, command: str) -> str:
        """What a shell in the container says."""
        done = self.container.exec(
            ["sh", "-c", command], stdin=DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)


@pytest.fixture
def config(rootfs: Path) -> Callable[..., Config]:
    """A busybox container's config, with networks, routes and netDevices as they are given."""

    def make(*args: str, devices: Any = None, capable: bool = False, **networks: Any) -> Config:
        data = Config.default(
            args or ("sleep", "1000"), rootfs=rootfs, env={"PATH": "/bin"}
        ).to_dict()
        data.update(networks)
        if devices is not None:
            data["linux"]["netDevices"] = devices
        if capable:
            for kind in ("bounding", "effective", "permitted"):
                data["process"]["capabilities"][kind].append("CAP_NET_ADMIN")
        return Config.from_dict(data)

    return make


@pytest.fixture
def start(linux_factory: Factory) -> Iterator[Callable[..., Container]]:
    """Runs a container with no standard streams; at the end only what runstate forgot is left."""

    def run(config: Config, id: str | None = None) -> Container:  # noqa: A002
        return linux_factory.run(
            id or host.new_id(), config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )

    yield run
    for container in linux_factory.list():
        container.destroy(force=True)
    for name in names() - {"lo"}:
        if not name.startswith("rs"):
            # Its other end may have gone first, or be about to go with its namespace.
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


@pytest.fixture
def bridge() -> str:
    """A bridge on the host, with an address."""
    ip("link add br-test type bridge")
    ip("address add 192.0.2.1/24 dev br-test")
    ip("link set br-test up")
    return "br-test"


@pytest.fixture
def device() -> str:
    """An interface on the host, whose other end stays there: ``data`` and ``wire``."""
    ip("link add data type veth peer name wire")
    ip("link set data mtu 1400 address 02:00:00:00:00:0d txqueuelen 321")
    ip("address add 198.51.100.5/24 broadcast 198.51.100.255 label data:main dev data")
    ip("address add 2001:db8:51::5/64 dev data nodad")
    ip("address add 169.254.7.7/32 scope link dev data")
    ip("link set wire up")
    ip("link set data up")
    ip("route add 203.0.113.0/24 via 198.51.100.9 metric 50")
    ip("-6 route add 2001:db8:113::/48 via 2001:db8:51::9")
    return "data"
