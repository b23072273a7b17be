"""The terminal of a further process, and the container's own."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import termios
import time

import attrs
import pytest

import runstate
from runstate import DEVNULL, PIPE
from runstate.config import ConsoleSize, Scheduler, User
from runstate.errors import OperationFailed
from runstate.linux import operations
from tests import host

pytestmark = pytest.mark.root

_SECONDS = 20.0


def read_all(master):
    """What is written to a terminal until nobody has it open any more."""
    written, deadline = b"", time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 1.0)
        if ready:
            try:
                written += os.read(master, 65536)
            except OSError:  # EIO: the other side is closed (ioctl_tty(2))
                return written.decode()
    pytest.fail(f"it is still open, and has {written!r}")


def read_until(master, wanted):
    written, deadline = b"", time.monotonic() + _SECONDS
    while wanted not in written and time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 1.0)
        written += os.read(master, 65536) if ready else b""
    assert wanted in written
    return written


def with_terminal(container, *args, **changes):
    """A further process with a terminal."""
    process = attrs.evolve(container.config.process, terminal=True, **changes)
    return container.popen(args, process=process, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)


def test_a_further_process_has_a_terminal_of_the_container(containers):
    container = containers.running()
    script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all three"
    with with_terminal(
        container, "sh", "-c", script, console_size=ConsoleSize(height=33, width=99)
    ) as process:
        assert read_all(process.console) == "/dev/pts/0\r\n33 99\r\nall three\r\n"
        assert process.wait(10) == 0


def test_it_is_the_controlling_terminal(containers):
    container = containers.running()
    script = (
        "trap 'echo interrupted; exit 3' INT; echo ready >/dev/tty; while :; do sleep 0.01; done"
    )
    with with_terminal(container, "sh", "-c", script) as process:
        read_until(process.console, b"ready\r\n")
        os.write(process.console, b"\x03")
        read_until(process.console, b"interrupted\r\n")
        assert process.wait(10) == 3


def test_its_size_follows_the_master(containers):
    container = containers.running()
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"
    with with_terminal(container, "sh", "-c", script) as process:
        read_until(process.console, b"ready\r\n")
        size = struct.pack("HHHH", 50, 120, 0, 0)
        fcntl.ioctl(process.console, termios.TIOCSWINSZ, size)
        read_until(process.console, b"50 120\r\n")


def test_it_is_the_user_s_own(containers):
    container = containers.running()
    user = User(uid=1234, gid=1234)
    script = "stat -c %u $(tty); echo written >$(tty)"
    with with_terminal(container, "sh", "-c", script, user=user) as process:
        assert read_all(process.console) == "1234\r\nwritten\r\n"


def test_in_a_user_namespace_of_other_ids_it_is_the_user_s_own(containers, own_rootfs):
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    changes = {
        "linux.namespaces": [{"type": kind} for kind in kinds],
        "linux.uidMappings": mapping,
        "linux.gidMappings": mapping,
    }
    container = containers.running("/bin/sleep", "1000", rootfs=own_rootfs, **changes)
    user = User(uid=1234, gid=1234)
    script = "stat -c %u:%g $(tty)"
    with with_terminal(container, "/bin/sh", "-c", script, user=user) as process:
        assert read_all(process.console) == "1234:5\r\n"


def test_each_has_one_of_its_own_and_closing_it_hangs_up(containers):
    container = containers.running()
    first = with_terminal(container, "sleep", "1000")
    with with_terminal(container, "tty") as second:
        assert read_all(second.console) == "/dev/pts/1\r\n"
    os.close(first.console)
    first._child.console = -1
    with first:
        assert first.wait(10) == -1  # SIGHUP


def test_without_a_terminal_there_is_none(containers):
    container = containers.running()
    with container.popen(["tty"], stdin=DEVNULL, stdout=PIPE) as process:
        assert process.console is None
        assert process.communicate()[0] == b"not a tty\n"


def test_a_further_process_by_its_arguments_does_not_take_the_program_s_terminal(containers):
    container = containers.running(**{"process.terminal": True})
    done = container.exec(["tty"], stdin=DEVNULL, capture_output=True)
    assert done.stdout == b"not a tty\n"
    os.close(container.console)
    container._lifecycle.live.rooms["exec"].pop("console")


def test_a_program_that_cannot_start_leaves_no_terminal(containers, root):
    container = containers.running()
    before = host.take(root)
    with pytest.raises(OperationFailed, match="no such executable"):
        with_terminal(container, "no-such-program")
    host.assert_same(before, root)
    with with_terminal(container, "tty") as process:
        assert read_all(process.console) == "/dev/pts/0\r\n"


@pytest.mark.parametrize("ptmx", ["a file", "a fifo", "another device", "a link to null"])
def test_what_is_no_ptmx_is_not_taken_for_one(containers, rootfs, tmp_path, ptmx):
    own = tmp_path / "rootfs"
    shutil.copytree(rootfs, own, symlinks=True)
    pts = own / "dev" / "pts"
    pts.mkdir()
    path = pts / "ptmx"
    {
        "a file": path.touch,
        "a fifo": lambda: os.mkfifo(path),
        "another device": lambda: os.mknod(path, 0o20666, os.makedev(1, 3)),
        "a link to null": lambda: path.symlink_to("/dev/null"),
    }[ptmx]()
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    container = containers.running("/bin/sleep", "1000", rootfs=own, mounts=mounts)
    with pytest.raises(OperationFailed, match="is no terminal's"):
        with_terminal(container, "/bin/true")
    config = containers.config("/bin/true", rootfs=own, mounts=mounts, **{"process.terminal": True})
    with pytest.raises(OperationFailed, match="is no terminal's"):
        containers.factory.create(host.new_id(), config)


def test_no_descriptor_leads_to_a_terminal_of_the_host(containers, rootfs, tmp_path):
    own = tmp_path / "rootfs"
    shutil.copytree(rootfs, own, symlinks=True)
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    container = containers.running("/bin/sleep", "1000", rootfs=own, mounts=mounts)
    for number in range(3, 16):
        for way in ("../../1/root", "1/root"):
            (own / "dev" / "pts").unlink(missing_ok=True)
            (own / "dev" / "pts").symlink_to(f"/proc/self/fd/{number}/{way}/dev/pts")
            with pytest.raises(OperationFailed, match="open a terminal"):
                with_terminal(container, "/bin/true")


def test_code_that_the_container_has_is_not_taken_for_ours(containers, rootfs, tmp_path):
    # A further process has the container's files before it, at any path that it would look at.
    own = tmp_path / "rootfs"
    shutil.copytree(rootfs, own, symlinks=True)
    package = os.path.dirname(runstate.__file__)
    there = own / package.lstrip("/") / "init" / "operations"
    there.mkdir(parents=True)
    for name in (*set(operations.RARE.values()), "__init__"):
        (there / f"{name}.py").write_text("open('/taken', 'w').close()\nraise SystemExit\n")
    container = containers.running("/bin/sleep", "1000", rootfs=own)
    scheduler = Scheduler(policy="SCHED_BATCH")
    with with_terminal(container, "/bin/tty", scheduler=scheduler) as process:
        assert read_all(process.console) == "/dev/pts/0\r\n"
    assert not (own / "taken").exists()


def test_a_container_without_terminals_says_so(containers):
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    container = containers.running(mounts=mounts)
    with pytest.raises(OperationFailed, match="open a terminal"):
        with_terminal(container, "true")
