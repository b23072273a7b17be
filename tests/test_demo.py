"""``make demo`` shows what it says, as root and as an ordinary user, and leaves nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_DEMO = str(Path(__file__).parent.parent / "examples" / "demo.py")
_NOBODY = 65534


def _transitions(said: str) -> list[str]:
    return re.findall(r"^  ([a-z]+ +[a-z]+ → [a-z]+)", said, re.MULTILINE)


@pytest.mark.root
@pytest.mark.usefixtures("clean_host")
def test_as_root_every_transition_happens_and_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, _DEMO], capture_output=True, text=True, check=True, timeout=60
    )

    assert [line.split()[0] for line in _transitions(done.stdout)] == [
        "create", "start", "exec", "pause", "freeze", "resume", "exited", "destroy",
    ]  # fmt: skip
    assert "left out" not in done.stdout
    assert "on the host, that file does not exist" in done.stdout
    assert "exit code 7" in done.stdout
    assert re.search(r"^\d+ +[-\d:. ]+ +destroy +stopped → absent", done.stdout, re.MULTILINE)


@pytest.fixture
def runtime_directory() -> Iterator[str]:
    """An $XDG_RUNTIME_DIR for the ordinary user."""
    path = tempfile.mkdtemp(prefix="rs", dir="/tmp")
    if os.geteuid() == 0:
        os.chown(path, _NOBODY, _NOBODY)
    yield path
    shutil.rmtree(path)


def test_an_ordinary_user_is_told_what_is_left_out(runtime_directory: str) -> None:
    ids: dict[str, Any] = {}
    if os.geteuid() == 0:
        ids = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    python = _python_of_ordinary_users(ids)
    done = subprocess.run(
        [python, _DEMO], capture_output=True, text=True, check=False, timeout=60, cwd="/",
        env={"XDG_RUNTIME_DIR": runtime_directory, "PATH": os.defpath}, **ids,
    )  # fmt: skip

    if "clone3" in done.stderr:
        pytest.skip(f"this host lets ordinary users have no user namespace: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "left out: users: only the caller's own id is mapped" in done.stdout
    assert "uid 0" in done.stdout
    assert "on the host, that file does not exist" in done.stdout
    assert _transitions(done.stdout)[-1] == "destroy  stopped → absent"
    assert os.listdir(f"{runtime_directory}/runstate") == [".history"]


def _python_of_ordinary_users(ids: dict[str, Any]) -> str:
    """This environment's interpreter, if it may be used by anybody."""
    try:
        subprocess.run([sys.executable, "-c", "import runstate"], check=True, cwd="/", **ids)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the interpreter, or this directory, is not readable by ordinary users")
    return sys.executable
