"""Who is measured: runstate as a library, runstate as a command, crun and runc."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import runstate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bundles import Bundles

_NULL = os.open(os.devnull, os.O_RDWR)


class Contender(Protocol):
    """What each of them can do, always to its end.

    Attributes:
        name: What the tables call it.
        slug: What its containers' ids begin with: runtimes share the top of the cgroup tree.
        bundles: What it runs.
    """

    name: str
    slug: str
    bundles: Bundles

    def life(self, name: str) -> None:
        """Create, start, the exit of /bin/true, destroy."""

    def create(self, name: str, bundle: str, stdout: int = _NULL) -> None:
        """Leave a container waiting to be started."""

    def start(self, name: str) -> None:
        """Start it."""

    def execute(self, name: str) -> None:
        """Run /bin/true in it."""

    def destroy(self, name: str) -> None:
        """End it, whatever it does, and leave nothing."""

    def init_pid(self, name: str) -> int:
        """The pid of its init."""

    def clean_up(self) -> None:
        """End what is left of a measure that failed."""


class Library:
    """``import runstate``, in this process."""

    def __init__(self, root: str, bundles: Bundles) -> None:
        self.name = "runstate API"
        self.slug = "api"
        self.bundles = bundles
        self._factory = runstate.Factory(root)
        self._containers: dict[str, runstate.Container] = {}

    def life(self, name: str) -> None:
        """See Contender."""
        container = self._factory.create(
            name, self.bundles.true, stdin=_NULL, stdout=_NULL, stderr=_NULL
        )
        container.start()
        if container.wait() != 0:
            raise SystemExit("bench: /bin/true failed")
        container.destroy()

    def create(self, name: str, bundle: str, stdout: int = _NULL) -> None:
        """See Contender."""
        self._containers[name] = self._factory.create(
            name, bundle, stdin=_NULL, stdout=stdout, stderr=_NULL
        )

    def start(self, name: str) -> None:
        """See Contender."""
        self._containers[name].start()

    def execute(self, name: str) -> None:
        """See Contender."""
        self._containers[name].exec(
            ["/bin/true"], check=True, stdin=_NULL, stdout=_NULL, stderr=_NULL
        )

    def destroy(self, name: str) -> None:
        """See Contender."""
        self._containers.pop(name).destroy(force=True)

    def init_pid(self, name: str) -> int:
        """See Contender."""
        return self._containers[name].pid or 0

    def clean_up(self) -> None:
        """See Contender."""
        for container in self._factory.list():
            container.destroy(force=True)


class Command:
    """An OCI runtime's command line; each call is a process of its own."""

    def __init__(self, name: str, command: Sequence[str], bundles: Bundles) -> None:
        self.name = name
        self.slug = name.replace(" ", "-").lower()
        self.bundles = bundles
        self.command = tuple(command)
        self._errors = os.memfd_create("errors")
        self._alive: set[str] = set()

    def _call(self, *arguments: str, stdout: int = _NULL) -> None:
        # posix_spawn is the cheapest way there is from Python: what is measured is the runtime.
        command = (*self.command, *arguments)
        streams = [
            (os.POSIX_SPAWN_DUP2, fd, number)
            for number, fd in enumerate((_NULL, stdout, self._errors))
        ]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
        _, status = os.waitpid(pid, 0)
        if status:
            said = os.pread(self._errors, 4096, 0).decode("utf-8", "replace").strip()
            raise SystemExit(f"bench: {' '.join(command)}: wait status {status}: {said}")

    def life(self, name: str) -> None:
        """See Contender."""
        self._call("run", "--bundle", self.bundles.true, name)

    def create(self, name: str, bundle: str, stdout: int = _NULL) -> None:
        """See Contender."""
        self._call("create", "--bundle", bundle, name, stdout=stdout)
        self._alive.add(name)

    def start(self, name: str) -> None:
        """See Contender."""
        self._call("start", name)

    def execute(self, name: str) -> None:
        """See Contender."""
        self._call("exec", name, "/bin/true")

    def destroy(self, name: str) -> None:
        """See Contender."""
        self._call("delete", "--force", name)
        self._alive.discard(name)

    def init_pid(self, name: str) -> int:
        """See Contender."""
        output = subprocess.run([*self.command, "state", name], capture_output=True, check=True)
        return int(json.loads(output.stdout)["pid"])

    def clean_up(self) -> None:
        """See Contender."""
        for name in tuple(self._alive):
            self.destroy(name)


def all_of(directory: str, bundles: Bundles, crun: str, runc: str) -> list[Contender]:
    """All four, with root directories of their own beside each other."""
    runstate_command = os.path.join(os.path.dirname(sys.executable), "runstate")
    return [
        Library(f"{directory}/api", bundles),
        Command("runstate CLI", [runstate_command, "--root", f"{directory}/cli"], bundles),
        Command(
            "crun", [crun, "--cgroup-manager=cgroupfs", "--root", f"{directory}/crun"], bundles
        ),
        Command("runc", [runc, "--root", f"{directory}/runc"], bundles),
    ]


class OutputClock:
    """A process at the end of a pipe, that notes when something comes out of it.

    Reading in the measuring process itself would only begin when ``start`` has returned.
    """

    def __init__(self) -> None:
        reader, self.stdout = os.pipe()
        self._answers, answer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._note(reader, answer)
        os.close(reader)
        os.close(answer)

    @staticmethod
    def _note(reader: int, answer: int) -> None:
        import time  # noqa: PLC0415 - the child's own

        try:
            while os.read(reader, 4096):
                os.write(answer, time.monotonic_ns().to_bytes(8, "little"))
        finally:
            os._exit(0)

    def first_output(self) -> int:
        """When the latest output came, in nanoseconds of the monotonic clock."""
        return int.from_bytes(os.read(self._answers, 8), "little")

    def close(self) -> None:
        """End the process."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self.stdout)
        os.close(self._answers)
