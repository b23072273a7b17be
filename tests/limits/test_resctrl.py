"""The resctrl file system, by a directory that stands in for it: what is written where."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from runstate.errors import ConfigInvalid, OperationFailed
from runstate.linux import resctrl
from tests.limits.conftest import with_resources

L3 = "L3:0=7f0;1=1f"
MB = "MB:0=20;1=70"


@pytest.fixture
def top(tmp_path, monkeypatch):
    """A directory like resctrl's, in which groups have their files as soon as they are made."""

    def make_directory(directory):
        os.mkdir(directory)
        for name in ("schemata", "tasks"):
            with open(f"{directory}/{name}", "w"):
                pass
        if "mon_groups" not in directory:
            os.mkdir(f"{directory}/mon_groups")

    def remove_directory(directory):
        if os.path.isdir(directory):
            shutil.rmtree(directory)

    for ability in ("L3", "MB", "L3_MON"):
        (tmp_path / "info" / ability).mkdir(parents=True)
    (tmp_path / "info" / "last_cmd_status").write_text("ok\n")
    (tmp_path / "mon_groups").mkdir()
    for name in ("schemata", "tasks"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(resctrl, "mount_point", lambda: str(tmp_path))
    monkeypatch.setattr(resctrl, "make_directory", make_directory)
    monkeypatch.setattr(resctrl, "remove_directory", remove_directory)
    return tmp_path


def _planned(settings):
    group = resctrl.plan(settings, "c1")
    assert group is not None
    return group


def _paths(settings, container="c1"):
    return [path for path, _ in resctrl.problems(settings, container)]


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({}, ()),
        ({"l3CacheSchema": L3}, (f"{L3}\n",)),
        ({"memBwSchema": MB}, (f"{MB}\n",)),
        ({"l3CacheSchema": L3, "memBwSchema": MB}, (f"{L3}\n{MB}\n",)),
        ({"l3CacheSchema": f"{L3}\nMB:0=1", "memBwSchema": MB}, (f"{L3}\n{MB}\n",)),
        ({"l3CacheSchema": f"{L3}\nMB:0=1"}, (f"{L3}\nMB:0=1\n",)),
        ({"schemata": [L3, "L2:0=f"]}, (f"{L3}\nL2:0=f\n",)),
        ({"memBwSchema": MB, "schemata": [L3]}, (f"{MB}\n", f"{L3}\n")),
    ],
)
def test_schemata_are_combined_as_the_spec_says(settings, written):
    assert resctrl.schemata(settings) == written


def test_without_a_name_the_class_has_the_containers_and_goes_with_it(top):
    settings = {"l3CacheSchema": L3, "enableMonitoring": True}
    assert resctrl.problems(settings, "c1") == []
    group = _planned(settings)
    resctrl.create(group, settings)
    resctrl.assign(group, 2**22 + 1)
    assert (top / "c1" / "schemata").read_text() == f"{L3}\n"
    assert (top / "c1" / "tasks").read_text() == f"{2**22 + 1}\n"
    assert (top / "c1" / "mon_groups" / "c1" / "tasks").read_text() == f"{2**22 + 1}\n"
    resctrl.remove(group)
    resctrl.remove(group)
    assert not (top / "c1").exists()


def test_a_class_that_is_there_is_used_and_stays(top):
    resctrl.make_directory(str(top / "gold"))
    (top / "gold" / "schemata").write_text("    L3:0=07f0;1=001f\n    MB:0= 20;1= 70\n")
    settings = {"closID": "gold", "l3CacheSchema": L3, "enableMonitoring": True}
    assert resctrl.problems(settings, "c1") == []
    group = _planned(settings)
    resctrl.create(group, settings)
    resctrl.assign(group, 5)
    assert (top / "gold" / "schemata").read_text().startswith("    L3")
    assert (top / "gold" / "tasks").read_text() == "5\n"
    assert (top / "gold" / "mon_groups" / "c1").is_dir()
    resctrl.remove(group)
    assert (top / "gold").is_dir()
    assert not (top / "gold" / "mon_groups" / "c1").exists()


def test_a_class_that_is_there_with_other_schemata_is_refused(top):
    resctrl.make_directory(str(top / "gold"))
    (top / "gold" / "schemata").write_text("L3:0=7f0;1=ff\n")
    ((path, why),) = resctrl.problems({"closID": "gold", "l3CacheSchema": L3}, "c1")
    assert path == ("closID",)
    assert why.endswith("exists with ff for L3 of domain 1, where the config has 1f")
    assert _paths({"closID": "gold", "memBwSchema": MB}) == [("closID",)]


def test_a_class_that_is_not_there_is_made_only_with_schemata(top):
    assert _paths({"closID": "gold"}) == [("closID",)]
    settings = {"closID": "gold", "schemata": [L3]}
    assert resctrl.problems(settings, "c1") == []
    group = _planned(settings)
    resctrl.create(group, settings)
    assert (top / "gold" / "schemata").read_text() == f"{L3}\n"
    # Another container has come into it.
    (top / "gold" / "tasks").write_text(f"{os.getpid()}\n")
    resctrl.remove(group)
    assert (top / "gold").is_dir()
    (top / "gold" / "tasks").write_text("")
    resctrl.remove(group)
    assert not (top / "gold").exists()


def test_the_root_class_can_be_named_to_be_watched_in_it(top):
    settings = {"closID": "/", "enableMonitoring": True}
    assert resctrl.problems(settings, "c1") == []
    group = _planned(settings)
    resctrl.create(group, settings)
    resctrl.assign(group, 7)
    assert (top / "tasks").read_text() == "7\n"
    assert (top / "mon_groups" / "c1" / "tasks").read_text() == "7\n"
    resctrl.remove(group)
    assert top.is_dir()
    assert os.listdir(top / "mon_groups") == []


def test_the_name_of_another_containers_class_is_refused(top):
    resctrl.make_directory(str(top / "c1"))
    assert _paths({}) == [()]


def test_what_the_processor_cannot_do_is_refused_by_its_path(top):
    for ability in ("L3", "MB", "L3_MON"):
        (top / "info" / ability).rmdir()
    settings = {"l3CacheSchema": L3, "memBwSchema": MB, "enableMonitoring": True}
    assert _paths(settings) == [("l3CacheSchema",), ("memBwSchema",), ("enableMonitoring",)]


def test_a_refused_write_has_the_kernels_own_words(top):
    (top / "info" / "last_cmd_status").write_text("Mask out of range\n")
    group = resctrl.ResctrlGroup(f"{top}/gone", made=False)
    with pytest.raises(OperationFailed, match="the kernel says: Mask out of range"):
        resctrl.assign(group, 1)


# --- in the life of a container -------------------------------------------------------------------


@pytest.mark.root
def test_a_container_and_its_further_processes_are_in_the_class(top, limiter):
    config = with_resources({}, intelRdt={"schemata": [MB], "enableMonitoring": True})
    container = limiter.create(config)
    group = container.state.exec.options["resctrl"]
    assert (group["directory"], group["made"]) == (str(top / container.id), "yes")
    tasks = top / container.id / "tasks"
    assert tasks.read_text() == f"{container.pid}\n"
    assert (top / container.id / "schemata").read_text() == f"{MB}\n"
    container.start()
    process = container.popen(["sleep", "100"])
    assert tasks.read_text() == f"{process.pid}\n"
    process.kill()
    process.wait()
    container.destroy(force=True)
    assert not (top / container.id).exists()


@pytest.mark.root
@pytest.mark.parametrize("name", ["make_directory", "_write"])
def test_a_class_that_cannot_be_made_leaves_nothing_behind(top, limiter, monkeypatch, name):
    def refuse(*_):
        raise OperationFailed("make a class", "no space left")

    monkeypatch.setattr(resctrl, name, refuse)
    before = sorted(os.listdir(top))
    with pytest.raises(OperationFailed, match="no space left"):
        limiter.create(with_resources({}, intelRdt={"l3CacheSchema": L3}))
    assert sorted(os.listdir(top)) == before


@pytest.mark.root
def test_without_resctrl_it_is_refused_before_anything_is_made(limiter, root, monkeypatch):
    monkeypatch.setattr(resctrl, "mount_point", lambda: None)
    with pytest.raises(ConfigInvalid) as caught:
        limiter.create(with_resources({}, intelRdt={}))
    (problem,) = caught.value.problems
    assert problem.startswith("$.linux.intelRdt: needs the resctrl file system")
    assert os.listdir(root) in ([], [".history"])


def test_where_resctrl_is_mounted_is_told_by_the_mount_table(monkeypatch):
    text = (
        "24 1 0:22 / /proc rw - proc proc rw\n"
        "39 31 0:35 / /sys/fs/resctrl rw shared:3 - resctrl resctrl rw,mba_MBps\n"
    )
    monkeypatch.setattr(resctrl, "read_all", lambda _path: text)
    assert resctrl.mount_point() == "/sys/fs/resctrl"
    monkeypatch.setattr(resctrl, "read_all", lambda _path: "")
    assert resctrl.mount_point() is None


@pytest.mark.root
def test_what_is_saved_is_plain_json(top, limiter):
    container = limiter.create(with_resources({}, intelRdt={"closID": "/"}))
    assert json.loads(json.dumps(container.state.exec.options))["resctrl"]["directory"] == str(top)
    assert container.state.exec.options["resctrl"]["made"] == ""
