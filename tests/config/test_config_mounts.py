"""The rules of mounts: each breach is named by its path before anything is made."""

from __future__ import annotations

import pytest

from runstate.config.validation import validate

USER = {
    "hostname": None,
    "linux.namespaces": [{"type": "mount"}, {"type": "user"}],
    "linux.uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
    "linux.gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
}
MAP = [{"containerID": 0, "hostID": 1, "size": 1}]


def bind(**changes):
    return {"destination": "/x", "source": "/y", "options": ["rbind"], **changes}


@pytest.mark.parametrize(
    ("mount", "problem"),
    [
        ({"destination": "/x"}, "type: required, but missing"),
        ({"destination": "/", "type": "tmpfs"}, "destination: expected a path below the root"),
        ({"destination": "/a/..", "type": "tmpfs"}, "destination: expected a path below the root"),
        ({"destination": "/proc", "type": "tmpfs"}, "type: expected proc"),
        ({"destination": "/a/../proc/", "type": "tmpfs"}, "type: expected proc"),
        (bind(destination="/proc/self/attr"), "destination: expected none inside of /proc"),
        ({"destination": "proc/sys", "type": "tmpfs"}, "destination: expected none inside of"),
        (bind(options=["rbind", "ro", "size=1m"]), 'options[2]: "size=1m" means nothing for a bin'),
        (bind(options=["rbind", "sync"]), 'options[1]: "sync" means nothing for a bind mount'),
        (bind(options=["rbind", "tmpcopyup"]), "options[1]: "),
        ({"destination": "/x", "type": "proc", "options": ["tmpcopyup"]}, "type: expected tmpfs"),
        (bind(options=["rbind", "idmap"]), "uidMappings: required, but missing: the container has"),
        (bind(options=["rbind", "ridmap"]), "uidMappings: required, but missing"),
        (bind(uidMappings=MAP), "gidMappings: required, but missing"),
        (bind(gidMappings=MAP), "uidMappings: required, but missing"),
        (bind(uidMappings=MAP + MAP, gidMappings=MAP), "uidMappings[1].containerID: expected"),
        (
            {"destination": "/x", "type": "tmpfs", "uidMappings": MAP, "gidMappings": MAP},
            "type: expected a bind mount",
        ),
    ],
)
def test_a_breach_is_named(changed, mount, problem):
    found = validate(changed({"mounts": [mount]}))
    assert any(each.startswith(f"$.mounts[0].{problem}") for each in found), found


@pytest.mark.parametrize(
    "mount",
    [
        {"destination": "x", "type": "tmpfs"},
        {"destination": "/x", "type": "none", "source": "/y", "options": ["bind"]},
        {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]},
        {"destination": "/proc/cpuinfo", "type": "bind", "source": "/y"},
        {"destination": "/proc/sys/", "options": ["remount", "bind", "ro"]},
        {"destination": "/", "options": ["remount", "bind", "nodev"]},
        {"destination": "/x", "type": "overlay", "options": ["lowerdir=/a", "rslave"]},
        {"destination": "/x", "type": "tmpfs", "options": ["tmpcopyup", "sync"]},
        bind(options=["bind", "rro", "rnosuid", "nosymfollow", "async", "defaults", "private"]),
        bind(options=["rbind", "idmap"], uidMappings=MAP, gidMappings=MAP),
    ],
)
def test_what_the_rules_allow_is_no_problem(changed, mount):
    assert validate(changed({"mounts": [mount]})) == []


def test_a_mount_takes_over_the_mappings_of_the_containers_user_namespace(changed):
    assert validate(changed({**USER, "mounts": [bind(options=["rbind", "idmap"])]})) == []
