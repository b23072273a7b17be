"""Processes by pid and start time: which one it is, whether it lives, how to signal it."""

from __future__ import annotations

import errno
import os
import signal as signals
from functools import cache

from runstate.errors import OperationFailed
from runstate.states.state import ProcessIdentity


@cache
def boot_id() -> str:
    """This boot's id (proc(5), /proc/sys/kernel/random/boot_id)."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def read_text(path: str) -> str:
    """A small file of proc or sysfs, in one read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = read_text(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name may hold anything, parentheses too; the fields follow the last one.
    return text[text.rindex(")") + 2 :].split()


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of the process that has this pid now; None if there is none."""
    fields = _stat_fields(pid)
    return None if fields is None else ProcessIdentity(pid, int(fields[19]))


def is_alive(process: ProcessIdentity) -> bool:
    """Whether this very process exists and is not a zombie."""
    fields = _stat_fields(process.pid)
    return fields is not None and int(fields[19]) == process.start and fields[0] not in "ZX"


def zombie_status(process: ProcessIdentity) -> int | None:
    """The wait status of a process that has ended and is not reaped yet; None otherwise."""
    fields = _stat_fields(process.pid)
    if fields is None or int(fields[19]) != process.start or fields[0] not in "ZX":
        return None
    return int(fields[49])


def open_pidfd(process: ProcessIdentity) -> int | None:
    """A pidfd of this very process, or None if it is gone (pidfd_open(2))."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except (ProcessLookupError, OSError) as error:
        if isinstance(error, ProcessLookupError):
            return None
        # EINVAL: the pid belongs to a thread now, so the process is gone.
        if error.errno == errno.EINVAL:
            return None
        raise OperationFailed.from_os_error(
            f"open a pidfd of process {process.pid}", error
        ) from error
    fields = _stat_fields(process.pid)
    if fields is None or int(fields[19]) != process.start:
        os.close(pidfd)
        return None
    return pidfd


def send_signal(process: ProcessIdentity, number: int) -> bool:
    """Signal this very process; False if it is gone (pidfd_send_signal(2))."""
    pidfd = open_pidfd(process)
    if pidfd is None:
        return False
    try:
        signals.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"send signal {number} to process {process.pid}", error
        ) from error
    finally:
        os.close(pidfd)
    return True


_PIDFD_SIGNAL_PROCESS_GROUP = 4  # pidfd_send_signal(2), Linux 6.9


def signal_group(pidfd: int, pid: int, number: int) -> None:
    """Signal the process group that this process leads; a group that is gone is as good.

    Args:
        pidfd: The leader's.
        pid: Its pid, for kernels that signal groups by number only.
        number: The signal.

    Raises:
        OperationFailed: It is another user's.
    """
    try:
        try:
            signals.pidfd_send_signal(pidfd, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            os.killpg(pid, number)
    except ProcessLookupError:
        return
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"send signal {number} to process group {pid}", error
        ) from error


def waits_for(pid: int) -> str:
    """What a process that does not end waits for, as far as the kernel tells."""
    fields = _stat_fields(pid)
    state = fields[0] if fields is not None else "gone"
    try:
        where = read_text(f"/proc/{pid}/wchan").strip()
    except OSError:
        where = ""
    if where == "zap_pid_ns_processes":
        # The end of a pid namespace waits for all that was in it (pid_namespaces(7)).
        return "waiting for processes of its pid namespace that their parents have not reaped"
    words = {"D": "in uninterruptible sleep", "T": "stopped", "Z": "a zombie"}.get(
        state, f"in state {state}"
    )
    return f"{words} in {where}" if where not in ("", "0") else words


def in_namespace_of(pid: int, name: str) -> list[int]:
    """All processes of a namespace that ``pid`` is in, as far as /proc shows them.

    Args:
        pid: The process.
        name: The namespace's name below /proc/PID/ns.
    """
    try:
        namespace = os.stat(f"/proc/{pid}/ns/{name}").st_ino
    except OSError:
        return []
    found = []
    for number in os.listdir("/proc"):
        if number.isdigit():
            try:
                if os.stat(f"/proc/{number}/ns/{name}").st_ino == namespace:
                    found.append(int(number))
            except OSError:
                continue  # gone meanwhile, or another user's
    return sorted(found)


def children(parent: ProcessIdentity) -> list[ProcessIdentity]:
    """A process's children (proc(5), task/TID/children); none where the kernel does not tell."""
    if not is_alive(parent):
        return []
    try:
        pids = read_text(f"/proc/{parent.pid}/task/{parent.pid}/children").split()
    except OSError:
        return []
    found = (identify(int(pid)) for pid in pids)
    return [child for child in found if child is not None]


def state_of(pid: int) -> str:
    """The state letter of proc(5)'s stat; ``X`` for a process that is gone."""
    fields = _stat_fields(pid)
    return "X" if fields is None else fields[0]


def in_process_groups(groups: set[int]) -> list[int]:
    """All living processes of these process groups."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat_fields(int(name))
            if fields is not None and int(fields[2]) in groups and fields[0] not in "ZX":
                found.append(int(name))
    return sorted(found)
