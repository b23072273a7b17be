"""Device rules: what the two forms that the kernel takes allow, and what the kernel does."""

from __future__ import annotations

import os
import re
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstate.errors import ConfigInvalid, NotSupported
from runstate.linux.cgroups import device_filter
from runstate.linux.cgroups.devices import DEFAULT_DEVICE_RULES, reduce_rules

DENY_ALL = {"allow": False, "access": "rwm"}

_numbers = st.one_of(st.none(), st.integers(0, 2))
_rules = st.lists(
    st.fixed_dictionaries(
        {
            "allow": st.booleans(),
            "type": st.sampled_from("abc"),
            "major": _numbers,
            "minor": _numbers,
            "access": st.sets(st.sampled_from("rwm"), min_size=1).map("".join),
        }
    ),
    max_size=6,
)
_requests = st.tuples(st.sampled_from("bc"), st.integers(0, 2), st.integers(0, 2))
_accesses = st.sets(st.sampled_from("rwm"), min_size=1)


def _spec_allows(rules, kind, major, minor, access):
    """The spec's rule, spelt out: for each access, the last rule that matches decides."""
    for letter in access:
        verdict = False
        for rule in rules:
            if (
                rule.get("type", "a") in {"a", kind}
                and rule.get("major") in {None, major}
                and rule.get("minor") in {None, minor}
                and letter in rule["access"]
            ):
                verdict = rule["allow"]
        if not verdict:
            return False
    return True


def _run(program, kind, major, minor, access):
    """The few instructions of BPF that the filter is made of."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    instructions = list(struct.iter_unpack("=BBhi", program))
    registers = [0] * 11
    position = 0
    while True:
        code, both, offset, immediate = instructions[position]
        target, source = both & 15, both >> 4
        position += 1
        if code == 0x61:
            (registers[target],) = struct.unpack_from("=I", context, offset)
        elif code == 0xBC:
            registers[target] = registers[source]
        elif code == 0xB7:
            registers[target] = immediate
        elif code == 0x54:
            registers[target] &= immediate
        elif code == 0x74:
            registers[target] >>= immediate
        elif code == 0x15:
            position += offset if registers[target] == immediate else 0
        elif code in {0x55, 0x56}:
            position += offset if registers[target] != immediate & 0xFFFFFFFF else 0
        elif code == 0x95:
            return bool(registers[0])
        else:
            pytest.fail(f"unknown instruction {code:#x}")


# On an emulated machine the first examples are slow to make.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(_rules, _requests, _accesses)
def test_the_filter_decides_as_the_spec_says(rules, request_, access):
    kind, major, minor = request_
    program = device_filter.assemble(rules)
    expected = _spec_allows(rules, kind, major, minor, access)
    assert _run(program, kind, major, minor, access) == expected


@patient
@given(_rules, _requests, st.sampled_from("rwm"))
def test_the_exceptions_of_version_1_decide_as_the_spec_says(rules, request_, letter):
    try:
        default, exceptions = reduce_rules(rules)
    except NotSupported:
        return
    kind, major, minor = request_
    pattern = re.compile(rf"{kind} ({major}|\*):({minor}|\*) \w*{letter}\w*")
    hit = any(pattern.fullmatch(exception) for exception in exceptions)
    assert (default != hit) == _spec_allows(rules, kind, major, minor, letter)


def test_a_rule_hidden_by_a_later_one_costs_no_instruction():
    hidden = [{"allow": True, "type": "c", "major": n, "access": "r"} for n in range(50)]
    assert device_filter.assemble([*hidden, DENY_ALL]) == device_filter.assemble([DENY_ALL])


def test_a_default_to_allow_has_the_denials_as_exceptions():
    rules = [
        {"allow": True, "access": "rwm"},
        {"allow": False, "type": "b", "major": 8, "minor": 0, "access": "w"},
    ]
    assert reduce_rules(rules) == (True, ("b 8:0 w",))


def test_taking_back_a_part_of_a_wider_rule_is_refused_for_version_1():
    rules = [
        DENY_ALL,
        {"allow": True, "type": "c", "major": 1, "access": "rw"},
        {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"},
    ]
    with pytest.raises(NotSupported, match=r"c 1:5 w.*c 1:\* rw"):
        reduce_rules(rules)


@pytest.mark.parametrize(("key", "value"), [("type", "x"), ("access", "rx")])
def test_a_malformed_rule_is_named_by_its_index(key, value):
    with pytest.raises(ConfigInvalid, match=rf"devices\[1\]\.{key}"):
        reduce_rules([DENY_ALL, {"allow": True, key: value}])


OPEN = """
import sys
for path in sys.argv[1:]:
    try:
        open(path, "rb+", buffering=0).close()
        print("yes")
    except PermissionError:
        print("no")
"""
NULL_ALONE = [DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}]


@pytest.fixture
def can_open(spawn, release):
    def ask(cgroup, *paths):
        process = spawn(OPEN, *paths)
        cgroup.attach(process.pid)
        release(process)
        return process.communicate(timeout=10)[0].split()

    return ask


@pytest.mark.root
@pytest.mark.parametrize("kind", ["legacy", "unified"])
def test_a_process_opens_the_devices_that_the_rules_allow_and_no_other(make, can_open, kind):
    cgroup = make(kind)
    cgroup.create()
    cgroup.apply({"devices": NULL_ALONE})
    assert can_open(cgroup, "/dev/null", "/dev/zero") == ["yes", "no"]


@pytest.mark.root
@pytest.mark.parametrize("kind", ["legacy", "unified"])
def test_new_rules_replace_the_old_ones(make, can_open, kind):
    cgroup = make(kind)
    cgroup.create()
    cgroup.apply({"devices": NULL_ALONE})
    cgroup.apply({"devices": [DENY_ALL, *DEFAULT_DEVICE_RULES]})
    assert can_open(cgroup, "/dev/null", "/dev/zero", "/dev/net/tun") == ["yes", "yes", "no"]
    cgroup.apply({"devices": [DENY_ALL]})
    assert can_open(cgroup, "/dev/null", "/dev/zero") == ["no", "no"]


@pytest.mark.root
def test_a_filter_needs_no_removal_and_leaves_no_descriptor(make, leftovers):
    cgroup = make("unified")
    cgroup.create()
    cgroup.apply({"devices": NULL_ALONE})
    before = len(os.listdir("/proc/self/fd"))
    cgroup.apply({"devices": NULL_ALONE})
    cgroup.apply({"devices": NULL_ALONE})
    assert len(os.listdir("/proc/self/fd")) == before
    cgroup.remove()
    assert leftovers() == []
