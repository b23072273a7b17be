"""What a hook finds around it: environment, directory, rights, descriptors; nothing of ours."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Config
from runstate.errors import HookFailed, HookWarning
from runstate.linux import processes
from tests import host
from tests.conftest import config_for
from tests.hooking import OF_HOST, POINTS, shell

if TYPE_CHECKING:
    from runstate import Factory
    from tests.hooking import Notes


def run(factory: Factory, notes: Notes, tmp_path: Any, hook: dict[str, Any], **changes: Any) -> Any:
    """A container's whole life with a hook at every point."""
    hooks = {point: [notes.hook(point, **hook)] for point in POINTS}
    config = notes.config(config_for(factory), hooks, **changes)
    with factory.create(host.new_id(), config, bundle=tmp_path, stdin=DEVNULL) as container:
        container.start()
    return config


def field(status: str, name: str) -> str:
    """A line of /proc/PID/status (proc(5))."""
    found = re.search(rf"^{name}:[ \t]*(.*)$", status, re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def looked(factory, notes, tmp_path, monkeypatch):
    """The notes of a whole life, of a runtime with something to hide."""
    monkeypatch.setenv("SECRET", "of the runtime")
    run(factory, notes, tmp_path, {"env": ["A=1", "B=two = 2"]})
    return notes


def test_it_has_the_environment_of_its_own_and_nothing_else(looked):
    for point in POINTS:
        found = sorted(looked.text(point, "env").rstrip("\0").split("\0"))
        assert found == ["A=1", "B=two = 2", f"LOG={looked.directory}"], point


@pytest.mark.parametrize("point", POINTS)
def test_it_has_three_streams_and_no_other_descriptor(factory, notes, point):
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    hook = shell(_LOOK)  # what it says is in the error
    config = notes.config(config_for(factory), {point: [hook]})
    said = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", HookWarning)
        try:
            factory.run(host.new_id(), config, stdin=DEVNULL).destroy(force=True)
        except HookFailed as error:
            said = str(error)
    said += "".join(str(warning.message) for warning in warned)
    os.close(reader)
    os.close(writer)
    # The fourth is its own, of the directory that it reads.
    assert set(re.findall(r"/fd/(\d+)", said)) - {"3"} == {"0", "1", "2"}
    assert len(re.findall(r"pipe:\[\d+\]", said)) == 3


_LOOK = """
echo /proc/self/fd/*
for n in 0 1 2; do /bin/busybox readlink /proc/self/fd/$n; done
exit 1
"""


def test_it_leads_a_session_of_its_own(looked):
    for point in POINTS:
        status = looked.text(point, "status")
        assert field(status, "NSpid") == field(status, "NSsid"), point


def test_those_of_the_host_are_in_the_bundle_with_the_runtime_s_rights(looked, tmp_path):
    umask = os.umask(0o022)
    os.umask(umask)
    for point in OF_HOST:
        assert looked.text(point, "cwd") == f"{tmp_path}\n"
        assert looked.text(point, "uid") == f"{os.getuid()}\n"
        assert int(looked.text(point, "umask"), 8) == umask


@pytest.mark.root
def test_create_container_is_in_the_rootfs_as_the_container_s_root(linux_factory, notes, rootfs):
    hook = notes.hook(
        "createContainer", before="/bin/busybox test -e etc/passwd && echo yes > $LOG/rootfs"
    )
    config = notes.config(
        Config.default(["sleep", "60"], rootfs=str(rootfs)),
        {"createContainer": [hook]},
        process={
            **Config.default(["sleep", "60"]).to_dict()["process"],
            "user": {"uid": 1000, "gid": 1000},
        },
    )
    with linux_factory.create(host.new_id(), config, stdin=DEVNULL):
        pass
    assert notes.text("createContainer", "cwd") == f"{rootfs}\n"
    assert notes.text("createContainer", "uid") == "0\n"
    assert notes.text("createContainer", "umask") == "0022\n"
    assert (notes.directory / "rootfs").read_text() == "yes\n"
    own = processes.read_text("/proc/self/status")
    assert field(notes.text("createContainer", "status"), "CapEff") == field(own, "CapEff")


@pytest.mark.root
def test_start_container_is_what_the_program_will_be(linux_factory, notes):
    process = {
        **Config.default(["sleep", "60"]).to_dict()["process"],
        "user": {"uid": 1234, "gid": 1234, "umask": 0o027},
        "cwd": "/etc",
    }
    config = notes.config(
        Config.default(["sleep", "60"]),
        {"startContainer": [notes.hook("startContainer")]},
        process=process,
    )
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        program = processes.read_text(f"/proc/{container.pid}/status")
    status = notes.text("startContainer", "status")
    for name in ("Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "CapBnd", "CapPrm", "CapEff"):
        assert field(status, name) == field(program, name), name
    assert notes.text("startContainer", "cwd") == "/etc\n"


def test_start_container_has_the_program_s_environment_unless_it_brings_its_own(factory, notes):
    raw = config_for(factory).to_dict()
    raw["process"]["env"] = [*raw["process"]["env"], "OF=the program"]
    hooks = {
        point: [
            {"path": "/bin/busybox", "args": ["sh", "-c", _TELL.format(notes.directory, point)]}
        ]
        for point in POINTS
    }
    config = notes.config(Config.from_dict(raw), hooks)
    with factory.run(host.new_id(), config, stdin=DEVNULL):
        pass
    found = notes.text("startContainer", "env").rstrip("\0").split("\0")
    home = [] if "'process'" in repr(factory) else ["HOME=/root"]  # as the program has it
    assert found == [*raw["process"]["env"], *home]
    for point in set(POINTS) - {"startContainer"}:
        assert notes.text(point, "env") == "", point


_TELL = "read -r me _ < /proc/self/stat; /bin/busybox cat /proc/$me/environ > {}/{}.env; :"


@pytest.mark.root
def test_start_container_is_filtered_like_the_program(linux_factory, notes):
    # What some filters have none of, neither init nor the hook must depend on.
    calls = ["clone3", "pidfd_open", "mkdir", "mkdirat"]
    look = f"mkdir {notes.directory}/made && echo 1 > {notes.directory}/allowed; :"
    for point in ("createContainer", "startContainer"):
        raw = config_for(linux_factory).to_dict()
        raw["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
        }
        config = notes.config(Config.from_dict(raw), {point: [shell(look), notes.mark(point)]})
        with linux_factory.run(host.new_id(), config, stdin=DEVNULL):
            assert (notes.directory / "made").exists() is (point == "createContainer")
        if point == "createContainer":
            (notes.directory / "made").rmdir()
    assert notes.order == ["createContainer", "startContainer"]


def test_without_arguments_it_has_its_path_as_its_name(factory, notes, tmp_path):
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/busybox sh\necho $# $0 > {notes.directory}/named\n")
    hook.chmod(0o755)
    config = notes.config(config_for(factory), {"prestart": [{"path": str(hook)}]})
    with factory.create(host.new_id(), config, stdin=DEVNULL):
        pass
    assert (notes.directory / "named").read_text() == f"0 {hook}\n"


def test_where_the_bundle_is_gone_it_is_in_the_root(factory, notes, tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    config = notes.config(config_for(factory), {"poststop": [notes.hook("poststop")]})
    with factory.create(host.new_id(), config, bundle=bundle, stdin=DEVNULL):
        bundle.rmdir()
    assert notes.text("poststop", "cwd") == "/\n"
