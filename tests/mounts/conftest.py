"""Containers with mounts of a test's own, on a small rootfs, and what is seen from within."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import DEVNULL, PIPE, STDOUT, Config, Container, Factory
from runstate.linux.mounts import unescape_mountinfo
from tests import host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECONDS = 30.0


@attrs.frozen
class Mounted:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    root: str
    options: frozenset[str]
    propagation: frozenset[str]
    fstype: str
    source: str
    super_options: frozenset[str]


def parse_mountinfo(text: str) -> dict[str, Mounted]:
    """By mount point; of several the last, which is on top."""
    found = {}
    for line in text.splitlines():
        fields = line.split(" ")
        dash = fields.index("-", 6)
        found[unescape_mountinfo(fields[4])] = Mounted(
            fields[3],
            frozenset(fields[5].split(",")),
            frozenset(field.partition(":")[0] for field in fields[6:dash]),
            fields[dash + 1],
            fields[dash + 2],
            frozenset(fields[dash + 3].split(",")),
        )
    return found


class Boxes:
    """Makes containers on one rootfs, each of the default configuration with changes."""

    def __init__(
        self, factory: Factory, rootfs: Path | str, base: dict[str, Any] | None = None
    ) -> None:
        self.factory = factory
        self.rootfs = rootfs
        self.base = base or {}

    def config(
        self, *args: str, mounts: Sequence[dict[str, Any]] = (), **changes: Any
    ) -> dict[str, Any]:
        """A configuration in JSON; ``mounts`` come after the default ones.

        Args:
            args: The program.
            mounts: Further mounts.
            changes: Sections to update, or values that replace; None takes away.
        """
        config = Config.default(args, rootfs=str(self.rootfs)).to_dict()
        config["process"]["capabilities"] = {
            name: sorted({*config["process"]["capabilities"]["bounding"], "CAP_SYS_ADMIN"})
            for name in ("bounding", "effective", "permitted")
        }
        del config["linux"]["seccomp"]  # tests mount from within
        config["mounts"] += mounts
        for name, value in {**self.base, **changes}.items():
            if isinstance(value, dict) and name in config:
                config[name].update(value)
            elif value is None:
                config.pop(name, None)
            else:
                config[name] = value
        return config

    def create(self, *args: str, **changes: Any) -> Container:
        """A container that waits to be started."""
        config = self.config(*(args or ("sleep", "1000")), **changes)
        return self.factory.create(
            host.new_id(), config, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
        )

    def running(self, *args: str, **changes: Any) -> Container:
        """A container that runs; without a program it sleeps."""
        container = self.create(*args, **changes)
        container.start()
        return container

    def says(self, script: str, **changes: Any) -> str:
        """All that a shell script in a container writes; it must succeed."""
        config = self.config("sh", "-c", script, **changes)
        with self.factory.run(
            host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        ) as container:
            assert container.stdout is not None
            output: str = container.stdout.read().decode()
            assert container.wait(_SECONDS) == 0, output
        return output

    def mounts(self, **changes: Any) -> dict[str, Mounted]:
        """The mounts as a process in a container sees them."""
        return parse_mountinfo(self.says("cat /proc/self/mountinfo", **changes))


def tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {
        "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options),
    }  # fmt: skip


def bind(source: Path | str, destination: str, *options: str, kind: str = "bind") -> dict[str, Any]:
    words = options if {"bind", "rbind"} & {*options} else ("rbind", *options)
    return {
        "destination": destination, "type": kind, "source": str(source), "options": list(words),
    }  # fmt: skip


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter, as pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="rs"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def own_rootfs(rootfs: Path, place: Path) -> Path:
    """A rootfs that only this test has."""
    copy = place / "rootfs"
    shutil.copytree(rootfs, copy, symlinks=True)
    copy.chmod(0o755)
    return copy


@pytest.fixture
def boxes(linux_factory: Factory, own_rootfs: Path) -> Boxes:
    """Makes containers on a rootfs of this test's own."""
    return Boxes(linux_factory, own_rootfs)


def user_namespace(first: int = 100000) -> dict[str, Any]:
    """What a configuration needs for a user namespace of 65536 ids."""
    mapping = [{"containerID": 0, "hostID": first, "size": 65536}]
    namespaces = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
    return {
        "linux": {
            "namespaces": [{"type": name} for name in namespaces],
            "uidMappings": mapping,
            "gidMappings": mapping,
        }
    }


@pytest.fixture
def user_boxes(linux_factory: Factory, own_rootfs: Path) -> Boxes:
    """Makes containers in user namespaces, whose root owns the rootfs."""
    subprocess.run(["chown", "-hR", "100000:100000", own_rootfs], check=True)
    return Boxes(linux_factory, own_rootfs, user_namespace())


@pytest.fixture
def host_mounts() -> Iterator[list[str]]:
    """Mount points that a test makes on the host; unmounted when it is over, last first."""
    made: list[str] = []
    yield made
    for path in reversed(made):
        subprocess.run(["umount", "-l", path], check=True)
