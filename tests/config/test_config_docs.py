"""docs/config.md tells the truth: each property of the schemas has its line, and its proof.

A line is of a section that is being written as long as it is empty; half a line never is.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from runstate.config import Config
from runstate.config.support import PLATFORMS, REFUSED

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "config.md"


@functools.cache
def rows() -> dict[str, tuple[str, str]]:
    """By property: how it is honoured, and what proves it."""
    found: dict[str, tuple[str, str]] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            for name in expanded(cells[0].strip("`")):
                assert name not in found, f"{name} has two lines"
                found[name] = (cells[1], cells[2])
    return found


def expanded(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return ["".join(choice) for choice in itertools.product(*parts)]


def test_braces_are_alternatives():
    assert expanded("a.{b,c}[].{d,e}") == ["a.b[].d", "a.b[].e", "a.c[].d", "a.c[].e"]
    assert expanded("a.b") == ["a.b"]


def properties(resolve: Any, node: Any, file: str, name: str = "") -> Any:
    """Each property below a node: its name in the tables, its schema, and the schema's file."""
    node, file = resolve(node, file)
    for part in (*node.get("allOf", ()), *node.get("anyOf", ())):
        yield from properties(resolve, part, file, name)
    if "items" in node:
        yield from properties(resolve, node["items"], file, f"{name}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from properties(resolve, node["additionalProperties"], file, f"{name}.*")
    for key, child in node.get("properties", {}).items():
        full = f"{name}.{key}".removeprefix(".")
        yield full, child, file
        if full not in PLATFORMS:
            yield from properties(resolve, child, file, full)


@pytest.fixture(scope="session")
def specified(schemas):
    """The schemas' properties by their names in the tables."""
    root = {"$ref": "config-schema.json"}
    return {
        name: (child, file)
        for name, child, file in properties(schemas.resolve, root, "config-schema.json")
    }


def test_each_property_has_a_line_and_each_line_a_property(specified):
    assert len(specified) > 200
    assert set(rows()) == set(specified)


def test_a_property_without_a_line_would_be_noticed(schemas):
    colours: Any = {"colours": {"items": {"properties": {"a": {}}}}}
    root = {"properties": {"root": {"properties": colours}}}
    names = [name for name, _, _ in properties(schemas.resolve, root, "config-schema.json")]
    assert names == ["root", "root.colours", "root.colours[].a"]


# --- proofs ---------------------------------------------------------------------------------


@functools.cache
def functions(path: str) -> frozenset[str]:
    """The tests of a file, as pytest names them."""
    found = set()
    for node in ast.parse((TOP / path).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body
                      if isinstance(inner, ast.FunctionDef)}  # fmt: skip
    return frozenset(found)


@pytest.mark.parametrize("name", sorted(rows()))
def test_a_line_says_how_and_names_a_test_that_there_is(name):
    how, proof = rows()[name]
    assert bool(how) == bool(proof)
    proofs = re.findall(r"`([^`]+)`", proof)
    assert bool(proofs) == bool(how)
    for test in proofs:
        path, _, function = test.partition("::")
        assert path.startswith("tests/")
        assert (TOP / path).is_file()
        assert function.rpartition("::")[2].startswith("test_")
        assert function in functions(path)


def test_what_is_refused_is_said_to_be():
    for name, (how, _) in rows().items():
        refused = any(
            re.match(rf"{re.escape(path)}(\W|$)", name) for path in (*REFUSED, *PLATFORMS)
        )
        if how:
            assert how.lower().startswith("refused") == refused, name


# --- values ---------------------------------------------------------------------------------


def sample(resolve: Any, node: Any, file: str) -> Any:
    """A small value that a schema's node allows."""
    node, file = resolve(node, file)
    if "anyOf" in node:
        return sample(resolve, node["anyOf"][0], file)
    if "enum" in node:
        return node["enum"][-1]
    if node.get("type") == "array":
        return [sample(resolve, node["items"], file)]
    if node.get("type") in SCALARS:
        return SCALARS[node["type"]](node)
    return sample_object(resolve, node, file)


SCALARS: dict[str, Any] = {
    "boolean": lambda _node: True,
    "integer": lambda node: node.get("maximum", 5),
    "string": lambda node: next(
        text
        for text in ("text", "RLIMIT_AS", "2MB", "MB:0=1", "0-3", "c")
        if re.search(node.get("pattern", ""), text)
    ),
}


def sample_object(resolve: Any, node: Any, file: str) -> dict[str, Any]:
    """What an object must have, or one thing that it may have."""
    if "patternProperties" in node:
        return {"key": "text"}
    if isinstance(node.get("additionalProperties"), dict):
        return {"key": sample(resolve, node["additionalProperties"], file)}
    found: dict[str, Any] = {}
    for part in (*node.get("allOf", ()), *node.get("anyOf", ())[:1]):
        found |= sample_object(resolve, *resolve(part, file))
    properties = node.get("properties", {})
    for key in node.get("required", [] if found else list(properties)[:1]):
        found[key] = sample(resolve, properties[key], file)
    return found


def with_value(resolve: Any, node: Any, file: str, parts: list[str], value: Any) -> Any:
    """A small value of a node that has this value at the end of a path."""
    if not parts:
        return value
    node, file = resolve(node, file)
    first, *rest = parts
    if first == "[]":
        return [with_value(resolve, node["items"], file, rest, value)]
    if first == "*":
        return {"key": with_value(resolve, node["additionalProperties"], file, rest, value)}
    for part in (node, *node.get("allOf", ()), *node.get("anyOf", ())):
        found, where = resolve(part, file)
        if first in found.get("properties", {}):
            whole = sample_object(resolve, node, file)
            whole[first] = with_value(resolve, found["properties"][first], where, rest, value)
            return whole
    raise LookupError(first)


def test_a_value_of_each_property_comes_back(schemas, specified):
    root = {"$ref": "config-schema.json"}
    for name, (child, file) in specified.items():
        value = sample(schemas.resolve, child, file)
        parts = name.replace("[]", ".[]").split(".")
        data = with_value(schemas.resolve, root, "config-schema.json", parts, value)
        assert schemas.validator().is_valid(data), name
        loaded = Config.from_dict(data)
        assert loaded.to_dict() == data, name
        assert not unknown(loaded), name


def unknown(section: Any) -> bool:
    """Whether a section, or one in it, keeps a property that the model does not know."""
    if isinstance(section, tuple):
        return any(map(unknown, section))
    if isinstance(section, dict):
        return any(map(unknown, section.values()))
    if not hasattr(section, "extra"):
        return False
    return bool(section.extra) or any(
        unknown(getattr(section, field.name)) for field in type(section).__attrs_attrs__
    )
