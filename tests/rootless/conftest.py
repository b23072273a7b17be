"""An ordinary user: who runs the tests or, if that is root, one who is made up for them.

Root's own Python and checkout may be out of others' reach, so the made-up user gets a copy of
the package and of what it needs, and a Python that anybody can execute.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate.linux.cgroups import layout
from tests.cli.calling import Done
from tests.host import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEEDED = ("runstate", "attr", "attrs", "cattrs", "transitions", "six", "typing_extensions")
_CANDIDATES = ("/usr/bin/python3", "/usr/local/bin/python3")
_SECONDS = 60.0
_RANGE = 65_536

_PREAMBLE = f"""
import json, os, signal, sys, time
import runstate
from runstate import Config, Factory
from runstate.errors import *
def tell(value):
    print(json.dumps(value), flush=True)
def read(path):
    with open(path) as file:
        return file.read()
def new_id(n=iter(range(1000))):
    return f"{MARK}-user-{{os.getpid()}}-{{next(n)}}"
factory = Factory()
"""


@attrs.frozen
class User:
    """An ordinary user, who can run programs.

    Attributes:
        uid: The user's id; the group's is the same number.
        home: A directory of the user's own.
        python: An interpreter that the user can execute.
        options: How root becomes the user; nothing if this process is the user already.
        prefix: Words before a command of root's that make the user of it, instead of the options.
    """

    uid: int
    gid: int
    home: str
    python: str
    options: dict[str, Any]
    prefix: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": self.home,
            "XDG_RUNTIME_DIR": f"{self.home}/run",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{self.home}/lib",
        }

    def run(self, *words: str, cgroup: str | None = None) -> Done:
        """Run a program as the user, in a cgroup if one is named."""
        options = self.options
        if cgroup is not None:
            become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
            become = [*self.prefix] or become
            words = ("sh", "-c", f'echo $$ >{cgroup}/cgroup.procs; exec "$@"', "-", *become, *words)
            options = {}
        elif self.prefix:
            words, options = (*self.prefix, *words), {}
        # Files and not pipes: what a command leaves running may hold them open for long.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            status = subprocess.run(
                words, env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=out,
                stderr=err, check=False, timeout=_SECONDS, **options,
            ).returncode  # fmt: skip
            out.seek(0)
            err.seek(0)
            return Done(status, out.read(), err.read())

    def runstate(self, *words: str) -> Done:
        """Run a command of runstate as the user."""
        return self.run(self.python, "-m", "runstate", *words)

    def script(
        self, source: str, *, cgroup: str | None = None, inside: tuple[str, ...] = ()
    ) -> Any:
        """Run Python as the user; what it ``tell``s: one value, or a list of several."""
        words = (*inside, self.python, "-W", "error", "-c", _PREAMBLE + source)
        done = self.run(*words, cgroup=cgroup)
        assert (done.status, done.err) == (0, ""), done.err
        told = [json.loads(line) for line in done.out.splitlines()]
        return told[0] if len(told) == 1 else told

    def leftovers(self) -> dict[str, list[str]]:
        """What is left of the user's containers: files, processes, mounts."""
        return {
            "files": [
                f"{directory}/{name}"
                for directory, names, files in os.walk(f"{self.home}/run")
                for name in [*names, *files]
                if ".history" not in f"{directory}/{name}" and name != "runstate"
            ],
            "processes": [
                f"{name} {Path(f'/proc/{name}/cmdline').read_bytes()!r}"
                for name in filter(str.isdigit, os.listdir("/proc"))
                if _is_of(name, self.uid) and self.options
            ],
            "mounts": [
                line for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if self.home in line
            ],
        }  # fmt: skip


def _is_of(pid: str, uid: int) -> bool:
    """Whether a process is the user's; a zombie is its parent's, who may be slow to reap it."""
    try:
        of_user = os.stat(f"/proc/{pid}").st_uid == uid
        return of_user and ") Z " not in Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def installation() -> Iterator[User]:
    """The user, with a home in which the package is installed."""
    home = tempfile.mkdtemp(prefix="rsuser")
    try:
        user = _make_user(home)
        os.makedirs(f"{home}/lib")
        for name in _NEEDED:
            _copy(name, f"{home}/lib")
        for path in (home, f"{home}/lib"):
            os.chmod(path, 0o755)  # noqa: S103 - others have to read it
        yield user
    finally:
        shutil.rmtree(home)


def _make_user(home: str) -> User:
    if os.geteuid() != 0:
        return User(os.geteuid(), os.getegid(), home, sys.executable, {})
    uid = 60_000_000 + os.getpid()  # another test run on this machine has a user of its own
    while _exists(uid):
        uid += 1
    os.chown(home, uid, uid)
    who = {"user": uid, "group": uid, "extra_groups": []}
    return User(uid, uid, home, _python_for_all(), who)


def _exists(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _python_for_all() -> str:
    for path in (os.path.realpath(getattr(sys, "_base_executable", "")), *_CANDIDATES):
        if os.path.exists(path) and _executable_by_all(path):
            version = subprocess.run(
                [path, "-c", "import sys; print(sys.version_info >= (3, 11))"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            if version.stdout == "True\n":
                return path
    pytest.skip("no Python 3.11 or newer that an ordinary user can execute; install one in /usr")


def _executable_by_all(path: str) -> bool:
    parts = [Path(path), *Path(path).resolve().parents]
    return all(part.stat().st_mode & stat.S_IXOTH for part in parts)


def _copy(name: str, target: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    if spec.submodule_search_locations:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(os.path.dirname(spec.origin), f"{target}/{name}", ignore=ignored)
    else:
        shutil.copy(spec.origin, target)


@pytest.fixture
def user(installation: User) -> Iterator[User]:
    """The user, of whom nothing is left when the test is over."""
    runtime = f"{installation.home}/run"
    os.mkdir(runtime, 0o700)
    os.chown(runtime, installation.uid, installation.gid)
    _require_namespaces(installation)
    yield installation
    leftovers = installation.leftovers()
    _end_processes(installation)
    shutil.rmtree(runtime)
    assert leftovers == {"files": [], "processes": [], "mounts": []}


def _end_processes(user: User) -> None:
    """What a failed test has left; a user who is made up has no processes but ours."""
    for name in filter(str.isdigit, os.listdir("/proc")) if user.options else ():
        if _is_of(name, user.uid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(name), signal.SIGKILL)


def _require_namespaces(user: User) -> None:
    done = user.run("unshare", "--user", "--map-root-user", "true")
    if done.status != 0:
        pytest.skip(f"this host gives ordinary users no user namespaces: {done.err.strip()}")


@pytest.fixture
def ranged(user: User) -> Iterator[tuple[User, int]]:
    """The user with a name, and with a range of subordinate ids; and where that begins.

    The files that say so are mounted over the host's where the user's programs run, and
    nowhere else.
    """
    start = 1_000_000_000 + os.getpid() % 10_000 * _RANGE
    lines = {
        "passwd": f"rsranged:x:{user.uid}:{user.gid}::{user.home}:/bin/sh\n",
        "subuid": f"rsranged:{start}:{_RANGE}\n",
        "subgid": f"rsranged:{start}:{_RANGE}\n",
    }
    directory = tempfile.mkdtemp(prefix="rsetc")
    try:
        mounts = []
        for name, line in lines.items():
            text = Path(f"/etc/{name}").read_text() if name == "passwd" else ""
            Path(f"{directory}/{name}").write_text(text + line)
            os.chmod(f"{directory}/{name}", 0o644)
            mounts.append(f"mount --bind {directory}/{name} /etc/{name}")
        become = f"setpriv --reuid={user.uid} --regid={user.gid} --clear-groups"
        script = f'{" && ".join(mounts)} && exec {become} "$@"'
        prefix = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "-")
        yield attrs.evolve(user, prefix=prefix), start
        left = [
            name
            for name in filter(str.isdigit, os.listdir("/proc"))
            if any(_is_of(name, start + n) for n in (0, 4, 999, _RANGE - 1))
        ]
        assert left == []
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def own_rootfs(user: User, rootfs: Path) -> Iterator[str]:
    """A copy of the small rootfs that is the user's own."""
    path = f"{user.home}/rootfs"
    shutil.copytree(rootfs, path, symlinks=True)
    os.chmod(path, 0o755)  # noqa: S103 - the container's other users have to get in
    for directory, names, files in os.walk(path):
        for name in [".", *names, *files]:
            os.chown(f"{directory}/{name}", user.uid, user.gid, follow_symlinks=False)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def delegated(user: User) -> Iterator[str]:
    """A cgroup that belongs to the user, as systemd gives one, with one below it to be in."""
    unified = layout.detect().unified
    if unified is None:
        pytest.skip("this host has no unified cgroup hierarchy to delegate from")
    top = f"{unified.mount_point}/{MARK}-delegated"
    for directory in (top, f"{top}/user"):
        os.mkdir(directory)
        for name in ("", "/cgroup.procs", "/cgroup.subtree_control"):
            os.chown(f"{directory}{name}", user.uid, user.gid)
    yield top
    for directory in (f"{top}/user", top):
        os.rmdir(directory)
