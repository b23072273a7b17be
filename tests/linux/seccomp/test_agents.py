"""SCMP_ACT_NOTIFY: an agent is sent the listener with the container process state, and decides."""

from __future__ import annotations

import errno
import os
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import DEVNULL, PIPE
from runstate.config import Config
from runstate.errors import ConfigInvalid, OperationFailed
from tests import host
from tests.linux.seccomp.agent import Agent
from tests.linux.seccomp.filters import filtered, privileged, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

CHDIR = 80  # on x86_64
WAIT_KILLABLE = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"


@pytest.fixture
def path() -> Iterator[Path]:
    """Where an agent may listen: a short path, for a socket's may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rs") as directory:
        yield Path(directory) / "agent"


def refuse(_pid: int, _number: int) -> int:
    return errno.ENOMEDIUM


def allow(_pid: int, _number: int) -> int:
    return 0


def notifying(config: Config, path: Path, *names: str, **more: Any) -> Config:
    asked = rule(list(names) or ["chdir"], "NOTIFY")
    return filtered(config, asked, listenerPath=str(path), **more)


SCRIPT = "cd /tmp; echo $?; pwd"


@pytest.mark.parametrize("nnp", [True, False], ids=["no_new_privs", "privileged"])
@pytest.mark.parametrize(("decide", "output"), [(refuse, b"2\n/\n"), (allow, b"0\n/tmp\n")])
def test_the_agent_s_answer_is_the_call_s(linux_factory, rootfs, path, decide, output, nnp):
    config = notifying(Config.default(["sh", "-c", SCRIPT], rootfs=rootfs), path)
    config = config if nnp else privileged(config)
    with (
        Agent(path, decide) as agent,
        linux_factory.run(
            host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        ) as container,
    ):
        assert container.stdout is not None
        assert container.stdout.read() == output
        assert container.wait(10) == 0
    assert agent.calls == [CHDIR]
    assert len(agent.states) == 1


def test_without_the_action_nobody_looks_for_an_agent(linux_factory, rootfs, path):
    config = Config.default(["sh", "-c", "cd /tmp || exit 9"], rootfs=rootfs)
    config = filtered(config, rule("chdir", "ERRNO"), listenerPath=str(path))
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL, stderr=DEVNULL) as container:
        assert container.wait(10) == 9


def test_the_agent_is_told_of_the_process_and_its_container(linux_factory, rootfs, path):
    config = notifying(
        attrs.evolve(Config.default(["true"], rootfs=rootfs), annotations={"a": "b"}),
        path,
        listenerMetadata="any text",
    )
    with (
        Agent(path, allow) as agent,
        linux_factory.create(host.new_id(), config, stdin=DEVNULL) as container,
    ):
        # It has been told when create returns, and it has no connection that waits for start.
        assert agent.states == [
            {
                "ociVersion": "1.3.0",
                "fds": ["seccompFd"],
                "pid": container.pid,
                "metadata": "any text",
                "state": {
                    "ociVersion": "1.3.0",
                    "id": container.id,
                    "status": "creating",
                    "pid": container.pid,
                    "bundle": container.bundle,
                    "annotations": {"a": "b"},
                },
            }
        ]


def test_the_agent_is_told_of_each_further_process(linux_factory, rootfs, path):
    config = notifying(Config.default(["sleep", "1000"], rootfs=rootfs), path)
    with (
        Agent(path, refuse) as agent,
        linux_factory.create(host.new_id(), config, stdin=DEVNULL) as container,
    ):
        for status in ("created", "running"):
            if status == "running":
                container.start()
            process = container.popen(["sh", "-c", SCRIPT], stdout=DEVNULL, stderr=DEVNULL)
            assert process.wait(10) == 0
            state = agent.states[-1]
            assert state["pid"] == process.pid
            assert state["state"]["pid"] == container.pid
            assert state["state"]["status"] == status
    assert agent.calls == [CHDIR, CHDIR]
    assert len(agent.states) == 3
    assert "metadata" not in agent.states[0]


def test_the_agent_decides_about_what_init_still_does(linux_factory, rootfs, path):
    names = ["execve", "openat", "write", "sendto", "recvfrom", "close_range"]
    config = notifying(Config.default(["true"], rootfs=rootfs), path, *names)
    with (
        Agent(path, allow) as agent,
        linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container,
    ):
        assert container.wait(10) == 0
    assert 59 in agent.calls  # execve


def test_a_signal_does_not_withdraw_a_question_that_has_been_read_if_so_wanted(
    linux_factory, rootfs, path
):
    script = "trap 'echo signal' HUP; cd /tmp; echo $?"
    asked: list[int] = []

    def interrupt(pid: int, _number: int) -> int:
        os.kill(pid, signal.SIGHUP)
        asked.append(pid)
        # Without the flag the call returns, to handle the signal, and is made anew.
        return errno.ENOMEDIUM if len(asked) > 1 or flags else 0

    for flags in ([], [WAIT_KILLABLE]):
        asked.clear()
        config = notifying(Config.default(["sh", "-c", script], rootfs=rootfs), path, flags=flags)
        with (
            Agent(path, interrupt) as agent,
            linux_factory.run(
                host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
            ) as container,
        ):
            assert container.stdout is not None
            container.stdout.read()
            container.wait(10)
        path.unlink()
        if flags:
            assert agent.valid == [True]


def test_all_flags_together_are_taken(linux_factory, rootfs, path):
    flags = [WAIT_KILLABLE, *(f"SECCOMP_FILTER_FLAG_{f}" for f in ("TSYNC", "LOG", "SPEC_ALLOW"))]
    config = notifying(Config.default(["sh", "-c", SCRIPT], rootfs=rootfs), path, flags=flags)
    with (
        Agent(path, allow) as agent,
        linux_factory.run(host.new_id(), config, stdin=DEVNULL, stdout=DEVNULL) as container,
    ):
        assert container.wait(10) == 0
    assert agent.calls == [CHDIR]


def test_without_an_agent_there_is_no_container(linux_factory, rootfs, path, clean_host, root):
    config = notifying(Config.default(["true"], rootfs=rootfs), path)
    with pytest.raises(OperationFailed, match=r"connect to the seccomp agent \(\$\.linux\.seccomp"):
        linux_factory.create(host.new_id(), config, stdin=DEVNULL)
    host.assert_same(clean_host, root)


def test_an_agent_that_hangs_up_is_an_error_of_create(
    linux_factory, rootfs, path, clean_host, root
):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def hang_up() -> None:
        listener.accept()[0].close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    config = notifying(Config.default(["true"], rootfs=rootfs), path)
    with pytest.raises(OperationFailed, match="send its listener to the agent: Broken pipe"):
        linux_factory.create(host.new_id(), config, stdin=DEVNULL)
    thread.join(10)
    listener.close()
    host.assert_same(clean_host, root)


def test_without_an_agent_there_is_no_further_process(linux_factory, rootfs, path):
    config = notifying(Config.default(["sleep", "1000"], rootfs=rootfs), path)
    with Agent(path, allow):
        container = linux_factory.run(host.new_id(), config, stdin=DEVNULL)
    with container:
        with pytest.raises(OperationFailed, match="connect to the seccomp agent"):
            container.exec(["true"])
        assert container.processes() == [container.pid]


@pytest.mark.parametrize(
    ("form", "path_"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction"),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": "/run/agent",
                "syscalls": [rule("sendmsg", "NOTIFY")],
            },
            r"syscalls\[0\]\.names\[0\]",
        ),
    ],
)
def test_what_would_keep_the_agent_from_being_told_is_refused(linux_factory, rootfs, form, path_):
    config = Config.default(["true"], rootfs=rootfs).to_dict()
    config["linux"]["seccomp"] = form
    with pytest.raises(ConfigInvalid, match=rf"\$\.linux\.seccomp\.{path_}: expected any"):
        linux_factory.create(host.new_id(), config, stdin=DEVNULL)
