"""An ordinary user's containers with more ids than one, and with namespaces that they share."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rootless.conftest import User

pytestmark = pytest.mark.root

SH = """
def sh(container, line, **options):
    done = container.exec(["sh", "-c", line], capture_output=True, text=True, **options)
    return (done.stdout + done.stderr).strip()
def alive(pid):
    return os.path.exists(f"/proc/{pid}") and ") Z " not in read(f"/proc/{pid}/stat")
def refusal(config):
    try:
        factory.create(new_id(), config).destroy(force=True)
    except RuntimeStateError as error:
        return [type(error).__name__, *(getattr(error, "problems", None) or [str(error)])]
"""


def test_a_container_has_the_range_from_create_to_destroy(
    ranged: tuple[User, int], own_rootfs: str
) -> None:
    user, start = ranged
    told = user.script(f"""{SH}
container = factory.create(new_id(), Config.default(["sleep", "1000"], rootfs={own_rootfs!r}))
tell(container.status)
container.start()
pid = container.pid
tell([read(f"/proc/{{pid}}/{{name}}").split() for name in ("uid_map", "gid_map", "setgroups")])
tell(sh(container, "touch /tmp/f && chown 5:65536 /tmp/f && stat -c %u:%g /tmp/f && id -G"))
status = os.stat(f"/proc/{{pid}}/root/tmp/f")
tell([status.st_uid, status.st_gid])
tell([notice for notice in container.notices if notice.startswith("users")])
container.signal(signal.SIGKILL)
tell([container.wait(10), container.status])
container.destroy()
os.unlink({own_rootfs!r} + "/tmp/f")
tell([record.trigger for record in factory.history(container.id)])
""")

    maps = [["0", str(own), "1", "1", str(start), "65536"] for own in (user.uid, user.gid)]
    assert told[0] == "created"
    assert told[1] == [*maps, ["allow"]]
    assert told[2].split() == ["5:65536", "0"]
    assert told[3:6] == [[start + 4, start + 65535], [], [-9, "stopped"]]
    assert told[6] == ["create", "start", "exec", "exited", "destroy"]


def test_any_user_of_the_range_can_run_the_program(
    ranged: tuple[User, int], own_rootfs: str
) -> None:
    user, start = ranged
    told = user.script(f"""{SH}
config = Config.default(["sleep", "1000"], rootfs={own_rootfs!r}, user=(1000, 1000)).to_dict()
config["process"]["user"]["additionalGids"] = [5, 6]
with factory.run(new_id(), config) as container:
    status = read(f"/proc/{{container.pid}}/status").splitlines()
    status = dict(line.split(":", 1) for line in status)
    tell([status["Uid"].split(), status["Groups"].split()])
    tell(sh(container, "id -u; id -G"))
config["process"]["user"]["uid"] = 65537
tell(refusal(config))
""")

    assert told[0] == [[str(start + 999)] * 4, [str(start + 4), str(start + 5)]]
    assert told[1].split("\n") == ["1000", "1000 5 6"]
    assert told[2][0] == "ConfigInvalid"
    assert told[2][1].startswith("$.process.user.uid: expected an id that the container has")


def test_the_default_takes_the_range_and_own_leaves_it(ranged: tuple[User, int]) -> None:
    user, start = ranged
    told = user.script("""
def ids(**options):
    config = Config.default(["true"], **options)
    return [[m.container_id, m.host_id, m.size] for m in config.linux.gid_mappings]
tell([ids(), ids(ids="range"), ids(ids="own")])
try:
    ids(ids="all")
except ConfigInvalid as error:
    tell(str(error))
""")

    both = [[0, user.gid, 1], [1, start, 65536]]
    assert told[0] == [both, both, [[0, user.gid, 1]]]
    assert "ids: expected one of own, range, or None, got 'all'" in told[1]


def test_without_a_range_one_that_is_asked_for_is_refused_with_the_remedy(user: User) -> None:
    told = user.script("""
tell([m.size for m in Config.default(["true"]).linux.uid_mappings])
try:
    Config.default(["true"], ids="range")
except ConfigInvalid as error:
    tell(str(error))
""")

    assert told[0] == [1]
    assert "/etc/subuid and /etc/subgid" in told[1]
    assert "newuidmap and newgidmap" in told[1]


def test_ids_that_are_not_the_users_are_refused_before_anything_is_made(
    ranged: tuple[User, int], own_rootfs: str
) -> None:
    user, start = ranged
    told = user.script(f"""{SH}
config = Config.default(["true"], rootfs={own_rootfs!r}).to_dict()
config["linux"]["uidMappings"][1]["hostID"] += 1
tell(refusal(config))
config["linux"]["uidMappings"] = [{{"containerID": 0, "hostID": 0, "size": 1}}]
tell(refusal(config))
os.environ["PATH"] = "/nowhere"
tell(refusal(config))
tell(len(list(factory.list())))
""")

    expected = (
        f"expected this user's own {user.uid}, or ids of /etc/subuid ({start}-{start + 65535})"
    )
    advice = "an administrator grants some by usermod --add-subuids"
    assert told[0] == [
        "ConfigInvalid",
        f"$.linux.uidMappings[1].hostID: {expected}, got {start + 1}-{start + 65536}; {advice}",
    ]
    assert told[1] == [
        "ConfigInvalid", f"$.linux.uidMappings[0].hostID: {expected}, got 0; {advice}"
    ]  # fmt: skip
    for kind, complaint in zip(("uid", "gid"), told[2][1:], strict=True):
        assert f"$.linux.{kind}Mappings: an ordinary user maps more than the own id by" in complaint
        assert f"new{kind}map, which is not in $PATH; install it (Debian: uidmap)" in complaint
    assert told[3] == 0


def test_without_new_privileges_there_is_no_range(
    ranged: tuple[User, int], own_rootfs: str
) -> None:
    user, _start = ranged
    told = user.script(f"""{SH}
config = Config.default(["true"], rootfs={own_rootfs!r}).to_dict()
from runstate.init import kernel
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
tell([m.size for m in Config.default(["true"]).linux.uid_mappings])
tell(refusal(config))
with factory.run(new_id(), Config.default(["sleep", "100"], rootfs={own_rootfs!r})) as container:
    tell(container.status)
""")

    assert told[0] == [1]
    assert told[1][1].startswith("$.linux.uidMappings: newuidmap cannot map them, for this process")
    assert told[1][1].endswith(f"(no_new_privs); map {user.uid} alone")
    assert told[2] == "running"


def test_what_newuidmap_says_is_told_and_nothing_is_left(
    ranged: tuple[User, int], own_rootfs: str
) -> None:
    user, start = ranged
    told = user.script(f"""{SH}
from runstate.linux import subids
subids.come_from_elsewhere = lambda: True
config = Config.default(["true"], rootfs={own_rootfs!r}).to_dict()
config["linux"]["uidMappings"][1]["hostID"] += 1
tell(refusal(config))
tell(len(list(factory.list())))
""")

    assert told[0][0] == "OperationFailed"
    assert "map the container's uids by /usr/bin/newuidmap " in told[0][1]
    assert f"uid range [1-65537) -> [{start + 1}-{start + 65537}) not allowed" in told[0][1]
    assert "see /etc/subuid" in told[0][1]
    assert told[1] == 0


def test_with_one_group_no_others_can_be_set(user: User, own_rootfs: str) -> None:
    told = user.script(f"""{SH}
config = Config.default(["true"], rootfs={own_rootfs!r}, ids="own").to_dict()
config["process"]["user"]["additionalGids"] = [0]
tell(refusal(config))
""")

    assert told[0] == "ConfigInvalid"
    assert told[1].startswith("$.process.user.additionalGids: expected none: an ordinary user's")


def test_a_delegated_cgroup_and_a_range_go_together(
    ranged: tuple[User, int], own_rootfs: str, delegated: str
) -> None:
    user, _start = ranged
    told = user.script(f"""{SH}
with factory.run(new_id(), Config.default(["sleep", "1000"], rootfs={own_rootfs!r})) as container:
    container.pause()
    tell(container.status)
    container.resume()
    tell(sh(container, "chown 5 /tmp && stat -c %u /tmp; chown 0 /tmp"))
    tell(len(container.processes()))
""", cgroup=f"{delegated}/user")  # fmt: skip

    assert told == ["paused", "5", 1]


# --- shared namespaces ------------------------------------------------------------------------


@pytest.mark.parametrize("with_range", [False, True], ids=["own id", "range"])
def test_a_pod_of_an_ordinary_user(
    ranged: tuple[User, int], own_rootfs: str, with_range: bool
) -> None:
    ids = "range" if with_range else "own"
    told = ranged[0].script(f"""{SH}
config = Config.default(["sleep", "1000"], rootfs={own_rootfs!r}, ids={ids!r}).to_dict()
shared = {{"user": "user", "network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}}
with factory.run(new_id(), config) as pause:
    member = json.loads(json.dumps(config))
    for namespace in member["linux"]["namespaces"]:
        if namespace["type"] in shared:
            namespace["path"] = f"/proc/{{pause.pid}}/ns/{{shared[namespace['type']]}}"
    with factory.run(new_id(), member) as container:
        links = [[os.readlink(f"/proc/{{c.pid}}/ns/{{n}}") for n in shared.values()]
                 for c in (pause, container)]
        tell(links[0] == links[1])
        tell(sh(container, "ps | grep -c 'sleep [1]000'; id -u; readlink /proc/self/ns/net"))
        tell(links[0][1])
        further = container.popen(["sh", "-c", "sleep 1001 & sleep 1001"])
        deadline = time.monotonic() + 20
        while len(container.processes()) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        tell(pause.pid in container.processes())
        pids = container.processes()
    tell([further.wait(10), pause.status])
    # Their new parent, which sleeps, reaps none.
    tell([pid for pid in pids if alive(pid)])
    del member["linux"]["uidMappings"][-1]
    tell(refusal(member)[1] if {with_range} else "")
""")

    assert told[0] is True
    assert told[1].split() == ["2", "0", told[2]]
    assert told[3] is False
    assert told[4] == [-9, "running"]
    assert told[5] == []
    if with_range:
        assert "$.linux.uidMappings: expected none for a user namespace that is joined" in told[6]


def test_what_belongs_to_others_cannot_be_joined(user: User, own_rootfs: str) -> None:
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            told = user.script(f"""{SH}
config = Config.default(["true"], rootfs={own_rootfs!r}, ids="own").to_dict()
network = next(n for n in config["linux"]["namespaces"] if n["type"] == "network")
network["path"] = "/proc/{other.pid}/ns/net"
tell(refusal(config))
""")
        finally:
            other.kill()

    assert told[0] == "ConfigInvalid"
    assert "Permission denied; is its process another user's?" in told[1]


def test_even_where_its_file_can_be_opened(user: User, own_rootfs: str) -> None:
    from runstate.linux import pins

    name = f"{user.home}/pinned"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        other.stdout.readline()
        fd = os.open(f"/proc/{other.pid}/ns/net", os.O_RDONLY)
        pins.pin(fd, name)
        os.close(fd)
        other.communicate()
    try:
        told = user.script(f"""{SH}
config = Config.default(["true"], rootfs={own_rootfs!r}, ids="own").to_dict()
network = next(n for n in config["linux"]["namespaces"] if n["type"] == "network")
network["path"] = {name!r}
tell(refusal(config))
""")
    finally:
        pins.unpin(name)

    assert told[0] == "ConfigInvalid"
    assert "this process may not join it: it belongs to a user namespace in which" in told[1]


def test_clocks_can_be_set_without_root(ranged: tuple[User, int], own_rootfs: str) -> None:
    told = ranged[0].script(f"""{SH}
config = Config.default(["sleep", "1000"], rootfs={own_rootfs!r}).to_dict()
config["linux"]["namespaces"].append({{"type": "time"}})
config["linux"]["timeOffsets"] = {{"boottime": {{"secs": 864000}}}}
with factory.run(new_id(), config) as container:
    tell(float(sh(container, "cat /proc/uptime").split()[0]) - time.clock_gettime(7))
""")

    assert 863_000 < told < 865_000


# --- root of a user namespace -------------------------------------------------------------------

UNSHARE = ("unshare", "--user", "--mount", "--map-root-user")


@pytest.mark.parametrize("with_range", [False, True], ids=["own id", "range"])
def test_root_of_a_user_namespace_counts_as_an_ordinary_user(
    ranged: tuple[User, int], own_rootfs: str, with_range: bool
) -> None:
    inside = (*UNSHARE, "--map-auto") if with_range else UNSHARE
    told = ranged[0].script(f"""{SH}
tell([os.geteuid(), len(read("/proc/self/uid_map").splitlines())])
with factory.run(new_id(), Config.default(["sleep", "1000"], rootfs={own_rootfs!r})) as container:
    tell([notice for notice in container.notices if notice.startswith("cgroup")])
    tell(sh(container, "id -u; touch /tmp/f; chown 5 /tmp/f; stat -c %u /tmp/f; rm /tmp/f"))
config = Config.default(["true"], rootfs={own_rootfs!r}).to_dict()
config["linux"]["uidMappings"][0]["hostID"] = 4000000
tell(refusal(config))
""", inside=inside)  # fmt: skip

    assert told[0] == [0, 2 if with_range else 1]
    assert len(told[1]) == 1
    assert told[2].split()[0] == "0"
    assert told[2].split()[1] == ("5" if with_range else "0")
    assert told[3][0] == "ConfigInvalid"
    expected = "$.linux.uidMappings[0].hostID: expected ids that this process's own user namespace"
    assert told[3][1].startswith(expected)


def test_root_of_a_user_namespace_needs_no_further_one(
    ranged: tuple[User, int], own_rootfs: str
) -> None:
    told = ranged[0].script(f"""{SH}
config = Config.default(["sleep", "1000"], rootfs={own_rootfs!r}, rootless=False).to_dict()
config["linux"].pop("resources")
with factory.run(new_id(), config) as container:
    tell(os.readlink(f"/proc/{{container.pid}}/ns/user") == os.readlink("/proc/self/ns/user"))
    tell(sh(container, "echo kept >/dev/null; head -c 2 /dev/zero | wc -c; id -u"))
    tell(container.processes() == [container.pid])
# podman names the one that it is in itself, with its ids as they are in there.
config["linux"]["namespaces"].append({{"type": "user", "path": f"/proc/{{os.getpid()}}/ns/user"}})
identity = [{{"containerID": 0, "hostID": 0, "size": 65536}}]
config["linux"] |= {{"uidMappings": identity, "gidMappings": identity}}
with factory.run(new_id(), config) as container:
    tell(os.readlink(f"/proc/{{container.pid}}/ns/user") == os.readlink("/proc/self/ns/user"))
    tell(sh(container, "id -u"))
identity[0]["size"] += 1
tell(refusal(config))
""", inside=(*UNSHARE, "--map-auto"))  # fmt: skip

    assert told[0] is True
    assert told[1].split() == ["2", "0"]
    assert told[2:5] == [True, True, "0"]
    assert told[5][1].startswith("$.linux.uidMappings: expected none for a user namespace that is")


@pytest.mark.parametrize("rootless", [True, False])
def test_root_of_a_user_namespace_sees_the_hosts_root(
    ranged: tuple[User, int], rootless: bool
) -> None:
    told = ranged[0].script(f"""{SH}
config = Config.default(["sleep", "1000"], rootless={rootless}).to_dict()
config["linux"].pop("resources", None)
with factory.run(new_id(), config) as container:
    tell(sh(container, "echo new >/new && cat /new; id -u"))
""", inside=(*UNSHARE, "--map-auto"))  # fmt: skip

    assert told.split() == ["new", "0"]


def test_a_container_without_the_users_own_id(ranged: tuple[User, int], own_rootfs: str) -> None:
    user, start = ranged
    told = user.script(f"""{SH}
config = Config.default(["sleep", "1000"], rootfs={own_rootfs!r}).to_dict()
for kind in ("uid", "gid"):
    config["linux"][f"{{kind}}Mappings"] = [
        {{"containerID": 0, "hostID": {start}, "size": 1000}},
        {{"containerID": 1000, "hostID": {start + 2000}, "size": 10}},
    ]
os.chmod({user.home!r}, 0o755)
with factory.run(new_id(), config) as container:
    tell(os.stat(f"/proc/{{container.pid}}/root/dev/shm").st_uid)
    tell(sh(container, "id -u; stat -c %u /"))
""")

    assert told[0] == start
    assert told[1].split() == ["0", "65534"]
