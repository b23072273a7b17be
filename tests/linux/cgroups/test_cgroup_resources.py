"""What resources mean as writes."""

from __future__ import annotations

import pytest

from runstate.errors import ConfigInvalid, NotSupported, OperationFailed
from runstate.linux.cgroups.applying import DeviceFilter, Write
from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.cgroups.cpu import cpu_weight
from runstate.linux.cgroups.resources import (
    DEFAULT_DEVICE_RULES,
    compile_writes,
    needs_unified,
    problems,
)

NAMES = ("cpu", "cpuset", "memory", "pids", "devices", "blkio", "hugetlb", "net_cls", "net_prio")
V1 = {name: f"/cg/{name}/web" for name in NAMES}
V2 = {"": "/cg/web"}
DENY_ALL = {"allow": False, "access": "rwm"}


def _writes(paths, resources):
    """The writes alone, which these resources must be."""
    effects = compile_writes(paths, resources)
    writes = [effect for effect in effects if isinstance(effect, Write)]
    assert len(writes) == len(effects)
    return writes


def _pairs(paths, resources):
    return [(write.file, write.value) for write in _writes(paths, resources)]


@pytest.mark.parametrize(
    ("resources", "v1", "v2"),
    [
        ({}, [], []),
        ({"cpu": {}, "memory": {}, "pids": {}, "blockIO": {"weight": 0}}, [], []),
        ({"pids": {"limit": 7}}, [("pids.max", "7")], [("pids.max", "7")]),
        ({"pids": {"limit": 0}}, [("pids.max", "max")], [("pids.max", "max")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")], [("pids.max", "max")]),
        (
            {"memory": {"limit": 100, "swap": 300, "reservation": 50}},
            [
                ("memory.limit_in_bytes", "100"),
                ("memory.memsw.limit_in_bytes", "300"),
                ("memory.soft_limit_in_bytes", "50"),
            ],
            [("memory.swap.max", "200"), ("memory.max", "100"), ("memory.low", "50")],
        ),
        (
            {"memory": {"limit": 100, "swap": 100}},
            [("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "100")],
            [("memory.swap.max", "0"), ("memory.max", "100")],
        ),
        (
            {"memory": {"limit": -1}},
            [("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")],
            [("memory.swap.max", "max"), ("memory.max", "max")],
        ),
        (
            {"memory": {"limit": 100, "swap": -1}},
            [("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.swap.max", "max"), ("memory.max", "100")],
        ),
        (
            {"cpu": {"quota": 50000, "period": 100000, "burst": 20000}},
            [
                ("cpu.cfs_burst_us", "0"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "50000"),
                ("cpu.cfs_burst_us", "20000"),
            ],
            [("cpu.max.burst", "0"), ("cpu.max", "50000 100000"), ("cpu.max.burst", "20000")],
        ),
        ({"memory": {"disableOOMKiller": False}}, [("memory.oom_control", "0")], []),
        ({"memory": {"kernel": 5, "checkBeforeUpdate": True}}, [], []),
        (
            {"network": {"classID": 0}, "pids": {"limit": 9}},
            [("pids.max", "9")],
            [("pids.max", "9")],
        ),
        (
            {"cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 0}},
            [
                ("cpu.shares", "1024"),
                ("cpu.cfs_burst_us", "0"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "50000"),
            ],
            [("cpu.weight", "100"), ("cpu.max.burst", "0"), ("cpu.max", "50000 100000")],
        ),
        ({"cpu": {"quota": -1}}, [("cpu.cfs_quota_us", "-1")], [("cpu.max", "max")]),
        ({"cpu": {"period": 5000}}, [("cpu.cfs_period_us", "5000")], [("cpu.max", "max 5000")]),
        ({"cpu": {"idle": 1, "shares": 9}}, [("cpu.idle", "1")], [("cpu.idle", "1")]),
        (
            {"cpu": {"cpus": "0-1", "mems": "0"}},
            [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
            [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
        ),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]}},
            [("blkio.throttle.read_bps_device", "8:0 9")],
            [("io.max", "8:0 rbps=9")],
        ),
        (
            {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}},
            [("blkio.throttle.write_iops_device", "8:0 0")],
            [("io.max", "8:0 wiops=max")],
        ),
        (
            {"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}},
            [("blkio.bfq.weight", "500"), ("blkio.bfq.weight_device", "8:0 10")],
            [("io.bfq.weight", "500"), ("io.bfq.weight", "8:0 10")],
        ),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]},
            [("hugetlb.2MB.limit_in_bytes", "4"), ("hugetlb.2MB.rsvd.limit_in_bytes", "4")],
            [("hugetlb.2MB.max", "4"), ("hugetlb.2MB.rsvd.max", "4")],
        ),
    ],
)
def test_resources_become_the_files_of_either_version(resources, v1, v2):
    assert _pairs(V1, resources) == v1
    assert _pairs(V2, resources) == v2


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (1, 1),
        (2, 1),
        (102, 17),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262144, 10000),
        (9**9, 10000),
    ],
)
def test_shares_become_a_weight_by_the_parabola_of_todays_runtimes(shares, weight):
    assert cpu_weight(shares) == weight


def test_more_shares_never_weigh_less():
    weights = [cpu_weight(shares) for shares in range(2, 262145, 31)]
    assert weights == sorted(weights)


@pytest.mark.parametrize(
    ("weight", "files"),
    [(10, "1"), (100, "910"), (1000, "10000")],
)
def test_block_weights_are_converted_where_bfq_has_no_file_of_its_own(weight, files):
    (write,) = _writes(V2, {"blockIO": {"weight": weight}})
    assert (write.instead.file, write.instead.value) == ("io.weight", files)


@pytest.mark.parametrize(
    ("resources", "file", "value"),
    [
        ({"memory": {"swappiness": 0}}, "memory.swappiness", "0"),
        ({"memory": {"disableOOMKiller": True}}, "memory.oom_control", "1"),
        ({"memory": {"kernelTCP": -1}}, "memory.kmem.tcp.limit_in_bytes", "-1"),
        ({"cpu": {"realtimePeriod": 1000}}, "cpu.rt_period_us", "1000"),
        ({"cpu": {"realtimeRuntime": 900}}, "cpu.rt_runtime_us", "900"),
    ],
)
def test_what_version_2_has_no_setting_for_is_refused_there_by_its_path(resources, file, value):
    assert _pairs(V1, resources) == [(file, value)]
    ((section, settings),) = resources.items()
    ((path, why),) = problems(V2, {"cpu", "memory"}, resources)
    assert path == (section, *settings)
    assert why == (
        f"needs the cgroup controller {section!r} of version 1: this host has it in version 2, "
        "which has no such setting"
    )


def test_network_priorities_are_version_1s_alone():
    network = {"classID": 1048577, "priorities": [{"name": "lo", "priority": 3}]}
    assert _pairs(V1, {"network": network}) == [
        ("net_cls.classid", "1048577"),
        ("net_prio.ifpriomap", "lo 3"),
    ]
    with pytest.raises(NotSupported, match=r"classID needs .*'net_cls'.*'net_prio'"):
        compile_writes(V2, {"network": network})


def test_on_a_mixed_host_each_setting_goes_to_the_version_that_has_its_controller():
    paths = {"memory": "/cg/memory/web", "": "/cg/unified/web"}
    resources = {"memory": {"limit": 1}, "hugepageLimits": [{"pageSize": "2MB", "limit": 4}]}
    writes = compile_writes(paths, resources)
    assert [write.directory for write in writes[:2]] == ["/cg/memory/web", "/cg/unified/web"]


def test_unified_settings_are_written_as_they_are():
    writes = _writes(V2, {"unified": {"memory.high": "5", "cgroup.max.depth": "3"}})
    assert [(write.controller, write.file, write.value) for write in writes] == [
        ("memory", "memory.high", "5"),
        ("", "cgroup.max.depth", "3"),
    ]


def test_unified_settings_win_over_what_was_converted_to_the_same_file():
    resources = {
        "memory": {"limit": 100, "reservation": 50},
        "cpu": {"shares": 1024},
        "blockIO": {
            "weight": 100,
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
        },
        "unified": {"memory.max": "7", "io.weight": "default 5", "io.max": "8:16 rbps=3"},
    }
    assert _pairs(V2, resources) == [
        ("memory.low", "50"),
        ("cpu.weight", "100"),
        ("io.max", "8:0 rbps=9"),
        ("memory.max", "7"),
        ("io.weight", "default 5"),
        ("io.max", "8:16 rbps=3"),
    ]


def test_an_update_cannot_undo_what_unified_has_set():
    ((path, why),) = problems(V2, {"memory"}, {"memory": {"limit": 9}}, ["memory.max"])
    assert path == ("unified", "memory.max")
    assert why.startswith("it was set before, and wins over")
    resources = {"memory": {"limit": 9}, "unified": {"memory.max": "8"}}
    assert problems(V2, {"memory"}, resources, ["memory.max"]) == []
    assert compile_writes(V2, resources, former_unified=["memory.max"]) == (
        Write("memory", "/cg/web", "memory.max", "8"),
    )


def test_each_line_of_a_file_with_one_entry_a_device_is_a_write_that_can_be_taken_back():
    writes = _writes(V2, {"unified": {"io.max": "8:0 rbps=1\n8:16 wiops=2\n"}})
    assert [(write.value, write.reset) for write in writes] == [
        ("8:0 rbps=1", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("8:16 wiops=2", "8:16 rbps=max wbps=max riops=max wiops=max"),
    ]


def test_rdma_limits_are_one_line_a_device():
    rdma = {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "rxe3": {"hcaObjects": 0}}
    assert _pairs(V2, {"rdma": rdma}) == [
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
        ("rdma.max", "rxe3 hca_object=0"),
    ]


@pytest.mark.parametrize("file", ["../cgroup.procs", "memory", "a/b.c"])
def test_unified_settings_cannot_leave_the_cgroup(file):
    with pytest.raises(ConfigInvalid, match="unified"):
        compile_writes(V2, {"unified": {file: "1"}})


@pytest.mark.parametrize("paths", [V1, V2])
def test_a_swap_limit_below_the_memory_limit_is_refused(paths):
    with pytest.raises(ConfigInvalid, match=r"memory\.swap"):
        compile_writes(paths, {"memory": {"limit": 200, "swap": 100}})


def test_version_2_cannot_limit_swap_without_memory():
    with pytest.raises(ConfigInvalid, match=r"memory\.swap"):
        compile_writes(V2, {"memory": {"swap": 100}})


def test_device_rules_are_one_setting_of_version_1_or_one_filter_of_version_2():
    rules = [DENY_ALL, *DEFAULT_DEVICE_RULES]
    deny, allow = _writes(V1, {"devices": rules})
    assert (deny.file, deny.value) == ("devices.deny", "a")
    assert allow.file == "devices.allow"
    assert allow.value.splitlines()[:3] == ["c *:* m", "b *:* m", "c 1:3 rwm"]
    assert compile_writes(V2, {"devices": rules}) == (DeviceFilter("/cg/web", tuple(rules)),)


def test_settings_say_what_they_do():
    (write,) = compile_writes(V1, {"cpu": {"shares": 512}})
    assert write.describe() == "write 512 to cpu.shares of cgroup /cg/cpu/web"
    (effect,) = compile_writes(V2, {"devices": [DENY_ALL]})
    assert effect.describe() == "attach a filter of 1 device rules to cgroup /cg/web"


MIXED = {"cpu": "/cg/cpu/web", "": "/cg/unified/web"}


def test_what_the_host_lacks_is_known_by_its_path_before_anything_is_done():
    resources = {
        "cpu": {"shares": 9, "cpus": "0"},
        "memory": {"limit": 9},
        "blockIO": {"weight": 50},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
        "unified": {"memory.high": "1", "cgroup.max.depth": "3"},
        "devices": [DENY_ALL],
    }
    found = problems(MIXED, {"hugetlb"}, resources)
    assert [path for path, _ in found] == [
        ("memory", "limit"),
        ("cpu", "cpus"),
        ("blockIO", "weight"),
        ("unified", "memory.high"),
    ]
    assert found[0][1] == (
        "needs the cgroup controller 'memory': this host has none; mount it, or leave the limit out"
    )


def test_what_is_no_limit_needs_no_controller():
    assert problems(MIXED, (), {"pids": {"limit": 0}, "memory": {"disableOOMKiller": False}}) == []
    assert [path for path, _ in problems(MIXED, (), {"pids": {"limit": 1}})] == [("pids", "limit")]
    assert compile_writes({"cpu": "/cg/cpu"}, {"pids": {"limit": 0}}) == ()


def test_only_limits_that_version_1_does_not_have_need_the_unified_hierarchy():
    assert not needs_unified({**V1, "": "/cg/web"}, {"devices": [DENY_ALL], "pids": {"limit": 1}})
    assert needs_unified(MIXED, {"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]})
    assert needs_unified(MIXED, {"devices": [DENY_ALL]})
    assert needs_unified({**V1, "": "/cg/web"}, {"unified": {"cgroup.max.depth": "3"}})


@pytest.mark.parametrize("memory", [{"limit": 100}, {"limit": 200, "swap": 100}])
def test_a_limit_that_version_2_would_kill_for_is_refused_where_that_is_asked(tmp_path, memory):
    (tmp_path / "memory.current").write_text("100\n")
    cgroup = Cgroup({"": str(tmp_path)})
    with pytest.raises(OperationFailed, match="it uses 100, and checkBeforeUpdate says"):
        cgroup._check_before_update({**memory, "checkBeforeUpdate": True}, str(tmp_path))
    cgroup._check_before_update(memory, str(tmp_path))
    cgroup._check_before_update({"limit": 101, "checkBeforeUpdate": True}, str(tmp_path))


def test_shares_that_version_1_would_silently_change_are_refused():
    for shares in (1, 262145):
        ((path, why),) = problems(V1, (), {"cpu": {"shares": shares}})
        assert path == ("cpu", "shares")
        assert why == f"expected from 2 to 262144, got {shares}"


def test_without_any_cgroup_a_limit_is_refused():
    with pytest.raises(NotSupported, match="memory"):
        compile_writes({}, {"memory": {"limit": 9}})
    with pytest.raises(NotSupported, match="devices"):
        compile_writes({}, {"devices": [DENY_ALL]})
