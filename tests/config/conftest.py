"""What the tests of the configuration share: the schemas, and changed configurations."""

from __future__ import annotations

from typing import Any

import pytest

from runstate.config import Config
from runstate.config.section import MODULES, section_class
from tests.config import schema


@pytest.fixture(scope="session")
def schemas() -> Any:
    """The specification's own JSON schemas, where they lie beside the repository."""
    if not schema.FOLDER.is_dir():
        pytest.skip("the OCI schemas are not beside the repository")
    return schema


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
