"""A filter gives each call the verdict that its rules say: run here, not in the kernel."""

from __future__ import annotations

import errno
import itertools
import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstate.config import Config
from runstate.config.names import SECCOMP_ACTIONS, SECCOMP_ARCHITECTURES, SECCOMP_FLAGS
from runstate.errors import ConfigInvalid, NotSupported
from runstate.handlers.exec import filtering
from runstate.linux.seccomp import compiler, library
from runstate.linux.seccomp.compiler import compile_filter
from tests.linux.seccomp import reference
from tests.linux.seccomp.bpf import verdict

X86_64, X86, X32 = 0xC000003E, 0x40000003, 0x4000003E
ALLOW, KILL_THREAD, KILL_PROCESS = 0x7FFF0000, 0, 0x80000000
ENOSYS = 0x50000 | errno.ENOSYS
GETPID = 39

KNOWN = [
    name
    for name in sorted(name.removeprefix("SCMP_ARCH_").lower() for name in SECCOMP_ARCHITECTURES)
    if library.architecture(name)
]
# As a profile has them: hundreds of calls, ranges with holes, conditions, parts of other calls.
CALLS = sorted(
    name
    for name in library._direct_numbers(X86_64) | library._direct_numbers(X86)
    if name not in ("clone", "personality", "prctl", "bpf", "mount", "swapon", "reboot")
)


def rule(names: str | list[str], action: str = "ALLOW", **more: Any) -> dict[str, Any]:
    return {
        "names": [names] if isinstance(names, str) else names,
        "action": f"SCMP_ACT_{action}",
        **more,
    }


def argument(index: int, op: str, value: int, value_two: int = 0) -> dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


def profile(*rules: dict[str, Any], default: str = "ERRNO", **more: Any) -> dict[str, Any]:
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **more}


def verdict_on(form: dict[str, Any], *arguments: int, number: int = GETPID) -> int:
    """What becomes of getpid(2), or another call, on x86_64."""
    return verdict(compile_filter(form, "x86_64").program, X86_64, number, *arguments)


LARGE = profile(
    rule(CALLS),
    rule("clone", args=[argument(0, "MASKED_EQ", 0x7E020000)]),
    rule("clone3", "ERRNO", errnoRet=errno.ENOSYS),
    *(rule("personality", args=[argument(0, "EQ", value)]) for value in (0, 8, 0xFFFFFFFF)),
    rule("prctl", "TRACE", args=[argument(0, "GT", 5), argument(1, "LE", 1 << 31)]),
    rule("swapon", "KILL_PROCESS"),
    rule("reboot", "LOG"),
)
BY_ARGUMENTS = ("clone", "personality", "prctl", "socketcall", "ipc")
ARGUMENTS = [
    (), (1,), (8,), (0xFFFFFFFF,), (0x7E020000, 2), (2, 0x7E020000), (0x100000008,),
    (7, 1 << 31), (7, (1 << 31) + 1), (1 << 34,), ((1 << 64) - 1,),
]  # fmt: skip


def test_all_architectures_that_libseccomp_has_can_be_compiled_for():
    # These three came with libseccomp 2.6.
    newest = {"loongarch64", "m68k", "sh", "sheb"}
    names = {name.removeprefix("SCMP_ARCH_").lower() for name in SECCOMP_ARCHITECTURES}
    assert names - newest <= set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_our_program_and_libseccomp_s_agree_on_every_call(name):
    ours = compile_filter(LARGE, name)
    theirs = reference.compile_filter(LARGE, name)
    token = library.architecture(name)
    assert token is not None
    start = library.first_number(token)
    last = max(n for c in CALLS if (n := library.call_number(c, token) or 0) < start + 1000)
    first = 1 if token in library.S390 else start  # the number 0 is a sign there, not a call
    audited = X86_64 if token == X32 else token
    looked_into = {library.call_number(call, token) for call in BY_ARGUMENTS}
    for number in [*range(first, last + 1), 0xF0001, 0xF0005, 0x3FFFFFFF, 0xFFFFFFFF]:
        for arguments in ARGUMENTS if number in looked_into else ARGUMENTS[:1]:
            expected = verdict(theirs, audited, number, *arguments)
            found = verdict(ours.program, audited, number, *arguments)
            if last < number < 0xF0000:
                assert found == ENOSYS
            elif found != ENOSYS or library.call_number("clone3", token) == number:
                assert found == expected, (number, arguments)
    assert len(ours.program) % 8 == 0
    assert ours.instructions * 8 < len(theirs)


# --- what one rule means ----------------------------------------------------------------------

BIG = 0x1_0000_0005
OPERATORS = {
    "NE": lambda a, b: a != b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "EQ": lambda a, b: a == b,
    "GE": lambda a, b: a >= b,
    "GT": lambda a, b: a > b,
}


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("value", [0, 5, 0xFFFFFFFF, BIG, (1 << 64) - 1])
def test_a_comparison_is_of_all_64_bits(op, value):
    form = profile(
        rule("getpid", "ERRNO", errnoRet=7, args=[argument(2, op, value)]), default="LOG"
    )
    for near in {0, 5, value, max(value, 1) - 1, (value + 1) & (1 << 64) - 1, value ^ 1 << 40}:
        holds = OPERATORS[op](near, value)
        assert verdict_on(form, 9, 9, near) == (0x50007 if holds else 0x7FFC0000), near


def test_a_masked_comparison_looks_at_the_bits_of_the_mask():
    mask, bits = 0xF_0000_00F0, 0x3_0000_0020
    form = profile(rule("getpid", args=[argument(5, "MASKED_EQ", mask, bits)]))
    assert verdict_on(form, 0, 0, 0, 0, 0, bits) == ALLOW
    assert verdict_on(form, 0, 0, 0, 0, 0, bits | 0xFF00_0F0F) == ALLOW
    for wrong in (bits ^ 0x10, bits ^ 1 << 32, 0):
        assert verdict_on(form, 0, 0, 0, 0, 0, wrong) == 0x50001


@pytest.mark.parametrize("op", OPERATORS)
def test_a_comparison_of_32_bits_leaves_the_rest_of_the_register_alone(op):
    form = profile(rule("getpid", args=[argument(0, op, 5)]), default="LOG")
    code = compile_filter(form, "x86").program
    for low in (4, 5, 6):
        expected = ALLOW if OPERATORS[op](low, 5) else 0x7FFC0000
        assert verdict(code, X86, 20, low) == expected
        assert verdict(code, X86, 20, low | 0xABCD << 32) == expected


@pytest.mark.parametrize("op", ["LT", "LE", "GE", "GT"])
def test_no_argument_of_32_bits_reaches_a_greater_value(op):
    form = profile(rule("getpid", args=[argument(0, op, BIG)]), default="LOG")
    code = compile_filter(form, "x86").program
    assert verdict(code, X86, 20, 0xFFFFFFFF) == (ALLOW if op[0] == "L" else 0x7FFC0000)


def test_all_conditions_on_different_arguments_must_hold():
    form = profile(rule("getpid", args=[argument(0, "EQ", 1), argument(3, "GT", 2)]))
    assert verdict_on(form, 1, 0, 0, 3) == ALLOW
    assert verdict_on(form, 1, 0, 0, 2) == verdict_on(form, 2, 0, 0, 3) == 0x50001


def test_of_conditions_on_the_same_argument_one_must_hold():
    both = [argument(0, "EQ", 1), argument(0, "EQ", 2), argument(1, "EQ", 3)]
    form = profile(rule("getpid", args=both))
    assert [verdict_on(form, *a) for a in ((1,), (2,), (0, 3))] == [ALLOW] * 3
    assert verdict_on(form, 3) == 0x50001


def test_a_rule_without_conditions_decides_alone_and_the_first_of_several():
    conditional = rule("getpid", "KILL_PROCESS", args=[argument(0, "EQ", 1)])
    form = profile(conditional, rule("getpid", "LOG"), rule("getpid"))
    assert verdict_on(form, 1) == verdict_on(form, 2) == 0x7FFC0000


def test_of_rules_that_hold_at_once_the_strictest_decides():
    conditions = {"args": [argument(0, "GT", 5)]}
    actions = ["ALLOW", "LOG", "TRACE", "NOTIFY", "ERRNO", "TRAP", "KILL_THREAD", "KILL_PROCESS"]
    for more, stricter in itertools.pairwise(actions):
        rules = [rule("getpid", action, **conditions) for action in (more, stricter)]
        only = verdict_on(profile(rules[1], default="ALLOW"), 6)
        for order in (rules, rules[::-1]):
            assert verdict_on(profile(*order, default="ALLOW"), 6) == only


def test_a_rule_of_the_default_s_action_says_nothing():
    form = profile(rule("getpid", "ERRNO", errnoRet=1), rule("getpid", args=[argument(0, "EQ", 1)]))
    assert verdict_on(form, 1) == ALLOW


@pytest.mark.parametrize("action", sorted(SECCOMP_ACTIONS - {"SCMP_ACT_NOTIFY"}))
def test_every_action_is_the_default_s_and_a_rule_s(action):
    value = compiler.ACTIONS[action]
    value |= errno.EPERM if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0
    name = action.removeprefix("SCMP_ACT_")
    other = "LOG" if name != "LOG" else "ALLOW"
    assert verdict_on(profile(rule("getpid", name), rule("vhangup", other), default=other)) == value
    assert verdict_on(profile(rule("vhangup", other), default=name)) == value


@pytest.mark.parametrize("action", ["ERRNO", "TRACE"])
def test_an_action_s_number_is_the_one_given(action):
    value = compiler.ACTIONS[f"SCMP_ACT_{action}"]
    assert verdict_on(profile(rule("getpid", action, errnoRet=0), default="LOG")) == value
    form = profile(rule("vhangup", "LOG"), default=action, defaultErrnoRet=44)
    assert verdict_on(form) == value | 44


# --- what the rules do not name ------------------------------------------------------------------


@pytest.mark.parametrize("default", ["ERRNO", "KILL", "KILL_PROCESS", "TRAP"])
def test_a_call_newer_than_all_that_are_named_gets_enosys(default):
    form = profile(rule(["getpid", "openat2"]), default=default)
    assert [verdict_on(form, number=number) for number in (437, 438, 1000)] == [
        ALLOW,
        *[ENOSYS] * 2,
    ]
    assert verdict_on(form, number=436) == verdict_on(profile(rule("openat2"), default=default))


@pytest.mark.parametrize("default", ["ALLOW", "LOG", "TRACE"])
def test_a_default_that_denies_nothing_goes_for_newer_calls_too(default):
    form = profile(rule("getpid", "ERRNO"), default=default)
    assert verdict_on(form, number=1000) == verdict_on(form, number=0)


def test_a_filter_without_rules_is_its_default():
    assert verdict_on(profile(default="ERRNO"), number=1000) == 0x50001


def test_the_call_that_a_tracer_skips_is_not_newer():
    assert verdict_on(profile(rule("openat2"), default="ERRNO"), number=0xFFFFFFFF) == 0x50001


def test_calls_of_an_architecture_that_is_not_listed_kill_the_thread():
    code = compile_filter(profile(default="ALLOW"), "x86_64").program
    assert verdict(code, X86_64, GETPID) == ALLOW
    assert verdict(code, X86, 20) == KILL_THREAD
    assert verdict(code, X86_64, GETPID | 1 << 30) == KILL_THREAD
    assert verdict(code, X86_64, 0xFFFFFFFF) == ALLOW


def test_listed_architectures_are_filtered_each_by_its_own_numbers():
    listed = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    form = profile(rule("getpid"), rule("execve", "KILL_PROCESS"), architectures=listed)
    code = compile_filter(form, "x86_64").program
    x32 = 1 << 30
    for token, getpid, execve, neither in (
        (X86_64, 39, 59, 20),
        (X86, 20, 11, 12),
        (X86_64, 39 | x32, 520 | x32, 20 | x32),
    ):
        assert verdict(code, token, getpid) == ALLOW
        assert verdict(code, token, execve) == KILL_PROCESS
        assert verdict(code, token, neither) == 0x50001
        assert verdict(code, token, neither + 700) == ENOSYS


def test_architectures_of_the_other_byte_order_are_left_out_and_told():
    names = ["SCMP_ARCH_S390X", "SCMP_ARCH_AARCH64"]
    found = compile_filter(profile(architectures=names), "x86_64")
    assert found.left_out == ("SCMP_ARCH_S390X",)
    assert verdict(found.program, library.known("aarch64"), 0) == 0x50001
    assert verdict(found.program, library.known("s390x"), 0) == KILL_THREAD


def test_parts_of_socketcall_and_ipc_are_known_there():
    form = profile(rule(["listen", "shmget"]), rule("connect", args=[argument(1, "EQ", 3)]))
    code = compile_filter(form, "x86").program
    socketcall, ipc, listen, connect, shmget = 102, 117, 363, 362, 395
    assert verdict(code, X86, listen) == verdict(code, X86, shmget) == ALLOW
    assert verdict(code, X86, socketcall, 4) == verdict(code, X86, ipc, 23) == ALLOW
    assert verdict(code, X86, ipc, 23 | 1 << 16) == ALLOW  # another version of the structures
    assert verdict(code, X86, socketcall, 5) == verdict(code, X86, ipc, 24) == 0x50001
    # What connect's arguments are is in memory there, so nobody knows whether the condition holds.
    assert verdict(code, X86, connect, 0, 3) == ALLOW
    assert verdict(code, X86, socketcall, 3, 3) == 0x50001
    denying = profile(rule("connect", "KILL", args=[argument(1, "EQ", 3)]), default="ALLOW")
    code = compile_filter(denying, "x86").program
    assert verdict(code, X86, socketcall, 3) == KILL_THREAD
    assert verdict(code, X86, socketcall, 4) == ALLOW


def test_calls_that_this_libseccomp_may_not_know_yet_have_their_numbers():
    assert verdict_on(profile(rule("mseal")), number=462) == ALLOW
    code = compile_filter(profile(rule("mseal")), "mips64").program
    assert verdict(code, library.known("mips64"), 5462) == ALLOW


def test_unknown_calls_are_counted_and_nothing_else():
    form = profile(rule(["getpid", "frobnicate", "no_such"], "KILL"), default="ALLOW")
    assert compile_filter(form, "x86_64").unknown == ("frobnicate", "no_such")
    assert verdict_on(form) == KILL_THREAD


# --- the filter as a whole -----------------------------------------------------------------------


def test_flags_are_those_of_the_kernel():
    values = {"TSYNC": 1, "LOG": 2, "SPEC_ALLOW": 4, "WAIT_KILLABLE_RECV": 32}
    for name in SECCOMP_FLAGS:
        form = profile(default="ALLOW", flags=[name])
        assert compile_filter(form).flags == values[name.removeprefix("SECCOMP_FILTER_FLAG_")]
    assert compile_filter(profile(default="ALLOW")).flags == 4
    assert compile_filter(profile(default="ALLOW", flags=sorted(SECCOMP_FLAGS))).flags == 39


def test_a_rule_that_notifies_asks_for_a_listener():
    form = profile(rule("mkdir", "NOTIFY"), default="ALLOW", listenerPath="/run/a")
    assert compile_filter(form).notifies
    assert compile_filter(form).flags == 8 | 4
    synchronized = form | {"flags": ["SECCOMP_FILTER_FLAG_TSYNC"]}
    assert compile_filter(synchronized).flags == 8 | 1 | 16


def test_the_same_filter_is_compiled_once():
    first = compile_filter(profile(rule("getpid"), listenerPath="/a"))
    assert compile_filter(profile(rule("getpid"), listenerPath="/b")) is first
    assert compile_filter(profile(rule("getppid"))) is not first


def test_a_filter_that_is_too_long_for_the_kernel_is_refused():
    many = [argument(index % 6, "EQ", value) for index, value in enumerate(range(2000))]
    with pytest.raises(ConfigInvalid, match=r"\$\.linux\.seccomp: makes a program of more than"):
        compile_filter(profile(rule("getpid", args=many)))


def test_jumps_over_more_instructions_than_a_jump_has_room_for_are_right():
    # Each call with conditions of its own, so that nothing is shared between them.
    rules = [
        rule(name, args=[argument(0, "EQ", number), argument(1, "GT", number)])
        for number, name in enumerate(CALLS[:200])
    ]
    form = profile(*rules, default="LOG", architectures=["SCMP_ARCH_X86"])
    found = compile_filter(form, "x86_64")
    assert found.instructions > 1000
    for wanted, name in enumerate(CALLS[:200]):
        for token in (X86_64, X86):
            number = library.direct_number(name, token) or library.call_number(name, token)
            if number is not None and number >= 0:
                assert verdict(found.program, token, number, wanted, wanted + 1) == ALLOW
                assert verdict(found.program, token, number, wanted, wanted) == 0x7FFC0000


# --- any rules at all ----------------------------------------------------------------------------

SOME = ["read", "write", "getpid", "socket", "connect", "semop", "clone", "openat", "openat2"]
values = st.sampled_from([0, 1, 2, 5, 0xFFFFFFFF, 1 << 32, BIG, (1 << 64) - 1])
arguments_ = st.builds(
    argument, st.integers(0, 5), st.sampled_from([*OPERATORS, "MASKED_EQ"]), values, values
)
rules_ = st.builds(
    lambda names, action, args: rule(names, action, **({"args": args} if args else {})),
    st.lists(st.sampled_from(SOME), min_size=1, max_size=4),
    st.sampled_from(["ALLOW", "ERRNO", "LOG", "TRAP", "KILL_PROCESS", "TRACE", "KILL"]),
    st.lists(arguments_, max_size=3),
)


def expected(form: dict[str, Any], name: str, arguments: tuple[int, ...]) -> int:
    """The verdict as the compiler's docstring has it, said another way."""
    default = compiler._action(form["defaultAction"], None)
    holding = []
    for each in form["syscalls"]:
        action = compiler._action(each["action"], None)
        if name not in each["names"] or action == default:
            continue
        conditions = each.get("args", [])
        if not conditions:
            return action
        held = [_holds(condition, arguments) for condition in conditions]
        different = len({condition["index"] for condition in conditions}) == len(conditions)
        if all(held) if different else any(held):
            holding.append(action)
    order = [KILL_PROCESS, KILL_THREAD, 0x30000, 0x50001, 0x7FF00001, 0x7FFC0000, ALLOW]
    return min(holding, key=order.index, default=default)


def _holds(condition: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    value, op = arguments[condition["index"]], condition["op"].removeprefix("SCMP_CMP_")
    if op == "MASKED_EQ":
        return bool(value & condition["value"] == condition["valueTwo"])
    return bool(OPERATORS[op](value, condition["value"]))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(rules_, max_size=12),
    st.sampled_from(["ALLOW", "ERRNO", "KILL_PROCESS"]),
    st.lists(st.tuples(*[values] * 6), min_size=1, max_size=8),
)
def test_any_rules_mean_what_they_say(rules, default, calls):
    form = profile(*rules, rule("mseal", "LOG"), default=default)
    code = compile_filter(form, "x86_64").program
    for name in SOME:
        number = library.call_number(name, X86_64)
        assert number is not None
        for arguments in calls:
            assert verdict(code, X86_64, number, *arguments) == expected(form, name, arguments)


# --- without libseccomp --------------------------------------------------------------------------


def test_without_libseccomp_the_package_is_named(monkeypatch):
    monkeypatch.setattr(library, "_SONAME", "libseccomp.so.none")
    library._library.cache_clear()
    try:
        with pytest.raises(NotSupported, match="install the package libseccomp2"):
            compile_filter(profile(rule("getpid"), default="LOG", flags=sorted(SECCOMP_FLAGS)[:1]))
    finally:
        library._library.cache_clear()


def test_what_is_left_out_of_a_filter_is_reported_at_the_debug_level(caplog):
    form = profile(rule(["getpid", "frobnicate"]), architectures=["SCMP_ARCH_S390X"])
    config = Config.from_dict({**Config.minimal(["true"]).to_dict(), "linux": {"seccomp": form}})
    with caplog.at_level(logging.DEBUG, "runstate.seccomp"):
        assert filtering.filter_of(config) is filtering.filter_of(config)
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert "frobnicate" in caplog.text
    assert "getpid" not in caplog.text
    assert "SCMP_ARCH_S390X" in caplog.text


def test_no_filter_needs_no_libseccomp():
    code = (
        "import sys\nfrom runstate import Config\nfrom runstate.handlers.exec import filtering\n"
        "assert filtering.filter_of(Config.default(['true'], seccomp=False)) is None\n"
        "assert not [name for name in sys.modules if name.startswith('runstate.linux.seccomp')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
