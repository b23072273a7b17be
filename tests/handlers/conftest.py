"""Containers of a changed configuration, and what their programs say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import DEVNULL, PIPE, STDOUT, Config, Container, Factory
from tests import host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECONDS = 20.0


@attrs.frozen
class Containers:
    """Makes containers of the backend ``linux``, each of a configuration with changes.

    Changes are by JSON path from the top, in JSON: ``{"process.oomScoreAdj": 5}``; None takes
    a property away.
    """

    factory: Factory

    def config(self, *args: str, rootfs: Path | str = "host", **changes: Any) -> Config:
        """A default configuration with changes."""
        return self.changed(Config.default(args or ("true",), rootfs=str(rootfs)), changes)

    @staticmethod
    def changed(config: Config, changes: dict[str, Any]) -> Config:
        raw = config.to_dict()
        for path, value in changes.items():
            section = raw
            *above, name = path.split(".")
            for part in above:
                section = section.setdefault(part, {})
            section.pop(name, None)
            if value is not None:
                section[name] = value
        return Config.from_dict(raw)

    def running(self, *args: str, **changes: Any) -> Container:
        """A container that runs; without arguments it sleeps."""
        config = self.config(*(args or ("sleep", "1000")), **changes)
        return self.factory.run(
            host.new_id(), config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )

    def says(self, *args: str, **changes: Any) -> str:
        """All that a container's program writes; it must succeed."""
        config = self.config(*args, **changes)
        with self.factory.run(
            host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        ) as container:
            assert container.stdout is not None
            output = container.stdout.read().decode()
            assert container.wait(_SECONDS) == 0, output
        return output


@pytest.fixture
def containers(linux_factory: Factory) -> Containers:
    """Makes containers with namespaces and cgroups."""
    return Containers(linux_factory)


@pytest.fixture
def own_rootfs(rootfs: Path, tmp_path: Path) -> Path:
    """A rootfs that may be spoilt, which everybody can reach."""
    path = tmp_path / "rootfs"
    shutil.copytree(rootfs, path, symlinks=True)
    for directory in (path, *path.parents):
        if directory.stat().st_uid == os.getuid() and not directory.is_mount():
            directory.chmod(directory.stat().st_mode | 0o055)
    return path


_RUN = """
import sys
from runstate import *
factory = Factory(sys.argv[1], "linux")
with factory.run(sys.argv[2], Config.from_json(sys.argv[3]), stdin=DEVNULL) as container:
    sys.exit(container.wait(20))
"""


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a container from a process that lacks a capability, named as setpriv(1) does."""

    def run(capability: str, config: Config) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}",
             sys.executable, "-c", _RUN, tmp_path, host.new_id(), json.dumps(config.to_dict())],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


@pytest.fixture
def further() -> Callable[..., str]:
    """What a further process says, of a container's own ``process`` object with changes."""

    def run(container: Container, *args: str, **changes: Any) -> str:
        config = Containers.changed(
            container.config, {f"process.{path}": value for path, value in changes.items()}
        )
        done = container.exec(
            args, process=config.process, capture_output=True, text=True, timeout=_SECONDS,
            stdin=DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        output: str = done.stdout
        return output

    return run
