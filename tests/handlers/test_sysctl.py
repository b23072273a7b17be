"""Kernel parameters: set in the container's namespaces, by a real procfs, and nowhere else."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from runstate.errors import OperationFailed
from runstate.handlers.exec.requirements import missing
from runstate.init.operations import sysctl
from runstate.init.operations.base import Init, OperationError
from tests import host

pytestmark = pytest.mark.root


def of_host(name):
    with open(f"/proc/sys/{name}", encoding="ascii") as file:
        return file.read().strip()


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("net.core.somaxconn", "net/core/somaxconn", "77"),
        ("net.ipv4.ip_local_port_range", "net/ipv4/ip_local_port_range", "2000\t3000"),
        ("net/ipv4/conf/lo/arp_announce", "net/ipv4/conf/lo/arp_announce", "2"),
        ("kernel.shmmax", "kernel/shmmax", "12345678"),
        ("kernel.sem", "kernel/sem", "100\t2000\t30\t40"),
        ("kernel/msgmax", "kernel/msgmax", "8000"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max", "11"),
        ("kernel.domainname", "kernel/domainname", "container.example"),
    ],
)
def test_a_parameter_is_the_container_s_and_not_the_host_s(containers, further, name, path, value):
    before = of_host(path)
    assert before != value
    container = containers.running(**{"linux.sysctl": {name: value}}, domainname=None)
    assert further(container, "cat", f"/proc/sys/{path}").strip() == value
    assert of_host(path) == before


def test_a_parameter_of_an_interface_whose_name_has_a_dot(containers):
    # As far as the name goes: there is no such interface.
    for name in ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"):
        with pytest.raises(OperationFailed, match=r"net/ipv4/conf/eth0\.100/forwarding to '1'"):
            containers.running(**{"linux.sysctl": {name: "1"}})


def test_a_parameter_that_cannot_be_set_is_named_with_value_and_reason(containers, root):
    with pytest.raises(OperationFailed) as caught:
        containers.running(**{"linux.sysctl": {"net.ipv4.ip_forward": "many"}})
    assert "set the kernel parameter net/ipv4/ip_forward to 'many'" in str(caught.value)
    assert "EINVAL" in str(caught.value)
    assert host.files(root) == []


@pytest.mark.parametrize("readonly", [False, True])
def test_parameters_are_set_although_proc_sys_is_read_only_or_missing(containers, readonly):
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}] if readonly else []
    changes = {"mounts": mounts, "linux.sysctl": {"net.core.somaxconn": "99"}}
    script = "cat /proc/sys/net/core/somaxconn 2>/dev/null || echo none"
    said = containers.says("sh", "-c", script, **changes)
    assert said.strip() == ("99" if readonly else "none")


def test_a_rootfs_that_fakes_proc_is_not_written_to(containers, rootfs, tmp_path):
    own = tmp_path / "rootfs"
    shutil.copytree(rootfs, own, symlinks=True)
    fake = own / "proc" / "sys" / "net" / "core"
    fake.mkdir(parents=True)
    (fake / "somaxconn").write_text("untouched")
    changes = {"mounts": [], "linux.sysctl": {"net.core.somaxconn": "99"}}
    containers.running("/bin/sleep", "1000", rootfs=own, **changes)
    assert (fake / "somaxconn").read_text() == "untouched"


@pytest.mark.parametrize("kind", ["a plain file", "a symlink", "a symlink out"])
def test_what_is_no_file_of_a_procfs_is_not_written_to(tmp_path, kind):
    # CVE-2025-52881: a write that ends up elsewhere.
    (tmp_path / "self" / "fd").mkdir(parents=True)
    (tmp_path / "sys").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    target = tmp_path / "sys" / "x"
    if kind == "a plain file":
        target.write_text("untouched")
        victim = target
    else:
        target.symlink_to(victim if kind == "a symlink" else "/proc/sys/net/core/somaxconn")
    init = Init(socket.socket(), (), 0)
    init.proc = os.open(tmp_path / "self" / "fd", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises((OperationError, OSError)):
            sysctl.set_sysctl(init, "x", "evil")
    finally:
        init.channel.close()
        os.close(init.proc)
    assert victim.read_text() == "untouched"


def test_parameters_of_a_joined_namespace_that_is_the_host_s_are_refused(containers):
    # They would be the host's.
    for kind, name in (("network", "net.core.somaxconn"), ("ipc", "kernel.shmmax")):
        path = f"/proc/self/ns/{'net' if kind == 'network' else kind}"
        namespaces = [{"type": "mount"}, {"type": "pid"}, {"type": kind, "path": path}]
        config = containers.config(
            **{"linux.namespaces": namespaces, "linux.sysctl": {name: "1"}}, hostname=None
        )
        (problem,) = missing(config, config.process)
        assert problem.startswith(f'$.linux.sysctl["{name}"]: expected nothing of the {kind}')
