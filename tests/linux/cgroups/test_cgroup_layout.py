"""Which hierarchies there are, from texts of /proc."""

from __future__ import annotations

import os

import pytest

from runstate.errors import NotSupported
from runstate.linux.cgroups.layout import Hierarchy, detect, parse_layout, parse_own_paths

UNIFIED = """\
22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
31 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate
"""
LEGACY = """\
25 30 0:23 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
33 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct
34 25 0:31 / /sys/fs/cgroup/memory rw shared:16 - cgroup cgroup rw,seclabel,memory
"""
HYBRID = LEGACY + "27 25 0:25 / /sys/fs/cgroup/unified rw shared:11 - cgroup2 cgroup2 rw\n"


def _mount_point(hierarchy):
    return hierarchy.mount_point


def test_a_host_with_version_2_alone_is_unified():
    layout = parse_layout(UNIFIED, "0::/user.slice/session-1.scope\n", "cpu io memory pids\n")
    assert layout.mode == "unified"
    assert layout.legacy == ()
    assert layout.unified == Hierarchy((), "/sys/fs/cgroup", "/", "/user.slice/session-1.scope")
    assert layout.unified_controllers == {"cpu", "io", "memory", "pids"}


def test_a_host_with_version_1_alone_is_legacy_and_its_comounted_controllers_are_one_hierarchy():
    own = "4:memory:/a\n3:cpu,cpuacct:/b\n1:name=systemd:/c\n"
    layout = parse_layout(LEGACY, own)
    assert layout.mode == "legacy"
    assert layout.unified is None
    assert [hierarchy.names for hierarchy in layout.legacy] == [
        ("name=systemd",),
        ("cpu", "cpuacct"),
        ("memory",),
    ]
    assert [hierarchy.own_path for hierarchy in layout.legacy] == ["/c", "/b", "/a"]
    assert layout.controllers == {"cpu", "cpuacct", "memory"}


def test_a_host_with_both_is_hybrid_and_each_controller_is_in_the_version_that_has_it():
    layout = parse_layout(HYBRID, "1:name=systemd:/\n0::/\n", "hugetlb")
    assert layout.mode == "hybrid"
    assert _mount_point(layout.hierarchy_of("cpuacct")) == "/sys/fs/cgroup/cpu,cpuacct"
    assert _mount_point(layout.hierarchy_of("hugetlb")) == "/sys/fs/cgroup/unified"
    assert layout.hierarchy_of("pids") is None


def test_a_mount_below_sys_fs_cgroup_counts_more_than_an_earlier_one_elsewhere():
    elsewhere = "20 19 0:31 / /mnt/memory rw - cgroup cgroup rw,memory\n"
    layout = parse_layout(elsewhere + LEGACY, "")
    assert _mount_point(layout.hierarchy_of("memory")) == "/sys/fs/cgroup/memory"


def test_the_first_of_two_mounts_of_one_hierarchy_counts():
    again = "40 25 0:31 / /sys/fs/cgroup/memory2 rw - cgroup cgroup rw,memory\n"
    layout = parse_layout(LEGACY + again, "")
    assert _mount_point(layout.hierarchy_of("memory")) == "/sys/fs/cgroup/memory"


def test_escaped_spaces_and_optional_fields_of_mountinfo_are_understood():
    text = "31 23 0:27 / /mnt/my\\040groups rw shared:9 master:2 - cgroup2 none rw\n"
    assert _mount_point(parse_layout(text, "0::/\n").unified) == "/mnt/my groups"


def test_without_any_hierarchy_the_error_says_what_to_mount():
    with pytest.raises(NotSupported, match="mount -t cgroup2"):
        parse_layout("22 28 0:21 / /proc rw - proc proc rw\n", "")


def test_own_paths_may_hold_colons_and_the_word_deleted():
    text = "3:cpu,cpuacct:/a:b\n0::/gone (deleted)\n"
    assert parse_own_paths(text) == {"cpu": "/a:b", "cpuacct": "/a:b", "": "/gone"}


@pytest.mark.parametrize(
    ("root", "own", "directory"),
    [
        ("/", "/", "/cg"),
        ("/", "/a/b", "/cg/a/b"),
        ("/docker/1", "/docker/1", "/cg"),
        ("/docker/1", "/docker/1/x", "/cg/x"),
        ("/docker/1", "/docker/12", "/cg"),
        ("/docker/1", "/", "/cg"),
        ("/", "/../other", "/cg"),
    ],
)
def test_the_own_directory_is_found_also_where_only_a_part_is_mounted(root, own, directory):
    assert Hierarchy(("pids",), "/cg", root, own).own_directory == directory


def test_this_host_is_detected_and_its_mount_points_are_cgroup_file_systems():
    layout = detect(fresh=True)
    assert detect() is layout
    hierarchies = [*layout.legacy, *([layout.unified] if layout.unified else [])]
    assert hierarchies
    for hierarchy in hierarchies:
        assert os.path.exists(f"{hierarchy.mount_point}/cgroup.procs")
