"""File systems of the kernel's own: proc, sysfs, mqueue and cgroups, in every set of namespaces."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runstate.errors import ConfigInvalid, OperationFailed
from runstate.linux.cgroups.layout import detect

if TYPE_CHECKING:
    from tests.mounts.conftest import Boxes

pytestmark = pytest.mark.root


@pytest.fixture(params=["boxes", "user_boxes"])
def either(request) -> Boxes:
    """Containers with and without a user namespace."""
    boxes: Boxes = request.getfixturevalue(request.param)
    return boxes


def without(boxes, *types):
    """The Linux part without namespaces of these types."""
    linux = boxes.base.get("linux") or boxes.config()["linux"]
    namespaces = [n for n in linux["namespaces"] if n["type"] not in types]
    return {"linux": {**linux, "namespaces": namespaces}}


def changed(boxes, destination, **changes):
    """The default mounts, one of them changed."""
    mounts = boxes.config()["mounts"]
    (mount,) = (mount for mount in mounts if mount["destination"] == destination)
    mount.update(changes)
    return mounts


# --- sysfs ---------------------------------------------------------------------------------------


def test_with_a_network_of_its_own_sysfs_shows_that(either):
    assert either.says("ls /sys/class/net") == "lo\n"


def test_with_the_hosts_network_it_shows_the_hosts(either):
    script = "ls /sys/class/net; ! touch /sys/new; ! echo a >/sys/kernel/uevent_helper"
    said = either.says(script, **without(either, "network"))
    assert set(os.listdir("/sys/class/net")) <= set(said.split())
    assert "Read-only file system" in said


def test_where_there_can_be_none_it_is_the_hosts_and_nothing_of_it_can_be_written(user_boxes):
    mounts = changed(user_boxes, "/sys", options=["nosuid"])
    user_boxes.base = {**user_boxes.base, "mounts": mounts}
    found = user_boxes.mounts(**without(user_boxes, "network"))
    below = {path: each for path, each in found.items() if (path + "/").startswith("/sys/")}
    assert below["/sys"].fstype == "sysfs"
    assert all({"ro", "nosuid", "nodev", "noexec"} <= each.options
               for path, each in below.items() if path != "/sys/firmware")  # fmt: skip


def test_a_new_one_is_writable_unless_its_options_say_otherwise(boxes):
    boxes.base = {"mounts": changed(boxes, "/sys", options=["nosuid", "noexec", "nodev"])}
    assert "rw" in boxes.mounts()["/sys"].options


# --- proc and mqueue -----------------------------------------------------------------------------


def test_proc_shows_the_containers_processes(either):
    assert either.says("cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l").splitlines()[0] == "sh"


@pytest.mark.parametrize("type_", ["pid", "ipc"])
def test_what_needs_another_namespace_is_refused_in_a_user_namespace(user_boxes, type_):
    with pytest.raises(ConfigInvalid, match=rf'needs a namespace of type "{type_}" beside it'):
        user_boxes.create(**without(user_boxes, type_))


def test_but_the_hosts_can_be_bound(user_boxes):
    mounts = changed(user_boxes, "/proc", type="bind", source="/proc", options=["rbind"])
    user_boxes.base = {**user_boxes.base, "mounts": mounts}
    said = user_boxes.says("cat /proc/self/comm", **without(user_boxes, "pid"))
    assert said == "cat\n"


def test_options_of_proc_reach_it(boxes):
    boxes.base = {"mounts": changed(boxes, "/proc", options=["hidepid=2"])}
    assert boxes.mounts()["/proc"].super_options & {"hidepid=2", "hidepid=invisible"}


# --- cgroups -------------------------------------------------------------------------------------


@pytest.fixture
def legacy():
    """The names of this host's version 1 hierarchies, as its directories have them."""
    return [os.path.basename(hierarchy.mount_point) for hierarchy in detect().legacy]


def test_with_a_cgroup_namespace_the_containers_cgroups_are_the_roots(either, legacy):
    found = either.mounts()
    for name in legacy:
        each = found[f"/sys/fs/cgroup/{name}"]
        assert (each.root, each.fstype) == ("/", "cgroup")
        assert {"ro", "nosuid", "nodev", "noexec"} <= each.options
    said = either.says("cat /sys/fs/cgroup/pids/cgroup.procs; cat /proc/self/cgroup")
    assert said.splitlines()[0] == "1"
    assert ":pids:/\n" in said


def test_without_one_they_are_bound_from_the_host(either, legacy):
    found = either.mounts(**without(either, "cgroup"))
    for name in legacy:
        each = found[f"/sys/fs/cgroup/{name}"]
        assert each.root.startswith("/runstate-")
        assert {"ro", "nosuid", "nodev", "noexec"} <= each.options
    said = either.says("cat /sys/fs/cgroup/pids/cgroup.procs", **without(either, "cgroup"))
    assert "1" in said.split()


@pytest.mark.parametrize("taken", [(), ("cgroup",)])
def test_they_can_be_written_only_where_the_mount_may_be(boxes, taken):
    script = "mkdir /sys/fs/cgroup/pids/new && rmdir /sys/fs/cgroup/pids/new && echo made || true"
    said = boxes.says(script, **without(boxes, *taken))
    assert "Read-only file system" in said
    boxes.base = {"mounts": changed(boxes, "/sys/fs/cgroup", options=["nosuid", "noexec"])}
    assert boxes.says(script, **without(boxes, *taken)) == "made\n"


@pytest.mark.parametrize("taken", [(), ("cgroup",)])
def test_the_type_cgroup2_is_the_unified_hierarchy(either, taken):
    mounts = changed(either, "/sys/fs/cgroup", type="cgroup2", source="cgroup2")
    either.base = {**either.base, "mounts": mounts}
    found = either.mounts(**without(either, *taken))["/sys/fs/cgroup"]
    assert found.fstype == "cgroup2"
    assert "ro" in found.options


# --- labels --------------------------------------------------------------------------------------


def test_a_label_is_refused_where_the_host_has_none(boxes):
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.fail("this host has SELinux; a test of the effect belongs here")
    label = "system_u:object_r:container_file_t:s0:c1,c2"
    with pytest.raises(ConfigInvalid, match=rf"\$.linux.mountLabel: '{label}': SELinux is not"):
        boxes.create(linux={"mountLabel": label})


def test_an_error_of_these_is_explained_too(boxes):
    boxes.base = {"mounts": changed(boxes, "/proc", options=["hidepid=77"])}
    with pytest.raises(OperationFailed, match=r"mount proc proc on /proc.*hidepid"):
        boxes.create()
