"""What runstate does not honour yet is refused by its path; nothing that is set is ignored."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from runstate.config import Config
from runstate.config.section import json_name, known_fields
from runstate.config.support import PLATFORMS, REASONS, REFUSED, for_others, unsupported


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"process.commandLine": "x"}, ["$.process.commandLine"]),
        ({"process.user.username": "x"}, ["$.process.user.username"]),
        ({"linux.resources.blockIO": {"leafWeight": 10}}, ["$.linux.resources.blockIO.leafWeight"]),
        (
            {
                "linux.resources.blockIO": {
                    "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 9}]
                }
            },
            ["$.linux.resources.blockIO.weightDevice[0].leafWeight"],
        ),
    ],
)
def test_what_is_not_honoured_yet_is_refused_at_its_path(changed, change, paths):
    problems = unsupported(changed(change))
    assert [problem.partition(": ")[0] for problem in problems] == paths


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"hooks": {"prestart": [], "poststop": []}},
        {"process.terminal": True, "process.consoleSize": {"height": 24, "width": 80}},
        {"process.terminal": False, "process.consoleSize": {"height": 0, "width": 0}},
        {"process.apparmorProfile": "", "process.selinuxLabel": "", "linux.mountLabel": ""},
        {"process.user.additionalGids": [1], "process.user.umask": 0o22, "process.oomScoreAdj": 5},
        {"domainname": "d", "annotations": {"a": "b"}},
        {"linux.intelRdt": {}, "linux.personality": {}},
        {
            "mounts": [
                {"destination": "/x", "type": "overlay", "options": ["lowerdir=/a", "rslave"]}
            ]
        },
        {"mounts": [{"destination": "/x", "options": ["rbind", "ro", "nosuid", "nosymfollow"]}]},
        {"linux.devices": [{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229}]},
        {"linux.cgroupsPath": "/x", "linux.rootfsPropagation": "slave"},
        {"linux.resources.memory": {"limit": 1, "reservation": 1, "swap": 1}},
        {"linux.resources.memory": {"disableOOMKiller": False}},
        {"linux.resources.cpu": {"shares": 2, "quota": 1, "period": 1, "cpus": "0", "mems": "0"}},
        {"linux.resources.pids": {"limit": 5}},
        # As docker writes it when nobody asked for anything.
        {"linux.resources.blockIO": {"weight": 0, "leafWeight": 0}},
    ],
)
def test_what_is_honoured_or_asks_for_nothing_is_no_problem(changed, change):
    assert unsupported(changed(change)) == []


def test_unknown_properties_are_no_problem_for_the_specification_forbids_it(changed):
    assert unsupported(changed({"x-unknown": {"a": 1}, "process.x-unknown": 5})) == []


@pytest.mark.parametrize("name", list(PLATFORMS))
def test_another_platforms_section_is_refused_unless_a_handler_takes_it(name):
    config = Config.from_dict({"ociVersion": "1.3.0", name: {"a": [1]}})
    (problem,) = for_others(config)
    assert problem.startswith(f"$.{name}: expected none")
    assert problem.endswith(", got an object of 1")
    assert for_others(config, {name}) == []
    assert for_others(config, set(PLATFORMS) - {name}) == [problem]


@pytest.mark.parametrize("empty", [None, {}, [], "", False])
def test_another_platforms_section_that_asks_for_nothing_is_no_problem(empty):
    assert for_others(attrs.evolve(Config.minimal(["true"]), windows=empty, vm=empty)) == []


@pytest.mark.parametrize("path", [*REFUSED, *REASONS, *PLATFORMS])
def test_the_tables_name_properties_of_the_model(class_of, path):
    cls: Any = Config
    for part in path.split("."):
        fields: dict[str, Any] = {json_name(field.name): field for field in known_fields(cls)}
        name = part.removesuffix("[]")
        assert name in fields
        assert fields[name].type.startswith("tuple[") or not part.endswith("[]")
        cls = class_of(fields[name].type)
