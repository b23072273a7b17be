"""How long a hook may take; what it may do with its streams; what it may leave behind."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from runstate import DEVNULL
from runstate.errors import ContainerBusy, HookFailed, HookWarning
from tests import host
from tests.cli.calling import until
from tests.conftest import config_for
from tests.hooking import OF_HOST, POINTS, shell

# A child that does not die with its parent, both of which would sleep for very long.
HANGS = "/bin/busybox sleep 1000 & echo $! {now}; echo waiting >&2; /bin/busybox sleep 1000; :"


def hanging(notes, **more):
    """A hook that hangs, as its child does, whose host's pid is written down where it has one."""
    return shell(HANGS.format(now=f"> {notes.directory}/child"), **more)


def alive(pid: int) -> bool:
    fields = host.stat_fields(pid)
    return fields is not None and fields[1] != "Z"


def test_a_destroy_ends_what_init_runs_with_its_children(make_factory, backend, notes):
    factory = make_factory(backend)
    config = notes.config(config_for(factory), {"startContainer": [hanging(notes)]})
    child = notes.directory / "child"
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        pid = os.fork()
        if pid == 0:
            try:
                factory.load(container.id).start()
            finally:
                os._exit(1)
        until(lambda: child.exists() and child.read_text())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if backend == "process":
        until(lambda: not alive(int(child.read_text())))


def ended(file):
    """Wait until the process whose pid is in the file is gone."""
    until(lambda: not alive(int(file.read_text())))


def fails(factory, config, point):
    """The words of the failure of a hook at this point."""
    if point == "poststop":
        with pytest.warns(HookWarning) as warned:
            factory.run(host.new_id(), config, stdin=DEVNULL).destroy(force=True)
        return str(warned[0].message)
    with pytest.raises(HookFailed) as caught:
        factory.run(host.new_id(), config, stdin=DEVNULL)
    assert caught.value.timed_out
    return str(caught.value)


@pytest.mark.parametrize("point", POINTS)
def test_one_that_takes_too_long_is_killed_with_its_children(factory, notes, point):
    config = notes.config(config_for(factory), {point: [hanging(notes, timeout=1)]})
    began = time.monotonic()
    words = fails(factory, config, point)
    assert 1 <= time.monotonic() - began < 5
    expected = f"run the hook {point}[0] /bin/busybox: did not end within 1 s, and was killed"
    assert words.endswith(f"{expected}; its stderr: waiting")
    if point in OF_HOST or "'process'" in repr(factory):  # the pid that it told is the host's
        until(lambda: not alive(int((notes.directory / "child").read_text())))
    assert factory.list() == []


@pytest.mark.parametrize("point", POINTS)
def test_the_time_it_takes_is_its_own(make_factory, backend, notes, point):
    factory = make_factory(backend, deadline=1.0)
    hook = shell("/bin/busybox sleep 1.2")
    if point == "poststop":
        config = notes.config(config_for(factory), {point: [hook]})
        container = factory.run(host.new_id(), config, stdin=DEVNULL)
        container.signal(9)
        container.wait(10)
        container.destroy()
        return
    config = notes.config(config_for(factory), {point: [hook, notes.mark("next")]})
    with factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.status == "running"
    assert notes.order == ["next"]


def test_a_destroy_by_force_ends_in_time_whatever_its_hooks_do(make_factory, backend, notes):
    factory = make_factory(backend, deadline=2.0)
    hooks = {"poststop": [hanging(notes), hanging(notes, timeout=1000), notes.mark("last")]}
    config = notes.config(config_for(factory), hooks)
    container = factory.run(host.new_id(), config, stdin=DEVNULL)
    began = time.monotonic()
    with pytest.warns(HookWarning, match="did not end within") as warned:
        container.destroy(force=True)
    assert time.monotonic() - began < 4
    assert len(warned) == 2
    assert notes.order == ["last"]
    assert factory.list() == []


@pytest.mark.parametrize("point", POINTS)
def test_no_stream_can_block_it_or_us(factory, notes, point):
    megabytes = "/bin/busybox dd if=/dev/zero bs=1M count={} 2>/dev/null"
    hooks = {
        point: [
            # Does not read its state, of more bytes than a pipe holds, and says a lot twice.
            shell(f"{megabytes.format(8)}; {megabytes.format(8)} >&2", timeout=30),
            shell("exec <&- >&- 2>&-; /bin/busybox sleep 0.1", timeout=30),
            shell(
                f"test $(/bin/busybox wc -c) -gt 1000000 && echo read >> {notes.directory}/order"
            ),
        ]
    }
    config = notes.config(config_for(factory), hooks, annotations={"long": "x" * 1_000_000})
    with factory.run(host.new_id(), config, stdin=DEVNULL):
        pass
    assert notes.order == ["read"]


@pytest.mark.parametrize("point", POINTS)
def test_a_child_that_it_leaves_behind_keeps_nobody_waiting(factory, notes, point):
    leave = "(echo left; exec /bin/busybox sleep 3) & echo done"
    config = notes.config(config_for(factory), {point: [shell(leave)]})
    began = time.monotonic()
    with factory.run(host.new_id(), config, stdin=DEVNULL):
        pass
    assert time.monotonic() - began < 2.5


def test_others_who_want_the_container_are_told_who_has_it(make_factory, backend, notes):
    factory = make_factory(backend)
    release = notes.directory / "release"
    os.mkfifo(release)
    config = notes.config(
        config_for(factory),
        {"poststart": [shell(f"echo in >> {notes.directory}/order; read x < {release}")]},
    )
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        starter = threading.Thread(target=container.start, name="starter")
        starter.start()
        until(lambda: notes.order)
        impatient = make_factory(backend, deadline=0.2).load(container.id)
        with pytest.raises(ContainerBusy, match=r"thread starter .*holds its lock for `start`"):
            impatient.pause()
        assert container.status in ("created", "running")
        release.write_text("on\n")
        starter.join()
        assert container.status == "running"


def test_an_interrupt_ends_it_and_undoes_all(factory, notes):
    for point in ("prestart", "createContainer"):
        config = notes.config(
            config_for(factory), {point: [hanging(notes)], "poststop": [notes.mark("poststop")]}
        )
        main = threading.get_ident()
        child = notes.directory / "child"

        def interrupt(child=child, main=main) -> None:
            until(lambda: child.exists() and child.read_text())
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            factory.create(host.new_id(), config, stdin=DEVNULL)
        thread.join()
        if point in OF_HOST or "'process'" in repr(factory):
            ended(child)
        child.unlink()
        assert factory.list() == []
    assert notes.order == ["poststop", "poststop"]
