"""Containers with limits, and what programs in them come to."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, PIPE, Config, Container, Factory
from runstate.linux.cgroups.layout import Layout, detect
from tests import host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def with_resources(resources: dict[str, Any], *args: str, **linux: Any) -> dict[str, Any]:
    """A default config, in its JSON form, with these limits beside the default device rules."""
    config = Config.default(args or ("sleep", "1000")).to_dict()
    config["linux"]["resources"].update(resources)
    config["linux"].update(linux)
    return config


class Limiter:
    """Makes containers with limits, and looks at their cgroups."""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory

    def create(self, config: dict[str, Any], **streams: Any) -> Container:
        """A container of this config that waits to be started."""
        streams = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL, **streams}
        return self.factory.create(host.new_id(), config, **streams)

    def running(self, resources: dict[str, Any], *args: str, **linux: Any) -> Container:
        """A container with these limits that runs."""
        container = self.create(with_resources(resources, *args, **linux))
        container.start()
        return container

    def output(self, resources: dict[str, Any], *args: str) -> str:
        """What a program with these limits writes until its end."""
        container = self.create(with_resources(resources, *args), stdout=PIPE, stderr=PIPE)
        container.start()
        assert container.stdout is not None
        assert container.stderr is not None
        text = container.stdout.read().decode() + container.stderr.read().decode()
        container.stdout.close()
        container.stderr.close()
        container.wait(30)
        return text

    @staticmethod
    def directory(container: Container, controller: str) -> str:
        """Where a container's cgroup of a controller is."""
        paths: dict[str, str] = container.state.exec.options["cgroup_paths"]
        return paths[controller] if controller in paths else paths[""]

    def read(self, container: Container, file: str) -> str:
        """A file of a container's cgroup, as the kernel has it now."""
        directory = self.directory(container, file.partition(".")[0])
        with open(f"{directory}/{file}") as opened:
            return opened.read().strip()


@pytest.fixture
def limiter(linux_factory: Factory) -> Limiter:
    """Makes containers with limits; for tests that are marked root."""
    return Limiter(linux_factory)


def _mounted(controller: str, directory: Path) -> Iterator[None]:
    """A version 1 hierarchy for a controller that no hierarchy has yet."""
    if controller in detect().controllers:
        yield
        return
    directory = directory / controller
    directory.mkdir()
    subprocess.run(["mount", "-t", "cgroup", "-o", controller, controller, directory], check=True)
    detect(fresh=True)
    yield
    subprocess.run(["umount", directory], check=True)
    detect(fresh=True)


@pytest.fixture
def net_cls(tmp_path: Path) -> Iterator[None]:
    """The host has the controller net_cls. Ask for it before the factory, which ends before it."""
    yield from _mounted("net_cls", tmp_path)


@pytest.fixture
def net_prio(tmp_path: Path) -> Iterator[None]:
    """The host has the controller net_prio."""
    yield from _mounted("net_prio", tmp_path)


def here(file: str) -> bool:
    """Whether cgroups of this host, in the version that has the controller, have such a file."""
    controller = file.partition(".")[0]
    if any(controller in hierarchy.names for hierarchy in detect().legacy):
        return file not in UNIFIED_FILES
    return controller in detect().unified_controllers and not file.startswith(_LEGACY)


def require(file: str) -> None:
    """Skip the test where there is no such file."""
    if not here(file):
        pytest.skip(f"cgroups have no {file} here")


_LEGACY = (
    "memory.soft", "memory.limit", "memory.memsw", "memory.swappiness", "memory.kmem",
    "memory.use_h", "memory.oom_c", "cpu.shares", "cpu.cfs", "cpu.rt", "blkio",
)  # fmt: skip
UNIFIED_FILES = frozenset(
    {
        "cpu.weight", "cpu.max", "cpu.max.burst", "memory.low", "memory.max", "memory.swap.max",
        "memory.high", "io.max",
    }
)  # fmt: skip
"""The files of version 2, of those that the tests read."""


@pytest.fixture
def layout() -> Layout:
    """The cgroup hierarchies of this host."""
    return detect()


@pytest.fixture
def disk_file() -> Iterator[str]:
    """A file of a megabyte on the disk that the programs are on."""
    path = f"/var/tmp/runstate-test-{os.getpid()}"
    with open(path, "wb") as file:
        file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    yield path
    os.unlink(path)


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """The kernel may make some huge pages when they are asked for."""
    path = "/proc/sys/vm/nr_overcommit_hugepages"
    with open(path) as file:
        before = file.read()
    with open(path, "w") as file:
        file.write("8")
    yield
    with open(path, "w") as file:
        file.write(before)


@pytest.fixture
def weighed_disk(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The numbers of a loop device whose scheduler has weights, BFQ."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(1 << 20))
    made = subprocess.run(
        ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
    )
    device = made.stdout.strip()
    try:
        scheduler = f"/sys/block/{os.path.basename(device)}/queue/scheduler"
        with open(scheduler) as file:
            if "bfq" not in file.read():
                pytest.skip("this kernel has no scheduler with weights")
        with open(scheduler, "w") as file:
            file.write("bfq")
        number = os.stat(device).st_rdev
        yield os.major(number), os.minor(number)
        with open(scheduler, "w") as file:
            file.write("none")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
