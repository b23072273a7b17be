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


@pytest.mark.usefixtures("user")
def test_others_have_their_runtime_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_root() == f"{tmp_path}/runstate"


@pytest.mark.usefixtures("user")
def test_or_what_stands_in_for_it(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    (tmp_path / "run" / "user" / "12345").mkdir(parents=True)
    assert default_root() == f"{tmp_path}/run/user/12345/runstate"


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


@pytest.mark.parametrize("mode", [0o777, 0o710, 0o701, 0o1777])
def test_a_directory_that_is_open_to_others_is_refused(user, tmp_path, mode):
    path = tmp_path / f"runstate-{user}"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(OperationFailed, match=f"mode {mode:04o}.*set XDG_RUNTIME_DIR"):
        default_root()


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_what_others_prepared_instead_of_a_directory_is_refused(user, tmp_path, kind):
    path = tmp_path / f"runstate-{user}"
    if kind == "symlink":
        (tmp_path / "elsewhere").mkdir(0o700)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.touch()
    with pytest.raises(OperationFailed, match=r"no directory.*set XDG_RUNTIME_DIR"):
        default_root()


@pytest.mark.root
def test_a_directory_that_belongs_to_another_is_refused(user, tmp_path):
    path = tmp_path / f"runstate-{user}"
    path.mkdir(0o700)
    os.chown(path, 12345, -1)
    with pytest.raises(OperationFailed, match="belongs to user 12345"):
        default_root()
