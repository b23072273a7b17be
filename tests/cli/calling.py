"""Calling the command line, in this process or as a process of its own, and waiting for it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import attrs

from runstate.cli import main
from runstate.linux import launcher

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_SECONDS = 30.0
_SETTLING_SECONDS = 5.0


@attrs.frozen
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error: one line, and exit status 1."""
        assert self.status == 1, self
        assert self.err.startswith("runstate: "), self
        assert self.err.count("\n") == 1, self
        assert "Traceback" not in self.err, self
        return self.err.removeprefix("runstate: ").rstrip("\n")


class Cli:
    """The command line on one root directory and one backend."""

    def __init__(
        self, root: str, backend: str, bytecode: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.root = root
        self._environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.backend = backend
        self._capfd = capfd
        self._spawned: list[subprocess.Popen[Any]] = []

    def __call__(self, *words: str) -> Done:
        """Run a command in this process."""
        self._capfd.readouterr()
        status = main.run([*self.options, *words])
        captured = self._capfd.readouterr()
        return Done(status, captured.out, captured.err)

    def ok(self, *words: str) -> str:
        """Run a command that must succeed; its output."""
        done = self(*words)
        assert (done.status, done.err) == (0, ""), done
        return done.out

    @property
    def options(self) -> list[str]:
        return ["--root", self.root, "--backend", self.backend]

    def spawn(self, *words: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a command as a process of its own."""
        options.setdefault("env", self._environment)
        process = subprocess.Popen(
            [sys.executable, "-m", "runstate", *self.options, *words], **options
        )
        self._spawned.append(process)
        return process

    def run(self, *words: str, **options: Any) -> Done:
        """Run a command as a process of its own to its end."""
        options.setdefault("stdin", subprocess.DEVNULL)
        # Files and not pipes: what the command leaves running may hold them open for long.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            status = self.spawn(*words, stdout=out, stderr=err, **options).wait(_SECONDS)
            out.seek(0)
            err.seek(0)
            return Done(status, out.read(), err.read())

    def state(self, container_id: str) -> dict[str, Any]:
        """What `state` prints."""
        found: dict[str, Any] = json.loads(self.ok("state", container_id))
        return found

    def await_status(self, container_id: str, status: str) -> dict[str, Any]:
        """The state as soon as it has this status."""
        state: dict[str, Any] = until(lambda: self._if_status(container_id, status))
        return state

    def _if_status(self, container_id: str, status: str) -> dict[str, Any] | None:
        done = self("state", container_id)
        state: dict[str, Any] | None = json.loads(done.out) if done.status == 0 else None
        return state if state and state["status"] == status else None

    def close(self) -> None:
        for process in self._spawned:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


def until(look: Callable[[], Any]) -> Any:
    """What ``look`` finds, as soon as it finds something."""
    deadline = time.monotonic() + _SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.005)
    return found


def read_until(fd: int, wanted: bytes) -> bytes:
    """What a descriptor has to say, up to and with these bytes."""
    deadline = time.monotonic() + _SECONDS
    data = b""
    while wanted not in data:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([fd], [], [], max(0.0, left))
        assert ready, f"{wanted!r} has not come; what has is {data!r}"
        chunk = os.read(fd, 65536)
        assert chunk, f"{wanted!r} has not come before the end; what has is {data!r}"
        data += chunk
    return data


def children() -> dict[int, str]:
    """This process's children but for the zygote, with their states as in proc(5)."""
    found = {}
    own = os.getpid()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == own and int(name) != launcher.get().pid:
            found[int(name)] = state
    return found


def bury_children() -> None:
    """Reap what has become this process's child and ends; it is others' business what does not."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while (found := children()) and time.monotonic() < deadline:
        for pid, state in found.items():
            if state == "Z":
                os.waitpid(pid, 0)
        time.sleep(0.002)
