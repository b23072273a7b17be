"""What only a host with AppArmor shows: `make vm-test PYTEST_ARGS=tests/vm` runs it on one."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import attrs
import pytest

from runstate import DEVNULL, PIPE, Config
from runstate.errors import OperationFailed
from tests import host

if TYPE_CHECKING:
    from collections.abc import Iterator

PROFILE = f"runstate-{host.MARK}"
RULES = f"""
profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{
  file,
  capability,
  signal,
  deny /etc/hostname r,
}}
"""

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not os.path.isdir("/sys/kernel/security/apparmor"),
        reason="this host has no AppArmor; `make vm-test PYTEST_ARGS=tests/vm` has",
    ),
]


@pytest.fixture(scope="module")
def profile() -> Iterator[str]:
    """A profile that allows much, but not to read /etc/hostname."""
    subprocess.run(["apparmor_parser", "--add"], input=RULES, text=True, check=True)
    yield PROFILE
    subprocess.run(["apparmor_parser", "--remove"], input=RULES, text=True, check=True)


def config(profile: str, *args: str) -> Config:
    config = Config.default(args)
    assert config.process is not None
    return attrs.evolve(config, process=attrs.evolve(config.process, apparmor_profile=profile))


def test_the_program_is_confined_by_the_profile(linux_factory, profile):
    look = "cat /proc/self/attr/current; cat /etc/passwd >/dev/null && cat /etc/hostname"
    made = linux_factory.run(
        host.new_id(), config(profile, "sh", "-c", look), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    with made as container:
        assert container.stdout.read().decode() == f"{profile} (enforce)\n"
        assert b"hostname: Permission denied" in container.stderr.read()
        assert container.wait(60) == 1


def test_further_processes_are_too(linux_factory, profile):
    made = linux_factory.run(host.new_id(), config(profile, "sleep", "1000"), stdin=DEVNULL)
    with made as container:
        done = container.exec(["cat", "/etc/hostname"], stdin=DEVNULL, capture_output=True)
        assert b"Permission denied" in done.stderr


def test_a_profile_that_is_not_loaded_is_named_and_nothing_is_left(linux_factory):
    with pytest.raises(OperationFailed, match="no-such-profile"):
        linux_factory.run(host.new_id(), config("no-such-profile", "true"), stdin=DEVNULL)
    assert linux_factory.list() == []
