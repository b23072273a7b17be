"""Filters in real containers: the kernel does to calls what the config says."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import DEVNULL, PIPE
from runstate.config import Config
from runstate.config.seccomp import Seccomp
from tests import host

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate import Container, Factory

pytestmark = pytest.mark.root


def rule(names: str | list[str], action: str, **more: Any) -> dict[str, Any]:
    return {
        "names": [names] if isinstance(names, str) else names,
        "action": f"SCMP_ACT_{action}",
        **more,
    }


def filtered(config: Config, *rules: dict[str, Any], default: str = "ALLOW", **more: Any) -> Config:
    """The config with this filter."""
    form = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **more}
    assert config.linux is not None
    return attrs.evolve(config, linux=attrs.evolve(config.linux, seccomp=Seccomp.from_dict(form)))


def privileged(config: Config) -> Config:
    """The config without noNewPrivileges."""
    assert config.process is not None
    return attrs.evolve(config, process=attrs.evolve(config.process, no_new_privileges=False))


@pytest.fixture
def run(linux_factory: Factory) -> Callable[..., tuple[int | None, str]]:
    """Runs a shell script under a filter, with and without noNewPrivileges; status and output."""

    def run(script: str, *rules: dict[str, Any], **more: Any) -> tuple[int | None, str]:
        config = filtered(Config.default(["sh", "-c", script]), *rules, **more)
        answers: list[tuple[int | None, str]] = []
        for each in (config, privileged(config)):
            with linux_factory.run(
                host.new_id(), each, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
            ) as container:
                assert container.stdout is not None
                output = container.stdout.read().decode()
                answers.append((container.wait(10), output))
        assert answers[0] == answers[1]
        return answers[0]

    return run


def test_a_call_returns_the_rule_s_errno(run):
    script = "mkdir /tmp/a 2>&1; mkdir -m 700 /tmp/b; echo $?; ls -d /tmp/a /tmp/b 2>/dev/null"
    denied = rule(["mkdir", "mkdirat"], "ERRNO", errnoRet=28)
    status, output = run(script, denied)
    assert output == "mkdir: cannot create directory '/tmp/a': No space left on device\n1\n"
    assert status == 2


def test_a_call_that_kills_ends_the_program_by_sigsys(run):
    script = "mkdir /tmp/a; echo $?"
    for action in ("KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"):
        status, output = run(script, rule(["mkdir", "mkdirat"], action))
        assert (status, output) == (0, f"{128 + signal.SIGSYS}\n")


def test_further_processes_are_filtered_too(linux_factory):
    config = filtered(Config.default(["sleep", "100"]), rule(["mkdir", "mkdirat"], "ERRNO"))
    for each in (config, privileged(config)):
        with linux_factory.run(host.new_id(), each, stdin=DEVNULL) as container:
            found = container.exec(["mkdir", "/tmp/x"], capture_output=True, text=True)
            assert "Operation not permitted" in found.stderr
            assert filters_of(container) == 1


def filters_of(container: Container) -> int:
    """How many filters init has."""
    with open(f"/proc/{container.pid}/status", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("Seccomp_filters:")).split()[1])
