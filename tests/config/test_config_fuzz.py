"""Whatever the input, loading ends in a configuration or in ConfigInvalid."""

from __future__ import annotations

import functools
import json
import os
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from runstate import Factory
from runstate.config import Config, load
from runstate.config.support import PLATFORMS, unsupported
from runstate.config.validation import missing_for_linux, validate
from runstate.errors import ConfigInvalid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
# None is left out where the schema is the judge: for us it is absent.
PLAIN_JSON = st.recursive(
    st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@functools.cache
def configs(schemas):
    """Whole configurations that the schema allows."""
    return schemas.values(schemas.ROOT)


def without_empties(value):
    if isinstance(value, dict):
        pruned = {key: without_empties(item) for key, item in value.items()}
        return {key: item for key, item in pruned.items() if item not in ([], {})}
    return [without_empties(item) for item in value] if isinstance(value, list) else value


def places(value, path=()):
    """The paths of everything in a JSON value."""
    yield path

    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def replaced(value, path, item):
    if not path:
        return item
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], item)
    return copy


def outcome(source):
    """The problems of a source, once everything has been done with it that can be."""
    error = None
    config: Any = None
    try:
        config = load(source)
    except ConfigInvalid as caught:
        error = caught
    if error:
        assert error.problems
        assert all(problem.startswith("$") and "\n" not in problem for problem in error.problems)
        assert error.problems[0].removeprefix("$: ") in str(error)
        assert str(error).isprintable()
        with pytest.raises(ConfigInvalid) as caught_with_rules:
            load(source, rules=True)
        told = caught_with_rules.value.problems
        assert told[: len(error.problems)] == error.problems
        assert all(problem.startswith("$") and "\n" not in problem for problem in told)
        return list(error.problems)
    assert load(config.to_dict()) == config
    assert repr(config)
    assert all(problem.startswith("$.") for problem in unsupported(config))
    assert all(problem.startswith("$.") for problem in missing_for_linux(config))
    problems = validate(config)
    assert all(problem.startswith("$.") for problem in problems)
    return problems


@given(JSON)
def test_arbitrary_json(value):
    outcome([value] if isinstance(value, str) else value)  # a string would be a path


@given(st.text() | st.binary())
def test_arbitrary_text(text):
    try:
        Config.from_json(text)
    except ConfigInvalid as error:
        problems = error.problems
    else:
        problems = ()
    # Only an object with a version is a configuration, and chance does not write one.
    assert problems


@settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None)
@given(data=st.data())
def test_what_the_schema_allows_loads_and_comes_back(schemas, data):
    source = data.draw(configs(schemas))
    config = Config.from_json(json.dumps(source))
    assert without_empties(config.to_dict()) == without_empties(source)
    outcome(source)


@settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None)
@given(data=st.data())
def test_what_the_schema_refuses_is_refused(schemas, data):
    source = data.draw(configs(schemas))
    place = data.draw(st.sampled_from(list(places(source))))
    source = replaced(source, place, data.draw(PLAIN_JSON))
    problems = outcome([source] if isinstance(source, str) else source)
    # Where an engine's habit goes beyond the schema, so do we.
    errors = [error.path for error in schemas.validator().iter_errors(source)]
    refused = [path for path in errors if list(path)[-1:] != ["fileMode"]]
    assert problems or not refused


@settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None)
@given(data=st.data())
def test_anything_in_any_place(schemas, data):
    source = data.draw(configs(schemas))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(list(places(source))))
        source = replaced(source, place, data.draw(JSON))
    outcome([source] if isinstance(source, str) else source)


# --- through the backends ------------------------------------------------------------------------

# What has a meaning somewhere, and what is near to having one.
WORDS = st.sampled_from(
    [
        "", "/", "/x", "x", "..", "/a/../b", "0", "0-3,7", "3-0", "-1", "max", "ro", "rro",
        "bind", "rbind", "tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue",
        "overlay", "idmap", "ridmap", "size=1m", "tmpcopyup", "rshared", "a=b", "CAP_KILL",
        "/proc", "/dev", "/dev/null", "/sys/fs/cgroup", "/proc/1/ns/net", "eth0", "lo",
        "net.ipv4.ip_forward", "kernel.shmmax", "memory.high", "L3:0=f", "slice:a:b", "a" * 300,
        "\N{SNOWMAN}",
    ]
)  # fmt: skip
NUMBERS = (0, 1, 5, 1000, 2**16, 2**31, 2**32 - 1, 2**63 - 1, -1)
PLACE = object()


def merged(value, more, put):
    """A JSON value along with another, in which ``put`` takes the place of PLACE."""
    if more is PLACE:
        return put
    if isinstance(more, dict):
        value = value if isinstance(value, dict) else {}
        return value | {key: merged(value.get(key), item, put) for key, item in more.items()}
    if isinstance(more, list):
        return [*(value or ()), *(merged(None, item, put) for item in more)]
    return more if value is None else value


def near(value):
    """The value, with other numbers for its large ones: chance finds the small ones seldom."""
    if isinstance(value, dict):
        return {key: near(item) for key, item in value.items()}
    if isinstance(value, list):
        return [near(item) for item in value]
    return NUMBERS[value % len(NUMBERS)] if type(value) is int and value > 2**20 else value


@functools.cache
def leaves(schemas):
    """The properties without others below them."""
    names = schemas.specified().keys() - PLATFORMS.keys()
    above = {re.sub(r"(\[\]|\.\*)*\.\w+$", "", name) for name in names}
    return sorted(names - above)


@pytest.mark.parametrize("backend", ["process", pytest.param("linux", marks=pytest.mark.root)])
@settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None)
@given(data=st.data())
def test_planning_anything_touches_nothing(backend, schemas, default, clean_host, root, data):
    source = default({})
    for name in data.draw(st.lists(st.sampled_from(leaves(schemas)), max_size=4)):
        child, file = schemas.specified()[name]
        value = near(data.draw(schemas.values(child, file, WORDS)))
        source = merged(source, schemas.with_property(name, PLACE), value)
    if data.draw(st.integers(0, 4)) == 0:
        place = data.draw(st.sampled_from(list(places(source))[1:]))
        source = replaced(source, place, data.draw(JSON))
    problems: tuple[str, ...] = ()
    planned: list[Any] = []
    try:
        steps, operations, _ = Factory(root, backend).plan(source)
        planned = [*steps, *operations]
    except ConfigInvalid as error:  # and nothing else
        problems = error.problems
    event("refused" if problems else "planned")
    assert all(problem.startswith("$.") and "\n" not in problem for problem in problems)
    assert all(str(part.describe()) for part in planned)
    assert problems or planned
    assert os.listdir(root) == []
    assert clean_host  # is compared with the host when all is over
