"""Giving a cgroup of version 2 to a user: the right files, and no limit."""

from __future__ import annotations

import os

import attrs
import pytest

from runstate import Config
from runstate.handlers.exec import limits
from runstate.linux.cgroups import delegation
from runstate.linux.cgroups.delegation import delegate
from runstate.linux.cgroups.layout import detect


@pytest.mark.root
def test_a_user_owns_what_the_kernel_lists_and_nothing_else(make):
    cgroup = make("unified")
    cgroup.create()
    directory = cgroup.paths[""]
    delegate(directory, 4321)
    owned = {name for name in os.listdir(directory) if os.stat(f"{directory}/{name}").st_uid}
    assert {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} <= owned
    assert not owned & {"cgroup.freeze", "cgroup.max.depth", "cpu.stat"}
    assert os.stat(directory).st_uid == 4321


def test_without_a_list_of_the_kernels_it_is_the_specs(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(delegation, "_LIST", str(tmp_path / "none"))
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((path, uid, gid)))
    delegate("/cg", 7)
    assert given == [
        (path, 7, -1)
        for path in ("/cg", "/cg/cgroup.procs", "/cg/cgroup.subtree_control", "/cg/cgroup.threads")
    ]


@pytest.mark.parametrize(
    ("change", "owner"),
    [
        ({}, None),
        ({"options": ["nosuid"]}, 5),
        (
            {"options": ["nosuid"], "mappings": [{"containerID": 0, "hostID": 1000, "size": 9}]},
            1005,
        ),
        (
            {"options": ["nosuid"], "mappings": [{"containerID": 0, "hostID": 1000, "size": 2}]},
            None,
        ),
        ({"options": ["nosuid"], "namespaces": ["pid", "mount"]}, None),
    ],
)
def test_a_cgroup_is_the_users_where_it_is_mounted_writable(monkeypatch, change, owner):
    monkeypatch.setattr(limits, "detect", lambda: attrs.evolve(detect(), mode="unified"))
    form = Config.default(["true"], user=(5, 5), rootless=False).to_dict()
    form["mounts"][-1]["options"] = change.get("options", ["ro"])
    if "mappings" in change:
        form["linux"]["uidMappings"] = change["mappings"]
        form["linux"]["namespaces"].append({"type": "user"})
    if "namespaces" in change:
        form["linux"]["namespaces"] = [{"type": name} for name in change["namespaces"]]
    assert limits._owner(Config.from_dict(form)) == owner
