"""Each type of namespace: one's own, the host's, or exactly the one that a path leads to."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from runstate import DEVNULL
from runstate.errors import RuntimeStateError
from runstate.linux import pins
from runstate.linux.namespaces import FILES
from tests.namespaces.conftest import link, links, root_map, says

pytestmark = pytest.mark.root

TYPES = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time"]
SHARED = ["network", "ipc", "uts", "cgroup", "pid", "time"]


def path(container, name):
    return f"/proc/{container.pid}/ns/{FILES[name]}"


def test_each_of_the_eight_can_be_the_containers_own(make_in):
    config = make_in.config(user=None, time=None)
    config["linux"] |= root_map()
    container = make_in.run(config)
    inside, outside = links(container.pid), links()
    assert [name for name in TYPES if inside[name] == outside[name]] == []
    for name in TYPES:
        assert says(container, "readlink", f"/proc/self/ns/{FILES[name]}") == inside[name]


@pytest.mark.parametrize("name", ["pid", "network", "ipc", "uts", "cgroup", "user", "time"])
def test_without_one_the_container_is_in_the_hosts(make_in, name):
    paths = {} if name in ("user", "time") else {"time": None}
    container = make_in.run(make_in.config(without=name, **paths))
    assert link(name, container.pid) == link(name)
    assert says(container, "readlink", f"/proc/self/ns/{FILES[name]}") == link(name)


@pytest.mark.parametrize("name", SHARED)
def test_a_path_leads_into_exactly_that_one(make_in, name):
    target = make_in.run(make_in.config(time=None))
    container = make_in.run(make_in.config(**{"time": None} | {name: path(target, name)}))
    inside, there = links(container.pid), links(target.pid)
    assert {n for n in TYPES if inside[n] == there[n]} == {"user", name}
    assert says(container, "readlink", f"/proc/self/ns/{FILES[name]}") == there[name]


@pytest.mark.parametrize("name", [*SHARED, "mount"])
def test_the_hosts_own_can_be_joined_by_its_path(make_in, name):
    config = make_in.config(**{name: f"/proc/{os.getpid()}/ns/{FILES[name]}"})
    if name == "mount":
        config["linux"]["namespaces"] = [{"type": "mount"}]
        del config["hostname"]
    container = make_in.run(config)
    if name != "mount":
        assert link(name, container.pid) == link(name)
    assert says(container, "echo", "here") == "here"


def test_the_hosts_own_user_namespace_is_joined_by_staying_in_it(make_in):
    container = make_in.run(make_in.config(user="/proc/self/ns/user"))
    assert link("user", container.pid) == link("user")
    assert says(container, "id", "-u") == "0"


def test_a_namespace_without_processes_is_joined_by_the_name_that_keeps_it(make_in, tmp_path):
    name = str(tmp_path / "net")
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as keeper:  # fmt: skip
        assert keeper.stdout is not None
        keeper.stdout.readline()
        wanted = link("network", keeper.pid)
        fd = os.open(f"/proc/{keeper.pid}/ns/net", os.O_RDONLY)
        pins.pin(fd, name)
        os.close(fd)
        keeper.communicate()
    try:
        (tmp_path / "link").symlink_to(name)
        container = make_in.run(make_in.config(network=str(tmp_path / "link")))
        assert link("network", container.pid) == wanted
        # Loopback belongs to whoever has made the namespace: here, nobody has set it up.
        assert "LOWER_UP" not in says(container, "ip", "link", "show", "lo")
        container.destroy(force=True)
    finally:
        pins.unpin(name)


def test_the_host_name_is_set_in_a_joined_uts_namespace(make_in):
    target = make_in.run(make_in.config())
    config = make_in.config(uts=path(target, "uts"))
    config["hostname"] = "both"
    make_in.run(config)
    assert says(target, "hostname") == "both"
    del config["hostname"]
    assert says(make_in.run(config), "hostname") == "both"


def test_a_mount_namespace_is_joined_and_changed_as_runc_does(make_in):
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"],
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            container = make_in.run(make_in.config(mount=f"/proc/{other.pid}/ns/mnt"))
            assert link("mount", container.pid) == link("mount", other.pid)
            assert says(container, "ls", "/bin/busybox") == "/bin/busybox"
            assert os.path.exists(f"/proc/{other.pid}/root/bin/busybox")
            container.destroy(force=True)
        finally:
            other.kill()


# --- pods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["pause", "workload"])
@pytest.mark.parametrize("shared", [["network", "ipc", "uts"], ["network", "ipc", "uts", "pid"]])
def test_a_pod_ends_in_either_order_and_leaves_nothing(make_in, shared, first):
    pause = make_in.run(make_in.config() | {"hostname": "pod"})
    config = make_in.config(**{name: path(pause, name) for name in shared})
    del config["hostname"]
    workload = make_in.run(config)
    assert says(workload, "hostname") == "pod"
    assert says(workload, "ps").count("sleep 1000") == (2 if "pid" in shared else 1)
    one, other = (pause, workload) if first == "pause" else (workload, pause)
    one.destroy(force=True)
    if "pid" in shared and first == "pause":
        # The end of a pid namespace's first process is the end of all in it.
        assert workload.wait(10) == -9
        assert workload.status == "stopped"
    else:
        assert other.status == "running"
    other.destroy(force=True)


@pytest.mark.parametrize("how", ["exit", "destroy", "kill"])
def test_no_process_outlives_a_container_in_a_pid_namespace_of_others(make_in, how):
    pause = make_in.run(make_in.config())
    script = "trap 'exit 3' TERM; sleep 1001 & (setsid sleep 1002 &); while :; do sleep 0.05; done"
    member = make_in.run(make_in.config("sh", "-c", script, pid=path(pause, "pid")))
    others = wait_for(lambda: [p for p in member.processes() if is_running(p, "100")], 2)
    assert pause.pid not in member.processes()
    if how == "exit":
        member.signal(signal.SIGTERM)
        assert member.wait(10) == 3
        assert member.status == "stopped"
        assert all(os.path.exists(f"/proc/{pid}") for pid in others)
    if how == "kill":
        member.signal(signal.SIGKILL)
        wait_for(lambda: [1 for pid in others if not is_running(pid, "100")], 2)
    member.destroy(force=how == "destroy")
    assert [pid for pid in others if is_running(pid, "100")] == []
    assert pause.status == "running"


def is_running(pid, argument):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return f"sleep\0{argument}" in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(find, count):
    deadline = time.monotonic() + 10
    while len(found := find()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_all_of_the_hosts_pids_can_be_had(make_in):
    container = make_in.run(make_in.config(without="pid"))
    further = container.popen(["sleep", "1003"], stdin=DEVNULL)
    assert sorted(container.processes()) == sorted([container.pid, further.pid])
    container.destroy(force=True)
    assert further.wait(10) == -9


# --- user namespaces ------------------------------------------------------------------------------


@pytest.fixture
def in_user_namespace(make_in):
    config = make_in.config(user=None, time=None)
    config["linux"] |= root_map()
    return make_in.run(config)


@pytest.mark.parametrize(
    "owned", [[], ["network"], ["network", "ipc", "uts", "pid", "time", "cgroup"]]
)
def test_a_user_namespace_is_joined_with_what_belongs_to_it(make_in, in_user_namespace, owned):
    names = ["user", *owned]
    paths = {name: path(in_user_namespace, name) for name in names}
    container = make_in.run(make_in.config(**{"time": None} | paths))
    inside, there = links(container.pid), links(in_user_namespace.pid)
    assert {name for name in TYPES if inside[name] == there[name]} == set(names)
    assert says(container, "id", "-u") == "0"
    with open(f"/proc/{container.pid}/status") as file:
        assert "\nUid:\t200000\t200000\t200000\t200000\n" in file.read()
    assert os.stat(f"/proc/{container.pid}/root/dev/shm").st_uid == 200_000


def test_a_user_namespace_is_joined_along_with_what_belongs_to_the_host(make_in, in_user_namespace):
    host_like = make_in.run(make_in.config())
    paths = {name: path(host_like, name) for name in ("network", "ipc", "uts", "cgroup")}
    config = make_in.config(user=path(in_user_namespace, "user"), **paths)
    del config["hostname"]
    config["mounts"] = [
        m for m in config["mounts"] if m["type"] not in ("sysfs", "mqueue", "cgroup")
    ]
    container = make_in.run(config)
    inside, there = links(container.pid), links(host_like.pid)
    assert {name for name in TYPES if inside[name] == there[name]} == {*paths, "time"}
    assert link("user", container.pid) == link("user", in_user_namespace.pid)
    assert says(container, "readlink", "/proc/self/ns/net") == there["network"]


def test_a_new_user_namespace_goes_with_a_network_of_the_hosts(make_in):
    target = make_in.run(make_in.config())
    config = make_in.config(user=None, network=path(target, "network"))
    config["linux"] |= root_map()
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "sysfs"]
    container = make_in.run(config)
    assert link("network", container.pid) == link("network", target.pid)
    assert link("user", container.pid) not in (link("user"), link("user", target.pid))
    assert says(container, "id", "-u") == "0"


# --- what is refused ------------------------------------------------------------------------------


def refused(make_in, config):
    with pytest.raises(RuntimeStateError) as caught:
        make_in.create(config)
    assert make_in.factory.list() == []
    return "\n".join(getattr(caught.value, "problems", None) or [str(caught.value)])


@pytest.mark.parametrize("name", TYPES)
def test_a_namespace_of_another_type_is_refused_by_its_json_path(make_in, name):
    other = "uts" if name != "uts" else "ipc"
    namespaces = make_in.config()["linux"]["namespaces"]
    names = [n["type"] for n in namespaces]
    index = names.index(name) if name in names else len(names)
    complaint = refused(make_in, make_in.config(**{name: f"/proc/self/ns/{other}"}))
    assert f"$.linux.namespaces[{index}].path: expected the file of a {name} namespace" in complaint
    assert f'"/proc/self/ns/{other}": which is a {other} namespace' in complaint


def test_what_is_no_namespace_is_refused_and_never_opened(make_in, tmp_path):
    fifo, directory, empty = tmp_path / "fifo", tmp_path / "directory", tmp_path / "empty"
    loop, dangling = tmp_path / "loop", tmp_path / "dangling"
    os.mkfifo(fifo)
    directory.mkdir()
    empty.touch()
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nowhere")
    for bad, why in {
        str(fifo): "which is no namespace",
        str(directory): "which is no namespace",
        str(empty): "which is no namespace, or not any more",
        str(loop): "Too many levels of symbolic links",
        str(dangling): "No such file or directory",
        "/dev/zero": "which is no namespace",
        "/proc/self/status": "which is no namespace, or not any more",
        "/proc/4000000/ns/net": "No such file or directory; has its process ended?",
    }.items():
        complaint = refused(make_in, make_in.config(network=bad))
        expected = "$.linux.namespaces[1].path: expected the file of a network namespace"
        assert complaint.startswith(f'{expected}, got "{bad[:20]}')
        assert complaint.endswith(f'": {why}')


def test_all_bad_paths_are_told_at_once(make_in):
    complaint = refused(make_in, make_in.config(network="/no/net", ipc="/no/ipc"))
    assert [line.partition(" got ")[2].partition(":")[0] for line in complaint.splitlines()] == [
        '"/no/net"', '"/no/ipc"',
    ]  # fmt: skip


def test_a_pid_namespace_whose_first_process_has_ended_is_explained(make_in, tmp_path):
    name = str(tmp_path / "pid")
    target = make_in.run(make_in.config())
    fd = os.open(path(target, "pid"), os.O_RDONLY)
    pins.pin(fd, name)
    os.close(fd)
    try:
        target.destroy(force=True)
        complaint = refused(make_in, make_in.config(pid=name))
        assert "the pid namespace that it joins has no init any more" in complaint
    finally:
        pins.unpin(name)


def test_nothing_can_be_mounted_in_a_mount_namespace_of_the_hosts_for_another_user(make_in):
    config = make_in.config(user=None, mount="/proc/self/ns/mnt")
    config["linux"] |= root_map()
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            mount = next(n for n in config["linux"]["namespaces"] if n["type"] == "mount")
            mount["path"] = f"/proc/{other.pid}/ns/mnt"
            assert "nothing could be mounted there" in refused(make_in, config)
        finally:
            other.kill()


# --- neighbours -----------------------------------------------------------------------------------


def looks_into(neighbour, pid):
    """What a neighbour, who sees its pid, gets to see of a process that is still the host's."""
    with open(f"/proc/{pid}/status") as file:
        seen_as = next(line for line in file if line.startswith("NSpid:")).split()[-1]
    look = "ls root/ cwd/ || readlink exe fd/0 fd/1 fd/3 || cat environ maps fd/3"
    look = f"cd /proc/{seen_as} && ({look}) 2>/dev/null"
    done = neighbour.exec(["sh", "-c", look], stdin=DEVNULL, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("user", ["the host's", "new", "shared"])
def test_a_neighbour_in_the_same_pid_namespace_cannot_look_into_init(make_in, monkeypatch, user):
    from runstate.handlers.exec import idmaps

    own, shared = make_in.config(), {}
    if user == "shared":
        own = make_in.config(user=None)
        own["linux"] |= root_map()
    pause = make_in.run(own)
    shared["pid"] = path(pause, "pid")
    if user == "shared":
        shared["user"] = path(pause, "user")
    config = make_in.config(**shared, **({"user": None} if user == "new" else {}))
    config["mounts"] = [m for m in config["mounts"] if user != "new" or m["type"] != "proc"]
    del config["linux"]["maskedPaths"], config["linux"]["readonlyPaths"]
    seen = []
    if user == "new":
        config["linux"] |= root_map()
        write_maps = idmaps.write_maps

        def look_first(pid, *arguments):
            seen.append(looks_into(pause, pid))
            write_maps(pid, *arguments)

        monkeypatch.setattr(idmaps, "write_maps", look_first)
    container = make_in.create(config)
    seen.append(looks_into(pause, container.pid))
    assert seen == [""] * (2 if user == "new" else 1)
