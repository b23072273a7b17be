"""Labels of security modules, which the kernels of the tests have not.

What would be written where is seen on files that stand in for a process's own in /proc.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager

import attrs
import pytest

from runstate.config import Config
from runstate.errors import ConfigInvalid
from runstate.handlers.exec import requirements
from runstate.init.operations import labels
from runstate.init.operations.base import Init, OperationError
from runstate.linux.operations import Operation
from tests import host

APPARMOR, PLAIN, KEYS = "attr/apparmor/exec", "attr/exec", "attr/keycreate"


@contextmanager
def standing_in(top, *files):
    """A process's directory in /proc with these files; an init that has it."""
    (top / "fd").mkdir()
    for name in files:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    init = Init(socket.socket(), (), 0)
    init.proc = os.open(top / "fd", os.O_PATH | os.O_DIRECTORY)
    try:
        yield init
    finally:
        init.channel.close()
        os.close(init.proc)


def test_a_profile_goes_to_apparmor_s_own_interface(tmp_path):
    with standing_in(tmp_path, APPARMOR, PLAIN) as init:
        labels.set_apparmor_profile(init, "docker-default")
    assert (tmp_path / APPARMOR).read_text() == "exec docker-default"
    assert (tmp_path / PLAIN).read_text() == ""


def test_an_older_kernel_has_the_other_interface(tmp_path):
    with standing_in(tmp_path, PLAIN) as init:
        labels.set_apparmor_profile(init, "docker-default")
    assert (tmp_path / PLAIN).read_text() == "exec docker-default"


def test_without_apparmor_there_is_an_error(tmp_path):
    with standing_in(tmp_path) as init, pytest.raises(OperationError, match="has no AppArmor"):
        labels.set_apparmor_profile(init, "docker-default")


def test_a_selinux_label_is_the_one_of_the_exec_and_of_new_keys(tmp_path):
    label = "system_u:system_r:container_t:s0:c1,c2"
    with standing_in(tmp_path, PLAIN, KEYS) as init:
        labels.label_keys(init, label)
        labels.set_selinux_label(init, label)
    assert (tmp_path / PLAIN).read_text() == label
    assert (tmp_path / KEYS).read_text() == label


def test_without_keyrings_there_are_no_keys_to_label(tmp_path):
    with standing_in(tmp_path, PLAIN) as init:
        labels.label_keys(init, "label")


@pytest.fixture
def labelled(monkeypatch):
    """A config with both labels, on a host that has both modules."""
    monkeypatch.setattr(requirements, "_has_apparmor", lambda: True)
    monkeypatch.setattr(requirements, "_has_selinux", lambda: True)
    config = Config.default(["true"])
    assert config.process is not None
    process = attrs.evolve(config.process, apparmor_profile="a", selinux_label="s")
    return attrs.evolve(config, process=process)


@pytest.mark.root
def test_the_plan_labels_the_keyring_before_it_is_made_and_the_exec_after(linux_factory, labelled):
    _, operations, _ = linux_factory.plan(labelled)
    names = [operation.name for operation in operations]
    first = names.index("label_keys")
    assert tuple(operations[first : first + 5]) == (
        Operation("label_keys", ("s",)),
        operations[first + 1],
        Operation("label_keys", ("",)),
        Operation("set_apparmor_profile", ("a",)),
        Operation("set_selinux_label", ("s",)),
    )
    assert names[first + 1] == "new_session_keyring"
    # no_new_privs would confine a change of profile (apparmor's rules for it).
    assert names.index("set_selinux_label") < names.index("set_no_new_privs")


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "module"), [("apparmorProfile", "AppArmor"), ("selinuxLabel", "SELinux")]
)
def test_a_label_for_a_module_that_is_not_active_is_refused(
    containers, further, root, monkeypatch, name, module
):
    monkeypatch.setattr(requirements, "_has_apparmor", lambda: False)
    monkeypatch.setattr(requirements, "_has_selinux", lambda: False)
    expected = rf"\$\.process\.{name}: 'label': {module} is not active on this host"
    with pytest.raises(ConfigInvalid, match=expected):
        containers.running(**{f"process.{name}": "label"})
    assert host.files(root) == []
    container = containers.running()
    with pytest.raises(ConfigInvalid, match=expected):
        further(container, "true", **{name: "label"})


@pytest.mark.root
def test_an_empty_label_asks_for_nothing(containers):
    changes = {"process.apparmorProfile": "", "process.selinuxLabel": ""}
    assert containers.says("echo", "on", **changes) == "on\n"
