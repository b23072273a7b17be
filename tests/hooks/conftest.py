"""What the tests of hooks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runstate.init import kernel
from tests.cli.calling import bury_children
from tests.hooking import Notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests import host

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@pytest.fixture
def notes(tmp_path) -> Notes:
    """Where this test's hooks write down what they find."""
    directory = tmp_path / "notes"
    directory.mkdir()
    return Notes(directory)


@pytest.fixture
def orphanage(clean_host: host.Snapshot) -> Iterator[None]:  # noqa: ARG001 - bury before it looks
    """What loses its parent becomes this process's child, and is reaped in the end."""
    kernel.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    yield
    kernel.prctl(_PR_SET_CHILD_SUBREAPER, 0)
    bury_children()
