"""Where a container's cgroup is, what becomes of one that is there already, and its view inside."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from runstate import PIPE
from runstate.errors import ConfigInvalid, NotSupported
from runstate.linux.cgroups.layout import parse_own_paths
from tests import host
from tests.limits.conftest import with_resources

pytestmark = pytest.mark.root
MIB = 1 << 20


@pytest.fixture
def name():
    """A name at the top of the hierarchies, of which nothing is left."""
    made = f"runstate-{host.new_id()}"
    yield made
    left = [
        f"{top}/{made}" for top in host.cgroup_mount_points() if os.path.exists(f"{top}/{made}")
    ]
    for directory in left:
        for where, _, _ in os.walk(directory, topdown=False):
            os.rmdir(where)
    assert left == []


def _own_paths(pid):
    with open(f"/proc/{pid}/cgroup") as file:
        return parse_own_paths(file.read())


def test_an_absolute_path_starts_at_the_top_of_each_hierarchy(limiter, layout, name):
    container = limiter.running({}, cgroupsPath=f"/{name}/deep/er")
    own = _own_paths(container.pid)
    for hierarchy in layout.legacy:
        for controller in hierarchy.names:
            assert own[controller] == f"/{name}/deep/er"
    container.destroy(force=True)


def test_a_relative_path_starts_where_the_runtime_is(limiter, layout, name):
    container = limiter.running({}, cgroupsPath=f"{name}/inner")
    own, ours = _own_paths(container.pid), _own_paths("self")
    for hierarchy in layout.legacy:
        for controller in hierarchy.names:
            assert own[controller] == f"{ours[controller].rstrip('/')}/{name}/inner"
    container.destroy(force=True)


def test_the_same_path_leads_to_the_same_place_again(limiter, name):
    seen = []
    for _ in range(2):
        container = limiter.running({}, cgroupsPath=f"/{name}")
        seen.append(_own_paths(container.pid))
        container.destroy(force=True)
    assert seen[0] == seen[1]


@pytest.fixture
def existing(layout, name):
    """A cgroup that is there already, in each version 1 hierarchy."""
    directories = [f"{hierarchy.mount_point}/{name}" for hierarchy in layout.legacy]
    if not directories:
        pytest.skip("this host has no version 1 hierarchies")
    for directory in directories:
        os.mkdir(directory)
    yield {
        controller: directory
        for hierarchy, directory in zip(layout.legacy, directories, strict=True)
        for controller in hierarchy.names
    }
    for directory in directories:
        if os.path.exists(directory):
            os.rmdir(directory)


def test_a_cgroup_that_is_there_and_empty_is_used(limiter, existing, name):
    with open(f"{existing['pids']}/pids.max", "w") as file:
        file.write("77")
    container = limiter.running({"memory": {"limit": 64 * MIB}}, cgroupsPath=f"/{name}")
    assert limiter.read(container, "pids.max") == "77"
    assert limiter.read(container, "memory.limit_in_bytes") == str(64 * MIB)
    container.destroy(force=True)


def test_a_cgroup_with_processes_is_refused_and_they_live_on(limiter, existing, name):
    with subprocess.Popen(["sleep", "1000"]) as process:
        with open(f"{existing['freezer']}/cgroup.procs", "w") as file:
            file.write(str(process.pid))
        with pytest.raises(ConfigInvalid, match=r"\$\.linux\.cgroupsPath: .* has processes"):
            limiter.create(with_resources({}, cgroupsPath=f"/{name}"))
        assert process.poll() is None
        process.kill()


def test_a_frozen_cgroup_is_refused_and_not_waited_for(limiter, existing, name):
    with open(f"{existing['freezer']}/freezer.state", "w") as file:
        file.write("FROZEN")
    start = time.monotonic()
    with pytest.raises(ConfigInvalid, match=r"\$\.linux\.cgroupsPath: .* is frozen"):
        limiter.create(with_resources({}, cgroupsPath=f"/{name}"))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("path", ["/a/../b", "/cpu.shares", "/", "system.slice:runc:job"])
def test_paths_that_cannot_be_are_refused(limiter, path):
    with pytest.raises((ConfigInvalid, NotSupported), match="cgroupsPath"):
        limiter.create(with_resources({}, cgroupsPath=path))


def test_a_cgroup_namespace_shows_the_containers_cgroup_as_the_root(limiter, layout):
    container = limiter.running({})
    text = container.exec(["cat", "/proc/1/cgroup"], capture_output=True, text=True).stdout
    own = parse_own_paths(text)
    for hierarchy in layout.legacy:
        assert own[hierarchy.names[0]] == "/"


def test_without_a_cgroup_namespace_the_container_sees_where_it_is(limiter, layout, name):
    config = with_resources(
        {"pids": {"limit": 33}}, "cat", "/proc/1/cgroup", cgroupsPath=f"/{name}"
    )
    spaces = config["linux"]["namespaces"]
    config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "cgroup"]
    container = limiter.create(config, stdout=PIPE)
    container.start()
    own = parse_own_paths(container.stdout.read().decode())
    container.stdout.close()
    for hierarchy in layout.legacy:
        assert own[hierarchy.names[0]] == f"/{name}"
    container.wait(10)
    container.destroy()
