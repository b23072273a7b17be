"""The whole life of containers that an ordinary user makes, with no privileges at all."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from runstate.linux.cgroups.layout import detect
from runstate.linux.cgroups.tree import enable_controllers

if TYPE_CHECKING:
    from tests.rootless.conftest import User


@pytest.fixture(params=["host", "bundle"])
def config(request: pytest.FixtureRequest) -> str:
    """Python source of a config: of the host's root, and of a rootfs of the user's own."""
    if request.param == "host":
        return "Config.default(args, ids='own')"
    return f"Config.default(args, rootfs={request.getfixturevalue('own_rootfs')!r}, ids='own')"


def test_a_container_goes_through_its_whole_life(user: User, config: str) -> None:
    told = user.script(f"""
args = ["sleep", "1000"]
container = factory.create(new_id(), {config})
tell(container.status)
container.start()
tell(container.status)
done = container.exec(["sh", "-c", "id -u; id -g; exit 3"], capture_output=True, text=True)
tell([done.returncode, done.stdout, done.stderr])
container.signal(signal.SIGKILL)
tell(container.wait(10))
tell(container.status)
container.destroy()
tell([container.status, len(factory.list())])
tell([record.trigger for record in factory.history(container.id)])
""")

    assert told == [
        "created", "running", [3, "0\n0\n", ""], -9, "stopped", ["absent", 0],
        ["create", "start", "exec", "exited", "destroy"],
    ]  # fmt: skip


def test_the_user_is_root_inside_and_nobody_special_outside(user: User, config: str) -> None:
    told = user.script(f"""
args = ["sleep", "1000"]
with factory.run(new_id(), {config}) as container:
    pid = container.pid
    tell(read(f"/proc/{{pid}}/uid_map").split())
    tell(read(f"/proc/{{pid}}/gid_map").split())
    tell(read(f"/proc/{{pid}}/setgroups").strip())
    status = read(f"/proc/{{pid}}/status").splitlines()
    tell(dict(line.split(":", 1) for line in status)["Uid"].split())
    done = container.exec(["sh", "-c", "touch /tmp/file; stat -c %u:%g /tmp/file; hostname"],
                          capture_output=True, text=True)
    tell(done.stdout.split())
    tell([os.readlink(f"/proc/{{pid}}/ns/{{name}}") != os.readlink(f"/proc/self/ns/{{name}}")
          for name in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")])
""")

    ids = [str(user.uid), str(user.gid)]
    assert told[0] == ["0", ids[0], "1"]
    assert told[1] == ["0", ids[1], "1"]
    assert told[2:4] == ["deny", [ids[0]] * 4]
    assert told[4] == ["0:0", "runstate"]
    assert told[5] == [True] * 7


def test_the_container_has_its_mounts_devices_and_loopback(user: User, config: str) -> None:
    told = user.script(f"""
args = ["sleep", "1000"]
with factory.run(new_id(), {config}) as container:
    def sh(line):
        return container.exec(["sh", "-c", line], capture_output=True, text=True).stdout
    tell(sh("echo kept >/dev/null; head -c 4 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c"))
    tell(sh("ls /proc/1/ns /dev/pts /dev/shm /sys/class >/dev/null && echo there"))
    tell(sh("echo x >/proc/sys/kernel/hostname || echo refused"))
    tell(sh("cat /proc/timer_list; echo masked"))
    tell(sh("cat /sys/class/net/lo/operstate; ls /sys/class/net"))
    tell(sh("cat /proc/self/mountinfo"))
""")

    assert told[0].split() == ["4", "3"]
    assert told[1:4] == ["there\n", "refused\n", "masked\n"]
    assert told[4].split() == ["unknown", "lo"]
    mounts = {line.split()[4]: line.split()[5].split(",") for line in told[5].splitlines()}
    for path in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/dev/null"):
        assert path in mounts
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(mounts["/sys"])
    assert "ro" in mounts["/proc/sys"]


def test_what_had_to_be_left_out_is_told_and_pause_is_refused_with_the_reason(
    user: User, config: str
) -> None:
    told = user.script(f"""
args = ["sleep", "1000"]
with factory.run(new_id(), {config}) as container:
    tell(container.notices)
    for refused in (container.pause, lambda: container.update({{"pids": {{"limit": 5}}}})):
        try:
            refused()
        except NotSupported as error:
            tell(str(error))
    tell([container.status, container.stats().cgroup])
    tell([record.trigger for record in container.history()])
try:
    limited = json.loads(json.dumps({config}.to_dict()))
    limited["linux"]["resources"] = {{"pids": {{"limit": 5}}}}
    factory.create(new_id(), limited)
except ConfigInvalid as error:
    tell(str(error))
""")

    notices, pause, update, after, history, limited = told
    reason = "it has no cgroup, which an ordinary user gets only where one is delegated"
    assert any(n.startswith(f"cgroup: {reason}; so no limits, no pause") for n in notices)
    assert any(n.startswith("users: only the caller's own id is mapped") for n in notices)
    assert re.fullmatch(rf"(pause|freeze) container '[^']+': {reason}", pause)
    assert re.fullmatch(rf"update container '[^']+': {reason}", update)
    assert after == ["running", None]
    assert history == ["create", "start"]
    assert f"$.linux.resources.pids.limit: cannot be applied: {reason}" in limited


def test_the_whole_process_tree_goes_with_its_container(user: User, config: str) -> None:
    told = user.script(f"""
args = ["sh", "-c", "sleep 1000 & (setsid sleep 1000 &) ; sleep 1000"]
container = factory.run(new_id(), {config})
further = container.popen(["sh", "-c", "sleep 1000 & sleep 1000 & wait"])
def sleepers():
    return [pid for pid in container.processes() if read(f"/proc/{{pid}}/comm") == "sleep\\n"]
deadline = time.monotonic() + 20
while len(sleepers()) < 5 and time.monotonic() < deadline:
    time.sleep(0.01)
pids = container.processes()
tell(len(sleepers()))
container.destroy(force=True)
tell(further.wait(10))
tell([pid for pid in pids if os.path.exists(f"/proc/{{pid}}")])
""")

    assert told == [5, -9, []]


@pytest.mark.parametrize("code", [0, 1, 77])
def test_the_exit_status_arrives(user: User, config: str, code: int) -> None:
    told = user.script(f"""
args = ["sh", "-c", "exit {code}"]
with factory.run(new_id(), {config}) as container:
    tell(container.wait(20))
    tell(container.state.exit.code)
""")

    assert told == [code, code]


def test_a_failing_create_leaves_nothing(user: User, config: str) -> None:
    told = user.script(f"""
args = ["no-such-program"]
try:
    factory.create(new_id(), {config})
except OperationFailed as error:
    tell(str(error))
tell(len(factory.list()))
""")

    assert "no such executable in $PATH" in told[0]
    assert told[1] == 0


def test_the_hosts_root_is_seen_written_over_and_unharmed(user: User) -> None:
    name = f"runstate-{os.getpid()}"
    told = user.script(f"""
with factory.run(new_id(), Config.default(["sleep", "1000"])) as container:
    def sh(line):
        return container.exec(["sh", "-c", line], capture_output=True, text=True).stdout
    tell(sh("echo new >/{name} && cat /{name}; echo over >/etc/{name} && cat /etc/{name}"))
    tell(sh("rm /usr/bin/env && ls /usr/bin/env || echo gone"))
    tell(sh("cat /etc/shadow || echo refused"))
    tell(sh("ls -A /run /tmp"))
""")

    assert told[0] == "new\nover\n"
    assert told[2] == "refused\n"
    assert not os.path.exists(f"/{name}")
    assert not os.path.exists(f"/etc/{name}")
    assert os.path.exists("/usr/bin/env")


def test_what_a_container_cannot_have_the_kernel_refuses(user: User, config: str) -> None:
    told = user.script(f"""
args = ["sleep", "1000"]
with factory.run(new_id(), {config}) as container:
    status = read(f"/proc/{{container.pid}}/status")
    status = dict(line.split(":\\t", 1) for line in status.splitlines())
    tell([status["NoNewPrivs"].strip(), status["CapEff"] == status["CapPrm"]])
    for line in ("mount -t tmpfs none /tmp", "mknod /tmp/d c 1 3", "chown 5 /etc"):
        tell(container.exec(line.split(), capture_output=True).returncode != 0)
""")

    assert told == [["1", True], True, True, True]


# --- the command line ---------------------------------------------------------------------------


def test_run_on_the_hosts_root_needs_nothing_but_a_command(user: User) -> None:
    done = user.runstate("run", "--rootfs", "host", "box", "sh", "-c", "id -u; hostname; exit 6")

    assert (done.status, done.out, done.err) == (6, "0\nbox\n", "")
    assert user.runstate("run", "--rootfs", "host", "box", "ls", "-ld", "/").out.startswith("d")


def test_a_detached_container_is_found_by_the_next_command(user: User) -> None:
    assert user.runstate("create", "--rootfs", "host", "box", "sleep", "1000").status == 0
    assert user.runstate("start", "box").status == 0
    state = json.loads(user.runstate("state", "box").out)
    assert state["status"] == "running"
    assert os.stat(f"/proc/{state['pid']}").st_uid in (user.uid, 0)

    assert user.runstate("exec", "box", "sh", "-c", "exit 9").status == 9
    refused = user.runstate("pause", "box")
    assert refused.complaint.startswith("pause container 'box': ")
    assert "an ordinary user gets only where one is delegated" in refused.complaint
    assert user.runstate("delete", "--force", "box").status == 0
    assert user.runstate("list", "-q").out == ""


def test_a_bundle_of_spec_for_the_rootless_runs(user: User, own_rootfs: str) -> None:
    bundle = f"{user.home}/run/bundle"
    os.mkdir(bundle)
    os.chown(bundle, user.uid, user.gid)
    try:
        assert user.runstate("spec", "--rootless", "--bundle", bundle).status == 0
        config = json.loads(user.run("cat", f"{bundle}/config.json").out)
        assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": user.uid, "size": 1}]
        config["process"] |= {"terminal": False, "args": ["sh", "-c", "id -u; exit 2"]}
        config["root"]["path"] = own_rootfs
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(config, file)

        done = user.runstate("run", "--bundle", bundle, "box")

        assert (done.status, done.out, done.err) == (2, "0\n", "")
        config["process"] |= {"terminal": True, "args": ["sh", "-c", "tty; exit 3"]}
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(config, file)
        done = user.runstate("run", "--bundle", bundle, "box")
        assert (done.status, done.out, done.err) == (3, "/dev/pts/0\n", "")
    finally:
        user.run("rm", "-r", bundle)


def test_roots_config_is_refused_with_the_words_for_it(user: User, own_rootfs: str) -> None:
    told = user.script(f"""
try:
    factory.create(new_id(), Config.default(["true"], rootfs={own_rootfs!r}, rootless=False))
except RuntimeStateError as error:
    tell([type(error).__name__, str(error)])
""")

    assert told[0] in ("ConfigInvalid", "NotSupported", "OperationFailed")
    assert "user namespace" in told[1]


@pytest.mark.root
def test_with_a_delegated_cgroup_there_are_pause_statistics_and_limits_of_processes(
    user: User, delegated: str
) -> None:
    told = user.script("""
with factory.run(new_id(), Config.default(["sleep", "1000"])) as container:
    tell([notice for notice in container.notices if notice.startswith("cgroup")])
    tell(list(container.state.exec.options["cgroup_paths"].values()))
    container.pause()
    tell(container.status)
    container.resume()
    tell(container.status)
    further = container.popen(["sleep", "1000"])
    tell([container.stats().processes, sorted(container.processes()) ==
          sorted([container.pid, further.pid])])
tell(further.wait(10))
""", cgroup=f"{delegated}/user")  # fmt: skip

    assert told[0] == []
    (directory,) = told[1]
    assert directory.startswith(f"{delegated}/")
    assert told[2:] == ["paused", "running", [2, True], -9]
    assert not os.path.exists(directory)


@pytest.mark.root
def test_limits_hold_where_their_controller_is_delegated_and_are_refused_elsewhere(
    user: User, delegated: str
) -> None:
    if "hugetlb" not in detect().unified_controllers:
        pytest.skip("version 2 has no controller to delegate here")
    enable_controllers(os.path.dirname(delegated), frozenset({"hugetlb"}))
    told = user.script("""
config = Config.default(["sleep", "1000"]).to_dict()
config["linux"]["resources"] = {
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "devices": [{"allow": False}],
}
with factory.run(new_id(), config) as container:
    (directory,) = container.state.exec.options["cgroup_paths"].values()
    tell(read(f"{directory}/hugetlb.2MB.max"))
    tell([notice.split(": ")[0] for notice in container.notices])
    container.update({"hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}]})
    tell(read(f"{directory}/hugetlb.2MB.max"))
for resources in ({"network": {"classID": 5}}, {"unified": {"nonsense.max": "5"}}):
    config["linux"]["resources"] = resources
    try:
        factory.create(new_id(), config)
    except ConfigInvalid as error:
        tell(error.problems[0].split(": ")[0])
""", cgroup=f"{delegated}/user")  # fmt: skip

    assert told[0] == "0\n"
    assert "$.linux.resources.devices" in told[1]
    assert told[2] == f"{2 << 20}\n"
    assert told[3:] == [
        "$.linux.resources.network.classID",
        '$.linux.resources.unified["nonsense.max"]',
    ]
