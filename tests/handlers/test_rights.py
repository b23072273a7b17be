"""Capabilities, limits, no_new_privs and the out-of-memory score: init's and further ones'."""

from __future__ import annotations

import resource

import pytest

from runstate import Config
from runstate.errors import ConfigInvalid, OperationFailed
from runstate.handlers.exec import requirements
from runstate.handlers.exec.further import compile_before
from runstate.linux.capabilities import NAMES, grantable, mask_of
from runstate.linux.operations import Operation
from tests import host

pytestmark = pytest.mark.root

SETS = {
    "CapInh": "inheritable",
    "CapPrm": "permitted",
    "CapEff": "effective",
    "CapBnd": "bounding",
    "CapAmb": "ambient",
}
STATUS = ("cat", "/proc/self/status")
ALL = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
USER_NAMESPACE = {
    "linux.namespaces": [{"type": name} for name in ALL],
    "linux.uidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}],
    "linux.gidMappings": [{"containerID": 0, "hostID": 0, "size": 65536}],
}


def fields(status):
    return dict(line.split(":", 1) for line in status.splitlines())


def sets_of(status):
    found = fields(status)
    return {name: int(found[field], 16) for field, name in SETS.items()}


def masks(sets):
    return {name: mask_of(sets.get(name, ())) for name in SETS.values()}


# --- capabilities -------------------------------------------------------------------------------

KEPT = {
    "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
    "permitted": ["CAP_CHOWN", "CAP_KILL"],
    "effective": ["CAP_KILL"],
    "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
    "ambient": ["CAP_KILL"],
}


@pytest.mark.parametrize("namespaces", [{}, USER_NAMESPACE], ids=["host's", "own"])
def test_another_user_has_the_ambient_capabilities_and_no_more(containers, further, namespaces):
    # execve(2) by a user other than root: what is ambient is permitted and effective.
    changes = {"capabilities": KEPT, "user": {"uid": 1234, "gid": 1234}}
    expected = masks({**KEPT, "permitted": KEPT["ambient"], "effective": KEPT["ambient"]})
    prefixed = {f"process.{name}": value for name, value in changes.items()}
    assert sets_of(containers.says(*STATUS, **prefixed, **namespaces)) == expected
    container = containers.running(**namespaces)
    assert sets_of(further(container, *STATUS, **changes)) == expected


@pytest.mark.parametrize("namespaces", [{}, USER_NAMESPACE], ids=["host's", "own"])
def test_root_has_what_is_bounding_or_inheritable(containers, further, namespaces):
    # execve(2) by root: all of the bounding and the inheritable set (capabilities(7)).
    sets = {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"]}
    expected = masks({**sets, "effective": sets["bounding"]})
    said = containers.says(*STATUS, **{"process.capabilities": sets}, **namespaces)
    assert sets_of(said) == expected
    container = containers.running(**namespaces)
    assert sets_of(further(container, *STATUS, capabilities=sets)) == expected


def test_without_capabilities_root_has_none(containers, further):
    said = containers.says(*STATUS, **{"process.capabilities": None})
    assert set(sets_of(said).values()) == {0}
    assert set(sets_of(further(containers.running(), *STATUS, capabilities=None)).values()) == {0}


def test_the_effects_are_those_of_the_capabilities(containers, further):
    script = "chown 5 /tmp && echo changed || echo refused"
    nothing = {"capabilities": None}
    chown = ["CAP_CHOWN"]
    with_chown = {"capabilities": {"bounding": chown, "permitted": chown, "effective": chown}}
    container = containers.running()
    assert further(container, "sh", "-c", f"{script} 2>&1", **nothing).endswith("refused\n")
    assert further(container, "sh", "-c", script, **with_chown) == "changed\n"


def test_what_is_ambient_and_not_inheritable_too_is_left_out(containers):
    sets = {name: ["CAP_KILL"] for name in ("bounding", "permitted", "effective", "ambient")}
    said = containers.says(*STATUS, **{"process.capabilities": sets})
    assert sets_of(said) == masks({**sets, "ambient": []})


def test_what_nobody_knows_or_this_process_has_not_is_left_out_and_noticed(
    containers, further, caplog
):
    missing = [name for name in NAMES if not mask_of([name]) & grantable(own_userns=False)]
    asked = ["CAP_OF_TOMORROW", "CAP_KILL", *missing]
    sets = dict.fromkeys(("bounding", "permitted", "effective"), asked)
    container = containers.running(**{"process.capabilities": sets})
    (notice,) = [n for n in container.notices if n.startswith("capabilities:")]
    assert ", ".join(["CAP_OF_TOMORROW", *missing]) in notice
    with open(f"/proc/{container.pid}/status", encoding="ascii") as file:
        assert sets_of(file.read())["effective"] == mask_of(["CAP_KILL"])
    caplog.clear()
    assert sets_of(further(container, *STATUS))["effective"] == mask_of(["CAP_KILL"])
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("runstate.exec", "WARNING")
    assert notice in record.getMessage()


def test_a_user_namespace_s_root_may_have_all(containers):
    sets = {name: list(NAMES) for name in ("bounding", "permitted", "effective")}
    container = containers.running(**{"process.capabilities": sets}, **USER_NAMESPACE)
    assert not [n for n in container.notices if n.startswith("capabilities:")]
    with open(f"/proc/{container.pid}/status", encoding="ascii") as file:
        assert sets_of(file.read())["effective"] == mask_of(NAMES)


# --- no_new_privs -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, False, None])
def test_no_new_privs_is_as_the_config_says(containers, further, value):
    changes = {"process.noNewPrivileges": value}
    expected = "1" if value else "0"
    assert fields(containers.says(*STATUS, **changes))["NoNewPrivs"].strip() == expected
    found = fields(further(containers.running(), *STATUS, noNewPrivileges=value))
    assert found["NoNewPrivs"].strip() == expected


# --- rlimits ------------------------------------------------------------------------------------

LIMITS = {  # below what any process has
    "RLIMIT_AS": (1 << 40, 1 << 41),
    "RLIMIT_CORE": (0, 0),
    "RLIMIT_CPU": (1000, 2000),
    "RLIMIT_DATA": (1 << 40, 1 << 41),
    "RLIMIT_FSIZE": (1 << 40, 1 << 41),
    "RLIMIT_LOCKS": (10, 20),
    "RLIMIT_MEMLOCK": (4096, 8192),
    "RLIMIT_MSGQUEUE": (1000, 2000),
    "RLIMIT_NICE": (0, 0),
    "RLIMIT_NOFILE": (100, 200),
    "RLIMIT_NPROC": (500, 600),
    "RLIMIT_RSS": (1 << 40, 1 << 41),
    "RLIMIT_RTPRIO": (0, 0),
    "RLIMIT_RTTIME": (1 << 30, 1 << 31),
    "RLIMIT_SIGPENDING": (50, 60),
    "RLIMIT_STACK": (1 << 20, 1 << 21),
}
WORDS = {  # as /proc/PID/limits has them
    "RLIMIT_AS": "Max address space", "RLIMIT_CORE": "Max core file size",
    "RLIMIT_CPU": "Max cpu time", "RLIMIT_DATA": "Max data size",
    "RLIMIT_FSIZE": "Max file size", "RLIMIT_LOCKS": "Max file locks",
    "RLIMIT_MEMLOCK": "Max locked memory", "RLIMIT_MSGQUEUE": "Max msgqueue size",
    "RLIMIT_NICE": "Max nice priority", "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_NPROC": "Max processes", "RLIMIT_RSS": "Max resident set",
    "RLIMIT_RTPRIO": "Max realtime priority", "RLIMIT_RTTIME": "Max realtime timeout",
    "RLIMIT_SIGPENDING": "Max pending signals", "RLIMIT_STACK": "Max stack size",
}  # fmt: skip


def limits_of(text):
    found = {}
    for name, words in WORDS.items():
        (line,) = [line for line in text.splitlines() if line.startswith(words)]
        found[name] = tuple(line[len(words) :].split()[:2])
    return found


def test_all_limits_are_the_program_s_and_a_further_process_s(containers, further):
    rlimits = [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in LIMITS.items()]
    expected = {name: (str(soft), str(hard)) for name, (soft, hard) in LIMITS.items()}
    container = containers.running(**{"process.rlimits": rlimits})
    with open(f"/proc/{container.pid}/limits", encoding="ascii") as file:
        assert limits_of(file.read()) == expected
    assert limits_of(further(container, "cat", "/proc/self/limits")) == expected


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 8, 64])
def test_few_descriptors_are_enough_to_start(containers, further, limit, rootfs):
    # Not for a program with shared libraries, so it is the static one.
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": limit, "hard": limit}]
    script = ("/bin/sh", "-c", "ulimit -n; ulimit -Hn")
    expected = f"{limit}\n{limit}\n"
    assert containers.says(*script, rootfs=rootfs, **{"process.rlimits": rlimits}) == expected
    container = containers.running("/bin/sleep", "1000", rootfs=rootfs)
    assert further(container, *script, rlimits=rlimits) == expected


def test_no_limit_is_the_largest_number(containers):
    rlimits = [{"type": "RLIMIT_CPU", "soft": 2**64 - 1, "hard": 2**64 - 1}]
    said = containers.says("cat", "/proc/self/limits", **{"process.rlimits": rlimits})
    assert limits_of(said)["RLIMIT_CPU"] == ("unlimited", "unlimited")


def test_a_limit_above_the_hard_one_is_refused_with_its_type_before_any_effect(
    containers, further, root
):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": hard + 1}]
    expected = rf"\$\.process\.rlimits\[0\]\.hard: expected at most {hard} for RLIMIT_NOFILE"
    with pytest.raises(ConfigInvalid, match=expected):
        containers.running(**{"process.rlimits": rlimits})
    assert host.files(root) == []
    container = containers.running()
    with pytest.raises(ConfigInvalid, match=expected):
        further(container, "true", rlimits=rlimits)


def test_a_limit_that_the_kernel_refuses_names_type_and_ceiling(containers, monkeypatch):
    # As if the limit had been lowered after it was looked at.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": hard + 1}]
    monkeypatch.setattr("runstate.handlers.exec.requirements._rlimits", lambda _process: ())
    with pytest.raises(OperationFailed, match=rf"set RLIMIT_NOFILE.*the hard limit is {hard}"):
        containers.running(**{"process.rlimits": rlimits})


def test_in_a_user_namespace_the_hard_limit_is_raised_from_outside(monkeypatch):
    # The tests' own process may lack CAP_SYS_RESOURCE, so it is seen what would be done.
    done = []
    monkeypatch.setattr(resource, "prlimit", lambda *arguments: done.append(arguments))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    config = Config.default(["true"]).to_dict()
    config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 5, "hard": hard + 1},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    process = Config.from_dict(config).process
    requirements.raise_ceilings(42, process)
    assert done == [(42, resource.RLIMIT_NOFILE, (soft, hard + 1))]
    assert compile_before(process, own_userns=False) == []
    assert compile_before(process, own_userns=True) == [
        Operation("set_rlimit", (resource.RLIMIT_NOFILE, 5, hard + 1))
    ]
    monkeypatch.setattr("runstate.linux.capabilities.grantable", lambda **_: mask_of(NAMES))
    assert requirements.missing(Config.from_dict(config), process) == []


# --- the out-of-memory score --------------------------------------------------------------------

SCORE = ("cat", "/proc/self/oom_score_adj")


@pytest.mark.parametrize("namespaces", [{}, USER_NAMESPACE], ids=["host's", "own"])
def test_the_score_is_the_program_s_and_a_further_process_s_own(containers, further, namespaces):
    container = containers.running(**{"process.oomScoreAdj": 321}, **namespaces)
    with open(f"/proc/{container.pid}/oom_score_adj", encoding="ascii") as file:
        assert file.read() == "321\n"
    assert further(container, *SCORE) == "321\n"
    assert further(container, *SCORE, oomScoreAdj=654) == "654\n"


def test_without_a_score_the_caller_s_stays(containers, further):
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        own = file.read()
    assert containers.says(*SCORE) == own
    assert further(containers.running(), *SCORE) == own


def test_a_score_that_may_not_be_lowered_is_an_error_with_the_reason(containers, without):
    config = containers.config("true", **{"process.oomScoreAdj": -1000})
    done = without("sys_resource", config)
    assert done.returncode == 1
    assert "set oom_score_adj to -1000: Permission denied (EACCES)" in done.stderr
    assert "to lower it takes CAP_SYS_RESOURCE" in done.stderr


def test_nor_a_further_process_s(containers, further):
    # A process of the container's own has no more rights than its maker, whoever that is.
    container = containers.running(**{"process.oomScoreAdj": 1000})
    if grantable(own_userns=False) & mask_of(["CAP_SYS_RESOURCE"]):
        assert further(container, *SCORE, oomScoreAdj=-1000) == "-1000\n"
        return
    with pytest.raises(OperationFailed) as caught:
        further(container, "true", oomScoreAdj=-1000)
    assert "set oom_score_adj to -1000" in str(caught.value)
    assert "to lower it takes CAP_SYS_RESOURCE" in str(caught.value)
    assert container.processes() == [container.pid]
