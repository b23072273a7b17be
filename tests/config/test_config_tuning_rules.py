"""The rules of scheduling, affinity, NUMA, RDT, personality and moved interfaces, by the kernel."""

from __future__ import annotations

import pytest

from runstate.config.validation import validate

NAMESPACES = [{"type": "mount"}, {"type": "uts"}]
DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 10**7, "deadline": 2 * 10**7}


def paths_of(config):
    return [problem.partition(": ")[0] for problem in validate(config)]


@pytest.mark.parametrize(
    ("scheduler", "wrong"),
    [
        ({"policy": "SCHED_SPORADIC"}, ["policy"]),
        ({"policy": "SCHED_ISO"}, ["policy"]),
        ({"policy": "SCHED_OTHER", "nice": 20}, ["nice"]),
        ({"policy": "SCHED_OTHER", "nice": -21}, ["nice"]),
        ({"policy": "SCHED_IDLE", "nice": 5}, ["nice"]),
        ({"policy": "SCHED_FIFO", "priority": 1, "nice": 5}, ["nice"]),
        ({"policy": "SCHED_FIFO"}, ["priority"]),
        ({"policy": "SCHED_RR", "priority": 100}, ["priority"]),
        ({"policy": "SCHED_OTHER", "priority": 1}, ["priority"]),
        ({"policy": "SCHED_OTHER", "flags": ["RESET", "SCHED_FLAG_RECLAIM"]}, ["flags[0]"]),
        ({"policy": "SCHED_BATCH", "runtime": 5, "period": 5}, ["runtime", "period"]),
        ({"policy": "SCHED_DEADLINE"}, ["runtime"]),
        ({**DEADLINE, "runtime": 1023}, ["runtime"]),
        ({**DEADLINE, "deadline": 10**7 - 1}, ["deadline"]),
        ({**DEADLINE, "period": 10**7}, ["period"]),
        ({**DEADLINE, "period": 2**63}, ["period"]),
        ({**DEADLINE, "nice": 1, "priority": 1}, ["nice", "priority"]),
    ],
)
def test_a_scheduler_that_the_kernel_would_refuse(changed, scheduler, wrong):
    config = changed({"process.scheduler": scheduler})
    assert paths_of(config) == [f"$.process.scheduler.{name}" for name in wrong]


@pytest.mark.parametrize(
    "scheduler",
    [
        {"policy": "SCHED_OTHER", "nice": -20},
        {"policy": "SCHED_BATCH", "nice": 19, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        {"policy": "SCHED_IDLE", "nice": 0, "priority": 0, "runtime": 0},
        {"policy": "SCHED_FIFO", "priority": 1},
        {"policy": "SCHED_RR", "priority": 99, "nice": 0},
        DEADLINE,
        {**DEADLINE, "deadline": 10**7, "period": 2**63 - 1},
    ],
)
def test_a_scheduler_that_the_kernel_would_take(changed, scheduler):
    assert paths_of(changed({"process.scheduler": scheduler})) == []


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"process.ioPriority": {"class": "IDLE"}}, ["$.process.ioPriority.class"]),
        (
            {"process.ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}},
            ["$.process.ioPriority.priority"],
        ),
        ({"linux.personality.domain": "BSD"}, ["$.linux.personality.domain"]),
        (
            {"linux.personality": {"domain": "LINUX32", "flags": ["SHORT_INODE"]}},
            ["$.linux.personality.flags[0]"],
        ),
        (
            {"linux.personality": {"flags": ["X"]}},
            ["$.linux.personality.domain", "$.linux.personality.flags[0]"],
        ),
        ({"linux.intelRdt.memBwSchema": "L3:0=f"}, ["$.linux.intelRdt.memBwSchema"]),
        ({"linux.intelRdt.closID": "../x"}, ["$.linux.intelRdt.closID"]),
        ({"linux.intelRdt.closID": ".."}, ["$.linux.intelRdt.closID"]),
        (
            {"linux.intelRdt.schemata": ["L3:0=f", "L3:0=f\nMB:0=1", ""]},
            ["$.linux.intelRdt.schemata[1]", "$.linux.intelRdt.schemata[2]"],
        ),
    ],
)
def test_what_the_kernel_would_refuse(changed, change, paths):
    assert paths_of(changed(change)) == paths


@pytest.mark.parametrize("cpus", ["a", "3-1", "-", "1-", "-1", "0-3-5", "0;1", "0x1", "1 2", "²"])
def test_a_list_of_cpus_that_is_none(changed, cpus):
    change = {"process.execCPUAffinity": {"initial": cpus, "final": "0"}}
    assert paths_of(changed(change)) == ["$.process.execCPUAffinity.initial"]


@pytest.mark.parametrize("cpus", ["", "0", "0-3,7", " 0 , 2-2", "0,,1,", "65535"])
def test_a_list_of_cpus_as_runc_takes_one(changed, cpus):
    assert paths_of(changed({"process.execCPUAffinity": {"initial": cpus, "final": cpus}})) == []


@pytest.mark.parametrize(
    ("policy", "wrong"),
    [
        ({"mode": "MPOL"}, ["mode"]),
        ({"nodes": "0"}, ["mode"]),
        ({"mode": "MPOL_BIND"}, ["nodes"]),
        ({"mode": "MPOL_INTERLEAVE", "nodes": ","}, ["nodes"]),
        ({"mode": "MPOL_BIND", "nodes": "a"}, ["nodes"]),
        ({"mode": "MPOL_DEFAULT", "nodes": "0"}, ["nodes"]),
        ({"mode": "MPOL_LOCAL", "nodes": "0"}, ["nodes"]),
        ({"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"]}, ["flags[0]"]),
        ({"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_RELATIVE_NODES"]}, ["flags[0]"]),
        (
            {"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]},
            ["flags[0]"],
        ),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_ALL"]}, ["flags[0]"]),
        (
            {
                "mode": "MPOL_BIND",
                "nodes": "0",
                "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"],
            },
            ["flags"],
        ),
    ],
)
def test_a_memory_policy_that_the_kernel_would_refuse(changed, policy, wrong):
    paths = paths_of(changed({"linux.memoryPolicy": policy}))
    assert paths == [f"$.linux.memoryPolicy.{name}" for name in wrong]


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"mode": "MPOL_DEFAULT"},
        {"mode": "MPOL_LOCAL", "nodes": ""},
        {"mode": "MPOL_PREFERRED"},
        {"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        {"mode": "MPOL_BIND", "nodes": "0-3,7", "flags": ["MPOL_F_NUMA_BALANCING"]},
        {"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]},
    ],
)
def test_a_memory_policy_that_the_kernel_would_take(changed, policy):
    assert paths_of(changed({"linux.memoryPolicy": policy})) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "a:1", "x" * 16, "eth%d", "%d%d", "é" * 8, "\udcff"]
)
def test_a_name_that_no_interface_has(changed, name):
    by_host = paths_of(changed({"linux.netDevices": {name: {}}}))
    assert by_host == ["$.linux.netDevices"]
    inside = paths_of(changed({"linux.netDevices": {"eth1": {"name": name}}}))
    # With nothing it keeps its name, and one %d the kernel replaces by a number that is free.
    assert inside == ([] if name in {"", "eth%d"} else ["$.linux.netDevices.eth1.name"])


def test_two_interfaces_do_not_get_one_name(changed):
    devices = {"eth1": {}, "eth0": {"name": "eth1"}, "x" * 15: {"name": "é" * 7}}
    assert paths_of(changed({"linux.netDevices": devices})) == ["$.linux.netDevices.eth0"]


def test_interfaces_are_moved_only_into_a_network_of_the_containers_own(changed):
    config = changed({"linux.netDevices": {"eth1": {}}, "linux.namespaces": NAMESPACES})
    assert paths_of(config) == ["$.linux.netDevices"]
