"""Loading is strict, names every problem with its path, and raises nothing but ConfigInvalid."""

from __future__ import annotations

import gc
import json
import os
import types
from typing import Any

import attrs
import pytest

from runstate.config import Config, Linux, Mount, Process, load, load_process
from runstate.config.loading import SIZE_LIMIT
from runstate.errors import ConfigInvalid

VERSION: dict[Any, Any] = {"ociVersion": "1.3.0"}
NUMBERS: Any = {"a": 1}

make: Any = Config  # for what the type checker would notice


def problems_of(source):
    with pytest.raises(ConfigInvalid) as caught:
        load(source)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "$.ociVersion: required, but missing"),
        ([], "$: expected an object, got an empty array"),
        (None, "$: expected an object, got null"),
        (5, "$: expected an object, got 5"),
        (VERSION | {"hostname": 5}, "$.hostname: expected a string, got 5"),
        (VERSION | {"root": {}}, "$.root.path: required, but missing"),
        (VERSION | {"root": {"path": None}}, "$.root.path: expected a string, got null"),
        (
            VERSION | {"root": {"path": "/", "readonly": 1}},
            "$.root.readonly: expected true or false, got 1",
        ),
        (
            VERSION | {"process": {"cwd": "/", "args": ["sh", 5]}},
            "$.process.args[1]: expected a string, got 5",
        ),
        (
            VERSION | {"process": {"cwd": "/", "args": "sh"}},
            '$.process.args: expected an array of strings, got "sh"',
        ),
        (
            VERSION | {"process": {"cwd": "/", "user": {"uid": "0"}}},
            '$.process.user.uid: expected an integer, got "0"',
        ),
        (
            VERSION | {"process": {"cwd": "/", "user": {"uid": True}}},
            "$.process.user.uid: expected an integer, got true",
        ),
        (
            VERSION | {"process": {"cwd": "/", "user": {"uid": 1.0}}},
            "$.process.user.uid: expected an integer, got 1.0",
        ),
        (
            VERSION | {"process": {"cwd": "/", "user": {"uid": 2**32}}},
            "$.process.user.uid: expected an integer from 0 to 4294967295, got 4294967296",
        ),
        (
            VERSION | {"linux": {"resources": {"pids": {"limit": 2**63}}}},
            (
                "$.linux.resources.pids.limit: expected an integer from -9223372036854775808"
                " to 9223372036854775807, got 9223372036854775808"
            ),
        ),
        (
            VERSION | {"linux": {"devices": [{"type": "c", "path": "/d", "fileMode": 2**16}]}},
            "$.linux.devices[0].fileMode: expected an integer from 0 to 65535, got 65536",
        ),
        (
            VERSION | {"linux": {"rdma": 1, "resources": {"rdma": {"mlx5 1": {"hcaHandles": -1}}}}},
            (
                '$.linux.resources.rdma["mlx5 1"].hcaHandles: expected an integer from 0 to'
                " 4294967295, got -1"
            ),
        ),
        (
            VERSION | {"mounts": [{"destination": "/a\0b"}]},
            (
                "$.mounts[0].destination: expected a string without NUL bytes"
                ' (the kernel\'s strings end there), got "/a\\u0000b"'
            ),
        ),
        (
            VERSION | {"hostname": "\ud800"},
            '$.hostname: expected a string that is valid Unicode, got "\\ud800"',
        ),
        (
            VERSION | {"annotations": {"a": 1}},
            "$.annotations.a: expected a string, got 1",
        ),
        (VERSION | {"annotations": ["a"]}, "$.annotations: expected an object, got an array of 1"),
        (VERSION | {"x": float("nan")}, "$.x: expected a number that JSON has, got nan"),
        (
            VERSION | {"x": {1, 2}},
            "$.x: expected what JSON can hold, got a Python object of type set",
        ),
        (
            VERSION | {"process": {"cwd": "/", "oomScoreAdj": 10**5000}},
            (
                "$.process.oomScoreAdj: expected an integer from -2147483648 to 2147483647,"
                " got an integer of 16610 bits"
            ),
        ),
    ],
)
def test_a_problem_has_its_path_what_stands_there_and_what_may(data, problem):
    assert problems_of(data) == [problem]


def test_a_key_that_is_no_string_is_a_problem():
    (problem,) = problems_of(VERSION | {5: 5})
    assert problem.endswith("expected a string, got 5")


def test_all_problems_are_reported_at_once_and_the_message_counts_them():
    data = {
        "process": {"args": [1, "a", 2], "rlimits": [{"type": "RLIMIT_AS"}, 5]},
        "mounts": {},
        "x": {"y": {1}},
    }
    with pytest.raises(ConfigInvalid) as caught:
        Config.from_dict(data)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "$.ociVersion",
        "$.process.cwd",
        "$.process.args[0]",
        "$.process.args[2]",
        "$.process.rlimits[0].soft",
        "$.process.rlimits[0].hard",
        "$.process.rlimits[1]",
        "$.mounts",
        "$.x.y",
    ]
    message = "the configuration is invalid: $.ociVersion: required, but missing (and 8 more)"
    assert str(caught.value) == message


def test_a_long_value_is_abbreviated():
    (problem,) = problems_of(VERSION | {"root": "x" * 100_000})
    assert len(problem) < 200


def test_deep_and_endless_nesting_is_a_problem_and_not_a_crash():
    deep: Any = None
    for _ in range(100_000):
        deep = [deep]
    (problem,) = problems_of(VERSION | {"deep": deep})
    assert "levels of nesting" in problem
    endless: dict[str, Any] = {}
    endless["again"] = endless
    (problem,) = problems_of(VERSION | {"endless": endless})
    assert "levels of nesting" in problem
    # Taken apart by hand: freeing it at once would recurse as deep.
    while deep:
        deep = deep.pop()


def test_a_stack_that_is_nearly_used_up_is_no_crash():
    import sys

    def at_depth(left):
        return at_depth(left - 1) if left else load(source)

    source = VERSION | {"process": {"cwd": "/", "user": {"uid": 0}}}
    load(source)  # what is only needed once needs more stack
    frame: Any = sys._getframe()
    used = 0
    while frame:
        frame, used = frame.f_back, used + 1
    outcomes = set()
    for spare in range(1, 40):
        try:
            at_depth(sys.getrecursionlimit() - used - spare)
            outcomes.add("loaded")
        except (ConfigInvalid, RecursionError) as error:
            # A RecursionError may only come from the calls that lead here.
            outcomes.add(type(error).__name__)
    assert "loaded" in outcomes
    assert "ConfigInvalid" in outcomes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value at line 1, column 1"),
        ('{\n  "a": ]', "not JSON: Expecting value at line 2, column 8"),
        (b"\xff{}", "not UTF-8: invalid start byte at byte 0"),
        ('{"ociVersion": NaN}', "not JSON: NaN is not a number that JSON has"),
        ('{"a": -Infinity}', "not JSON: -Infinity is not a number that JSON has"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "not JSON: "),
        ("\ufeff{}", "not JSON: "),
    ],
)
def test_text_that_is_not_json_is_refused_with_its_place(text, words):
    with pytest.raises(ConfigInvalid) as caught:
        Config.from_json(text)
    assert words in caught.value.problems[0]
    assert words in str(caught.value)


# --- bundles ------------------------------------------------------------------------------


def test_a_bundle_is_a_directory_with_a_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(VERSION))
    assert load(tmp_path) == load(str(tmp_path)) == Config.from_bundle(tmp_path) == Config("1.3.0")


def test_a_bundle_that_is_not_there(tmp_path):
    with pytest.raises(ConfigInvalid, match="there is no such directory") as caught:
        load(tmp_path / "gone")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_bundle_without_a_config(tmp_path):
    with pytest.raises(ConfigInvalid, match="runstate spec"):
        load(tmp_path)


def test_the_config_instead_of_its_bundle(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(VERSION))
    with pytest.raises(ConfigInvalid, match="a bundle is the directory"):
        load(tmp_path / "config.json")


def test_a_bundle_whose_config_is_a_directory(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigInvalid, match="Is a directory"):
        load(tmp_path)


def test_a_bundle_whose_config_is_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ConfigInvalid, match="not a regular file"):
        load(tmp_path)


def test_a_bundle_whose_config_has_no_end(tmp_path):
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(ConfigInvalid, match="not a regular file"):
        load(tmp_path)
    (tmp_path / "config.json").unlink()
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    with pytest.raises(ConfigInvalid, match="more than"):
        load(tmp_path)


def test_a_bundle_whose_config_is_a_loop_of_links(tmp_path):
    (tmp_path / "config.json").symlink_to("config.json")
    with pytest.raises(ConfigInvalid, match="symbolic links"):
        load(tmp_path)


def test_a_path_with_a_nul_byte():
    with pytest.raises(ConfigInvalid, match="NUL"):
        load("/run\0dle")


def test_a_problem_in_a_bundle_names_the_bundle(tmp_path):
    (tmp_path / "config.json").write_text('{"ociVersion": 1}')
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"config.json of bundle {str(tmp_path)!r} is invalid:"
        " $.ociVersion: expected a string, got 1"
    )


@pytest.mark.parametrize("source", [b"/bundle", 5, None, ["/bundle"], object()])
def test_what_is_no_source_at_all(source):
    assert problems_of(source)[0].startswith("$: expected an object, got ")


# --- configurations made in Python ----------------------------------------------------------


def test_a_loaded_configuration_is_itself():
    config = load(VERSION)
    assert load(config) is config
    assert load(types.MappingProxyType(VERSION)) == config


def test_a_configuration_made_in_python_is_checked():
    config = Config("1.3.0", process=Process(cwd="/", args=["sh"]))
    assert load(config) is config
    assert problems_of(make(5)) == ["$.ociVersion: expected a string, got 5"]
    wrong = attrs.evolve(config, process=Process(cwd="/", args=["sh", 5], env="A=1"))
    assert problems_of(wrong) == [
        "$.process.args[1]: expected a string, got 5",
        '$.process.env: expected an array of strings, got "A=1"',
    ]
    assert problems_of(make("1.3.0", linux=Linux(sysctl=NUMBERS))) == [
        "$.linux.sysctl.a: expected a string, got 1"
    ]
    assert problems_of(Config("1.3.0", mounts=(Mount("/x"), "/y"))) == [
        '$.mounts[1]: expected an object, got "/y"'
    ]


def test_no_configuration_takes_over_the_check_of_one_that_is_gone():
    for _ in range(100):
        load(Config("1.3.0"))
        gc.collect()
        with pytest.raises(ConfigInvalid):
            load(make(5))


def test_names_of_the_file_system_that_are_not_unicode_pass():
    source = os.fsdecode(b"/data/\xff")
    config = load(Config("1.3.0", mounts=[Mount("/x", source=source)]))
    again = Config.from_json(json.dumps(config.to_dict()))
    assert os.fsencode(again.mounts[0].source or "") == b"/data/\xff"


# --- processes ------------------------------------------------------------------------------


def test_a_process_is_loaded_from_a_file_a_dict_or_itself(tmp_path):
    path = tmp_path / "process.json"
    path.write_text('{"cwd": "/", "args": ["id"]}')
    process = Process(cwd="/", args=["id"])
    assert load_process(path) == load_process(str(path)) == process
    assert load_process({"cwd": "/", "args": ["id"]}) == load_process(process) == process


def test_a_process_file_that_cannot_be_read_or_is_wrong(tmp_path):
    path = tmp_path / "process.json"
    with pytest.raises(ConfigInvalid, match="No such file"):
        load_process(path)
    path.write_text('{"args": [5]}')
    with pytest.raises(ConfigInvalid, match="the process file ") as caught:
        load_process(path)
    assert caught.value.problems == (
        "$.cwd: required, but missing",
        "$.args[0]: expected a string, got 5",
    )


def test_a_process_is_told_of_broken_rules_along_with_wrong_types():
    wrong: dict[str, Any] = {"args": "sh", "env": ["A"], "user": {"uid": 2**32 - 1}, "cwd": "x"}
    with pytest.raises(ConfigInvalid) as caught:
        load_process(wrong, rules=True)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "$.args",
        "$.cwd",
        "$.env[0]",
        "$.user.uid",
    ]
