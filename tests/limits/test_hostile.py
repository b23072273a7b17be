"""Containers that make it hard to count, stop and remove them."""

from __future__ import annotations

import os
import time

import pytest

from runstate import PIPE
from tests.limits.conftest import with_resources

pytestmark = pytest.mark.root

NESTED = """
set -e
for top in /sys/fs/cgroup/pids /sys/fs/cgroup/freezer /sys/fs/cgroup/memory /sys/fs/cgroup; do
    [ -e $top/cgroup.procs ] || continue
    mkdir -p $top/a/b/c $top/d
    sh -c "echo \\$\\$ > $top/a/b/c/cgroup.procs; exec sleep 1000" &
    sh -c "echo \\$\\$ > $top/d/cgroup.procs; exec sleep 1000" &
done
sleep 0.1
echo ready
wait
"""
BOMB = "bomb() { bomb | bomb & }; echo ready; while :; do bomb 2>/dev/null; done"


def _writable(config):
    """The container's own cgroup is mounted, to be written to."""
    for mount in config["mounts"]:
        if mount["destination"] == "/sys/fs/cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev"]
    return config


@pytest.fixture
def nested(limiter):
    """A container with processes in sub-cgroups of its own making."""
    config = _writable(with_resources({"pids": {"limit": 100}}, "sh", "-c", NESTED))
    container = limiter.create(config, stdout=PIPE)
    container.start()
    assert container.stdout.readline() == b"ready\n"
    yield container
    container.stdout.close()


def test_processes_in_sub_cgroups_are_counted_and_stopped_with_the_others(nested):
    assert len(nested.processes()) >= 3
    nested.pause()
    assert nested.status == "paused"
    nested.resume()
    assert nested.stats().cgroup.pids.current >= 3
    assert nested.exec(["true"]).returncode == 0


def test_sub_cgroups_go_with_the_container(nested):
    directories = nested.state.exec.options["cgroup_paths"].values()
    nested.destroy(force=True)
    assert not any(map(os.path.exists, directories))


def test_sub_cgroups_go_also_when_they_are_frozen(nested):
    directories = set(nested.state.exec.options["cgroup_paths"].values())
    for directory in directories:
        for file, value in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
            path = f"{directory}/a/{file}"
            if os.path.exists(path):
                with open(path, "w") as opened:
                    opened.write(value)
    nested.destroy(force=True)
    assert not any(map(os.path.exists, directories))


def test_limits_can_be_changed_with_sub_cgroups_below(nested, limiter):
    nested.update({"pids": {"limit": 50}})
    assert limiter.read(nested, "pids.max") == "50"


@pytest.mark.parametrize("paused", [False, True])
def test_a_fork_bomb_within_its_limit_is_destroyed_within_the_deadline(limiter, paused):
    config = with_resources({"pids": {"limit": 200}}, "bash", "-c", BOMB)
    container = limiter.create(config, stdout=PIPE)
    container.start()
    assert container.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 20
    while container.stats().cgroup.pids.failures == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if paused:
        container.pause()
    start = time.monotonic()
    container.destroy(force=True)
    container.stdout.close()
    assert time.monotonic() - start < 10
