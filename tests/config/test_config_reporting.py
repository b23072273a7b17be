"""One report: what one mistake would hide is looked for in the rest, and never made up."""

from __future__ import annotations

import time
from typing import Any

import attrs
import pytest

from runstate.config import Config, load
from runstate.config.reporting import place_of, rest_of
from runstate.config.validation import validate
from runstate.errors import ConfigInvalid

MOUNTS: list[Any] = [
    {"destination": 5},
    {"destination": "/a", "type": "bind"},
    {"destination": "/b", "options": [1]},
    {"destination": "/c", "type": "bind"},
]


@pytest.fixture
def problems_of(default):
    """The paths of all problems of the default configuration with some properties changed."""

    def find(change: dict[str, Any]) -> list[str]:
        with pytest.raises(ConfigInvalid) as caught:
            load(default(change), rules=True)
        return [problem.partition(": ")[0] for problem in caught.value.problems]

    return find


def test_broken_rules_are_reported_along_with_wrong_types(problems_of):
    assert problems_of(
        {
            "hostname": 5,
            "root.readonly": "yes",
            "process.cwd": "work",
            "process.user": {"uid": "0"},
            "process.oomScoreAdj": 5000,
            "linux.maskedPaths": [5],
            "linux.readonlyPaths": ["proc"],
        }
    ) == [
        "$.root.readonly",
        "$.process.user.uid",
        "$.hostname",
        "$.linux.maskedPaths[0]",
        "$.process.cwd",
        "$.process.oomScoreAdj",
        "$.linux.readonlyPaths[0]",
    ]


def test_elements_keep_the_indexes_that_they_have_in_the_file(problems_of):
    assert problems_of({"mounts": MOUNTS}) == [
        "$.mounts[0].destination",
        "$.mounts[2].options[0]",
        "$.mounts[1].source",
        "$.mounts[3].source",
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"linux.namespaces": 5}, "$.linux.namespaces"),
        ({"linux.namespaces": [{"type": "mount"}, {"type": 5}]}, "$.linux.namespaces[1].type"),
        ({"linux": 5}, "$.linux"),
        ({"process": 5}, "$.process"),
        ({"process.args": [5]}, "$.process.args[0]"),
        ({"process.capabilities.permitted": [5]}, "$.process.capabilities.permitted[0]"),
        ({"ociVersion": 5}, "$.ociVersion"),
        ({"root": {}}, "$.root.path"),
        ({"process.user": {"additionalGids": "wheel"}}, "$.process.user.additionalGids"),
    ],
)
def test_what_may_only_follow_from_a_mistake_is_not_reported(problems_of, change, path):
    assert problems_of(change) == [path]


def test_a_property_that_is_missing_hides_no_other_section(problems_of):
    change = {"process": {"args": [], "user": {"uid": 2**32 - 1}}, "hostname": "h" * 65}
    assert problems_of(change) == [
        "$.process.cwd",
        "$.hostname",
        "$.process.args",
        "$.process.user.uid",
    ]


def test_without_being_asked_loading_says_nothing_of_rules(default):
    with pytest.raises(ConfigInvalid) as caught:
        load(default({"hostname": 5, "process.cwd": "work"}))
    assert caught.value.problems == ("$.hostname: expected a string, got 5",)


def test_what_handlers_say_of_the_rest_is_said_of_the_whole(default):
    config = load(
        default({"mounts": [{"destination": "", "type": "a"}, {"destination": "/a", "type": "b"}]})
    )
    rest, problems = rest_of(config.to_dict(), validate(config))
    assert len(problems) == 1
    assert rest is not None
    assert validate(rest.config) == []
    assert [mount.destination for mount in rest.config.mounts] == ["/a"]
    assert rest.further(
        [
            "$.mounts[0].type: the host has not",
            "$.linux.resources: needs a controller",
            "no path at all",
        ]
    ) == [
        "$.mounts[1].type: the host has not",
        "$.linux.resources: needs a controller",
        "no path at all",
    ]


def test_nothing_is_left_where_there_is_no_process():
    config = attrs.evolve(Config.default(rootless=False), process=None)
    rest, problems = rest_of(config.to_dict(), validate(config))
    assert rest is None
    assert problems == validate(config)


@pytest.mark.parametrize(
    ("problem", "path"),
    [
        ("$: not JSON", ()),
        ("$.process.args[1]: expected", ("process", "args", 1)),
        ('$.linux.sysctl["net.ipv4.x"]: expected', ("linux", "sysctl", "net.ipv4.x")),
        ('$.linux.rdma["a\\"]b: "].hca: expected', ("linux", "rdma", 'a"]b: ', "hca")),
        (f'$.annotations["{"k" * 60}…"]: expected', ("annotations",)),
    ],
)
def test_a_problem_tells_its_place(problem, path):
    assert place_of(problem) == path


def test_mistakes_without_number_take_no_time_without_end(default):
    data = default({"process.env": [5] * 50_000, "mounts": MOUNTS * 10_000, "hostname": "h" * 65})
    started = time.monotonic()
    with pytest.raises(ConfigInvalid) as caught:
        load(data, rules=True)
    # So many hide nothing that anybody would look for.
    assert len(caught.value.problems) == 70_000
    assert time.monotonic() - started < 10
