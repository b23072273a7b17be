"""The zygote's rehearsal leaves nothing of itself but the speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

_LOOK = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from runstate.init import kernel, operations, rehearsal
performed = []
for name, function in list(operations.OPERATIONS.items()):
    def count(*arguments, name=name, function=function):
        performed.append(name)
        function(*arguments)
    operations.OPERATIONS[name] = count
def look():
    with open("/proc/self/mountinfo") as file:
        mounts = file.read()
    return {
        "namespace": os.readlink("/proc/self/ns/mnt"),
        "mounts": mounts,
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "root": [os.stat("/").st_dev, os.stat("/").st_ino, os.getcwd()],
    }
before = look()
rehearsal.rehearse()
json.dump({"before": before, "after": look(), "performed": sorted(set(performed))}, sys.stdout)
"""


def _rehearsed() -> dict[str, object]:
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LOOK, package_parent],
        capture_output=True, check=True, text=True, cwd="/",
    )  # fmt: skip
    found: dict[str, object] = json.loads(run.stdout)
    return found


def test_it_leaves_the_process_as_it_was():
    found = _rehearsed()
    assert found["after"] == found["before"]


@pytest.mark.root
def test_it_goes_through_the_operations_of_every_container():
    performed = _rehearsed()["performed"]
    rootfs = ["bind", "make_readonly", "mask", "mknod", "mount", "symlink"]
    assert performed == sorted([*rootfs, "find_executable", "find_home", "make_cwd"])
