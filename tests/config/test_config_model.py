"""The model is the specification's: each property has a field, and comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from runstate import config as config_room
from runstate.config import Config, Hooks, Linux, Mount, Pids, Process, Resources
from runstate.config.section import MODULES, json_name, known_fields, layout

DATA = Path(__file__).parent / "data"


@pytest.fixture
def missing_properties(schemas, class_of):
    """Finds the schema's properties below a node that the class and those it holds lack."""

    def find(node, cls, file="config-schema.json", path="$"):
        node, file = schemas.resolve(node, file)
        for part in node.get("allOf", ()) or node.get("anyOf", ()):
            yield from find(part, cls, file, path)
        if node.get("type") == "array":
            yield from find(node["items"], cls, file, path)
        if isinstance(node.get("additionalProperties"), dict):
            yield from find(node["additionalProperties"], cls, file, path)
        fields = {json_name(field.name): field for field in known_fields(cls)}
        for name, child in node.get("properties", {}).items():
            here = f"{path}.{name}"
            if path == "$.linux.timeOffsets":  # the schema lists the clocks; the model has a map
                yield from find(child, cls, file, here)
            elif name not in fields:
                yield here
            elif below := class_of(fields[name].type):
                yield from find(child, below, file, here)

    return find


def test_every_property_of_the_schemas_is_in_the_model(missing_properties):
    assert list(missing_properties({"$ref": "config-schema.json"}, Config)) == []


def test_the_schema_walk_notices_a_property_that_is_not_in_the_model(missing_properties):
    root = {"type": "object", "properties": {"root": {"properties": {"colour": {}}}}}
    assert list(missing_properties(root, Config)) == ["$.root.colour"]


@pytest.mark.parametrize("name", ["spec.json", "spec-rootless.json"])
def test_a_template_comes_back_as_it_was(name):
    data = json.loads((DATA / name).read_text())
    config = Config.from_dict(data)
    assert config.to_dict() == data
    assert Config.from_dict(config.to_dict()) == config


def test_unknown_properties_come_back_where_they_were(caplog):
    data: dict[str, Any] = {
        "ociVersion": "1.3.0",
        "x-top": {"a": [1, 2.5, None, {"b": "c"}]},
        "process": {"cwd": "/", "user": {"uid": 0, "x-user": True}},
        "windows": {"layerFolders": []},
    }
    with caplog.at_level("DEBUG", logger="runstate.config"):
        config = Config.from_dict(data)
    assert config.to_dict() == data
    assert config.extra == {"x-top": {"a": [1, 2.5, None, {"b": "c"}]}}
    assert any("x-user" in record.getMessage() for record in caplog.records)


def test_what_was_loaded_does_not_change_with_what_it_was_loaded_from():
    data: dict[str, Any] = {
        "ociVersion": "1.3.0",
        "annotations": {"a": "b"},
        "vm": {"kernel": {"path": "/k"}},
    }
    config = Config.from_dict(data)
    data["annotations"]["a"] = "changed"
    data["vm"]["kernel"]["path"] = "changed"
    assert config.annotations == {"a": "b"}
    assert config.vm == {"kernel": {"path": "/k"}}
    config.to_dict()["vm"]["kernel"]["path"] = "changed"
    assert config.vm == {"kernel": {"path": "/k"}}


def test_null_and_empty_arrays_and_maps_are_absent_and_empty_objects_are_not():
    config = Config.from_dict(
        {
            "ociVersion": "1.3.0",
            "hostname": None,
            "mounts": [],
            "annotations": {},
            "hooks": {},
            "linux": {"sysctl": None, "devices": None, "seccomp": None},
        }
    )
    assert config == Config("1.3.0", hooks=Hooks(), linux=Linux())
    assert config.to_dict() == {"ociVersion": "1.3.0", "hooks": {}, "linux": {}}


def test_false_zero_and_the_empty_string_are_not_absent():
    process = {"cwd": "", "terminal": False, "oomScoreAdj": 0, "apparmorProfile": ""}
    assert Process.from_dict(process).to_dict() == process


def test_sections_stand_alone_for_exec_and_update():
    process = Process.from_json('{"cwd": "/", "args": ["id"]}')
    assert process == Process(cwd="/", args=("id",))
    assert Resources.from_dict({"pids": {"limit": 5}}) == Resources(pids=Pids(5))


def test_lists_are_kept_as_tuples():
    mount = Mount("/x", type="bind", source="/y", options=["rbind", "ro"])
    assert mount == Mount("/x", type="bind", source="/y", options=("rbind", "ro"))


def test_sections_are_immutable_and_evolve():
    config = Config.default()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.hostname = "box"  # type: ignore[misc]
    assert attrs.evolve(config, hostname="box").hostname == "box"


def test_a_section_shows_only_what_is_set():
    assert repr(Mount("/x", options=["ro"])) == "Mount(destination='/x', options=('ro',))"


def test_sections_differ_by_class_by_property_and_by_what_is_unknown():
    mount = Mount("/x")
    assert mount == Mount("/x")
    assert mount != Mount("/y")
    assert mount != Mount("/x", extra={"a": 1})
    assert mount != "/x"


def test_the_room_offers_every_section():
    assert set(MODULES) <= set(config_room.__all__)
    for name in MODULES:
        cls = getattr(config_room, name)
        assert cls.__name__ == name
        assert len(layout(cls).properties) == len(attrs.fields(cls)) - 1
    with pytest.raises(AttributeError, match="Windows"):
        config_room.Windows  # noqa: B018 - the access is what fails
