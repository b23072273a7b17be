"""The configurations made here are valid, supported, and what their readers expect."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runstate.config import Config, load
from runstate.config.defaults import OCI_VERSION, spec
from runstate.config.support import unsupported
from runstate.config.validation import missing_for_linux, namespace_types, validate
from runstate.errors import ConfigInvalid

DATA = Path(__file__).parent / "data"


def default(*args: Any, **options: Any) -> Any:
    return Config.default(*args, **options)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"rootless": True},
        {"rootless": False},
        {"rootless": True, "network": False},
        {"network": False},
        {"user": (1000, 1000)},
        {"rootfs": "/srv/rootfs", "readonly": True, "cwd": "/tmp", "env": {"A": "b"}},
    ],
)
def test_the_default_is_valid_and_supported(arguments):
    config = default(["true"], **arguments)
    assert validate(config) == unsupported(config) == missing_for_linux(config) == []
    assert load(config) is config


def test_the_default_root_is_the_hosts_and_any_other_is_its_path(tmp_path):
    assert default().root.path == "/"
    assert default(rootfs=tmp_path).root.path == str(tmp_path)


def test_the_default_process():
    process = default(["python3", "-V"], env={"A": "b"}, cwd="/srv").process
    assert process.args == ("python3", "-V")
    assert process.cwd == "/srv"
    assert [variable.partition("=")[0] for variable in process.env] == ["PATH", "A"]
    assert process.no_new_privileges
    assert not process.terminal
    assert len(process.capabilities.bounding) == 14
    assert process.capabilities.effective == process.capabilities.bounding
    assert process.capabilities.ambient == process.capabilities.inheritable == ()


def test_an_environment_may_bring_its_own_path():
    assert default(env={"PATH": "/bin"}).process.env == ("PATH=/bin",)


def test_another_user_starts_without_capabilities():
    capabilities = default(user=(1000, 100)).process.capabilities
    assert capabilities.effective == capabilities.permitted == ()
    assert len(capabilities.bounding) == 14


def test_root_without_privileges_gets_a_user_namespace_that_maps_the_caller():
    config = default(rootless=True)
    assert "user" in namespace_types(config)
    (uids,), (gids,) = config.linux.uid_mappings, config.linux.gid_mappings
    assert (uids.container_id, uids.host_id, uids.size) == (0, os.geteuid(), 1)
    assert (gids.container_id, gids.host_id, gids.size) == (0, os.getegid(), 1)
    assert all("gid=5" not in mount.options for mount in config.mounts)
    assert "user" not in namespace_types(default(rootless=False))


def test_who_the_caller_is_decides_whether_it_is_rootless(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default().linux.uid_mappings[0].host_id == 1000
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default().linux.uid_mappings == ()


def test_sharing_the_hosts_network_is_having_no_namespace_of_its_own():
    assert "network" in namespace_types(default())
    assert "network" not in namespace_types(default(network=False))


def test_sysfs_is_bound_where_the_kernel_would_refuse_to_mount_it():
    def sys_of(**arguments):
        return next(m for m in default(**arguments).mounts if m.destination == "/sys")

    assert sys_of(rootless=True, network=True).type == "sysfs"
    assert sys_of(rootless=False, network=False).type == "sysfs"
    assert "rbind" in sys_of(rootless=True, network=False).options


def test_minimal_has_a_program_and_nothing_else():
    config = Config.minimal(["true"], env={"A": "b"}, cwd="/srv")
    assert set(config.to_dict()) == {"ociVersion", "process"}
    assert set(config.to_dict()["process"]) == {"args", "cwd", "env"}
    assert validate(config) == unsupported(config) == []


@pytest.mark.parametrize("make", [Config.default, Config.minimal])
def test_a_command_line_as_one_string_is_refused(make):
    with pytest.raises(ConfigInvalid, match="an array of strings"):
        make("sh -c true")


@pytest.mark.parametrize(("rootless", "name"), [(False, "spec.json"), (True, "spec-rootless.json")])
def test_the_template_is_the_one_that_scripts_know(rootless, name):
    expected = json.loads((DATA / name).read_text())
    expected["ociVersion"] = OCI_VERSION
    expected["hostname"] = "runstate"
    if rootless:
        expected["linux"]["uidMappings"][0]["hostID"] = os.geteuid()
        expected["linux"]["gidMappings"][0]["hostID"] = os.getegid()
    assert spec(rootless).to_dict() == expected


@pytest.mark.parametrize("rootless", [False, True])
def test_all_of_the_template_is_valid_and_supported(rootless):
    assert validate(spec(rootless)) == []
    assert unsupported(spec(rootless)) == []
