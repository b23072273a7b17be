"""Cgroups with names of their own, and processes to put into them; all is gone afterwards."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.cgroups.layout import detect
from runstate.linux.cgroups.paths import plan_paths

_numbers = itertools.count()


def _mount_points():
    layout = detect()
    hierarchies = [*layout.legacy, *([layout.unified] if layout.unified else [])]
    return [hierarchy.mount_point for hierarchy in hierarchies]


def _write(path, value):
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        return


def _thaw(top):
    for where, _, _ in os.walk(top):
        _write(f"{where}/freezer.state", "THAWED")
        _write(f"{where}/cgroup.freeze", "0")


def _clear(top):
    """Remove a cgroup with all that lives in it, without any of the code under test."""
    for _ in range(500):
        found = [where for where, _, _ in os.walk(top, topdown=False)]
        if not found:
            return
        for where in found:
            try:
                with open(f"{where}/cgroup.procs") as file:
                    pids = file.read().split()
                for pid in pids:
                    os.kill(int(pid), signal.SIGKILL)
                os.rmdir(where)
            except OSError:
                time.sleep(0.005)


@pytest.fixture
def top(spawn):  # noqa: ARG001 - frozen processes are let go here before those can be reaped there
    """The name of a cgroup at the top of all hierarchies, which does not exist yet."""
    name = f"runstate-test-{os.getpid()}-{next(_numbers)}"
    yield f"/{name}"
    tops = [f"{mount_point}/{name}" for mount_point in _mount_points()]
    for directory in tops:
        _thaw(directory)
    for directory in tops:
        _clear(directory)


@pytest.fixture
def leftovers(top):
    """What is left of it, as a function."""
    return lambda: [point + top for point in _mount_points() if os.path.exists(point + top)]


KINDS = ("all", "legacy", "unified")


@pytest.fixture
def make(top):
    """Plan a cgroup of one kind: in all hierarchies, in version 1's, or in version 2's alone."""

    def plan(kind="all", name="web"):
        paths = plan_paths(detect(), f"{top}/{name}", "unused")
        if kind == "legacy":
            paths.pop("", None)
        elif kind == "unified":
            paths = {"": paths[""]} if "" in paths else {}
        if not paths or (kind == "legacy" and "freezer" not in paths):
            pytest.skip(f"this host has no {kind} cgroups")
        return Cgroup(paths)

    return plan


@pytest.fixture
def spawn():
    """Start a Python process that runs a program once it is told to, by :func:`release`."""
    processes = []

    def start(program="import time; time.sleep(60)", *arguments):
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "input()\n" + program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def release():
    """Let a spawned process run its program."""

    def let(process):
        process.stdin.write("\n")
        process.stdin.flush()

    return let


@pytest.fixture
def await_that():
    """Wait until a condition holds; fail after ten seconds."""

    def wait(condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.001)

    return wait
