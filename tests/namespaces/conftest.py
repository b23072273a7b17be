"""Containers whose namespaces are made, joined, or the host's."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Config, Container, Factory
from runstate.linux.namespaces import FILES
from tests import host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = 200_000
"""Whom the containers' root is on the host, in a user namespace."""


def link(name: str, pid: int | str = "self") -> str:
    """Which namespace of a type, by the specification's name for it, a process is in."""
    return os.readlink(f"/proc/{pid}/ns/{FILES[name]}")


def links(pid: int | str = "self") -> dict[str, str]:
    """All eight."""
    return {name: link(name, pid) for name in FILES}


class Namespaces:
    """Makes containers by what their namespaces shall be."""

    def __init__(self, factory: Factory, rootfs: str) -> None:
        self.factory = factory
        self.rootfs = rootfs

    def config(self, *args: str, without: str = "", **paths: Any) -> dict[str, Any]:
        """A config whose namespaces are new, but for these.

        Args:
            args: The program.
            without: Types of namespaces that are to be the host's.
            paths: For a type, the path of the one to join; or None for a new one.
        """
        program = args or ("sleep", "1000")
        config = Config.default(program, rootfs=self.rootfs, rootless=False).to_dict()
        types = {n["type"]: None for n in config["linux"]["namespaces"]} | paths
        config["linux"]["namespaces"] = [
            {"type": name, "path": path} if path else {"type": name}
            for name, path in types.items()
            if name not in without.split()
        ]
        if "uts" in without.split():
            del config["hostname"]
        if "network" in without.split() and "user" in paths:
            sysfs = next(m for m in config["mounts"] if m["destination"] == "/sys")
            config["mounts"].remove(sysfs)
        return config

    def create(self, config: dict[str, Any]) -> Container:
        """A container that waits to be started."""
        return self.factory.create(
            host.new_id(), config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )

    def run(self, config: dict[str, Any]) -> Container:
        """A container that runs."""
        container = self.create(config)
        container.start()
        return container


@pytest.fixture(scope="session")
def open_rootfs(rootfs: Path) -> Iterator[str]:
    """A copy of the small rootfs that others than root reach, and that belongs to one of them."""
    top = tempfile.mkdtemp(prefix="rsroot")
    os.chmod(top, 0o755)  # noqa: S103
    path = f"{top}/rootfs"
    shutil.copytree(rootfs, path, symlinks=True)
    os.chmod(path, 0o755)  # noqa: S103
    for directory, names, files in os.walk(path):
        for name in [".", *names, *files]:
            os.chown(f"{directory}/{name}", ROOT, ROOT, follow_symlinks=False)
    yield path
    shutil.rmtree(top)


@pytest.fixture
def make_in(linux_factory: Factory, open_rootfs: str) -> Namespaces:
    """Makes containers by what their namespaces shall be."""
    return Namespaces(linux_factory, open_rootfs)


def says(container: Container, *words: str) -> str:
    """What a further process in a container says."""
    done = container.exec([*words], stdin=DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    said: str = done.stdout.strip()
    return said


def root_map() -> dict[str, Any]:
    """Mappings of a user namespace whose root is nobody on the host."""
    mapping = [{"containerID": 0, "hostID": ROOT, "size": 65_536}]
    return {"uidMappings": mapping, "gidMappings": mapping}
