"""Where a container's cgroup goes."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstate.errors import ConfigInvalid, NotSupported
from runstate.linux.cgroups.layout import Hierarchy, Layout
from runstate.linux.cgroups.paths import cgroup_name, plan_paths

CPU = Hierarchy(("cpu", "cpuacct"), "/cg/cpu", "/", "/own/cpu")
SYSTEMD = Hierarchy(("name=systemd",), "/cg/systemd", "/", "/own/systemd")
BESIDE = Hierarchy((), "/cg/unified", "/", "/own/unified")
HYBRID = Layout("hybrid", (CPU, SYSTEMD), BESIDE)
UNIFIED = Layout("unified", (), Hierarchy((), "/cg", "/", "/system.slice/engine.service"))


def test_an_absolute_path_is_relative_to_each_mount_point():
    assert plan_paths(HYBRID, "/pods/a", "web") == {
        "cpu": "/cg/cpu/pods/a",
        "cpuacct": "/cg/cpu/pods/a",
        "name=systemd": "/cg/systemd/pods/a",
        "": "/cg/unified/pods/a",
    }


def test_a_relative_path_is_relative_to_the_own_cgroup():
    assert plan_paths(HYBRID, "pods/a", "web") == {
        "cpu": "/cg/cpu/own/cpu/pods/a",
        "cpuacct": "/cg/cpu/own/cpu/pods/a",
        "name=systemd": "/cg/systemd/own/systemd/pods/a",
        "": "/cg/unified/own/unified/pods/a",
    }


def test_on_a_unified_host_a_relative_path_is_beside_the_own_cgroup_which_has_processes():
    assert plan_paths(UNIFIED, "a", "web") == {"": "/cg/system.slice/a"}


@pytest.mark.parametrize("absent", [None, ""])
def test_without_a_path_the_container_goes_to_the_default_parent(absent):
    assert plan_paths(UNIFIED, absent, "web") == {"": "/cg/runstate/web"}
    assert plan_paths(HYBRID, absent, "web")["cpu"] == "/cg/cpu/runstate/web"


def test_needless_parts_of_a_path_are_dropped():
    assert plan_paths(UNIFIED, "//a/./b/", "web") == {"": "/cg/a/b"}


@pytest.mark.parametrize(
    "path", ["/a/../b", "..", "/a\0b", "/", ".", "/a/cgroup.procs", "/tasks/a"]
)
def test_paths_that_lead_elsewhere_or_that_no_cgroup_can_have_are_refused(path):
    with pytest.raises(ConfigInvalid, match=r"linux\.cgroupsPath"):
        plan_paths(HYBRID, path, "web")


@pytest.mark.parametrize("path", ["system.slice:docker:abc", ":libpod:abc"])
def test_the_systemd_form_is_refused_with_a_way_out(path):
    with pytest.raises(NotSupported, match="cgroupfs"):
        plan_paths(HYBRID, path, "web")


def test_an_ordinary_id_is_its_cgroup_name():
    assert cgroup_name("web-1.example_x+y") == "web-1.example_x+y"


def test_ids_that_look_like_files_of_a_cgroup_get_another_name():
    for name in ("cgroup.procs", "tasks", "memory.limit_in_bytes", "..", "."):
        assert cgroup_name(name) != name
        assert not cgroup_name(name).startswith(("cgroup.", "memory."))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024))
def test_any_id_gives_a_stable_name_that_a_directory_can_have(name):
    made = cgroup_name(name)
    assert made == cgroup_name(name)
    assert 0 < len(os.fsencode(made)) <= 255
    assert not set(made) & set("/\0\n")
    assert made not in {".", ".."}


def test_long_ids_that_differ_at_the_end_only_get_names_that_differ():
    assert cgroup_name("a" * 1023 + "b") != cgroup_name("a" * 1023 + "c")


def test_rootless_without_a_writable_cgroup_there_is_none():
    assert plan_paths(UNIFIED, None, "web", rootless=True) == {}
    assert plan_paths(UNIFIED, "/a/b", "web", rootless=True) == {}
    assert plan_paths(Layout("legacy", (CPU,)), None, "web", rootless=True) == {}


def _delegated(tmp_path, *names):
    for name in names:
        directory = tmp_path / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.procs").touch()
    own = "/" + names[-1]
    return Layout("unified", (), Hierarchy((), str(tmp_path), "/", own))


def test_rootless_the_delegated_cgroup_that_the_own_one_is_in_is_used(tmp_path):
    layout = _delegated(tmp_path, "user", "user/shell.scope")
    assert plan_paths(layout, None, "web", rootless=True) == {"": f"{tmp_path}/user/runstate/web"}
    assert plan_paths(layout, "a", "web", rootless=True) == {"": f"{tmp_path}/user/a"}


def test_rootless_an_absolute_path_must_lie_below_a_writable_cgroup(tmp_path):
    layout = _delegated(tmp_path, "user", "user/shell.scope")
    found = plan_paths(layout, "/user/deep/a", "web", rootless=True)
    assert found == {"": f"{tmp_path}/user/deep/a"}


def test_rootless_the_own_cgroup_is_used_where_it_alone_is_writable(tmp_path):
    layout = _delegated(tmp_path, "user/shell.scope")
    found = plan_paths(layout, "a", "web", rootless=True)
    assert found == {"": f"{tmp_path}/user/shell.scope/a"}
