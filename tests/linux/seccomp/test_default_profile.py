"""The default filter in real containers: what it denies, and that what is common works."""

from __future__ import annotations

import errno
import os
import platform
import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from runstate import DEVNULL, PIPE, STDOUT
from runstate.config import Config
from runstate.config.defaults import CAPABILITIES
from runstate.config.seccomp_profile import default_seccomp
from tests import host
from tests.linux.seccomp import probe

if TYPE_CHECKING:
    from pathlib import Path

    from runstate import Factory

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the programs are x86_64's"),
]

DENIED = {
    "unshare, a user namespace": (272, 0x10000000),
    "clone, a user namespace": (56, 0x10000011),
    "setns": (308, (1 << 64) - 1, 0),
    "io_uring_setup": (425, 0, 0),
    "io_uring_enter": (426, (1 << 64) - 1),
    "add_key": (248, 0, 0),
    "keyctl": (250, 99),
    "pidfd_getfd": (438, (1 << 64) - 1),
    "kcmp": (312, 0, 0, 99),
    "get_mempolicy": (239, 0, 0, 0, 0, 0),
    "socket, AF_VSOCK": (41, 40, 99),
    "socket, AF_ALG": (41, 38, 99),
    "socket, AF_VSOCK with more in the register": (41, 40 | 1 << 40, 99),
    "personality, without random addresses": (135, 0x40000),
    "sysfs": (139, 99),
}


def run(factory: Factory, config: Config) -> int | None:
    with factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        return container.wait(20)


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    """A rootfs for a program of one system call."""
    top = tmp_path / "rootfs"
    for name in ("proc", "sys", "dev"):
        (top / name).mkdir(parents=True)
    return top


@pytest.mark.parametrize("what", DENIED)
def test_what_containers_have_no_business_with_is_denied_by_the_filter(linux_factory, probes, what):
    number, *arguments = DENIED[what]
    probe.write_x86_64(probes / "probe", number, *arguments)
    config = Config.default(["/probe"], rootfs=probes)
    assert run(linux_factory, config) == errno.EPERM
    # And it is the filter that has denied it.
    without = Config.default(["/probe"], rootfs=probes, seccomp=False)
    assert run(linux_factory, without) != errno.EPERM


def test_a_32_bit_program_is_denied_the_same(linux_factory, probes):
    probe.write_i386(probes / "probe", 310, 0x10000000)  # unshare(2)
    assert run(linux_factory, Config.default(["/probe"], rootfs=probes)) == errno.EPERM


@pytest.mark.parametrize("number", [435, 500, 1000])
def test_clone3_and_calls_newer_than_the_profile_do_not_exist(linux_factory, probes, number):
    probe.write_x86_64(probes / "probe", number)
    assert run(linux_factory, Config.default(["/probe"], rootfs=probes)) == errno.ENOSYS


def test_a_capability_brings_its_calls(linux_factory, rootfs):
    script = "mount -t tmpfs none /tmp && echo mounted; umount /tmp && echo unmounted"
    config = Config.default(["sh", "-c", script], rootfs=rootfs)
    assert config.process is not None
    assert config.linux is not None
    with_admin = (*CAPABILITIES, "CAP_SYS_ADMIN")
    assert config.process.capabilities is not None
    sets = attrs.evolve(
        config.process.capabilities,
        bounding=with_admin,
        effective=with_admin,
        permitted=with_admin,
    )
    linux = attrs.evolve(config.linux, seccomp=default_seccomp(with_admin))
    config = attrs.evolve(config, process=attrs.evolve(config.process, capabilities=sets))
    admitted = attrs.evolve(config, linux=linux)
    assert output(linux_factory, admitted) == "mounted\nunmounted\n"
    assert "mounted" not in output(linux_factory, config)


def output(factory: Factory, config: Config) -> str:
    with factory.run(host.new_id(), config, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT) as container:
        assert container.stdout is not None
        text: str = container.stdout.read().decode()
        container.wait(20)
        return text


def test_a_default_container_has_one_filter(linux_factory, rootfs):
    script = "grep -E '^(Seccomp|Seccomp_filters|NoNewPrivs):' /proc/self/status"
    for args, seccomp in ((["2", "1"], True), (["0", "0"], False)):
        config = Config.default(["sh", "-c", script], rootfs=rootfs, seccomp=seccomp)
        mode, count = args
        expected = f"NoNewPrivs:\t1\nSeccomp:\t{mode}\nSeccomp_filters:\t{count}\n"
        assert output(linux_factory, config) == expected


def test_python_threads_children_sockets_and_shared_memory_work(linux_factory):
    program = """
import asyncio, concurrent.futures, mmap, multiprocessing, os, select, signal, socket, sqlite3
import subprocess, tempfile, threading
threads = [threading.Thread(target=lambda: done.append(1)) for _ in range(8)]
done = []
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(done) == 8
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, range(-4, 0)) == [4, 3, 2, 1]
assert subprocess.run(["sh", "-c", "echo $((6*7)) | cat"], capture_output=True).stdout == b"42\\n"
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.sendall(b"hello")
assert server.accept()[0].recv(5) == b"hello"
for family in (socket.AF_UNIX, socket.AF_INET6, socket.AF_NETLINK):
    socket.socket(family, socket.SOCK_DGRAM).close()
socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
asyncio.run(asyncio.wait_for(asyncio.sleep(0), 5))
sqlite3.connect(os.path.join(tempfile.mkdtemp(), "db")).execute("create table a(b)")
os.posix_spawn("/bin/true", ["true"], {})
os.memfd_create("x"); os.eventfd(0); os.pidfd_open(os.getpid()); os.getrandom(4)
os.setresuid(5, 5, 5); os.sched_yield(); os.nice(1)
print("all")
"""
    # A virtual environment may lie below /tmp, which is the container's own.
    python = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    config = Config.default([python, "-c", program], env={"HOME": "/tmp"})
    assert output(linux_factory, config) == "all\n"


def test_shells_archives_and_package_tools_work(linux_factory):
    script = """
set -e
cd /tmp
mkdir -p a/b; echo text > a/b/c; ln -s c a/b/d; chmod 600 a/b/c; chown 1:1 a/b/c; touch -d @0 a
tar cf a.tar a; tar tf a.tar > /dev/null
dpkg --version > /dev/null; apt-cache --version > /dev/null
mkfifo f; (cat f > g &) ; echo through > f
mknod null c 1 3
chroot / true
nice -n 5 true; timeout 5 true
sleep 0.01 & wait
trap 'echo trapped' USR1; kill -USR1 $$
dd if=/dev/zero of=z bs=1M count=1 2> /dev/null; sync z
find a | sort | xargs ls -ld > /dev/null
df /tmp > /dev/null; id > /dev/null; uname -a > /dev/null; ps > /dev/null
echo all
"""
    config = Config.default(["sh", "-c", script])
    assert output(linux_factory, config) == "trapped\nall\n"


@pytest.mark.parametrize("user", [(0, 0), (1000, 1000)])
def test_further_processes_and_other_users_have_the_filter_too(linux_factory, user):
    config = Config.default(["sleep", "1000"], user=user)
    with linux_factory.run(host.new_id(), config, stdin=DEVNULL) as container:
        found = container.exec(["unshare", "-U", "true"], capture_output=True, text=True)
        assert found.returncode != 0
        assert "Operation not permitted" in found.stderr
