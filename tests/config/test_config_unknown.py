"""Unknown properties are found wherever they are, with what may have been meant."""

from __future__ import annotations

from runstate.config import Config
from runstate.config.unknown import unknown_properties


def test_an_unknown_property_is_found_wherever_it_is(changed):
    config = changed(
        {
            "hostName": "box",
            "root.readOnly": True,
            "process.x-mine": {"a": 1},
            "mounts": [{"destination": "/a"}, {"destination": "/b", "option": ["ro"]}],
            "linux.resources.memory": {"limits": 5},
            "linux.timeOffsets": {"boottime": {"seconds": 1}},
            "linux.resources.rdma": {"mlx5 1": {"zzz": 1}},
        }
    )
    assert unknown_properties(config) == [
        "$.hostName; is hostname meant?",
        "$.root.readOnly; is readonly meant?",
        '$.process["x-mine"]',
        "$.mounts[1].option; is options meant?",
        "$.linux.timeOffsets.boottime.seconds; is secs meant?",
        "$.linux.resources.memory.limits; is limit meant?",
        '$.linux.resources.rdma["mlx5 1"].zzz',
    ]


def test_what_the_specification_defines_is_not_unknown():
    assert unknown_properties(Config.default()) == []


def test_another_platforms_section_is_not_looked_into(changed):
    assert unknown_properties(changed({"windows": {"x": 1}, "annotations": {"x": "y"}})) == []
