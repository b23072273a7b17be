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
from tests.limits.conftest import require, with_resources

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
    if layout.mode == "unified":
        assert own[""] == f"/{name}/deep/er"
    container.destroy(force=True)


def test_controllers_of_version_2_are_handed_down_to_where_a_limit_needs_them(limiter, name):
    require("memory.max")
    resources = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 99}}
    container = limiter.running(resources, cgroupsPath=f"/{name}/deep/er")
    assert limiter.read(container, "memory.max") == str(64 * MIB)
    assert limiter.read(container, "pids.max") == "99"
    container.destroy(force=True)


def test_a_relative_path_starts_where_the_runtime_is(limiter, layout, name):
    container = limiter.running({}, cgroupsPath=f"{name}/inner")
    own, ours = _own_paths(container.pid), _own_paths("self")
    for hierarchy in layout.legacy:
        for controller in hierarchy.names:
            assert own[controller] == f"{ours[controller].rstrip('/')}/{name}/inner"
    if layout.mode == "unified":
        # Beside it: a cgroup with processes can hand no controllers to those below.
        assert own[""] == f"{os.path.dirname(ours['']).rstrip('/')}/{name}/inner"
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
    """A cgroup that is there already, in each hierarchy that containers live in."""
    hierarchies = layout.legacy or (layout.unified,)
    directories = [f"{hierarchy.mount_point}/{name}" for hierarchy in hierarchies]
    for directory in directories:
        os.mkdir(directory)
    yield {
        controller: directory
        for hierarchy, directory in zip(hierarchies, directories, strict=True)
        for controller in hierarchy.names or ("freezer",)
    }
    for directory in directories:
        if os.path.exists(directory):
            os.rmdir(directory)


def test_a_cgroup_that_is_there_and_empty_is_used(limiter, existing, name):
    before = {directory: os.stat(directory).st_ino for directory in existing.values()}
    container = limiter.running({"memory": {"limit": 64 * MIB}}, cgroupsPath=f"/{name}")
    paths = container.state.exec.options["cgroup_paths"].values()
    assert {path: os.stat(path).st_ino for path in paths} == before
    assert container.stats().cgroup.memory.limit == 64 * MIB
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
    legacy = os.path.exists(f"{existing['freezer']}/freezer.state")
    file, value = ("freezer.state", "FROZEN") if legacy else ("cgroup.freeze", "1")
    with open(f"{existing['freezer']}/{file}", "w") as opened:
        opened.write(value)
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
    if layout.mode == "unified":
        assert own[""] == "/"


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
    if layout.mode == "unified":
        assert own[""] == f"/{name}"
    container.wait(10)
    container.destroy()
