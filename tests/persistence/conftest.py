"""What the tests of this room share: a store, other processes, and a small disk."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import runstate
from runstate.persistence.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


class Worker:
    """Another Python process; it says a line when it has got somewhere, and hears lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def worker() -> Iterator[Callable[..., Worker]]:
    """Starts ``code`` in another process; ``say`` and ``hear`` are its ends of the talk."""
    prelude = (
        "import os, sys\n"
        "def say(line): print(line, flush=True)\n"
        "def hear(): return sys.stdin.readline()\n"
        "from runstate.persistence.store import Store\n"
        "args = sys.argv[1:]\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(runstate.__file__)))
    workers = []

    def start(code: str, *args: object) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + code, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        workers.append(Worker(process))
        return workers[-1]

    yield start
    for each in workers:
        each.kill()
        for stream in (each.process.stdin, each.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)
