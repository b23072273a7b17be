"""The rules of a filter, each by its JSON path; and the default filter, call by call."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from runstate.config import Config
from runstate.config.defaults import CAPABILITIES
from runstate.config.names import SECCOMP_ARCHITECTURES
from runstate.config.seccomp_profile import ARCHITECTURES, default_seccomp
from runstate.config.system_calls import CONDITIONALLY, EVERYONE, NOBODY, WITH_CAPABILITY
from runstate.config.validation import validate
from runstate.linux.capabilities import NAMES as ALL_CAPABILITIES
from runstate.linux.seccomp import library
from runstate.linux.seccomp.compiler import compile_filter
from tests.linux.seccomp.bpf import verdict


def rule(names: list[str], action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": names, "action": action, **more}


def with_rules(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"linux.seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules), **more}}


NOTIFYING = rule(["mkdir"], "SCMP_ACT_NOTIFY")


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"linux.seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}, ["defaultAction"]),
        (
            {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}},
            ["defaultErrnoRet"],
        ),
        (with_rules(defaultErrnoRet=4096), ["defaultErrnoRet"]),
        (with_rules(rule(["read"], errnoRet=1)), ["syscalls[0].errnoRet"]),
        (with_rules(rule(["read"], "SCMP_ACT_ERRNO", errnoRet=4096)), ["syscalls[0].errnoRet"]),
        (with_rules(rule(["read"], "SCMP_ACT_TRACE", errnoRet=65536)), ["syscalls[0].errnoRet"]),
        (with_rules(rule(["read", ""])), ["syscalls[0].names[1]"]),
        (with_rules(rule(["../x", "läs"])), ["syscalls[0].names[0]", "syscalls[0].names[1]"]),
        (
            with_rules(rule(["read"], args=[{"index": 6, "value": 0, "op": "SCMP_CMP_IN"}])),
            ["syscalls[0].args[0].index", "syscalls[0].args[0].op"],
        ),
        (
            with_rules(architectures=["SCMP_ARCH_X86", "X86"], flags=["LOG"]),
            ["architectures[1]", "flags[0]"],
        ),
        (with_rules(NOTIFYING), ["listenerPath"]),
        (with_rules(NOTIFYING, listenerPath="run/a"), ["listenerPath"]),
        (with_rules(NOTIFYING, listenerPath="/" + "a" * 107), ["listenerPath"]),
        (with_rules(listenerMetadata="m"), ["listenerMetadata"]),
        (
            with_rules(rule(["sendto", "sendmsg"], "SCMP_ACT_NOTIFY"), listenerPath="/run/a"),
            ["syscalls[0].names[1]"],
        ),
        (
            with_rules(
                flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
                listenerPath="/run/a",
            ),
            ["flags[1]"],
        ),
    ],
)
def test_a_breach_is_found_at_its_path(changed, change, paths):
    problems = validate(changed(change))
    assert [p.partition(": ")[0].removeprefix("$.linux.seccomp.") for p in problems] == paths


@pytest.mark.parametrize(
    "change",
    [
        with_rules(),
        with_rules(rule(["no_such_call"], "SCMP_ACT_ERRNO", errnoRet=0)),
        with_rules(NOTIFYING, listenerPath="/run/agent", listenerMetadata="m"),
        # Without the action the path is ignored, the specification says.
        with_rules(listenerPath="nonsense"),
        with_rules(
            NOTIFYING,
            listenerPath="/run/agent",
            flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"],
        ),
        with_rules(architectures=sorted(SECCOMP_ARCHITECTURES)),
    ],
)
def test_what_keeps_the_rules_is_no_problem(changed, change):
    assert validate(changed(change)) == []


# --- the default filter ------------------------------------------------------------------------


def names_in(table: dict[str, str]) -> list[str]:
    return [name for names in table.values() for name in names.split()]


def test_every_call_of_the_kernel_is_decided_exactly_once():
    everyone, nobody = names_in(EVERYONE), names_in(NOBODY)
    decided = [*everyone, *nobody, *{*names_in(WITH_CAPABILITY), *CONDITIONALLY.split()}]
    assert len(decided) == len(set(decided))
    known: set[str] = set()
    for name in SECCOMP_ARCHITECTURES:
        token = library.architecture(name.removeprefix("SCMP_ARCH_").lower())
        if token is not None:
            known |= calls_of(token)
    for header in Path("/usr/include/x86_64-linux-gnu/asm").glob("unistd_*.h"):
        known |= set(re.findall(r"#define __NR_(\w+)", header.read_text(encoding="utf-8")))
    assert len(known) > 450
    assert known <= set(decided)


def calls_of(token: int) -> set[str]:
    """All calls that libseccomp knows of an architecture."""
    found = set()
    start = library.first_number(token)
    for number in itertools.chain(range(start, start + 600), range(0xF0000, 0xF0010)):
        name = library.call_name(number, token)
        if name is not None:
            found.add(name)
    return found


def test_capabilities_of_the_table_are_the_kernel_s():
    assert set(WITH_CAPABILITY) <= set(ALL_CAPABILITIES)


def test_a_default_config_has_the_filter_and_can_do_without():
    found, without = Config.default(["true"]), Config.default(["true"], seccomp=False)
    assert found.linux is not None
    assert found.linux.seccomp == default_seccomp(CAPABILITIES)
    assert without.linux is not None
    assert without.linux.seccomp is None
    assert validate(Config.default(["true"])) == []


def test_the_filter_is_small_in_json_and_in_the_kernel():
    form = default_seccomp(CAPABILITIES, "x86_64").to_dict()

    assert len(json.dumps(form, separators=(",", ":"))) < 7000
    assert compile_filter(form, "x86_64").instructions < 450


X86_64 = 0xC000003E
EPERM, ENOSYS, ALLOW = 0x50001, 0x50026, 0x7FFF0000


def decide(name: str, *arguments: int, capabilities: tuple[str, ...] = CAPABILITIES) -> int:
    code = compile_filter(default_seccomp(capabilities, "x86_64").to_dict(), "x86_64").program
    number = library.call_number(name, X86_64)
    assert number is not None
    return verdict(code, X86_64, number, *arguments)


def test_each_call_gets_what_the_table_says():
    for name in names_in(EVERYONE):
        number = library.call_number(name, X86_64)
        if number is not None and number >= 0:
            assert decide(name) == ALLOW, name
    for name in names_in(NOBODY):
        number = library.call_number(name, X86_64)
        if number is not None and number >= 0:
            assert decide(name, capabilities=ALL_CAPABILITIES) == EPERM, name


def test_a_capability_brings_its_calls():
    for capability, names in WITH_CAPABILITY.items():
        for name in set(names.split()) - {"clone", "clone3"}:
            number = library.call_number(name, X86_64)
            if number is not None and number >= 0:
                assert decide(name, capabilities=()) == EPERM, name
                assert decide(name, capabilities=(capability,)) == ALLOW, name


def test_clone_makes_namespaces_with_the_capability_alone():
    threads = 0x3D0F00
    assert decide("clone", threads) == decide("clone", 17) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide("clone", threads | flag) == EPERM
        assert decide("clone", flag, capabilities=("CAP_SYS_ADMIN",)) == ALLOW
    assert decide("clone3") == ENOSYS
    assert decide("clone3", capabilities=("CAP_SYS_ADMIN",)) == ALLOW


def test_on_s390_clone_s_flags_are_the_second_argument():
    code = compile_filter(default_seccomp((), "s390x").to_dict(), "s390x").program
    s390x = library.known("s390x")
    assert verdict(code, s390x, 120, 0x10000000, 17) == ALLOW
    assert verdict(code, s390x, 120, 17, 0x10000000) == EPERM


@pytest.mark.parametrize("family", [1, 2, 10, 16, 17, 29, 31, 39, 44])
def test_sockets_of_common_families_are_allowed(family):
    assert decide("socket", family) == ALLOW


@pytest.mark.parametrize("family", [12, 19, 20, 23, 34, 37, 38, 40, 46, 1 << 32, 0xFFFFFFFF])
def test_sockets_that_lead_out_of_the_container_or_deep_into_the_kernel_are_not(family):
    assert decide("socket", family) == EPERM


def test_personalities_are_linux_s_own():
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert decide("personality", value) == ALLOW
    for value in (0x40000, 0x400000, 1, 0x100000000):  # ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
        assert decide("personality", value) == EPERM


@pytest.mark.parametrize("machine", [*ARCHITECTURES, "unheard-of"])
def test_each_machine_filters_what_its_programs_may_be_made_for(machine):
    names = default_seccomp((), machine).architectures
    assert {name.removeprefix("SCMP_ARCH_") for name in names} == set(
        ARCHITECTURES.get(machine, ())
    )
    assert set(names) <= SECCOMP_ARCHITECTURES
