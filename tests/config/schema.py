"""The specification's JSON schemas, as they lie beside the repository: walked, and drawn from."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from runstate.config.support import PLATFORMS

FOLDER = Path(__file__).parents[3] / "shared" / "oci-schema"

ROOT = {"$ref": "config-schema.json"}

# Text that a configuration may hold: no NUL, no surrogates.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@functools.cache
def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def resolve(node: dict[str, Any], file: str) -> tuple[dict[str, Any], str]:
    """A node with its reference followed, and the file that it is in."""
    while "$ref" in node:
        target, _, pointer = node["$ref"].partition("#")
        file = target or file
        node = document(file)
        for part in filter(None, pointer.split("/")):
            node = node[part]
    return node, file


def values(
    node: dict[str, Any], file: str = "config-schema.json", text: st.SearchStrategy[str] = TEXT
) -> st.SearchStrategy[Any]:
    """Values that a schema's node allows, with these texts where any will do."""
    node, file = resolve(node, file)
    for keyword in ("anyOf", "allOf"):
        if keyword in node:
            parts = [values(part, file, text) for part in node[keyword]]
            one: st.SearchStrategy[Any] = st.one_of(parts)
            every: st.SearchStrategy[Any] = st.tuples(*parts).map(
                lambda found: {k: v for part in found for k, v in part.items()}
            )
            return one if keyword == "anyOf" else every
    if "enum" in node:
        return st.sampled_from(node["enum"])
    found: st.SearchStrategy[Any] = _VALUES[node["type"]](node, file, text)
    return found


def _object(node: dict[str, Any], file: str, text: Any) -> st.SearchStrategy[Any]:
    required = node.get("required", ())
    properties = {
        key: values(child, file, text)
        for key, child in node.get("properties", {}).items()
        if key not in PLATFORMS  # plain JSON in the model
    }
    fixed = st.fixed_dictionaries(
        {key: child for key, child in properties.items() if key in required},
        optional={key: child for key, child in properties.items() if key not in required},
    )
    patterns = list(node.get("patternProperties", {}).values())
    other = node.get("additionalProperties") or (patterns[0] if patterns else None)
    if other is None:
        return fixed
    return st.dictionaries(text.filter(bool), values(other, file, text), max_size=3)


def _array(node: dict[str, Any], file: str, text: Any) -> st.SearchStrategy[Any]:
    return st.lists(values(node["items"], file, text), min_size=node.get("minItems", 0), max_size=3)


def _string(node: dict[str, Any], _: str, text: Any) -> st.SearchStrategy[Any]:
    if "pattern" in node:
        matching = st.from_regex(re.compile(node["pattern"], re.ASCII), fullmatch=True)
        return matching.filter(lambda found: "\0" not in found)
    found: st.SearchStrategy[str] = text
    return found


def _integer(node: dict[str, Any], *_: Any) -> st.SearchStrategy[Any]:
    low, high = node.get("minimum", -(2**31)), node.get("maximum", 2**31 - 1)
    return st.integers(low, high)


_VALUES: dict[str, Any] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "boolean": lambda *_: st.booleans(),
}


@functools.cache
def validator() -> Any:
    """Judges a JSON value by the schema of config.json."""
    import jsonschema
    import referencing
    from referencing.jsonschema import DRAFT4

    documents = [
        (path.name, DRAFT4.create_resource(document(path.name))) for path in FOLDER.glob("*.json")
    ]
    registry: Any = referencing.Registry().with_resources(documents)
    return jsonschema.Draft4Validator({"$ref": "config-schema.json"}, registry=registry)


def properties(node: Any, file: str, name: str = "") -> Any:
    """Each property below a node: its name in the tables, its schema, and the schema's file."""
    node, file = resolve(node, file)
    for part in (*node.get("allOf", ()), *node.get("anyOf", ())):
        yield from properties(part, file, name)
    if "items" in node:
        yield from properties(node["items"], file, f"{name}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from properties(node["additionalProperties"], file, f"{name}.*")
    for key, child in node.get("properties", {}).items():
        full = f"{name}.{key}".removeprefix(".")
        yield full, child, file
        if full not in PLATFORMS:
            yield from properties(child, file, full)


def sample(node: Any, file: str) -> Any:
    """A small value that a schema's node allows."""
    node, file = resolve(node, file)
    if "anyOf" in node:
        return sample(node["anyOf"][0], file)
    if "enum" in node:
        return node["enum"][-1]
    if node.get("type") == "array":
        return [sample(node["items"], file)]
    if node.get("type") in SCALARS:
        return SCALARS[node["type"]](node)
    return sample_object(node, file)


SCALARS: dict[str, Any] = {
    "boolean": lambda _node: True,
    "integer": lambda node: node.get("maximum", 5),
    "string": lambda node: next(
        text
        for text in ("/text", "RLIMIT_AS", "2MB", "MB:0=1", "0-3", "c")
        if re.search(node.get("pattern", ""), text)
    ),
}


def sample_object(node: Any, file: str, *, least: bool = False) -> dict[str, Any]:
    """What an object must have; if that is nothing, one thing that it may have, or (least) none."""
    if "patternProperties" in node:
        return {"key": "text"}
    if isinstance(node.get("additionalProperties"), dict):
        return {"key": sample(node["additionalProperties"], file)}
    found: dict[str, Any] = {}
    for part in (*node.get("allOf", ()), *node.get("anyOf", ())[:1]):
        found |= sample_object(*resolve(part, file), least=least)
    properties = node.get("properties", {})
    for key in node.get("required", [] if found or least else list(properties)[:1]):
        found[key] = sample(properties[key], file)
    return found


def with_value(node: Any, file: str, parts: list[str], value: Any) -> Any:
    """A small value of a node that has this value at the end of a path."""
    if not parts:
        return value
    node, file = resolve(node, file)
    first, *rest = parts
    if first == "[]":
        return [with_value(node["items"], file, rest, value)]
    if first == "*":
        return {"key": with_value(node["additionalProperties"], file, rest, value)}
    for part in (node, *node.get("allOf", ()), *node.get("anyOf", ())):
        found, where = resolve(part, file)
        if first in found.get("properties", {}):
            whole = sample_object(node, file, least=True)
            whole[first] = with_value(found["properties"][first], where, rest, value)
            return whole
    raise LookupError(first)


@functools.cache
def specified() -> dict[str, tuple[Any, str]]:
    """Each property's schema, and the file that this is in, by its name in the docs' tables."""
    return {name: (child, file) for name, child, file in properties(ROOT, "config-schema.json")}


def with_property(name: str, value: Any) -> Any:
    """A small configuration in which this property has this value."""
    parts = name.replace("[]", ".[]").split(".")
    return with_value(ROOT, "config-schema.json", parts, value)
