"""The ids of a user namespace that root makes: several ranges, and those of one that is joined."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from runstate.errors import ConfigInvalid
from runstate.linux import pins
from tests.namespaces.conftest import ROOT, link, root_map, says
from tests.namespaces.test_joining import path

pytestmark = pytest.mark.root

RANGES = [(0, ROOT, 10), (10, 300_000, 5), (1000, 400_000, 1)]


def mappings(*ranges):
    return [{"containerID": i, "hostID": o, "size": n} for i, o, n in ranges]


def with_ranges(make_in, *args):
    config = make_in.config(*args, user=None)
    config["linux"]["uidMappings"] = mappings(*RANGES)
    config["linux"]["gidMappings"] = mappings((0, ROOT, 20), (1000, 500_000, 2))
    return config


def test_several_ranges_of_users_and_other_ones_of_groups(make_in):
    container = make_in.run(with_ranges(make_in))
    with open(f"/proc/{container.pid}/uid_map") as file:
        assert [tuple(map(int, line.split())) for line in file] == RANGES
    says(container, "sh", "-c", "touch /dev/shm/f && chown 12:1001 /dev/shm/f")
    assert says(container, "stat", "-c", "%u:%g", "/dev/shm/f") == "12:1001"
    found = os.stat(f"/proc/{container.pid}/root/dev/shm/f")
    assert (found.st_uid, found.st_gid) == (300_002, 500_001)
    with open(f"/proc/{container.pid}/setgroups") as file:
        assert file.read() == "allow\n"


def test_a_user_of_the_last_range_runs_the_program_and_has_groups(make_in):
    config = with_ranges(make_in)
    config["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [7]}
    container = make_in.run(config)
    with open(f"/proc/{container.pid}/status") as file:
        status = dict(line.split(":\t", 1) for line in file)
    assert set(status["Uid"].split()) == {"400000"}
    assert set(status["Gid"].split()) == {"500001"}
    assert status["Groups"].split() == [str(ROOT + 7)]


@pytest.mark.parametrize(
    ("user", "path_", "value"),
    [
        ({"uid": 15}, "$.process.user.uid", 15),
        ({"uid": 999, "gid": 20}, "$.process.user.uid", 999),
        ({"gid": 1002}, "$.process.user.gid", 1002),
        ({"additionalGids": [1, 999]}, "$.process.user.additionalGids[1]", 999),
    ],
)
def test_a_user_that_is_not_mapped_is_refused_by_its_path(make_in, user, path_, value):
    config = with_ranges(make_in)
    config["process"]["user"] = {"uid": 0, "gid": 0} | user
    with pytest.raises(ConfigInvalid) as caught:
        make_in.create(config)
    assert caught.value.problems[0].startswith(f"{path_}: expected an id that the container has")
    assert f"got {value}" in caught.value.problems[0]
    assert make_in.factory.list() == []


@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_without_a_root_inside_no_container_can_be_made(make_in, kind):
    config = with_ranges(make_in)
    config["linux"][f"{kind}Mappings"] = mappings((1, ROOT, 10))
    with pytest.raises(ConfigInvalid, match=rf"\$\.linux\.{kind}Mappings: expected a range from"):
        make_in.create(config)


# --- one that is joined -------------------------------------------------------------------------


@pytest.fixture
def owner(make_in):
    config = make_in.config(user=None)
    config["linux"] |= root_map()
    return make_in.run(config)


def test_what_is_made_for_init_belongs_to_the_root_of_the_joined_one(make_in, owner, root):
    config = make_in.config(user=path(owner, "user"))
    config["process"]["terminal"] = True
    container = make_in.create(config)
    fifo = os.stat(f"{root}/{container.id}/exec.fifo")
    assert stat.S_ISFIFO(fifo.st_mode)
    assert (fifo.st_uid, fifo.st_gid) == (ROOT, ROOT)
    assert os.stat(f"/proc/{container.pid}/root/dev/console").st_uid == ROOT
    assert os.stat(f"/proc/{container.pid}").st_uid in (0, ROOT)
    container.start()
    assert says(container, "stat", "-c", "%u", "/dev/console") == "0"
    container.destroy(force=True)


def test_a_user_of_the_joined_one_may_open_its_streams_also_when_the_path_is_gone(
    make_in, owner, tmp_path
):
    name = str(tmp_path / "user")
    fd = os.open(path(owner, "user"), os.O_RDONLY)
    pins.pin(fd, name)
    os.close(fd)
    try:
        config = make_in.config(user=name)
        config["process"]["user"] = {"uid": 5, "gid": 5}
        container = make_in.run(config)
    finally:
        pins.unpin(name)
    assert says(container, "sh", "-c", "id -u >/dev/stdout") == "5"
    with pytest.raises(ConfigInvalid, match=r"\$\.process\.user\.uid: expected an id that"):
        container.exec(["true"], user=(70_000, 0))


def test_the_user_has_to_be_one_of_the_joined_ones(make_in, owner):
    config = make_in.config(user=path(owner, "user"))
    config["process"]["user"] = {"uid": 70_000, "gid": 0}
    with pytest.raises(ConfigInvalid, match=r"\$\.process\.user\.uid: expected an id that"):
        make_in.create(config)


def test_its_own_mappings_may_be_given_along_and_no_others(make_in, owner):
    config = make_in.config(user=path(owner, "user"))
    config["linux"] |= root_map()
    container = make_in.run(config)
    assert link("user", container.pid) == link("user", owner.pid)
    config["linux"]["gidMappings"] = mappings((0, 5, 5))
    with pytest.raises(ConfigInvalid) as caught:
        make_in.create(config)
    (problem,) = caught.value.problems
    assert problem.startswith("$.linux.gidMappings: expected none for a user namespace that is")
    assert f"or those that it has (0 {ROOT} 65536)" in problem


def test_mappings_for_the_hosts_own_are_refused_unless_they_are_the_hosts(make_in):
    config = make_in.config(user="/proc/self/ns/user")
    config["linux"] |= root_map()
    with pytest.raises(ConfigInvalid, match=r"\$\.linux\.uidMappings: expected none for a user"):
        make_in.create(config)


def test_the_ids_of_one_without_processes_are_found_out(make_in, tmp_path):
    name = str(tmp_path / "user")
    with subprocess.Popen(
        ["unshare", "--user", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as keeper:  # fmt: skip
        assert keeper.stdout is not None
        keeper.stdout.readline()
        for kind in ("uid", "gid"):
            with open(f"/proc/{keeper.pid}/{kind}_map", "w") as file:
                file.write(f"0 {ROOT} 8")
        fd = os.open(f"/proc/{keeper.pid}/ns/user", os.O_RDONLY)
        pins.pin(fd, name)
        os.close(fd)
        keeper.communicate()
    try:
        config = make_in.config(user=name)
        config["process"]["user"] = {"uid": 8, "gid": 3}
        with pytest.raises(ConfigInvalid, match=r"\$\.process\.user\.uid: expected an id that"):
            make_in.create(config)
        config["process"]["user"] = {"uid": 3, "gid": 3}
        container = make_in.run(config)
        assert says(container, "id", "-u") == "3"
        container.destroy(force=True)
    finally:
        pins.unpin(name)
