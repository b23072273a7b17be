"""What the tests of the configuration share: the schemas, and changed configurations."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from runstate.config import Config
from runstate.config.section import MODULES, section_class

FOLDER = Path(__file__).parents[3] / "shared" / "oci-schema"

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


def values(node: dict[str, Any], file: str = "config-schema.json") -> st.SearchStrategy[Any]:
    """Values that a schema's node allows."""
    node, file = resolve(node, file)
    for keyword in ("anyOf", "allOf"):
        if keyword in node:
            parts = [values(part, file) for part in node[keyword]]
            if keyword == "anyOf":
                return st.one_of(parts)
            return st.tuples(*parts).map(
                lambda found: {k: v for part in found for k, v in part.items()}
            )
    if "enum" in node:
        return st.sampled_from(node["enum"])
    found: st.SearchStrategy[Any] = _VALUES[node["type"]](node, file)
    return found


def _object(node: dict[str, Any], file: str) -> st.SearchStrategy[Any]:
    required = node.get("required", ())
    properties = {
        key: values(child, file)
        for key, child in node.get("properties", {}).items()
        if key not in {"solaris", "windows", "vm", "zos", "freebsd"}  # plain JSON in the model
    }
    fixed = st.fixed_dictionaries(
        {key: child for key, child in properties.items() if key in required},
        optional={key: child for key, child in properties.items() if key not in required},
    )
    patterns = list(node.get("patternProperties", {}).values())
    other = node.get("additionalProperties") or (patterns[0] if patterns else None)
    if other is None:
        return fixed
    return st.dictionaries(TEXT.filter(bool), values(other, file), max_size=3)


def _array(node: dict[str, Any], file: str) -> st.SearchStrategy[Any]:
    return st.lists(values(node["items"], file), min_size=node.get("minItems", 0), max_size=3)


def _string(node: dict[str, Any], _: str) -> st.SearchStrategy[Any]:
    if "pattern" in node:
        return st.from_regex(re.compile(node["pattern"], re.ASCII), fullmatch=True).filter(
            lambda text: "\0" not in text
        )
    return TEXT


def _integer(node: dict[str, Any], _: str) -> st.SearchStrategy[Any]:
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


@pytest.fixture(scope="session")
def schemas() -> Any:
    """The specification's own JSON schemas, where they lie beside the repository."""
    if not FOLDER.is_dir():
        pytest.skip("the OCI schemas are not beside the repository")
    return SimpleNamespace(
        resolve=resolve,
        configs=functools.cache(lambda: values({"$ref": "config-schema.json"})),
        validator=validator,
    )


@pytest.fixture(scope="session")
def default() -> Any:
    """The default configuration as JSON, some properties added, changed, or (None) removed."""

    def change_default(change: dict[str, Any]) -> dict[str, Any]:
        data = Config.default(["true"], rootless=False).to_dict()
        for path, value in change.items():
            place = data
            *parts, last = path.split(".")
            for part in parts:
                place = place.setdefault(part, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        return data

    return change_default


@pytest.fixture(scope="session")
def changed(default: Any) -> Any:
    """The same, loaded."""
    return lambda change: Config.from_dict(default(change))


@pytest.fixture(scope="session")
def class_of() -> Any:
    """Finds the section's class that a field's annotation names, if any."""

    def find(annotation: str) -> Any:
        name = annotation.removesuffix(" | None").removeprefix("tuple[").removesuffix(", ...]")
        name = name.removeprefix("dict[str, ").removesuffix("]")
        return section_class(name) if name in MODULES else None

    return find
