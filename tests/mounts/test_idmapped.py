"""Idmapped mounts, and bind mounts of what the container's root may not reach."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runstate.errors import ConfigInvalid, OperationFailed
from tests.mounts.conftest import bind

pytestmark = pytest.mark.root


def ids(container_id, host_id, size=10):
    mapping = [{"containerID": container_id, "hostID": host_id, "size": size}]
    return {"uidMappings": mapping, "gidMappings": mapping}


@pytest.fixture
def data(place):
    """A directory with files of two owners, and a tmpfs mounted in it."""
    directory = place / "data"
    directory.mkdir()
    for name, uid in (("zero", 0), ("seven", 7)):
        (directory / name).write_text(name)
        os.chown(directory / name, uid, uid)
    return directory


@pytest.fixture
def tree(data, host_mounts):
    below = data / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", below], check=True)
    host_mounts.append(str(below))
    (below / "deep").write_text("deep")
    return data


OWNERS = "stat -c '%n %u:%g' /x/*"


def test_a_mounts_own_mappings_change_the_owners_that_are_seen(boxes, data):
    mount = {**bind(data, "/x"), **ids(0, 1000)}
    said = boxes.says(OWNERS, mounts=[mount])
    assert said == "/x/seven 1007:1007\n/x/zero 1000:1000\n"
    assert os.stat(data / "seven").st_uid == 7


def test_and_the_owners_of_what_is_written(boxes, data):
    mount = {**bind(data, "/x", "idmap"), **ids(0, 1000)}
    process = {"user": {"uid": 1007, "gid": 1007}}
    data.chmod(0o1777)
    boxes.says("touch /x/new", mounts=[mount], process=process)
    assert os.stat(data / "new").st_uid == 7


def test_in_a_user_namespace_the_option_takes_the_containers_mappings(user_boxes, data):
    plain = user_boxes.says(OWNERS, mounts=[bind(data, "/x")])
    assert plain == "/x/seven 65534:65534\n/x/zero 65534:65534\n"
    said = user_boxes.says(OWNERS + "; touch /x/new", mounts=[bind(data, "/x", "idmap")])
    assert said == "/x/seven 7:7\n/x/zero 0:0\n"
    assert os.stat(data / "new").st_uid == 0


def test_a_mapping_of_its_own_in_a_user_namespace(user_boxes, data):
    mount = {**bind(data, "/x", "idmap"), **ids(7, 100000 + 33, 1)}
    said = user_boxes.says(OWNERS, mounts=[mount])
    assert said == "/x/seven 33:33\n/x/zero 65534:65534\n"


def test_idmap_is_for_the_mount_and_ridmap_for_those_below_as_well(boxes, tree):
    flat = {**bind(tree, "/x", "rbind", "idmap"), **ids(0, 1000)}
    deep = {**bind(tree, "/y", "rbind", "ridmap"), **ids(0, 1000)}
    script = "stat -c %u /x/zero /x/below/deep /y/zero /y/below/deep"
    assert boxes.says(script, mounts=[flat, deep]).split() == ["1000", "0", "1000", "1000"]


def test_a_mapped_mount_has_its_flags_as_well(boxes, data):
    mount = {**bind(data, "/x", "ro", "nosuid", "idmap"), **ids(0, 1000)}
    options = boxes.mounts(mounts=[mount])["/x"].options
    assert {"ro", "nosuid"} <= options
    assert any(option.startswith("idmapped") for option in options)


def test_a_file_can_be_mapped_too(boxes, data):
    mount = {**bind(data / "seven", "/one", "bind", "idmap"), **ids(7, 8, 1)}
    assert boxes.says("stat -c %u /one; cat /one", mounts=[mount]) == "8\nseven"


def test_a_file_system_that_maps_no_ids_is_named(boxes):
    mount = {**bind("/proc/sys/kernel", "/x", "idmap"), **ids(0, 1000)}
    with pytest.raises(
        OperationFailed, match="the ids of a mount of /proc/sys/kernel cannot be map"
    ):
        boxes.create(mounts=[mount])


def test_the_option_needs_mappings_to_take(boxes, data):
    with pytest.raises(ConfigInvalid, match=r"\$.mounts\[\d\].uidMappings: required"):
        boxes.create(mounts=[bind(data, "/x", "idmap")])


def test_many_mappings_leave_no_process_and_no_descriptor(boxes, data):
    mounts = [{**bind(data, f"/x{n}", "idmap"), **ids(0, 1000 + n)} for n in range(5)]
    said = boxes.says("stat -c %u /x*/zero", mounts=mounts)  # the host is compared afterwards
    assert said.split() == ["1000", "1001", "1002", "1003", "1004"]


# --- what the container's root may not reach ----------------------------------------------------


@pytest.fixture
def hidden(place):
    """A directory that only root may enter, with one in it that belongs to the container's."""
    top = place / "hidden"
    (top / "inner").mkdir(parents=True)
    top.chmod(0o700)
    (top / "inner" / "file").write_text("reached")
    for path in (top / "inner", top / "inner" / "file"):
        os.chown(path, 100000, 100000)
    return top / "inner"


def test_a_source_below_a_directory_of_roots_can_be_bound(user_boxes, hidden):
    assert user_boxes.says("cat /x/file; touch /x/new", mounts=[bind(hidden, "/x")]) == "reached"
    assert os.stat(hidden / "new").st_uid == 100000


def test_so_can_a_file_there_read_only(user_boxes, hidden):
    mounts = [bind(hidden / "file", "/one", "ro")]
    assert user_boxes.says("cat /one; ! echo a >/one", mounts=mounts).startswith("reached")


def test_flags_of_the_host_cannot_be_taken_away(user_boxes, hidden, host_mounts):
    subprocess.run(["mount", "--bind", hidden, hidden], check=True)
    host_mounts.append(str(hidden))
    subprocess.run(["mount", "-o", "remount,bind,nosuid,nodev", hidden], check=True)
    kept = user_boxes.mounts(mounts=[bind(hidden, "/x", "ro")])["/x"].options
    assert {"ro", "nosuid", "nodev"} <= kept
    with pytest.raises(OperationFailed, match=r"without MOUNT_ATTR_NOSUID.*\(EPERM\)"):
        user_boxes.create(mounts=[bind(hidden, "/x", "suid")])


def test_nor_by_the_container_later(user_boxes, hidden, host_mounts):
    subprocess.run(["mount", "--bind", hidden, hidden], check=True)
    host_mounts.append(str(hidden))
    subprocess.run(["mount", "-o", "remount,bind,ro,nosuid,nodev", hidden], check=True)
    script = "! mount -o remount,bind,rw,suid,dev /x; ! touch /x/new; grep ' /x ' /proc/mounts"
    said = user_boxes.says(script, mounts=[bind(hidden, "/x"), bind(hidden, "/y", "idmap")])
    assert "ro,nosuid,nodev" in said.splitlines()[-1]
    assert os.listdir(hidden) == ["file"]


def test_and_what_is_mounted_there_is_not_mounted_on_the_host(user_boxes, hidden, host_mounts):
    subprocess.run(["mount", "--bind", hidden, hidden], check=True)
    host_mounts.append(str(hidden))
    subprocess.run(["mount", "--make-shared", hidden], check=True)
    before = Path("/proc/self/mountinfo").read_text()
    (hidden / "below").mkdir()
    with user_boxes.running(mounts=[bind(hidden, "/x", "idmap")]) as container:
        container.exec(["mount", "-t", "tmpfs", "mine", "/x/below"], check=True)
        assert Path("/proc/self/mountinfo").read_text() == before


def test_nor_where_init_reaches_the_source_itself(user_boxes, place, host_mounts):
    open_ = place / "open"
    open_.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,mode=755", "t", open_], check=True)
    host_mounts.append(str(open_))
    kept = user_boxes.mounts(mounts=[bind(open_, "/x", "ro")])["/x"].options
    assert {"ro", "nosuid", "nodev"} <= kept
    with pytest.raises(OperationFailed, match=r"without MOUNT_ATTR_NODEV.*\(EPERM\)"):
        user_boxes.create(mounts=[bind(open_, "/x", "dev")])


def test_a_missing_source_is_named_in_a_user_namespace(user_boxes, hidden):
    with pytest.raises(ConfigInvalid, match=rf"source: '{hidden}/none': No such file"):
        user_boxes.create(mounts=[bind(hidden / "none", "/x")])


def test_what_is_mounted_below_a_source_cannot_be_left_behind_there(user_boxes, tree):
    with pytest.raises(OperationFailed, match="locked to it in this user namespace: rbind"):
        user_boxes.create(mounts=[bind(tree, "/x", "bind")])
    said = user_boxes.says("cat /x/below/deep", mounts=[bind(tree, "/x", "rbind")])
    assert said == "deep"


# --- namespaces of others -------------------------------------------------------------------------


def joining(boxes, container, *types):
    """The Linux part, with these namespaces of another container's."""
    files = {"user": "user", "network": "net"}
    namespaces = [
        {**n, "path": f"/proc/{container.pid}/ns/{files[n['type']]}"} if n["type"] in types else n
        for n in boxes.base["linux"]["namespaces"]
    ]
    linux = {**boxes.base["linux"], "namespaces": namespaces}
    if "user" in types:
        linux.update(uidMappings=[], gidMappings=[])
    return {"linux": linux}


def test_the_mappings_of_a_joined_user_namespace_are_taken_over(user_boxes, data, hidden):
    with user_boxes.running() as first:
        linux = joining(user_boxes, first, "user", "network")
        mounts = [bind(data, "/x", "idmap"), bind(hidden, "/y")]
        said = user_boxes.says(OWNERS + "; cat /y/file; ls /sys/class/net", mounts=mounts, **linux)
        assert said == "/x/seven 7:7\n/x/zero 0:0\nreachedlo\n"


def test_with_another_user_namespaces_network_sysfs_is_the_hosts(user_boxes):
    with user_boxes.running() as first:
        found = user_boxes.mounts(**joining(user_boxes, first, "network"))
        assert {"ro", "nosuid", "nodev", "noexec"} <= found["/sys"].options
        assert found["/sys"].fstype == "sysfs"
