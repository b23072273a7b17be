"""Every hook runs at its moment, in its namespaces, in order, with the state on its stdin."""

from __future__ import annotations

import os

import pytest

from runstate import DEVNULL
from tests import host
from tests.conftest import config_for
from tests.hooking import OF_HOST, POINTS


def namespaces_of(pid: int) -> dict[str, str]:
    names = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in names}


def test_all_run_at_their_moments_in_their_order(factory, notes):
    hooks = {point: [notes.mark(f"{point}{i}") for i in range(2)] for point in POINTS}
    config = notes.config(config_for(factory), hooks)
    with factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        of_create = [f"{point}{i}" for point in POINTS[:3] for i in range(2)]
        assert notes.order == of_create
        container.start()
        of_start = [f"{point}{i}" for point in POINTS[3:5] for i in range(2)]
        assert notes.order == of_create + of_start
        container.signal(9)
        container.wait(10)
        assert notes.order == of_create + of_start
        container.destroy()
    assert notes.order == [*of_create, *of_start, "poststop0", "poststop1"]


def test_each_reads_the_state_of_its_moment(factory, notes, tmp_path):
    hooks = {point: [notes.hook(point)] for point in POINTS}
    config = notes.config(config_for(factory), hooks, annotations={"a": '"pid": 9007199254740992'})
    id_ = host.new_id()
    with factory.create(id_, config, bundle=tmp_path, stdin=DEVNULL) as container:
        container.start()
        pid = container.pid
        inside = 1 if "'linux'" in repr(factory) else pid
    expected = {
        "prestart": ("creating", pid),
        "createRuntime": ("creating", pid),
        "createContainer": ("creating", inside),
        "startContainer": ("created", inside),
        "poststart": ("running", pid),
    }
    common = {
        "ociVersion": config.oci_version,
        "id": id_,
        "bundle": str(tmp_path),
        "annotations": {"a": '"pid": 9007199254740992'},
    }
    for point, (status, seen) in expected.items():
        assert notes.state(point) == {**common, "status": status, "pid": seen}
    assert notes.state("poststop") == {**common, "status": "stopped"}


@pytest.mark.root
def test_each_is_in_its_namespaces(linux_factory, notes):
    hooks = {point: [notes.hook(point)] for point in POINTS}
    config = notes.config(config_for(linux_factory), hooks, hostname="within")
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        inits = namespaces_of(container.pid)
    ours = namespaces_of(os.getpid())
    assert {name for name in ours if ours[name] != inits[name]} >= {"mnt", "pid", "net", "uts"}
    for point in OF_HOST:
        assert notes.namespaces(point) == ours, point
        assert notes.text(point, "hostname") == os.uname().nodename + "\n"
    for point in ("createContainer", "startContainer"):
        assert notes.namespaces(point) == inits, point
    assert notes.text("startContainer", "hostname") == "within\n"
