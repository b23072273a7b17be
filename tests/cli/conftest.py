"""The command line on a root directory of the test's own, and bundles for it."""

from __future__ import annotations

import ctypes
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import Config
from runstate.config import Root
from tests import host
from tests.cli.calling import Cli, bury_children
from tests.conftest import destroy_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@pytest.fixture
def subreaper() -> Iterator[None]:
    """What loses its parent becomes this process's child, and is reaped by it in the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where commands keep compiled code, so that not each of them compiles it all anew."""
    return str(tmp_path_factory.mktemp("bytecode"))


@pytest.fixture
def cli(
    root: str,
    backend: str,
    bytecode: str,
    subreaper: None,  # noqa: ARG001 - leftovers must be seen
    clean_host: host.Snapshot,  # noqa: ARG001 - it must look when all is over
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    """The command line, on each backend in turn."""
    made = Cli(root, backend, bytecode, capfd)
    yield made
    made.close()
    destroy_all(root)
    bury_children()


@pytest.fixture
def new_id() -> str:
    """An id of this test's own."""
    return host.new_id()


@pytest.fixture
def bundle(cli: Cli, tmp_path: Path, rootfs: Path) -> Callable[..., str]:
    """Writes a bundle for a program, which suits the backend; its directory."""

    def write(*args: str, terminal: bool = False, **changes: Any) -> str:
        if cli.backend == "linux":
            config = Config.default(args, rootfs=rootfs)
        else:
            config = attrs.evolve(Config.minimal(args), root=Root(path="/"))
        assert config.process is not None
        config = attrs.evolve(
            config, process=attrs.evolve(config.process, terminal=terminal, **changes)
        )
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
        return str(tmp_path)

    return write
