"""Stopping and continuing all processes of a cgroup, by whichever freezer the host has.

Version 1 has a controller for it, whose file must be asked again and again. Version 2 has a
core file, whose completion is an event. Both stop the whole tree below the cgroup.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runstate.errors import DeadlineExceeded, NotSupported, OperationFailed
from runstate.linux.cgroups.events import await_event, read_event
from runstate.linux.cgroups.files import is_gone, read_value, subgroups, write_failed, write_value

if TYPE_CHECKING:
    from collections.abc import Mapping

# How often version 1's freezer is asked before all are let go and it begins anew: a process
# that waits, unfreezable, for one that is frozen already would keep it FREEZING for ever.
_ATTEMPTS_BEFORE_THAW = 50
_SHORTEST_PAUSE = 20e-6
_LONGEST_PAUSE = 1e-3
_THAWED_PAUSE = 10e-3


def freeze(paths: Mapping[str, str], deadline_s: float) -> None:
    """Stop all processes; on return they are stopped.

    Args:
        paths: Of the cgroup.
        deadline_s: How many seconds the kernel has. After that everything is thawed again.

    Raises:
        DeadlineExceeded: Some process does not stop; all run again.
        NotSupported: The host has no freezer.
        OperationFailed: The kernel refuses.
    """
    deadline = time.monotonic() + deadline_s
    legacy = paths.get("freezer")
    directory = legacy or _unified(paths, "freeze processes")
    try:
        if legacy is not None:
            done = _freeze_v1(legacy, deadline)
        else:
            write_value(f"{directory}/cgroup.freeze", b"1")
            done = await_event(directory, "frozen", value=True, deadline=deadline)
    except BaseException as error:
        thaw(paths)
        if isinstance(error, OSError):
            raise OperationFailed.from_os_error(f"freeze cgroup {directory}", error) from error
        raise
    if not done:
        thaw(paths)
        raise DeadlineExceeded(
            f"freeze cgroup {directory}: its processes have not all stopped after "
            f"{deadline_s:g} s, and run again; one of them may wait in the kernel (state D in "
            "ps), for a disk or a network file system"
        )


def _freeze_v1(directory: str, deadline: float) -> bool:
    fd = os.open(f"{directory}/freezer.state", os.O_RDWR | os.O_CLOEXEC)
    try:
        attempts = 0
        pause = _SHORTEST_PAUSE
        while True:
            # Also while FREEZING: it reaches the processes forked since.
            os.pwrite(fd, b"FROZEN", 0)
            if os.pread(fd, 16, 0) == b"FROZEN\n":
                return True
            if time.monotonic() >= deadline:
                return False
            attempts += 1
            if attempts % _ATTEMPTS_BEFORE_THAW == 0:
                os.pwrite(fd, b"THAWED", 0)
                time.sleep(_THAWED_PAUSE)
            else:
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
    finally:
        os.close(fd)


def thaw(paths: Mapping[str, str]) -> None:
    """Let all processes continue; nothing happens where they do, or where the cgroup is gone.

    Raises:
        NotSupported: The host has no freezer.
        OperationFailed: The kernel refuses.
    """
    legacy = paths.get("freezer")
    if legacy is not None:
        _thaw_v1(legacy)
        return
    directory = _unified(paths, "thaw processes")
    try:
        write_value(f"{directory}/cgroup.freeze", b"0")
    except OSError as error:
        if not is_gone(error):
            raise write_failed("0", "cgroup.freeze", directory, error) from error


def thaw_all(paths: Mapping[str, str]) -> None:
    """Let all processes continue, also those of sub-cgroups that were frozen by themselves.

    After a kill: a process that version 1 has frozen does not die before it is thawed.

    Raises:
        OperationFailed: The kernel refuses.
    """
    legacy = paths.get("freezer")
    if legacy is not None:
        for directory in (*subgroups(legacy), legacy):
            _thaw_v1(directory)
    elif "" in paths:
        thaw(paths)


def _thaw_v1(directory: str) -> None:
    try:
        write_value(f"{directory}/freezer.state", b"THAWED")
    except OSError as error:
        if not is_gone(error):
            raise write_failed("THAWED", "freezer.state", directory, error) from error


def is_frozen(paths: Mapping[str, str]) -> bool:
    """Whether all processes are stopped; False too while they are only being stopped.

    Raises:
        OperationFailed: The kernel refuses to tell.
    """
    legacy = paths.get("freezer")
    directory = legacy or paths.get("")
    if directory is None:
        return False
    try:
        if legacy is not None:
            return read_value(f"{legacy}/freezer.state") == "FROZEN"
        return read_event(directory, "frozen")
    except OSError as error:
        if is_gone(error):
            return False
        raise OperationFailed.from_os_error(
            f"ask whether cgroup {directory} is frozen", error
        ) from error


def _unified(paths: Mapping[str, str], what: str) -> str:
    directory = paths.get("")
    if directory is None:
        raise NotSupported(
            f"{what}: the container has no cgroup with a freezer; mount cgroup version 2, or "
            "version 1's freezer, or have a cgroup delegated to this user"
        )
    return directory
