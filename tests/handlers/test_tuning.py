"""Scheduling, I/O priority, CPUs, memory policy and personality, as the kernel has them."""

from __future__ import annotations

import ctypes
import os
import struct

import pytest

from runstate import Config
from runstate.errors import ConfigInvalid, OperationFailed
from runstate.linux.operations import RARE
from tests import host

pytestmark = pytest.mark.root

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_NUMBERS = {  # architecture: ioprio_get, sched_getattr
    "x86_64": (252, 315),
    "aarch64": (31, 275),
    "riscv64": (31, 275),
    "loongarch64": (31, 275),
    "ppc64le": (274, 356),
    "s390x": (283, 346),
}
_IOPRIO_GET, _SCHED_GETATTR = _NUMBERS[os.uname().machine]
MS = 1_000_000
DEADLINE = {
    "policy": "SCHED_DEADLINE",
    "runtime": 5 * MS,
    "deadline": 20 * MS,
    "period": 30 * MS,
}


def scheduling(pid):
    """Policy, flags, nice, priority, runtime, deadline and period of sched_getattr(2)."""
    buffer = ctypes.create_string_buffer(48)
    assert _syscall(_SCHED_GETATTR, pid, buffer, 48, 0) == 0, os.strerror(ctypes.get_errno())
    return struct.unpack("=IIQiIQQQ", buffer.raw)[1:]


def io_priority(pid):
    """Class and level of ioprio_get(2)."""
    value = _syscall(_IOPRIO_GET, 1, pid)
    return value >> 13, value & 7


def test_a_default_container_needs_nothing_rare(linux_factory):
    _, operations, _ = linux_factory.plan(Config.default(["true"]))
    assert not {operation.name for operation in operations} & RARE.keys()


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ({"policy": "SCHED_OTHER", "nice": 7}, (0, 0, 7, 0)),
        ({"policy": "SCHED_BATCH", "nice": -3}, (3, 0, -3, 0)),
        # It has no use for a nice value, and keeps what is there.
        ({"policy": "SCHED_IDLE"}, (5, 0, os.nice(0), 0)),
        ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, (0, 1, 0, 0)),
    ],
)
def test_a_scheduler_is_the_program_s_and_a_further_process_s(containers, scheduler, expected):
    container = containers.running(**{"process.scheduler": scheduler})
    assert scheduling(container.pid)[:4] == expected
    with container.popen(["sleep", "1000"], process=container.config.process) as process:
        assert scheduling(process.pid)[:4] == expected
        process.kill()


def test_a_deadline_has_its_runtime_and_period(containers):
    flags = {"flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    container = containers.running(**{"process.scheduler": DEADLINE | flags})
    assert scheduling(container.pid) == (6, 1, 0, 0, 5 * MS, 20 * MS, 30 * MS)


@pytest.mark.parametrize(("policy", "number"), [("SCHED_FIFO", 1), ("SCHED_RR", 2)])
def test_a_realtime_policy_has_its_priority(containers, policy, number):
    # Where the kernel shares realtime out to cgroups (RT_GROUP_SCHED), they need a part of it;
    # below the root of the hierarchy, which has it all.
    changes = {
        "linux.cgroupsPath": f"/runstate-realtime-{host.new_id()}",
        "linux.resources.cpu": {"realtimePeriod": 1_000_000, "realtimeRuntime": 10_000},
        "process.scheduler": {"policy": policy, "priority": 42},
    }
    container = containers.running(**changes)
    assert scheduling(container.pid)[:4] == (number, 0, 0, 42)


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        ({"class": "IOPRIO_CLASS_RT", "priority": 2}, (1, 2)),
        ({"class": "IOPRIO_CLASS_BE", "priority": 7}, (2, 7)),
        ({"class": "IOPRIO_CLASS_IDLE", "priority": 0}, (3, 0)),
    ],
)
def test_an_io_priority_is_the_program_s_and_a_further_process_s(containers, priority, expected):
    container = containers.running(**{"process.ioPriority": priority})
    assert io_priority(container.pid) == expected
    with container.popen(["sleep", "1000"], process=container.config.process) as process:
        assert io_priority(process.pid) == expected
        process.kill()


def test_the_final_cpus_are_a_further_process_s_and_not_the_program_s(containers, further):
    affinity = {"initial": "0", "final": "1"}
    container = containers.running(**{"process.execCPUAffinity": affinity})
    assert os.sched_getaffinity(container.pid) == os.sched_getaffinity(0)
    cpus = ("grep", "Cpus_allowed_list", "/proc/self/status")
    assert further(container, *cpus).split() == ["Cpus_allowed_list:", "1"]


def test_without_final_cpus_a_further_process_has_its_cgroup_s(containers, further):
    container = containers.running(**{"linux.resources.cpu": {"cpus": "1", "mems": "0"}})
    cpus = ("grep", "Cpus_allowed_list", "/proc/self/status")
    found = further(container, *cpus, execCPUAffinity={"initial": "0"})
    assert found.split() == ["Cpus_allowed_list:", "1"]


def test_initial_cpus_that_the_host_has_not_are_an_error(containers, further):
    container = containers.running()
    with pytest.raises(OperationFailed, match=r"run on the CPUs 4000.*Invalid argument"):
        further(container, "true", execCPUAffinity={"initial": "4000"})
    assert container.processes() == [container.pid]


@pytest.mark.parametrize("text", ["3-1", "a", "1-", "0,99999999", "-1", "1 2"])
def test_a_list_of_cpus_that_is_none_is_refused(containers, text):
    with pytest.raises(ConfigInvalid, match=r"\$\.process\.execCPUAffinity\.initial"):
        containers.running(**{"process.execCPUAffinity": {"initial": text}})


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"mode": "MPOL_DEFAULT"}, "default"),
        ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0-0"}, "interleave:0"),
        ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, "weighted interleave:0"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
        ({"mode": "MPOL_LOCAL"}, "local"),
        (
            {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
            "bind=static:0",
        ),
        (
            {"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]},
            "prefer=relative:0",
        ),
        (
            {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]},
            "bind=balancing:0",
        ),
    ],
)
def test_a_memory_policy_is_the_program_s_and_a_further_process_s(
    containers, further, policy, expected
):
    container = containers.running(**{"linux.memoryPolicy": policy})
    with open(f"/proc/{container.pid}/numa_maps", encoding="ascii") as file:
        first = file.readline()
    assert first.split(" ", 1)[1].startswith(expected)
    assert expected in further(container, "head", "-1", "/proc/self/numa_maps")


def test_memory_nodes_that_the_host_has_not_are_an_error(containers):
    policy = {"mode": "MPOL_BIND", "nodes": "1000"}
    with pytest.raises(OperationFailed, match=r"memory policy MPOL_BIND, nodes 1000: Invalid"):
        containers.running(**{"linux.memoryPolicy": policy})


def test_a_personality_is_the_program_s_and_a_further_process_s(containers, further):
    linux32 = {"domain": "LINUX32"}
    assert containers.says("uname", "-m", **{"linux.personality": linux32}).strip() == "i686"
    container = containers.running(**{"linux.personality": linux32})
    assert further(container, "uname", "-m").strip() == "i686"
    linux = {"domain": "LINUX"}
    assert containers.says("uname", "-m", **{"linux.personality": linux}).strip() == "x86_64"
