"""docs/config.md tells the truth: each property of the schemas has its line, and its proof."""

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


def test_each_property_has_a_line_and_each_line_a_property(schemas):
    assert len(schemas.specified()) > 200
    assert set(rows()) == set(schemas.specified())


def test_a_property_without_a_line_would_be_noticed(schemas):
    colours: Any = {"colours": {"items": {"properties": {"a": {}}}}}
    root = {"properties": {"root": {"properties": colours}}}
    names = [name for name, _, _ in schemas.properties(root, "config-schema.json")]
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
    assert how
    proofs = re.findall(r"`([^`]+)`", proof)
    assert proofs
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
        assert how.lower().startswith("refused") == refused, name


# --- values ---------------------------------------------------------------------------------


def test_a_value_of_each_property_comes_back(schemas):
    for name, (child, file) in schemas.specified().items():
        data = schemas.with_property(name, schemas.sample(child, file))
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
