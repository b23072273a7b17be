"""Killing all processes of a cgroup, frozen or not, however fast they fork.

Version 2 has a file for it (Linux 5.14). Elsewhere all are stopped first, so that none can
fork; and where they do not stop, they are killed again and again until none is left.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from runstate.errors import DeadlineExceeded, NotSupported, OperationFailed
from runstate.linux.cgroups import freezer
from runstate.linux.cgroups.files import is_gone, write_failed, write_value
from runstate.linux.cgroups.tree import list_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How many processes are signalled at a time, each through a descriptor of its own.
_BATCH = 256


def kill(paths: Mapping[str, str], primary: str, deadline_s: float) -> None:
    """Send each process a SIGKILL.

    Args:
        paths: Of the cgroup.
        primary: The one of them that all processes are found in.
        deadline_s: In seconds, where the kernel has no file for it.

    Raises:
        DeadlineExceeded: New processes came faster than the old ones could be killed.
        OperationFailed: The kernel refuses.
    """
    if not _kill_by_kernel(paths):
        _kill_one_by_one(paths, primary, time.monotonic() + deadline_s, deadline_s)


def _kill_by_kernel(paths: Mapping[str, str]) -> bool:
    unified = paths.get("")
    if unified is None:
        return False
    try:
        write_value(unified + "/cgroup.kill", b"1")
    except OSError as error:
        if not is_gone(error):
            raise write_failed("1", "cgroup.kill", unified, error) from error
        if os.path.isdir(unified):
            return False
    freezer.thaw_all(paths)
    return True


def _kill_one_by_one(
    paths: Mapping[str, str], primary: str, deadline: float, deadline_s: float
) -> None:
    try:
        freezer.freeze(paths, deadline_s / 2)
    except (DeadlineExceeded, NotSupported, OperationFailed):
        # A process may hang in the kernel; the others must die all the same.
        stopped = False
    else:
        stopped = True
    try:
        _signal(primary, list_processes(primary))
    finally:
        freezer.thaw_all(paths)
    # Stopped processes cannot have forked since they were listed. Others can.
    while not stopped and (pids := list_processes(primary)):
        if time.monotonic() >= deadline:
            raise DeadlineExceeded(
                f"kill the processes of cgroup {primary}: {len(pids)} are left after "
                f"{deadline_s:g} s"
            )
        _signal(primary, pids)
        time.sleep(1e-3)


def _signal(primary: str, pids: Sequence[int]) -> None:
    """SIGKILL to these processes, if they are (still) in the cgroup.

    A descriptor is taken first, and then it is looked whether the pid is still listed: a
    pid that was used again by a process outside in between is not signalled.
    """
    for start in range(0, len(pids), _BATCH):
        descriptors: dict[int, int] = {}
        try:
            for pid in pids[start : start + _BATCH]:
                try:
                    descriptors[pid] = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
            for pid in list_processes(primary):
                if pid in descriptors:
                    try:
                        signal.pidfd_send_signal(descriptors[pid], signal.SIGKILL)
                    except ProcessLookupError:
                        continue
        except OSError as error:
            raise OperationFailed.from_os_error(
                f"kill the processes of cgroup {primary}", error
            ) from error
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)
