"""What the tests of hooks share."""

from __future__ import annotations

import pytest

from tests.hooking import Notes


@pytest.fixture
def notes(tmp_path) -> Notes:
    """Where this test's hooks write down what they find."""
    directory = tmp_path / "notes"
    directory.mkdir()
    return Notes(directory)
