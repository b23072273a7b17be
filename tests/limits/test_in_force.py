"""Limits in real containers: each is read from within, from the kernel, or felt."""

from __future__ import annotations

import os
import time

import pytest

from runstate import PIPE
from runstate.errors import ConfigInvalid, OperationFailed
from tests.limits.conftest import here, require, with_resources

pytestmark = pytest.mark.root
MIB = 1 << 20


def _legacy(layout, *controllers):
    for controller in controllers:
        if not any(controller in hierarchy.names for hierarchy in layout.legacy):
            pytest.skip(f"{controller} is not a version 1 hierarchy here")


def test_a_pids_limit_stops_forks(limiter):
    program = "for i in 1 2 3 4 5 6; do sleep 5 & done; echo all"
    text = limiter.output({"pids": {"limit": 4}}, "sh", "-c", program)
    assert "ork" in text  # Cannot fork, or: fork: Resource temporarily unavailable
    assert "all" not in text


def test_a_memory_limit_kills(limiter):
    container = limiter.running(
        {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}, "tail", "/dev/zero"
    )
    assert container.wait(30) == -9


SETTINGS = [
    ({"memory": {"reservation": 8 * MIB}}, "memory.soft_limit_in_bytes", str(8 * MIB)),
    ({"memory": {"swappiness": 7}}, "memory.swappiness", "7"),
    ({"memory": {"kernelTCP": 4 * MIB}}, "memory.kmem.tcp.limit_in_bytes", str(4 * MIB)),
    ({"memory": {"useHierarchy": True}}, "memory.use_hierarchy", "1"),
    ({"memory": {"disableOOMKiller": True}}, "memory.oom_control", "oom_kill_disable 1"),
    ({"cpu": {"shares": 300}}, "cpu.shares", "300"),
    ({"cpu": {"quota": 20000, "period": 50000}}, "cpu.cfs_quota_us", "20000"),
    ({"cpu": {"quota": 20000, "period": 50000}}, "cpu.cfs_period_us", "50000"),
    ({"cpu": {"quota": 20000, "burst": 9000}}, "cpu.cfs_burst_us", "9000"),
    ({"cpu": {"idle": 1, "shares": 300}}, "cpu.idle", "1"),
    ({"cpu": {"idle": 0, "shares": 300}}, "cpu.shares", "300"),
    ({"cpu": {"mems": "0"}}, "cpuset.mems", "0"),
    ({"memory": {"reservation": 8 * MIB}}, "memory.low", str(8 * MIB)),
    ({"memory": {"limit": 32 * MIB, "swap": 48 * MIB}}, "memory.swap.max", str(16 * MIB)),
    ({"memory": {"limit": 32 * MIB}}, "memory.max", str(32 * MIB)),
    ({"memory": {"limit": 32 * MIB}, "unified": {"memory.max": "33554432"}}, "memory.max",
     str(32 * MIB)),
    ({"unified": {"memory.high": str(30 * MIB)}}, "memory.high", str(30 * MIB)),
    ({"cpu": {"shares": 1024}}, "cpu.weight", "100"),
    ({"cpu": {"quota": 20000, "period": 50000}}, "cpu.max", "20000 50000"),
    ({"cpu": {"quota": 20000, "burst": 9000}}, "cpu.max.burst", "9000"),
]  # fmt: skip


@pytest.mark.parametrize(("resources", "file", "value"), [row for row in SETTINGS if here(row[1])])
def test_the_kernel_has_what_the_config_says(limiter, layout, resources, file, value):
    # From within: the container's cgroup is the root of what it sees there.
    directory = "" if layout.mode == "unified" else file.partition(".")[0]
    text = limiter.output(resources, "cat", f"/sys/fs/cgroup/{directory}/{file}")
    assert text.splitlines()[0] == value


def test_throttles_of_version_2_are_with_the_kernel(limiter):
    require("io.max")
    major, minor = _disk()
    device = {"major": major, "minor": minor, "rate": 5 * MIB}
    blocks = {"throttleWriteBpsDevice": [device], "throttleReadIOPSDevice": [{**device, "rate": 9}]}
    container = limiter.running({"blockIO": blocks})
    line = f"{major}:{minor} rbps=max wbps={5 * MIB} riops=9 wiops=max"
    assert limiter.read(container, "io.max") == line


def test_swap_is_limited_together_with_memory(limiter, layout):
    _legacy(layout, "memory")
    container = limiter.running({"memory": {"limit": 16 * MIB, "swap": 24 * MIB}})
    assert limiter.read(container, "memory.limit_in_bytes") == str(16 * MIB)
    assert limiter.read(container, "memory.memsw.limit_in_bytes") == str(24 * MIB)


def test_a_quota_throttles(limiter):
    container = limiter.running(
        {"cpu": {"quota": 2000, "period": 20000}}, "sh", "-c", "while :; do :; done"
    )
    deadline = time.monotonic() + 20
    while not container.stats().cgroup.cpu.throttled_periods:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cpuset_is_all_that_the_container_may_use(limiter):
    last = max(os.sched_getaffinity(0))
    text = limiter.output(
        {"cpu": {"cpus": str(last)}}, "grep", "Cpus_allowed_list", "/proc/self/status"
    )
    assert text.split() == ["Cpus_allowed_list:", str(last)]


def test_realtime_processes_get_the_time_that_is_granted(limiter, layout):
    _legacy(layout, "cpu")
    cpu = next(hierarchy for hierarchy in layout.legacy if "cpu" in hierarchy.names)
    if not os.path.exists(f"{cpu.mount_point}/cpu.rt_runtime_us"):
        pytest.skip("the kernel has no realtime group scheduling")
    container = limiter.running({"cpu": {"realtimeRuntime": 2000, "realtimePeriod": 400000}})
    assert limiter.read(container, "cpu.rt_runtime_us") == "2000"
    assert limiter.read(container, "cpu.rt_period_us") == "400000"
    # The kernel takes no realtime process into a cgroup without time for it.
    os.sched_setscheduler(container.pid, os.SCHED_FIFO, os.sched_param(1))
    without = limiter.running({})
    with pytest.raises(PermissionError):
        os.sched_setscheduler(without.pid, os.SCHED_FIFO, os.sched_param(1))


FUSE = "mknod /dev/f c 10 229 && exec 3<>/dev/f && echo open"


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([], False),
        ([{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}], True),
        ([{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"}], False),
        ([{"allow": True, "type": "c", "major": 10, "access": "rw"}], True),
        ([{"allow": True, "access": "rwm"}], True),
        ([{"allow": True, "access": "rwm"}, {"allow": False, "type": "c", "major": 10}], False),
    ],
)
def test_the_rules_for_devices_decide_what_can_be_opened(limiter, rules, allowed):
    resources = {"devices": [{"allow": False, "access": "rwm"}, *rules]}
    text = limiter.output(resources, "bash", "-c", FUSE)
    assert ("open" in text.splitlines()) == allowed
    assert allowed or "not permitted" in text


def test_without_rules_for_devices_there_are_those_that_every_container_has(limiter):
    config = with_resources(
        {}, "bash", "-c", f": <>/dev/null; : </dev/urandom; echo default; {FUSE}"
    )
    del config["linux"]["resources"]
    container = limiter.create(config, stdout=PIPE)
    container.start()
    assert container.stdout.read() == b"default\n"
    container.stdout.close()
    container.wait(10)


def _disk():
    device = os.stat("/usr/bin/env").st_dev
    return os.major(device), os.minor(device)


@pytest.mark.parametrize(
    ("throttle", "rate", "program"),
    [
        ("throttleReadBpsDevice", MIB, "dd if={} of=/dev/null bs=256k iflag=direct"),
        ("throttleReadIOPSDevice", 8, "dd if={} of=/dev/null bs=128k iflag=direct"),
    ],
)
def test_reads_of_a_disk_are_throttled(limiter, disk_file, throttle, rate, program):
    major, minor = _disk()
    resources = {"blockIO": {throttle: [{"major": major, "minor": minor, "rate": rate}]}}
    start = time.monotonic()
    text = limiter.output(resources, *program.format(disk_file).split())
    assert "1048576 bytes" in text
    # A megabyte at a megabyte a second, or eight reads at eight a second.
    assert time.monotonic() - start > 0.5


def test_throttles_of_writes_are_with_the_kernel(limiter, layout):
    _legacy(layout, "blkio")
    major, minor = _disk()
    device = {"major": major, "minor": minor}
    container = limiter.running(
        {
            "blockIO": {
                "throttleWriteBpsDevice": [{**device, "rate": 5 * MIB}],
                "throttleWriteIOPSDevice": [{**device, "rate": 77}],
            }
        }
    )
    assert (
        limiter.read(container, "blkio.throttle.write_bps_device") == f"{major}:{minor} {5 * MIB}"
    )
    assert limiter.read(container, "blkio.throttle.write_iops_device") == f"{major}:{minor} 77"


def test_a_weight_is_with_the_kernel(limiter, layout):
    _legacy(layout, "blkio")
    container = limiter.running({"blockIO": {"weight": 321}})
    assert limiter.read(container, "blkio.bfq.weight") == "321"


def test_the_weight_of_a_device_is_with_the_kernel(weighed_disk, limiter, layout):
    _legacy(layout, "blkio")
    major, minor = weighed_disk
    device = {"major": major, "minor": minor}
    container = limiter.running({"blockIO": {"weightDevice": [{**device, "weight": 77}]}})
    lines = limiter.read(container, "blkio.bfq.weight_device").splitlines()
    assert lines == ["default 100", f"{major}:{minor} 77"]
    # A failed change takes it back, also to none at all.
    other = limiter.running({})
    for made in (container, other):
        before = limiter.read(made, "blkio.bfq.weight_device")
        with pytest.raises(OperationFailed, match="999:0"):
            made.update(
                {
                    "blockIO": {
                        "weightDevice": [{**device, "weight": 55}],
                        "throttleReadBpsDevice": [{"major": 999, "minor": 0, "rate": 1}],
                    }
                }
            )
        assert limiter.read(made, "blkio.bfq.weight_device") == before
        made.destroy(force=True)


HUGE = "import mmap; mmap.mmap(-1, {} << 21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)"


@pytest.mark.usefixtures("huge_pages")
def test_huge_pages_are_limited_at_their_reservation(limiter):
    resources = {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 * MIB}]}
    python = os.path.realpath("/usr/bin/python3")
    assert limiter.output(resources, python, "-c", HUGE.format(1)) == ""
    assert "Cannot allocate memory" in limiter.output(resources, python, "-c", HUGE.format(2))


@pytest.mark.usefixtures("net_cls")
def test_packets_are_tagged_with_the_class(limiter):
    container = limiter.running({"network": {"classID": 0x100001}})
    assert limiter.read(container, "net_cls.classid") == str(0x100001)


@pytest.mark.usefixtures("net_prio")
def test_interfaces_get_their_priorities(limiter):
    container = limiter.running({"network": {"priorities": [{"name": "lo", "priority": 5}]}})
    assert "lo 5" in limiter.read(container, "net_prio.ifpriomap").splitlines()


def test_unified_settings_reach_the_files_of_version_2(limiter, layout):
    if layout.unified is None:
        pytest.skip("version 2 is not mounted here")
    container = limiter.running(
        {"unified": {"cgroup.max.depth": "3", "cgroup.max.descendants": "max"}}
    )
    assert limiter.read(container, "cgroup.max.depth") == "3"


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "path"),
    [
        ({"network": {"classID": 5}}, "$.linux.resources.network.classID"),
        (
            {"network": {"priorities": [{"name": "lo", "priority": 1}]}},
            "$.linux.resources.network.priorities[0]",
        ),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, "$.linux.resources.rdma.mlx5_1"),
        ({"unified": {"rdma.max": "mlx5_1 hca_handle=1"}}, '$.linux.resources.unified["rdma.max"]'),
        (
            {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
            "$.linux.resources.hugepageLimits[0].pageSize",
        ),
    ],
)
def test_what_this_host_has_no_controller_for_is_refused_before_anything_is_made(
    limiter, layout, root, resources, path
):
    if "rdma" in path and "rdma" in layout.controllers:
        pytest.skip("this host has the controller rdma")
    with pytest.raises(ConfigInvalid) as caught:
        limiter.create(with_resources(resources))
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [path]
    assert os.listdir(root) in ([], [".history"])


def test_a_value_that_the_kernel_refuses_leaves_nothing_behind(limiter, layout):
    if "cpuset" not in layout.controllers:
        pytest.skip("this host has no controller cpuset")
    with pytest.raises(OperationFailed, match=r"write 999 to cpuset\.cpus"):
        limiter.create(with_resources({"cpu": {"cpus": "999"}}))


def test_a_limit_on_kernel_memory_is_left_out_with_a_notice(limiter):
    container = limiter.create(with_resources({"memory": {"kernel": 5 * MIB, "limit": 99 * MIB}}))
    (notice,) = container.notices
    assert notice.startswith("$.linux.resources.memory.kernel: left out")


def test_a_device_of_rdma_that_there_is_not_leaves_nothing_behind(limiter, layout):
    if "rdma" not in layout.controllers:
        pytest.skip("this host has no controller rdma")
    with pytest.raises(OperationFailed, match=r"write mlx5_1 hca_handle=3 to rdma\.max"):
        limiter.create(with_resources({"rdma": {"mlx5_1": {"hcaHandles": 3}}}))
