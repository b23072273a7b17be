"""Waiting for the kernel's word in cgroup.events, instead of asking again and again."""

from __future__ import annotations

import os
import select
import time

# The kernel tells of changes at most once in 10 ms for each file
# (CGROUP_FILE_NOTIFY_MIN_INTV), so that the death of a process that was attached, or killed,
# just now is told late. For as long as most of them take to die it is worth looking, first.
_SHORTEST_PAUSE = 50e-6
_LONGEST_PAUSE = 2e-3


def read_event(directory: str, key: str) -> bool:
    """Whether ``populated`` or ``frozen`` is 1 in cgroup.events (cgroups(7)).

    Raises:
        OSError: As the kernel reports it; ENOENT or ENODEV once the cgroup is gone.
    """
    fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _holds(fd, key)
    finally:
        os.close(fd)


def await_event(directory: str, key: str, *, value: bool, deadline: float) -> bool:
    """Wait until the key of cgroup.events has this value.

    Args:
        directory: A cgroup of version 2.
        key: ``populated`` or ``frozen``.
        value: What to wait for.
        deadline: On the monotonic clock, in seconds.

    Returns:
        Whether it came to that before the deadline.

    Raises:
        OSError: As the kernel reports it; ENOENT or ENODEV once the cgroup is gone.
    """
    fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _holds(fd, key) == value:
            return True
        # Each read acknowledges the changes up to it, so that none between it and the poll
        # is missed.
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        pause = _SHORTEST_PAUSE
        while (left := deadline - time.monotonic()) > 0:
            if pause < _LONGEST_PAUSE:
                time.sleep(min(pause, left))
                pause *= 2
            else:
                poll.poll(left * 1000 + 1)
            if _holds(fd, key) == value:
                return True
    finally:
        os.close(fd)
    return False


def _holds(fd: int, key: str) -> bool:
    return f"{key} 1" in os.pread(fd, 256, 0).decode("ascii").splitlines()
