"""What the host has to have before anything can be compared, and has to lose again after."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from runstate.init import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = "/sys/fs/cgroup"
_UNIFIED = f"{_CGROUPS}/unified"
_TRIES, _SECONDS_A_TRY = 3, 3.0


def require(program: str) -> str:
    """The path of a peer.

    Raises:
        SystemExit: It is not installed.
    """
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"bench: {program} is not installed; as root, `make bench` installs it")
    return path


def version_of(program: str) -> str:
    """The first line of ``--version``."""
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return output.stdout.splitlines()[0]


@contextmanager
def private_mounts() -> Iterator[list[str]]:
    """What all contenders alike need mounted, in a mount namespace of the bench's own.

    /run, where every contender has its root directory, is in memory, as systemd has it. And
    crun refuses a hybrid host whose cgroup2 has a controller; mounting a controller's v1
    hierarchy takes it away from cgroup2, and in the end it is given back.

    Yields:
        What was done, in words; nothing on most hosts.
    """
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_SLAVE | kernel.MS_REC, "")
    with ExitStack() as stack:
        changes = [_move_to_v1(name, stack) for name in _to_be_moved()]
        if _fstype_of("/run") != "tmpfs":
            kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
            stack.callback(kernel.umount2, "/run", kernel.MNT_DETACH)
            changes.append("/run is a tmpfs for the time of the bench")
        yield changes


def _fstype_of(mount_point: str) -> str | None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split(" ") for line in file]
    found = [m[m.index("-", 6) + 1] for m in mounts if m[4] == mount_point]
    return found[-1] if found else None


def _to_be_moved() -> list[str]:
    if not os.path.isdir(_UNIFIED):
        return []
    # A hierarchy that nobody has mounted any more may linger, and confuses the peers as well.
    with open("/proc/self/cgroup", encoding="ascii") as file:
        legacy = [line.split(":")[1] for line in file]
    lingering = [name for name in legacy if name and not os.path.ismount(f"{_CGROUPS}/{name}")]
    plain = [name for name in lingering if "=" not in name and "," not in name]
    return [*_unified_controllers(), *plain]


def _unified_controllers() -> list[str]:
    with open(f"{_UNIFIED}/cgroup.controllers", encoding="ascii") as file:
        return file.read().split()


def _move_to_v1(controller: str, stack: ExitStack) -> str:
    path = f"{_CGROUPS}/{controller}"
    if not os.path.isdir(path):
        os.mkdir(path)
        stack.callback(os.rmdir, path)
    kernel.mount(controller, path, "cgroup", 0, controller)
    stack.callback(_give_back, controller, path)
    return f"the controller {controller} is moved from cgroup2 to v1 for the time of the bench"


def _give_back(controller: str, path: str) -> None:
    """Unmount, and wait until cgroup2 has it.

    A hierarchy that still had dying cgroups survives that; unmounted once more, it goes.
    """
    for _ in range(_TRIES):
        kernel.umount2(path, 0)
        deadline = time.monotonic() + _SECONDS_A_TRY
        while time.monotonic() < deadline:
            if controller in _unified_controllers():
                return
            time.sleep(0.05)
        kernel.mount(controller, path, "cgroup", 0, controller)
    kernel.umount2(path, 0)
    print(f"bench: the kernel still has the controller {controller} in v1")
