"""Making and removing the directories of cgroups, while others do the same next to them.

A parent that is made on the way is removed again with the last cgroup in it. So it may vanish
between making it and making a child in it: making goes on trying. Which parents were made here
is written on themselves, in an extended attribute, because the process that removes the last
child need not be the one that made the first; the default parent needs no mark but its name.
"""

from __future__ import annotations

import errno
import os
import time

from runstate.errors import DeadlineExceeded, NotSupported, OperationFailed
from runstate.linux.cgroups.events import await_event
from runstate.linux.cgroups.files import is_gone, read_value, subgroups, write_value
from runstate.linux.cgroups.paths import DEFAULT_PARENT

# The first takes CAP_SYS_ADMIN; the second is what others may set, on version 2.
_MARKS = ("trusted.runstate.parent", "user.runstate.parent")

# Each attempt fails only because another container's removal took the parent in between.
_ATTEMPTS = 1000

_SHORTEST_PAUSE = 100e-6
_LONGEST_PAUSE = 10e-3


def make_cgroup(directory: str) -> bool:
    """Make a cgroup, and its parents where they are missing.

    Returns:
        Whether it was made; False if it was there.

    Raises:
        OperationFailed: The kernel refuses.
    """
    for _ in range(_ATTEMPTS):
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            return False
        except OSError as error:
            if not is_gone(error):
                raise OperationFailed.from_os_error(f"make cgroup {directory}", error) from error
        else:
            return True
        _make_parent(os.path.dirname(directory))
    raise OperationFailed(
        f"make cgroup {directory}", "its parent is being removed again and again", errno.ENOENT
    )


def _make_parent(directory: str) -> None:
    if not make_cgroup(directory):
        return
    if not os.path.exists(f"{directory}/cgroup.procs"):
        try:
            os.rmdir(directory)
        except OSError as error:
            # Another container's removal has taken it, and a third may have made it again.
            if is_gone(error) or error.errno == errno.EBUSY:
                return
        # The hierarchy was unmounted since it was looked up.
        raise OperationFailed(f"make cgroup {directory}", "no cgroup file system is mounted there")
    if os.path.basename(directory) == DEFAULT_PARENT:
        return
    for mark in _MARKS:
        try:
            os.setxattr(directory, mark, b"1")
        except FileNotFoundError:
            return
        except OSError:
            # Version 1 has no mark that a user may set, and old kernels have none at all. A
            # parent without one stays, as it does with other runtimes.
            continue
        return


def remove_cgroup(directory: str, deadline: float, *, unified: bool) -> None:
    """Remove a cgroup and all below it, once its processes are gone.

    Args:
        directory: The cgroup; that it is gone already is fine.
        deadline: On the monotonic clock, in seconds.
        unified: It is of version 2, which tells when the last process has left.

    Raises:
        DeadlineExceeded: It still has processes.
        OperationFailed: The kernel refuses.
    """
    pause = _SHORTEST_PAUSE
    last = False
    while not _rmdir(directory):
        for child in subgroups(directory):
            _rmdir(child)
        if _rmdir(directory):
            return
        if last:
            raise _still_busy(directory)
        if unified:
            last = not _await_empty(directory, deadline)
        # Version 1 tells nobody. And a cgroup is shortly busy after it has said that it is not.
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
        last = last or time.monotonic() >= deadline


def _await_empty(directory: str, deadline: float) -> bool:
    try:
        return await_event(directory, "populated", value=False, deadline=deadline)
    except OSError as error:
        if is_gone(error):
            return True
        raise OperationFailed.from_os_error(
            f"wait until cgroup {directory} is empty", error
        ) from error


def _rmdir(directory: str) -> bool:
    """Whether the cgroup is gone; False while it is busy."""
    try:
        os.rmdir(directory)
    except OSError as error:
        if is_gone(error):
            return True
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise OperationFailed.from_os_error(f"remove cgroup {directory}", error) from error
        return False
    return True


def _still_busy(directory: str) -> DeadlineExceeded:
    pids = list_processes(directory)
    named = ", ".join(map(str, pids[:10])) + (", …" if len(pids) > 10 else "")
    who = f"processes {named} are still in it" if pids else "the kernel says that it is busy"
    return DeadlineExceeded(f"remove cgroup {directory}: {who}")


def remove_parents(directory: str) -> None:
    """Remove the parents of this cgroup that were made here, as far as they are empty."""
    parent = os.path.dirname(directory)
    while parent != "/":
        try:
            if not _is_ours(parent):
                return
            os.rmdir(parent)
        except OSError as error:
            # Not empty: another container lives there, and its removal will come by. A parent
            # that is gone was removed by one that may have been stopped before the next.
            if not is_gone(error):
                return
        parent = os.path.dirname(parent)


def _is_ours(directory: str) -> bool:
    if os.path.basename(directory) == DEFAULT_PARENT:
        return True
    for mark in _MARKS:
        try:
            os.getxattr(directory, mark)
        except OSError as error:
            if is_gone(error):
                raise
        else:
            return True
    return False


def list_processes(directory: str) -> list[int]:
    """The pids in a cgroup and all below it, each once; none where it is gone.

    Raises:
        OperationFailed: The kernel refuses to tell.
    """
    pids: dict[int, None] = {}
    for cgroup in (directory, *subgroups(directory)):
        try:
            with open(f"{cgroup}/cgroup.procs", "rb", buffering=0) as file:
                text = file.readall()
        except OSError as error:
            # A threaded cgroup has no processes: they are listed where its threads' domain is.
            if is_gone(error) or error.errno == errno.EOPNOTSUPP:
                continue
            raise OperationFailed.from_os_error(
                f"list the processes of cgroup {cgroup}", error
            ) from error
        pids.update(dict.fromkeys(map(int, text.split())))
    # A process of another pid namespace, which this one cannot name, is listed as 0.
    pids.pop(0, None)
    return list(pids)


def inherit_cpuset(directory: str) -> None:
    """Give a version 1 cpuset the processors and memory nodes of its parent, where it has none.

    It is made without any, and no process can be attached to it then (cpuset(7)). Its parents
    get theirs first, as they may have been made a moment ago by another runtime.

    Raises:
        OSError: As the kernel reports it.
    """
    for file in ("cpuset.cpus", "cpuset.mems"):
        _inherit(directory, file)


def _inherit(directory: str, file: str) -> str:
    path = f"{directory}/{file}"
    value = read_value(path)
    if not value:
        value = _inherit(os.path.dirname(directory), file)
        write_value(path, value.encode())
    return value


def controllers_at(directory: str) -> frozenset[str]:
    """The controllers that a version 2 cgroup has, or its nearest parent that is there already.

    Raises:
        OperationFailed: The kernel refuses to tell.
    """
    while True:
        try:
            return frozenset(read_value(f"{directory}/cgroup.controllers").split())
        except OSError as error:
            if not is_gone(error) or directory == "/":
                raise OperationFailed.from_os_error(
                    f"read the controllers of cgroup {directory}", error
                ) from error
        directory = os.path.dirname(directory)


def enable_controllers(directory: str, wanted: frozenset[str]) -> None:
    """Let the children of a version 2 cgroup have these controllers, from the root on down.

    Raises:
        NotSupported: A controller is not there, or the cgroup has processes of its own.
        OperationFailed: The kernel refuses for another reason.
    """
    control = f"{directory}/cgroup.subtree_control"
    operation = f"enable {', '.join(sorted(wanted))} for the children of cgroup {directory}"
    try:
        missing = wanted.difference(read_value(control).split())
        if not missing:
            return
        absent = missing.difference(read_value(f"{directory}/cgroup.controllers").split())
        if absent:
            parent = os.path.dirname(directory)
            if not os.path.exists(f"{parent}/cgroup.subtree_control"):
                raise NotSupported(
                    f"{operation}: this host's cgroup version 2 does not have "
                    f"{', '.join(sorted(absent))}; leave the limits out"
                )
            enable_controllers(parent, frozenset(absent))
        write_value(control, " ".join(f"+{name}" for name in sorted(missing)).encode())
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise NotSupported(
                f"{operation}: processes live in it, and cgroup version 2 gives controllers only "
                "to children of cgroups without processes; move them into a child of it, or "
                "name another place in linux.cgroupsPath"
            ) from error
        raise OperationFailed.from_os_error(operation, error) from error
