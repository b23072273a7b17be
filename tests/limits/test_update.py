"""Changing the limits of a container that runs, and taking back what failed half way."""

from __future__ import annotations

import os
import subprocess

import pytest

from runstate import PIPE
from runstate.errors import ConfigInvalid, OperationFailed
from tests.limits.conftest import here, require, with_resources

pytestmark = pytest.mark.root
MIB = 1 << 20
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}
DENY = {"allow": False, "access": "rwm"}


def _disk():
    device = os.stat("/usr/bin/env").st_dev
    return {"major": os.major(device), "minor": os.minor(device)}


def _opens_fuse(container):
    found = container.exec(["bash", "-c", "exec 3<>/dev/f"], stderr=subprocess.DEVNULL)
    return found.returncode == 0


CHANGES = [
    ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, "memory.limit_in_bytes", 64 * MIB),
    ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}, "memory.memsw.limit_in_bytes", 96 * MIB),
    ({"memory": {"reservation": 9 * MIB}}, "memory.soft_limit_in_bytes", 9 * MIB),
    ({"memory": {"swappiness": 3}}, "memory.swappiness", 3),
    ({"memory": {"kernelTCP": 9 * MIB}}, "memory.kmem.tcp.limit_in_bytes", 9 * MIB),
    ({"cpu": {"shares": 77}}, "cpu.shares", 77),
    ({"cpu": {"quota": 7000}}, "cpu.cfs_quota_us", 7000),
    ({"cpu": {"quota": 7000, "period": 70000}}, "cpu.cfs_period_us", 70000),
    ({"cpu": {"quota": 7000, "burst": 500}}, "cpu.cfs_burst_us", 500),
    ({"cpu": {"idle": 1}}, "cpu.idle", 1),
    ({"cpu": {"realtimeRuntime": 500}}, "cpu.rt_runtime_us", 500),
    ({"cpu": {"cpus": str(min(os.sched_getaffinity(0)))}}, "cpuset.cpus",
     min(os.sched_getaffinity(0))),
    ({"pids": {"limit": 44}}, "pids.max", 44),
    ({"blockIO": {"weight": 444}}, "blkio.bfq.weight", 444),
    ({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}, "memory.max", 64 * MIB),
    ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}, "memory.swap.max", 32 * MIB),
    ({"memory": {"reservation": 9 * MIB}}, "memory.low", 9 * MIB),
    ({"cpu": {"shares": 512}}, "cpu.weight", 59),
    ({"cpu": {"quota": 7000}}, "cpu.max", "7000 100000"),
    ({"cpu": {"quota": 7000, "burst": 500}}, "cpu.max.burst", 500),
    ({"unified": {"memory.high": str(9 * MIB)}}, "memory.high", 9 * MIB),
]  # fmt: skip


@pytest.mark.parametrize(("resources", "file", "value"), [row for row in CHANGES if here(row[1])])
def test_a_limit_changes_and_the_config_with_it(limiter, resources, file, value):
    container = limiter.running({})
    container.update(resources)
    assert limiter.read(container, file) == str(value)
    ((section, settings),) = resources.items()
    saved = container.config.to_dict()["linux"]["resources"][section]
    assert settings.items() <= saved.items()


@pytest.mark.parametrize(("resources", "file", "value"), [row for row in CHANGES if here(row[1])])
def test_a_failed_update_puts_back_what_it_changed(limiter, resources, file, value):
    container = limiter.running({"cpu": {"shares": 555}, "memory": {"limit": 512 * MIB}})
    before = limiter.read(container, file)
    assert before != str(value)
    if not before:
        # An empty list is the parent's, and can be put back as that alone.
        before = limiter.read(container, f"{file}.effective")
    nowhere = {"throttleReadBpsDevice": [{"major": 999, "minor": 0, "rate": 1}]}
    with pytest.raises(OperationFailed, match="999:0"):
        container.update({**resources, "blockIO": {**resources.get("blockIO", {}), **nowhere}})
    assert limiter.read(container, file) == before
    saved = container.config.to_dict()["linux"]["resources"]
    assert saved["cpu"] == {"shares": 555}
    assert "blockIO" not in saved


def test_a_failed_update_puts_back_the_limits_of_single_devices(limiter):
    require("blkio.throttle")
    disk = _disk()
    key = f"{disk['major']}:{disk['minor']}"
    container = limiter.running({"blockIO": {"throttleReadBpsDevice": [{**disk, "rate": 5 * MIB}]}})
    with pytest.raises(OperationFailed):
        container.update(
            {
                "blockIO": {
                    "throttleReadBpsDevice": [
                        {**disk, "rate": 7 * MIB},
                        {"major": 999, "minor": 0, "rate": 1},
                    ],
                    "throttleWriteIOPSDevice": [{**disk, "rate": 5}],
                }
            }
        )
    assert limiter.read(container, "blkio.throttle.read_bps_device") == f"{key} {5 * MIB}"
    assert limiter.read(container, "blkio.throttle.write_iops_device") == ""


def test_a_failed_update_puts_back_the_limits_of_a_device_of_version_2(limiter):
    require("io.max")
    disk = {**_disk(), "rate": 5 * MIB}
    container = limiter.running({"blockIO": {"throttleReadBpsDevice": [disk]}})
    before = limiter.read(container, "io.max")
    assert f"rbps={5 * MIB}" in before
    nowhere = {"major": 999, "minor": 0, "rate": 1}
    with pytest.raises(OperationFailed):
        container.update({"blockIO": {"throttleWriteBpsDevice": [disk, nowhere]}})
    assert limiter.read(container, "io.max") == before


def test_devices_that_are_not_named_keep_their_limits(limiter):
    require("blkio.throttle")
    disk = _disk()
    container = limiter.running({"blockIO": {"throttleReadBpsDevice": [{**disk, "rate": 5 * MIB}]}})
    container.update({"blockIO": {"throttleWriteBpsDevice": [{**disk, "rate": 6 * MIB}]}})
    container.update({"blockIO": {"throttleReadBpsDevice": [{**disk, "rate": 0}]}})
    assert limiter.read(container, "blkio.throttle.read_bps_device") == ""
    assert limiter.read(container, "blkio.throttle.write_bps_device").endswith(f" {6 * MIB}")


def test_zeros_of_engines_that_name_everything_change_nothing(limiter):
    require("memory.limit_in_bytes")
    resources = {"memory": {"limit": 99 * MIB}, "cpu": {"shares": 99}, "devices": [DENY, FUSE]}
    container = limiter.running(resources)
    devices = limiter.read(container, "devices.list")
    container.update(
        {
            "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
            "blockIO": {"weight": 0},
            "devices": [],
            "hugepageLimits": [],
            "network": None,
        }
    )
    assert limiter.read(container, "memory.limit_in_bytes") == str(99 * MIB)
    assert limiter.read(container, "cpu.shares") == "99"
    assert limiter.read(container, "devices.list") == devices
    saved = container.config.to_dict()["linux"]["resources"]
    assert (saved["memory"]["limit"], saved["cpu"]["shares"]) == (99 * MIB, 99)


def test_a_memory_limit_beyond_the_former_limit_with_swap_is_refused_before_it_is_tried(limiter):
    container = limiter.running({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}})
    with pytest.raises(ConfigInvalid, match=r"\$\.linux\.resources\.memory\.swap"):
        container.update({"memory": {"limit": 128 * MIB}})
    container.update({"memory": {"limit": 128 * MIB, "swap": 128 * MIB}})
    assert container.stats().cgroup.memory.limit == 128 * MIB


def test_a_weight_comes_back_when_a_container_is_idle_no_more(limiter):
    require("cpu.shares")
    container = limiter.running({"cpu": {"shares": 555}})
    container.update({"cpu": {"idle": 1}})
    assert limiter.read(container, "cpu.shares") != "555"
    container.update({"cpu": {"idle": 0}})
    assert limiter.read(container, "cpu.shares") == "555"


def test_the_killer_of_processes_is_switched_off_and_on(limiter):
    require("memory.oom_control")
    container = limiter.running({})
    for off in (True, False):
        container.update({"memory": {"disableOOMKiller": off}})
        line = limiter.read(container, "memory.oom_control").splitlines()[0]
        assert line == f"oom_kill_disable {int(off)}"


# --- devices --------------------------------------------------------------------------------------


def test_devices_are_granted_and_taken_back_while_a_container_runs(limiter):
    container = limiter.running({})
    container.exec(["mknod", "/dev/f", "c", "10", "229"], check=True)
    assert not _opens_fuse(container)
    container.update({"devices": [DENY, FUSE]})
    assert _opens_fuse(container)
    container.update({"devices": [DENY]})
    assert not _opens_fuse(container)
    container.update({"devices": [{"allow": True}]})
    assert _opens_fuse(container)


def test_a_device_that_old_and_new_rules_allow_can_be_used_at_every_moment(limiter):
    program = "while :; do : </dev/null || exit 9; : >/dev/zero || exit 9; done"
    container = limiter.running({}, "sh", "-c", program)
    for _ in range(30):
        container.update({"devices": [DENY, FUSE]})
        container.update({"devices": [DENY]})
    assert container.status == "running"


@pytest.mark.parametrize(
    "rules",
    [
        [DENY],
        [DENY, {"allow": True, "type": "b", "major": 7, "access": "rw"}],
        [{"allow": True}],
        [{"allow": True}, {"allow": False, "type": "c", "major": 10, "minor": 229}],
    ],
)
def test_a_failed_update_puts_back_the_rules_for_devices(limiter, layout, rules):
    container = limiter.running({"devices": rules})
    container.exec(["mknod", "/dev/f", "c", "10", "229"], check=True)

    def listed():
        if layout.mode == "unified":
            return None  # the kernel tells nobody
        return sorted(limiter.read(container, "devices.list").splitlines())

    before, opened = listed(), _opens_fuse(container)
    for new in ([DENY, FUSE], [{"allow": True}], [DENY]):
        nowhere = {"throttleReadBpsDevice": [{"major": 999, "minor": 0, "rate": 1}]}
        with pytest.raises(OperationFailed):
            container.update({"devices": new, "blockIO": nowhere})
        assert listed() == before
        assert _opens_fuse(container) == opened


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "path"),
    [
        ({"pids": {"limit": "many"}}, "$.pids.limit"),
        ({"cpu": {"quota": 5}}, "$.linux.resources.cpu.quota"),
        ({"cpu": {"quota": 2000, "burst": 3000}}, "$.linux.resources.cpu.burst"),
        ({"blockIO": {"leafWeight": 10}}, "$.linux.resources.blockIO.leafWeight"),
        ({"network": {"classID": 4}}, "$.linux.resources.network.classID"),
        ({"unified": {"memory.max": "4"}}, '$.linux.resources.unified["memory.max"]'),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
            "$.linux.resources.hugepageLimits[0]",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(limiter, layout, resources, path):
    if layout.mode == "unified" and ("unified" in path or "hugepage" in path):
        pytest.skip("version 2 has this controller here")
    container = limiter.running({})
    with pytest.raises(ConfigInvalid) as caught:
        container.update(resources)
    assert caught.value.problems[0].partition(": ")[0] == path


def test_a_limit_of_version_2_can_be_changed_where_the_container_has_one(limiter, layout):
    if "hugetlb" not in layout.unified_controllers:
        pytest.skip("version 2 has no controller here")
    limits = [{"pageSize": "2MB", "limit": 2 * MIB}]
    container = limiter.running({"hugepageLimits": limits})
    container.update({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]})
    assert limiter.read(container, "hugetlb.2MB.max") == str(4 * MIB)


def test_new_limits_hold_for_who_is_inside_already(limiter):
    container = limiter.create(
        with_resources({}, "bash", "-c", "read; sleep 9 & sleep 9 & echo both"),
        stdin=PIPE, stderr=PIPE,
    )  # fmt: skip
    container.start()
    container.update({"pids": {"limit": 2}})
    container.stdin.write(b"\n")
    container.stdin.close()
    assert b"fork" in container.stderr.readline()
    container.stderr.close()
