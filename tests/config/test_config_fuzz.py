"""Whatever the input, loading ends in a configuration or in ConfigInvalid."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstate.config import Config, load
from runstate.config.support import unsupported
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
    source = data.draw(schemas.configs())
    config = Config.from_json(json.dumps(source))
    assert without_empties(config.to_dict()) == without_empties(source)
    outcome(source)


@settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None)
@given(data=st.data())
def test_what_the_schema_refuses_is_refused(schemas, data):
    source = data.draw(schemas.configs())
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
    source = data.draw(schemas.configs())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(list(places(source))))
        source = replaced(source, place, data.draw(JSON))
    outcome([source] if isinstance(source, str) else source)
