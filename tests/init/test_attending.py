"""A program that is attended can block nobody, and is not waited for longer than it lives."""

from __future__ import annotations

import os
import socket
import subprocess
import time

import pytest

from runstate.init import protocol
from runstate.init.attending import ALONE, ENDED, KEPT, LATE, attend, holding


@pytest.fixture
def output():
    """Both ends of a pipe."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def started(script: str, writer: int) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen(["/bin/sh", "-c", script], stdout=writer)
    return process, os.pidfd_open(process.pid)


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_000])
def test_what_a_program_reads_is_all_there_before_it_starts(size):
    data = os.urandom(size)
    fd = holding(data)
    with open(fd, "rb") as file:
        assert file.read() == data


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_the_last_that_it_says_is_kept(output, with_pidfd):
    reader, writer = output
    script = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"
    process, pidfd = started(script, writer)
    how, (tail,) = attend(
        pidfd if with_pidfd else -1, [reader], 30, has_ended=lambda: process.poll() is not None
    )
    os.close(pidfd)
    assert (how, process.wait()) == (ENDED, 0)
    assert len(tail) == KEPT
    assert tail.endswith(b"\n19998\n19999\n")


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_one_that_takes_too_long_is_late(output, with_pidfd):
    reader, writer = output
    process, pidfd = started("while :; do echo busy; done", writer)
    began = time.monotonic()
    how, (tail,) = attend(
        pidfd if with_pidfd else -1, [reader], 0.2, has_ended=lambda: process.poll() is not None
    )
    os.close(pidfd)
    process.kill()
    process.wait()
    assert how == LATE
    assert 0.2 <= time.monotonic() - began < 5
    assert tail.endswith(b"busy\n")


def test_nobody_is_left_to_wait_for(output):
    reader, writer = output
    ours, theirs = socket.socketpair()
    process, pidfd = started("exec sleep 1000", writer)
    ours.close()
    with theirs:
        how, _ = attend(pidfd, [reader], 30, watch=theirs.fileno())
    os.close(pidfd)
    process.kill()
    process.wait()
    assert how == ALONE


def test_what_is_told_of_hooks_comes_before_the_rest():
    told = protocol.pack_hook("createContainer[0]", 1.5) + protocol.pack_hook("x[1]", 0.0004)
    failure = b"failed\x001\x002\x00with \x01 and \x02 in it"
    expected = [("createContainer[0]", 1.5), ("x[1]", 0.0)]
    assert protocol.take_hooks(told + failure) == (expected, failure)
    assert protocol.take_hooks(failure) == ([], failure)
    assert protocol.take_hooks(b"") == ([], b"")


@pytest.mark.parametrize(
    "text", ["", "\0hook\0", "\0hook\0a\0b\0c\0d\0e\0f\0g", "a\0b\0c\0d\0e\0f\0g"]
)
def test_a_report_of_no_hook_is_none(text):
    assert protocol.unpack_hook_failure(text) is None
