"""What the host looks like: taken before and after, to show that nothing is left behind.

A snapshot has the mounts, the cgroups, the network interfaces, this process's descendants and
descriptors, and the files below a root directory. Two are compared as sets, so that a test
that fails says which mount, process or file is new.
"""

from __future__ import annotations

import gc
import os
import time
from itertools import count

from attrs import asdict, frozen
from pyroute2 import IPRoute

from runstate.linux import launcher

# Containers of others come and go on the same machine; ours carry this in their ids.
MARK = f"pytest{os.getpid()}"
_numbers = count()

# Mount and network namespaces are taken down by the kernel some time after their last process.
_SETTLING_SECONDS = 5.0


def new_id() -> str:
    """An id that no other container on this machine has."""
    return f"{MARK}-{next(_numbers)}"


@frozen
class Snapshot:
    """The host at one moment; each field is a set, so that differences can be named.

    Attributes:
        mounts: The lines of /proc/self/mountinfo.
        cgroups: This test run's cgroup directories, of all hierarchies.
        interfaces: The network interfaces.
        processes: This process's descendants; zombies are called so.
        descriptors: This process's open descriptors.
        zygote: How many open descriptors the zygote has, but for those of its spare child.
        files: What is below the root directory, but for the history.
    """

    mounts: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    processes: frozenset[str]
    descriptors: frozenset[str]
    zygote: frozenset[str]
    files: frozenset[str]

    def differences(self, other: Snapshot) -> dict[str, dict[str, list[str]]]:
        """What is gone and what is new in another snapshot; empty if they are the same."""
        after = asdict(other)
        found = {}
        for name, before in asdict(self).items():
            gone, new = sorted(before - after[name]), sorted(after[name] - before)
            if gone or new:
                found[name] = {"gone": gone, "new": new}
        return found


def take(root: str) -> Snapshot:
    """The host as it is now.

    Args:
        root: The root directory whose files are of interest.
    """
    gc.collect()  # a descriptor that only a dead cycle holds is no leak
    zygote = launcher.get()
    children = _children()
    spare = _spare(zygote.pid, children)
    return Snapshot(
        mounts=frozenset(_mounts()),
        cgroups=frozenset(_cgroups()),
        interfaces=frozenset(_interfaces()),
        processes=frozenset(_descendants(os.getpid(), children, {zygote.pid, spare})),
        descriptors=frozenset(_descriptors(zygote)),
        zygote=frozenset(_zygote_descriptors(zygote.pid, spare)),
        files=frozenset(files(root)),
    )


def assert_same(before: Snapshot, root: str) -> None:
    """The host is as it was, as soon as the kernel has caught up."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while (differences := before.differences(take(root))) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not differences


def files(root: str) -> list[str]:
    """All paths below a root directory, but for its history and the contents of bundles."""
    found = []
    for directory, names, plain in os.walk(root):
        if directory == root and ".history" in names:
            names.remove(".history")
        found += [os.path.join(directory, name) for name in names + plain]
    return found


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as mountinfo:
        return mountinfo.read().splitlines()


def cgroup_mount_points() -> list[str]:
    """Where cgroup hierarchies are mounted (proc(5), mountinfo)."""
    found = []
    for line in _mounts():
        fields = line.split(" ")
        if fields[fields.index("-", 6) + 1] in ("cgroup", "cgroup2"):
            found.append(fields[4])
    return found


def _cgroups() -> list[str]:
    found = []
    for mount_point in cgroup_mount_points():
        for top in os.listdir(mount_point):
            path = os.path.join(mount_point, top)
            if top.startswith("runstate") and os.path.isdir(path):
                found += [directory for directory, _, _ in os.walk(path) if MARK in directory]
    return found


def _interfaces() -> list[str]:
    with IPRoute() as route:
        return [str(link.get("ifname")) for link in route.get_links()]


def stat_fields(pid: int) -> tuple[str, str, int] | None:
    """A process's command, state letter and parent (proc(5), stat); None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = text[text.rindex(")") + 1 :].split()[:2]
    return text[text.index("(") : text.rindex(")") + 1], state, int(parent)


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for name in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        fields = stat_fields(int(name))
        if fields is not None:
            children.setdefault(fields[2], []).append(int(name))
    return children


def children_of(parent: int) -> list[int]:
    """The pids of a process's children, zombies too; the oldest first."""
    return _children().get(parent, [])


def _spare(zygote: int, children: dict[int, list[int]]) -> int:
    """The child that the zygote has made in advance, if it has (0: it has not).

    It looks like an init that waits to be started; all but the youngest of these are one.
    """
    waiting = [pid for pid in children.get(zygote, []) if launcher.is_waiting_init(pid)]
    return waiting[-1] if waiting else 0


def _descendants(top: int, children: dict[int, list[int]], lasting: set[int]) -> list[str]:
    found, parents = [], [top]
    while parents:
        for pid in children.get(parents.pop(), []):
            parents.append(pid)
            fields = stat_fields(pid)
            if pid not in lasting and fields is not None:
                found.append(f"{pid} {fields[0]}{' zombie' if fields[1] == 'Z' else ''}")
    return found


def _descriptors(zygote: launcher.Launcher) -> list[str]:
    own = {zygote._control.fileno(), zygote._last_words}
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that lists the directory
        if int(name) not in own:
            found.append(f"{name} {target}")
    return found


def _zygote_descriptors(zygote: int, spare: int) -> list[str]:
    try:
        held = len(os.listdir(f"/proc/{zygote}/fd"))
    except PermissionError:
        return []  # it is not dumpable, so an ordinary user may not look
    # Of the spare child it holds a pidfd and a socket.
    return [f"{held - 2 if spare else held} descriptors"]
