"""The house's rules: who may import whom, and what importing costs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import runstate
from runstate.handlers import registry
from runstate.init import operations as init_operations
from runstate.linux import operations

PACKAGE = Path(runstate.__file__).parent
TOP = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each may import from those below it, and not from its neighbours. A state is a value that
# even the kernel's layer speaks of (ProcessIdentity), so `states` is at the bottom.
ROOMS = (
    ("cli",),
    ("engine",),
    ("transitions",),
    ("handlers", "persistence"),
    ("config",),
    ("linux",),
    ("states", "init"),
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).with_suffix("").parts)


def imports(path: Path) -> list[tuple[str, int]]:
    """What a module imports, at its top, in functions and for type checkers; with the lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports by name, not relatively"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def room_of(name: str) -> str | None:
    """The room of a module of this package; None for others and for what is at the top."""
    parts = name.split(".")
    return parts[1] if parts[0] == "runstate" and len(parts) > 1 and parts[1] in LEVEL else None


def test_every_directory_is_a_room():
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert found == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path):
    room = room_of(name_of(path))
    for imported, line in imports(path):
        target = room_of(imported)
        if room is None or target is None or target == room:
            continue
        assert LEVEL[room] < LEVEL[target], f"{name_of(path)}:{line} imports {imported}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "init").rglob("*.py")), ids=name_of)
def test_init_imports_the_standard_library_and_itself(path):
    for imported, line in imports(path):
        top = imported.partition(".")[0]
        allowed = imported.startswith("runstate.init") or top in sys.stdlib_module_names
        assert allowed, f"{name_of(path)}:{line} imports {imported}"


def test_errors_import_nothing_of_the_package():
    assert not [name for name, _ in imports(PACKAGE / "errors.py") if name.startswith("runstate")]


def test_one_module_talks_to_the_transitions_library():
    users = [
        name_of(path)
        for path in MODULES
        if any(name.partition(".")[0] == "transitions" for name, _ in imports(path))
    ]
    assert users == ["runstate.engine.machine"]


def test_from_the_repository_s_root_transitions_is_the_library():
    code = "import transitions; print(transitions.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, check=True, capture_output=True, text=True
    )
    assert "site-packages" in found.stdout
    assert not (TOP / "transitions").exists()


def test_engine_and_init_know_the_same_operations():
    assert set(init_operations.OPERATIONS) == set(operations.WORDS)


def test_what_is_rare_is_where_both_sides_say():
    assert init_operations.RARE == operations.RARE
    for name, module in operations.RARE.items():
        performing = import_module(f"runstate.init.operations.{module}")
        describing = import_module(f"runstate.linux.operations.{module}")
        assert callable(getattr(performing, name))
        assert callable(getattr(describing, name))
        assert name in describing.WORDS


def test_the_built_in_handlers_are_the_entry_points():
    with open(TOP / "pyproject.toml", "rb") as file:
        declared = tomllib.load(file)["project"]["entry-points"]
    found = {
        (group.removeprefix("runstate.handlers."), name): value
        for group, entries in declared.items()
        for name, value in entries.items()
    }
    assert found == registry._BUILTIN


# --- what importing costs ---------------------------------------------------------------------


def loaded_by(statement: str, *path: str) -> set[str]:
    """The modules that a statement loads in a bare interpreter."""
    code = (
        f"import sys; sys.path[:0] = {[str(TOP), *path]!r}; before = set(sys.modules)\n"
        f"{statement}\n"
        "after = set(sys.modules) - before; import json; print(json.dumps(sorted(after)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True
    )
    return set(json.loads(done.stdout))


def site_packages() -> list[str]:
    return [path for path in sys.path if os.path.basename(path) == "site-packages"]


def test_importing_the_package_imports_nothing_else():
    assert loaded_by("import runstate") == {"__future__", "runstate"}


EXPENSIVE = {
    "argparse", "asyncio", "cattrs", "graphviz", "importlib.metadata", "inspect", "jsonschema",
    "logging", "multiprocessing", "pathlib", "pyroute2", "tempfile", "unittest", "urllib",
}  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("from runstate import RuntimeStateError", set()),
        ("from runstate import Config", {"inspect"}),
        ("from runstate import Factory", {"inspect", "logging", "cattrs", "pathlib", "urllib"}),
    ],
)
def test_a_part_of_the_package_does_not_load_what_it_does_not_need(statement, allowed):
    # attrs brings inspect, the transitions library logging, and cattrs the last two.
    assert not loaded_by(statement, *site_packages()) & (EXPENSIVE - allowed)


# The zygote's memory is every waiting container's, and its start is the first one's.
ZYGOTE = {
    "__future__", "_collections_abc", "_ctypes", "_socket", "_stat", "_struct", "ctypes",
    "ctypes._endian", "errno", "fcntl", "gc", "genericpath", "os", "os.path", "posixpath",
    "resource", "select", "stat", "struct", "types",
}  # fmt: skip


def test_the_zygote_loads_these_modules_and_no_others():
    loaded = loaded_by("import runstate.init.zygote")
    ours = {name for name in loaded if name.partition(".")[0] == "runstate"}
    assert loaded - ours <= ZYGOTE
    assert all(name == "runstate" or name.startswith("runstate.init") for name in ours)
