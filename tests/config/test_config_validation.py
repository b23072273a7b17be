"""Validation finds each breach of the specification's rules, by its path, and no others."""

from __future__ import annotations

import pytest

from runstate.config import Config, Process
from runstate.config.validation import missing_for_linux, validate, validate_process
from runstate.linux.capabilities import NAMES

NAMESPACES = [{"type": "mount"}, {"type": "uts"}]
FUSE = {"path": "/dev/fuse", "major": 10, "minor": 229}
USER_NAMESPACE = [*NAMESPACES, {"type": "user"}]


def mapping(container_id, host_id, size):
    return {"containerID": container_id, "hostID": host_id, "size": size}


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"ociVersion": "2.0.0"}, ["$.ociVersion"]),
        ({"ociVersion": "1.0"}, ["$.ociVersion"]),
        ({"ociVersion": ""}, ["$.ociVersion"]),
        ({"ociVersion": "1.0.2\n"}, ["$.ociVersion"]),
        ({"process": None}, ["$.process"]),
        ({"process.args": None}, ["$.process.args"]),
        ({"process.args": [""]}, ["$.process.args[0]"]),
        ({"process.cwd": "work"}, ["$.process.cwd"]),
        ({"process.cwd": ""}, ["$.process.cwd"]),
        ({"process.env": ["A=1", "B", "=1"]}, ["$.process.env[1]", "$.process.env[2]"]),
        ({"process.oomScoreAdj": 1001}, ["$.process.oomScoreAdj"]),
        ({"process.user.uid": 2**32 - 1}, ["$.process.user.uid"]),
        ({"process.user.additionalGids": [5, 2**32 - 1]}, ["$.process.user.additionalGids[1]"]),
        ({"process.user.umask": 0o1000}, ["$.process.user.umask"]),
        (
            {"process.capabilities.inheritable": ["CAP_CHOWN", "CAP_KILL"]}
            | {"process.capabilities.bounding": ["CAP_CHOWN"]},
            ["$.process.capabilities.inheritable[1]"],
        ),
        (
            {"process.capabilities.permitted": ["CAP_CHOWN", "CAP_KILL"]}
            | {"process.capabilities.effective": ["CAP_KILL", "CAP_MKNOD"]},
            ["$.process.capabilities.effective[1]"],
        ),
        (
            {"process.rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]},
            ["$.process.rlimits[0].type"],
        ),
        (
            {"process.rlimits": [{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]},
            ["$.process.rlimits[0].soft"],
        ),
        (
            {"process.rlimits": [{"type": "RLIMIT_AS", "soft": 1, "hard": 1}] * 2},
            ["$.process.rlimits[1].type"],
        ),
        (
            {"process.terminal": True, "process.consoleSize": {"height": 2**16, "width": 80}},
            ["$.process.consoleSize.height"],
        ),
        ({"process.user.additionalGids": [1] * 65537}, ["$.process.user.additionalGids"]),
        ({"root.path": ""}, ["$.root.path"]),
        ({"hostname": "h" * 65}, ["$.hostname"]),
        ({"hostname": "\N{LATIN SMALL LETTER E WITH ACUTE}" * 33}, ["$.hostname"]),
        ({"linux.namespaces": [{"type": "mount"}]}, ["$.hostname"]),
        ({"linux": None}, ["$.hostname"]),
        ({"domainname": "d" * 65}, ["$.domainname"]),
        ({"annotations": {"": "x"}}, ["$.annotations"]),
        ({"mounts": [{"destination": "", "type": "tmpfs"}]}, ["$.mounts[0].destination"]),
        ({"mounts": [{"destination": "/x", "type": "bind"}]}, ["$.mounts[0].source"]),
        ({"mounts": [{"destination": "/x", "options": ["rbind"]}]}, ["$.mounts[0].source"]),
        (
            {
                "mounts": [
                    {
                        "destination": "/x",
                        "type": "bind",
                        "source": "/",
                        "uidMappings": [mapping(0, 1, 1)],
                    }
                ]
            },
            ["$.mounts[0].gidMappings"],
        ),
        ({"hooks.prestart": [{"path": "hook"}]}, ["$.hooks.prestart[0].path"]),
        ({"hooks.poststop": [{"path": "/h", "timeout": 0}]}, ["$.hooks.poststop[0].timeout"]),
        (
            {"hooks.createRuntime": [{"path": "/h", "env": ["A"]}]},
            ["$.hooks.createRuntime[0].env[0]"],
        ),
        ({"linux.namespaces": [*NAMESPACES, {"type": "uts"}]}, ["$.linux.namespaces[2].type"]),
        ({"linux.namespaces": [*NAMESPACES, {"type": "net"}]}, ["$.linux.namespaces[2].type"]),
        (
            {"linux.namespaces": [*NAMESPACES, {"type": "pid", "path": "ns"}]},
            ["$.linux.namespaces[2].path"],
        ),
        ({"linux.uidMappings": [mapping(0, 0, 1)]}, ["$.linux.uidMappings"]),
        (
            {"linux.namespaces": USER_NAMESPACE},
            ["$.linux.uidMappings", "$.linux.gidMappings"],
        ),
        (
            {
                "linux.namespaces": USER_NAMESPACE,
                "linux.uidMappings": [mapping(0, 1000, 10), mapping(9, 5000, 1)],
                "linux.gidMappings": [mapping(10, 1005, 1), mapping(0, 1000, 10)],
            },
            ["$.linux.uidMappings[1].containerID", "$.linux.gidMappings[0].hostID"],
        ),
        (
            {
                "linux.namespaces": USER_NAMESPACE,
                "linux.uidMappings": [mapping(0, 1000, 0)],
                "linux.gidMappings": [mapping(1, 0, 2**32 - 1)],
            },
            [
                "$.linux.uidMappings[0].size",
                "$.linux.gidMappings",
                "$.linux.gidMappings[0].containerID",
            ],
        ),
        (
            {
                "linux.namespaces": USER_NAMESPACE,
                "linux.uidMappings": [mapping(n * 9, 4 * 10**9 + n, 1) for n in range(300)],
                "linux.gidMappings": [mapping(0, 0, 1)],
            },
            ["$.linux.uidMappings"],
        ),
        (
            {
                "linux.namespaces": [*NAMESPACES, {"type": "time", "path": "/proc/1/ns/time"}],
                "linux.timeOffsets": {"boottime": {"secs": 1}},
            },
            ["$.linux.timeOffsets"],
        ),
        ({"linux.timeOffsets": {"monotonic": {"secs": 1}}}, ["$.linux.timeOffsets"]),
        (
            {"linux.namespaces": [*NAMESPACES, {"type": "time"}]}
            | {"linux.timeOffsets": {"realtime": {"nanosecs": 10**9}}},
            ["$.linux.timeOffsets.realtime", "$.linux.timeOffsets.realtime.nanosecs"],
        ),
        ({"linux.maskedPaths": ["/proc/kcore", "proc"]}, ["$.linux.maskedPaths[1]"]),
        ({"linux.readonlyPaths": ["proc"]}, ["$.linux.readonlyPaths[0]"]),
        (
            {"linux.namespaces": [{"type": "uts"}]},
            ["$.linux.maskedPaths", "$.linux.readonlyPaths"],
        ),
        (
            {"linux.devices": [{"type": "x", "path": "dev", "major": 1, "minor": 1}]},
            ["$.linux.devices[0].type", "$.linux.devices[0].path"],
        ),
        (
            {"linux.devices": [{"type": "c", "path": "/dev/x", "major": -1}]},
            ["$.linux.devices[0].major", "$.linux.devices[0].minor"],
        ),
        (
            {"linux.devices": [{"type": "p", "path": "/dev/x", "fileMode": 0o020600}]},
            ["$.linux.devices[0].fileMode"],
        ),
        ({"linux.cgroupsPath": "/a/../../b"}, ["$.linux.cgroupsPath"]),
        ({"linux.rootfsPropagation": "public"}, ["$.linux.rootfsPropagation"]),
        ({"linux.sysctl": {"kernel.panic": "1"}}, ['$.linux.sysctl["kernel.panic"]']),
        ({"linux.sysctl": {"net/../kernel/panic": "1"}}, ["$.linux.sysctl"]),
        ({"linux.sysctl": {"net.ipv4.conf.//.x": "1"}}, ["$.linux.sysctl"]),
        ({"linux.sysctl": {"kernel.hostname": "h"}}, ['$.linux.sysctl["kernel.hostname"]']),
        ({"process.apparmorProfile": "a\nb"}, ["$.process.apparmorProfile"]),
        (
            {"linux.namespaces": NAMESPACES, "linux.sysctl": {"net.ipv4.ip_forward": "1"}},
            ['$.linux.sysctl["net.ipv4.ip_forward"]'],
        ),
        (
            {"linux.resources.devices": [{"allow": True, "type": "x", "access": "rx"}]},
            ["$.linux.resources.devices[0].type", "$.linux.resources.devices[0].access"],
        ),
        ({"linux.resources.memory": {"limit": -2}}, ["$.linux.resources.memory.limit"]),
        ({"linux.resources.memory": {"limit": 20, "swap": 10}}, ["$.linux.resources.memory.swap"]),
        ({"linux.resources.unified": {"../x": "1"}}, ["$.linux.resources.unified"]),
        (
            {"linux.resources.hugepageLimits": [{"pageSize": "2M", "limit": 1}]},
            ["$.linux.resources.hugepageLimits[0].pageSize"],
        ),
        (
            {"linux.seccomp": {"defaultAction": "X", "syscalls": [{"names": [], "action": "Y"}]}},
            [
                "$.linux.seccomp.defaultAction",
                "$.linux.seccomp.syscalls[0].names",
                "$.linux.seccomp.syscalls[0].action",
            ],
        ),
    ],
)
def test_a_breach_is_found_at_its_path(changed, change, paths):
    problems = validate(changed(change))
    assert [problem.partition(": ")[0] for problem in problems] == paths


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ociVersion": "1.0.2-dev"},
        {"ociVersion": "1.0.0-rc5"},
        {"ociVersion": "1.99.0+build.5"},
        {"root": None},
        {"process.env": ["A=", "B==x", "C=1", "C=2"]},
        {"process.capabilities": {"bounding": ["CAP_OF_TOMORROW", "chown"]}},
        {"process.capabilities": {name: list(NAMES) for name in ("bounding", "ambient")}},
        {"process.rlimits": [{"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1}]},
        {"hostname": "h" * 64},
        {"hostname": "", "linux.namespaces": [{"type": "mount"}]},
        {"mounts": [{"destination": "relative", "type": "tmpfs"}]},
        {"linux.namespaces": [*NAMESPACES, {"type": "user", "path": "/proc/1/ns/user"}]},
        {
            "linux.namespaces": USER_NAMESPACE,
            "linux.uidMappings": [mapping(10, 0, 5), mapping(0, 1000, 10)],
            "linux.gidMappings": [mapping(0, 0, 2**32 - 1)],
        },
        {"linux.devices": [{"type": "p", "path": "/dev/fifo"}]},
        # As podman writes it: st_mode with the type's bits.
        {"linux.devices": [FUSE | {"type": "c", "fileMode": 0o020600}]},
        {"linux.devices": [FUSE | {"type": "b", "fileMode": 0o060660}]},
        {"linux.devices": [FUSE | {"type": "u", "fileMode": 0o1777}]},
        {"linux.cgroupsPath": "/a/b..c/..."},
        {"linux.cgroupsPath": "system.slice:prefix:name"},
        {"linux.rootfsPropagation": "rslave"},
        {"linux.rootfsPropagation": ""},
        {"process.consoleSize": {"height": 2**32, "width": 0}},
        {
            "linux.sysctl": {
                "net.ipv4.ip_forward": "1",
                "kernel/shmmax": "5",
                "fs.mqueue.msg_max": "1",
                "net.ipv4.conf.eth0/100.forwarding": "1",
                "net/ipv4/conf/eth0.100/forwarding": "1",
            }
        },
        {"linux.resources.memory": {"limit": 20, "swap": -1}},
        {"linux.resources.memory": {"limit": 20, "swap": 20}},
        {"linux.resources.devices": [{"allow": False, "type": "", "access": "", "major": -1}]},
    ],
)
def test_what_the_rules_allow_is_no_problem(changed, change):
    assert validate(changed(change)) == []


VERSIONS = "1.0.0 1.0.2 1.0.2-dev 1.0.0-rc5 1.1.0 1.2.1 1.3.0 1.3.0-rc.1+build.5 1.4.0 1.99.0"
NO_VERSIONS = "1 1.0 v1.0.0 1.0.0.0 01.0.0 1.01.0 1.0.0- 1.0.0+ 0.9.0 2.0.0 2.0.0-rc1 latest"


@pytest.mark.parametrize("version", VERSIONS.split())
def test_a_version_of_the_first_specification_is_taken(changed, version):
    # Later ones are compatible with it (config.md, Specification version).
    assert validate(changed({"ociVersion": version})) == []


@pytest.mark.parametrize("version", [*NO_VERSIONS.split(), "", " 1.0.0", "1.0.2\n", "1.\uff11.0"])
def test_another_version_or_none_is_refused(changed, version):
    (problem,) = validate(changed({"ociVersion": version}))
    assert problem.startswith("$.ociVersion: expected a version 1.x.y of the specification, got ")


def test_all_breaches_are_reported_at_once(changed):
    config = changed({"ociVersion": "3", "root.path": "", "process.cwd": "x", "hostname": "h" * 65})
    assert len(validate(config)) == 4


def test_a_problem_says_what_stands_there_and_what_may(changed):
    assert validate(changed({"process.cwd": "work"})) == [
        '$.process.cwd: expected an absolute path, got "work"'
    ]


def test_linux_backends_need_a_root_and_a_mount_namespace():
    assert missing_for_linux(Config.default(rootless=False)) == []
    paths = [p.partition(":")[0] for p in missing_for_linux(Config.minimal(["true"]))]
    assert paths == ["$.root", "$.linux.namespaces"]


def test_a_process_alone_is_validated_from_its_own_root():
    assert validate_process(Process(cwd="/", args=["id"])) == []
    assert validate_process(Process(cwd="x", args=["id"])) == [
        '$.cwd: expected an absolute path, got "x"'
    ]
