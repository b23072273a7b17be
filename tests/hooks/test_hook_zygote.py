"""Hooks of the host are the zygote's children, and no burden to containers."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from runstate import DEVNULL
from runstate.errors import HookFailed
from runstate.linux import launcher
from tests import host
from tests.cli.calling import until
from tests.conftest import config_for
from tests.hooking import shell


def spare() -> int:
    return host._spare(launcher.get().pid, host._children())


@pytest.mark.root
def test_a_hook_leaves_the_spare_child_to_the_next_container(linux_factory, notes):
    factory = linux_factory
    config = notes.config(config_for(factory), {"poststart": [notes.mark("poststart")]})
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        before = until(spare)
        container.start()
        assert notes.order == ["poststart"]
        assert spare() == before
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        assert container.pid == before


@pytest.mark.usefixtures("orphanage")
def test_a_zygote_that_dies_under_a_hook_fails_it_and_all_is_undone(factory, notes):
    go = notes.directory / "go"
    os.mkfifo(go)
    hooks = {
        "prestart": [shell(f"echo in >> {notes.directory}/order; read x < {go}")],
        "poststop": [notes.mark("poststop")],
    }
    config = notes.config(config_for(factory), hooks)

    def kill() -> None:
        until(lambda: notes.order)
        os.kill(launcher.get().pid, signal.SIGKILL)
        go.write_text("on\n")

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(HookFailed, match=r"prestart.*ended, and nobody could learn how"):
        factory.create(host.new_id(), config, stdin=DEVNULL)
    thread.join()
    assert notes.order == ["in", "poststop"]
    assert factory.list() == []
