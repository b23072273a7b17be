"""The host's root as a layer where the kernel takes no `/` for one: in a user namespace."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from runstate import Config
from runstate.handlers.fs.host import mount_points_of
from tests import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate import Container, Factory

pytestmark = pytest.mark.root


@pytest.fixture
def container(linux_factory: Factory) -> Iterator[Container]:
    """A running one, in a user namespace."""
    config = Config.default(["sleep", "1000"], rootless=True)
    with linux_factory.run(host.new_id(), config) as container:
        yield container


def _says(container: Container, script: str) -> str:
    done = container.exec(["sh", "-c", script], capture_output=True, text=True, check=True)
    text: str = done.stdout
    return text


def test_what_is_written_is_seen_inside_and_not_on_the_host(container: Container) -> None:
    name = f"/etc/{container.id}"

    assert _says(container, f"echo new > {name}; cat {name}") == "new\n"
    assert not os.path.exists(name)


def test_a_file_of_the_host_can_be_read_and_replaced(container: Container) -> None:
    with open("/etc/passwd", encoding="utf-8") as file:
        of_host = file.read()

    assert _says(container, "cat /etc/passwd") == of_host
    assert _says(container, "echo mine > /etc/passwd; cat /etc/passwd") == "mine\n"
    with open("/etc/passwd", encoding="utf-8") as file:
        assert file.read() == of_host


def test_the_root_has_what_the_hosts_has(container: Container) -> None:
    inside = dict(
        line.split("=")
        for line in _says(container, "cd /; for n in *; do stat -c %n=%f $n; done").splitlines()
    )
    shown = {name: os.lstat(f"/{name}").st_mode for name in os.listdir("/")}
    wanted = {
        name: mode
        for name, mode in shown.items()
        if not name.startswith(".") and (stat.S_ISLNK(mode) or stat.S_ISDIR(mode))
    }

    assert sorted(inside) == sorted(wanted)
    for name in ("bin", "etc", "root", "usr"):
        assert int(inside[name], 16) == wanted[name], name


def test_no_mount_of_the_host_is_left_in_sight_but_those_in_bound_directories(
    container: Container,
) -> None:
    inside = set(mount_points_of(_says(container, "cat /proc/self/mountinfo")))
    directories = {path.split("/")[1] for path in inside if path.count("/") == 1}

    assert {"usr", "etc", "proc", "dev", "sys", "run", "tmp"} <= directories
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        crossed = {p.split("/")[1] for p in mount_points_of(file.read()) if p.count("/") > 1}
    for path in inside:
        assert path.count("/") == 1 or path.split("/")[1] in crossed | {"proc", "sys", "dev"}


def test_the_container_says_what_cannot_be_written(container: Container) -> None:
    (notice,) = (n for n in container.notices if n.startswith("rootfs:"))

    assert "cannot be changed" in notice
