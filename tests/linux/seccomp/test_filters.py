"""Filters in real containers: the kernel does to calls what the config says."""

from __future__ import annotations

import errno
import platform
import shutil
import signal
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import DEVNULL, PIPE, STDOUT
from runstate.config import Config
from runstate.config.hooks import Hook, Hooks
from runstate.errors import InitDied, OperationFailed
from tests import host
from tests.linux.seccomp import kernel_view, probe
from tests.linux.seccomp.filters import filtered, privileged, rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runstate import Factory

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the programs are x86_64's"),
]

KILLED = -signal.SIGSYS
YIELD, YIELD_32 = 24, 158  # sched_yield(2), which takes no argument and never fails
X86_ALL = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    """A rootfs for programs of one system call each."""
    top = tmp_path / "rootfs"
    for name in ("proc", "sys", "dev"):
        (top / name).mkdir(parents=True)
    return top


@pytest.fixture
def outcome(linux_factory: Factory, probes: Path) -> Callable[..., int | None]:
    """Runs the program /probe under a filter, with and without noNewPrivileges."""

    def run(*rules: dict[str, Any], **more: Any) -> int | None:
        config = filtered(Config.default(["/probe"], rootfs=probes), *rules, **more)
        outcomes = []
        for each in (config, privileged(config)):
            with linux_factory.run(host.new_id(), each, stdin=DEVNULL) as container:
                outcomes.append(container.wait(10))
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    return run


@pytest.fixture
def shell(linux_factory: Factory, rootfs: Path) -> Callable[..., str]:
    """Runs a busybox script under a filter; its output."""

    def run(script: str, *rules: dict[str, Any], **more: Any) -> str:
        config = filtered(Config.default(["sh", "-c", script], rootfs=rootfs), *rules, **more)
        with linux_factory.run(
            host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        ) as container:
            assert container.stdout is not None
            output = container.stdout.read().decode()
            container.wait(10)
        return output

    return run


# --- actions --------------------------------------------------------------------------------------


def test_without_a_rule_the_call_is_made(outcome, probes):
    probe.write_x86_64(probes / "probe", YIELD)
    assert outcome(rule("getpid", "KILL")) == 0


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("ALLOW", 0),
        ("LOG", 0),
        ("ERRNO", errno.EPERM),
        ("TRACE", errno.ENOSYS),  # nobody traces
        ("TRAP", KILLED),  # nobody handles the signal
        ("KILL", KILLED),
        ("KILL_THREAD", KILLED),
        ("KILL_PROCESS", KILLED),
    ],
)
def test_a_rule_s_action_happens(outcome, probes, action, expected):
    probe.write_x86_64(probes / "probe", YIELD)
    default = "ALLOW" if action != "ALLOW" else "LOG"
    assert outcome(rule("sched_yield", action), default=default) == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("LOG", 0),
        ("ERRNO", errno.EPERM),
        ("TRACE", errno.ENOSYS),
        ("TRAP", KILLED),
        ("KILL", KILLED),
        ("KILL_THREAD", KILLED),
        ("KILL_PROCESS", KILLED),
    ],
)
def test_the_default_action_happens_to_what_no_rule_is_about(
    linux_factory, probes, action, expected
):
    # Directly before execve, so that the profile need allow nothing that only init does.
    probe.write_x86_64(probes / "probe", YIELD)
    allowed = rule(["execve", "exit_group"], "ALLOW")
    config = filtered(Config.default(["/probe"], rootfs=probes), allowed, default=action)
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.wait(10) == expected


@pytest.mark.parametrize("number", [1, 28, 0, 4095])
def test_an_errno_is_the_one_given(outcome, probes, number):
    probe.write_x86_64(probes / "probe", YIELD)
    assert outcome(rule("sched_yield", "ERRNO", errnoRet=number)) == number & 0xFF


def test_the_default_s_errno_is_the_one_given(linux_factory, probes):
    probe.write_x86_64(probes / "probe", YIELD)
    allowed = rule(["execve", "exit_group"], "ALLOW")
    config = filtered(
        Config.default(["/probe"], rootfs=probes), allowed, default="ERRNO", defaultErrnoRet=42
    )
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.wait(10) == 42


def test_a_call_newer_than_the_profile_does_not_exist(linux_factory, probes):
    probe.write_x86_64(probes / "probe", 450)
    allowed = rule(["execve", "exit_group"], "ALLOW")
    config = filtered(Config.default(["/probe"], rootfs=probes), allowed, default="KILL")
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.wait(10) == errno.ENOSYS


def test_a_trapped_call_can_be_handled(shell):
    output = shell('trap "echo trapped" SYS; cd /tmp; echo went on', rule("chdir", "TRAP"))
    assert "trapped\n" in output
    assert output.endswith("went on\n")


def test_unknown_calls_in_a_rule_change_nothing(outcome, probes):
    probe.write_x86_64(probes / "probe", YIELD)
    assert outcome(rule(["no_such_call", "sched_yield"], "ERRNO", errnoRet=5)) == 5


# --- conditions -----------------------------------------------------------------------------------

BIG = 0x1_0000_0005


@pytest.mark.parametrize(
    ("op", "holds", "fails"),
    [
        ("NE", [4, 5 | 1 << 40], [BIG]),
        ("LT", [BIG - 1, 6], [BIG, BIG + 1]),
        ("LE", [BIG, 6], [BIG + 1]),
        ("EQ", [BIG], [5, BIG ^ 1]),
        ("GE", [BIG, BIG + 1], [BIG - 1, 6]),
        ("GT", [BIG + 1], [BIG, 6]),
    ],
)
def test_the_kernel_compares_as_the_operator_says(linux_factory, probes, op, holds, fails):
    condition = {"index": 3, "op": f"SCMP_CMP_{op}", "value": BIG}
    denied = rule("sched_yield", "ERRNO", errnoRet=9, args=[condition])
    for value in (*holds, *fails):
        probe.write_x86_64(probes / "probe", YIELD, 0, 0, 0, value)
        config = filtered(Config.default(["/probe"], rootfs=probes), denied)
        with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
            assert container.wait(10) == (9 if value in holds else 0), value


def test_the_kernel_compares_what_a_mask_leaves(linux_factory, probes):
    condition = {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0xF0, "valueTwo": 0x20}
    denied = rule("sched_yield", "ERRNO", errnoRet=9, args=[condition])
    for value, expected in ((0x20, 9), (0xFF2F, 9), (0x30, 0), (0, 0)):
        probe.write_x86_64(probes / "probe", YIELD, value)
        config = filtered(Config.default(["/probe"], rootfs=probes), denied)
        with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
            assert container.wait(10) == expected


def test_conditions_on_several_arguments_must_all_hold_and_on_one_either(outcome, probes):
    conditions = [
        {"index": 0, "op": "SCMP_CMP_EQ", "value": 1},
        {"index": 5, "op": "SCMP_CMP_GT", "value": 7},
    ]
    both = rule("sched_yield", "ERRNO", errnoRet=9, args=conditions)
    either = rule(
        "sched_yield", "ERRNO", errnoRet=9, args=[*conditions, {**conditions[0], "value": 2}]
    )
    probe.write_x86_64(probes / "probe", YIELD, 1, 0, 0, 0, 0, 8)
    assert outcome(both) == 9
    probe.write_x86_64(probes / "probe", YIELD, 2, 0, 0, 0, 0, 7)
    assert outcome(both) == 0
    assert outcome(either) == 9


# --- architectures --------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [probe.write_int_0x80, probe.write_i386])
def test_calls_of_32_bit_programs_are_filtered_by_their_own_numbers(outcome, probes, write):
    write(probes / "probe", YIELD_32)
    denied = rule("sched_yield", "ERRNO", errnoRet=9)
    assert outcome(rule("getpid", "KILL"), architectures=X86_ALL) == 0
    assert outcome(denied, architectures=X86_ALL) == 9
    assert outcome(denied, architectures=["SCMP_ARCH_X86"]) == 9


def test_calls_of_x32_programs_are_filtered_by_their_own_numbers(outcome, probes):
    # Whether or not the kernel has them: the filter comes first.
    probe.write_x32(probes / "probe", YIELD)
    assert outcome(rule("sched_yield", "ERRNO", errnoRet=9), architectures=X86_ALL) == 9


@pytest.mark.parametrize("write", [probe.write_int_0x80, probe.write_x32])
def test_calls_of_architectures_that_are_not_listed_kill(outcome, probes, write):
    write(probes / "probe", YIELD_32)
    assert outcome(architectures=["SCMP_ARCH_X86_64"]) == KILLED
    assert outcome() == KILLED


# --- who is filtered ------------------------------------------------------------------------------


def test_further_processes_are_filtered_too(linux_factory, rootfs, tmp_path):
    top = tmp_path / "rootfs"
    shutil.copytree(rootfs, top, symlinks=True)
    probe.write_x86_64(top / "probe", YIELD)
    denied = rule("sched_yield", "ERRNO", errnoRet=9)
    config = filtered(Config.default(["sleep", "1000"], rootfs=top), denied)
    for each in (config, privileged(config)):
        with linux_factory.run(host.new_id(), each, stdin=DEVNULL) as container:
            assert container.exec(["/probe"]).returncode == 9
            assert kernel_view.filters(container.pid) == 1


def test_a_further_process_of_a_created_container_is_filtered_too(linux_factory, rootfs):
    config = filtered(Config.default(["true"], rootfs=rootfs), rule("chdir", "ERRNO"))
    with linux_factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        found = container.exec(["sh", "-c", "cd /tmp"], capture_output=True, text=True)
        assert "can't cd to /tmp: Operation not permitted" in found.stderr


@pytest.mark.parametrize("nnp", [True, False], ids=["no_new_privs", "privileged"])
def test_a_hook_that_runs_inside_is_filtered_like_the_program(linux_factory, rootfs, nnp):
    config = Config.default(["true"], rootfs=rootfs)
    hook = Hook(path="/bin/sh", args=("sh", "-c", "cd /tmp"))
    config = attrs.evolve(config, hooks=Hooks(start_container=(hook,)))
    config = config if nnp else privileged(config)
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.wait(10) == 0
    denied = filtered(config, rule("chdir", "ERRNO"))
    with pytest.raises(OperationFailed, match="can't cd to /tmp: Operation not permitted"):
        linux_factory.run(host.new_id(), denied, stdin=DEVNULL)


def test_any_user_s_program_is_filtered(linux_factory, probes):
    probe.write_x86_64(probes / "probe", YIELD)
    denied = rule("sched_yield", "ERRNO", errnoRet=9)
    config = filtered(Config.default(["/probe"], rootfs=probes, user=(1234, 1234)), denied)
    for each in (config, privileged(config)):
        with linux_factory.run(host.new_id(), each, stdin=DEVNULL) as container:
            assert container.wait(10) == 9


def test_a_user_namespace_s_root_may_load_a_filter(linux_factory):
    config = Config.default(["sh", "-c", "cd /tmp || exit 9"], rootless=True)
    for each in (config, privileged(config)):
        denied = filtered(each, rule("chdir", "ERRNO"))
        with linux_factory.run(host.new_id(), denied, stdin=DEVNULL, stderr=DEVNULL) as container:
            assert container.wait(10) == 9


# --- what the kernel has of it --------------------------------------------------------------------


def test_the_kernel_has_the_very_program(linux_factory, rootfs):
    config = filtered(Config.default(["sleep", "1000"], rootfs=rootfs), rule("chdir", "ERRNO"))
    _steps, operations, _notices = linux_factory.plan(config)
    load = next(each for each in operations if each.name == "load_seccomp")
    program = load.arguments[0]
    words = f"load a system call filter of {len(program) // 8} instructions, flags SPEC_ALLOW"
    assert load.describe() == words
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert kernel_view.program(container.pid) == program


@pytest.mark.parametrize(
    ("flags", "logs"),
    [
        ([], False),
        (["LOG"], True),
        (["SPEC_ALLOW"], False),
        (["TSYNC"], False),
        (["TSYNC", "LOG", "SPEC_ALLOW"], True),
    ],
)
def test_flags_are_the_kernel_s(linux_factory, rootfs, flags, logs):
    names = [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags]
    denied = rule("chdir", "ERRNO")
    config = filtered(Config.default(["sleep", "1000"], rootfs=rootfs), denied, flags=names)
    for each in (config, privileged(config)):
        with linux_factory.run(host.new_id(), each, stdin=DEVNULL) as container:
            assert kernel_view.logs(container.pid) == logs


# --- a filter in init's own way -------------------------------------------------------------------


def test_a_filter_that_denies_the_program_s_execution_is_an_error_of_start(linux_factory, rootfs):
    config = filtered(Config.default(["true"], rootfs=rootfs), rule("execve", "ERRNO"))
    container = linux_factory.create(host.new_id(), config, stdin=DEVNULL)
    with container, pytest.raises(OperationFailed, match=r"execute true: .*not permitted"):
        container.start()


def test_a_filter_that_kills_init_is_suspected(linux_factory, rootfs, clean_host, root):
    config = privileged(Config.default(["true"], rootfs=rootfs))
    with pytest.raises(InitDied, match="killed, perhaps by its system call filter"):
        linux_factory.create(host.new_id(), filtered(config, rule("capset", "KILL")), stdin=DEVNULL)
    host.assert_same(clean_host, root)


def test_a_filter_that_denies_what_init_does_is_an_error_of_create(linux_factory, rootfs):
    config = privileged(Config.default(["true"], rootfs=rootfs))
    with pytest.raises(OperationFailed, match=r"set capabilities: .*not permitted"):
        linux_factory.create(
            host.new_id(), filtered(config, rule("capset", "ERRNO")), stdin=DEVNULL
        )


@pytest.mark.parametrize(("count", "size"), [(3, 10), (3000, 300), (3, 100_000)])
def test_with_no_new_privs_a_profile_need_allow_execve_alone(linux_factory, probes, count, size):
    # Not even the memory for a large environment is asked for behind the filter.
    probe.write_x86_64(probes / "probe", 231)  # exit_group(2)
    environment = {f"NUMBER_{number}": "x" * size for number in range(count)}
    config = Config.default(["/probe"], rootfs=probes, env=environment)
    allowed = rule(["execve", "exit_group"], "ALLOW")
    config = filtered(config, allowed, default="KILL_PROCESS")
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.wait(10) == 0


def test_without_it_a_profile_has_to_allow_what_init_still_does(linux_factory, probes):
    # The list in runstate/handlers/exec/filtering.py.
    probe.write_x86_64(probes / "probe", 231)
    config = privileged(Config.default(["/probe"], rootfs=probes, env={"HOME": "/"}))
    allowed = rule([*ALLOWED_FOR_INIT, "exit_group"], "ALLOW")
    config = filtered(config, allowed, default="KILL_PROCESS")
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.wait(10) == 0


ALLOWED_FOR_INIT = [
    "capset", "prctl", "umask", "newfstatat", "faccessat2", "sendto", "recvfrom", "close",
    "brk", "mmap", "munmap", "madvise", "openat", "write", "close_range", "execve",
]  # fmt: skip
