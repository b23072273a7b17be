from __future__ import annotations

import os
import stat
import tempfile

import pytest

from runstate.errors import OperationFailed
from runstate.persistence import root
from runstate.persistence.root import default_root


@pytest.fixture
def user(monkeypatch, tmp_path):
    """Someone without root, without XDG_RUNTIME_DIR and without /run/user."""
    monkeypatch.setattr(root, "_RUN", str(tmp_path / "run"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return os.geteuid()


@pytest.mark.root
def test_root_has_run():
    assert default_root() == "/run/runstate"


def test_others_have_their_runtime_directory(user, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_root() == f"{tmp_path}/runstate"


def test_or_what_stands_in_for_it(user, tmp_path):
    (tmp_path / "run" / "user" / str(user)).mkdir(parents=True)
    assert default_root() == f"{tmp_path}/run/user/{user}/runstate"


@pytest.mark.parametrize("value", ["", "relative/path", "/does/not/exist"])
def test_or_a_private_directory_whatever_the_variable_says(user, monkeypatch, tmp_path, value):
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    before = os.umask(0)
    try:
        for _ in range(2):
            assert default_root() == f"{tmp_path}/runstate-{user}"
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(default_root()).st_mode) == 0o700


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda path: os.mkdir(path, 0o777) or os.chmod(path, 0o777), "mode 0777"),
        (lambda path: os.mkdir(path) or os.chmod(path, 0o710), "mode 0710"),
        (lambda path: os.mkdir(path + "x", 0o700) or os.symlink(path + "x", path), "no directory"),
        (lambda path: open(path, "w").close(), "no directory"),
    ],
)
def test_a_directory_that_others_prepared_is_refused(user, tmp_path, made, told):
    made(f"{tmp_path}/runstate-{user}")
    with pytest.raises(OperationFailed, match=f"{told}.*set XDG_RUNTIME_DIR"):
        default_root()


@pytest.mark.root
def test_a_directory_that_belongs_to_another_is_refused(user, tmp_path):
    path = tmp_path / f"runstate-{user}"
    path.mkdir(0o700)
    os.chown(path, 12345, -1)
    with pytest.raises(OperationFailed, match="belongs to user 12345"):
        default_root()
