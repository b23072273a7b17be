"""What namespaces a process is born into: joined ones, and a time namespace with its clocks.

Both are for a process between the zygote and the new one, because a user namespace cannot be
left again, and pid and time namespaces are for children only (setns(2), unshare(2)).
"""

from __future__ import annotations

import os

from runstate.init import kernel


def join(joins: list[tuple[int, int]]) -> None:
    """setns(2) of each (descriptor, CLONE_NEW*), in the order in which it may be done.

    What belongs to the host can be joined only with the rights that this process has now, and
    what belongs to the user namespace that is joined too, perhaps only with those it has there.
    So the user namespace comes after all that is granted at once, and before the rest.

    Raises:
        OSError: One is refused; its filename is ``setns`` and the CLONE_NEW*.
    """
    last = [pair for pair in joins if pair[1] & kernel.CLONE_NEWUSER]
    for fd, flags in joins:
        if flags & kernel.CLONE_NEWUSER:
            continue
        try:
            _setns(fd, flags)
        except PermissionError:
            if not last:
                raise
            last.append((fd, flags))
    for fd, flags in last:
        _setns(fd, flags)


def _setns(fd: int, flags: int) -> None:
    try:
        kernel.setns(fd, flags)
    except OSError as error:
        error.filename = f"setns {flags}"
        raise


def open_clocks() -> int:
    """The file by which this process will set the clocks of its children's time namespace.

    Opened before any user namespace is joined or made: then it is this process's own.
    """
    return os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)


def make_time_namespace(flags: int, clocks: int, offsets: str) -> None:
    """A new time namespace for children, in a new user namespace if the flags have one.

    Args:
        flags: CLONE_NEW* of all that is to be new.
        clocks: What ``open_clocks`` gave.
        offsets: Lines for timens_offsets (time_namespaces(7)); none leaves the clocks alone.
    """
    if flags & kernel.CLONE_NEWUSER:
        kernel.unshare(kernel.CLONE_NEWUSER)
    kernel.unshare(kernel.CLONE_NEWTIME)
    if offsets:
        try:
            os.write(clocks, offsets.encode())
        except OSError as error:
            error.filename = "timens_offsets"
            raise
