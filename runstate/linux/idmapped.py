"""User namespaces for mounts whose ids are mapped (mount_setattr(2), ID-mapped mounts).

The kernel takes the mapping from a user namespace. One with a mapping of one's own has to be
made for it, by a process that lives no longer than that takes.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from runstate.errors import OperationFailed
from runstate.init import kernel
from runstate.linux import launcher

if TYPE_CHECKING:
    from collections.abc import Iterable

    Mapping = Iterable[tuple[int, int, int]]


def user_namespace(uids: Mapping, gids: Mapping, deadline: float) -> int:
    """A descriptor of a new user namespace that nobody is in.

    Args:
        uids: (id inside, id outside, how many), as user_namespaces(7) has them.
        gids: The same, of groups.
        deadline: Seconds to wait for the process that makes it.

    Raises:
        OperationFailed: The kernel does not take the mapping, or has no user namespaces.
    """
    ours, theirs = socket.socketpair()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    with ours:
        with theirs:
            child = launcher.get().launch(theirs, (null, null, null), flags=kernel.CLONE_NEWUSER)
        os.close(null)
        try:
            pid = child.identity.pid
            _write_map(pid, "uid_map", uids)
            _write_map(pid, "gid_map", gids)
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            ours.close()  # it waits for a plan, and ends without
            if child.pidfd >= 0:
                child.kill(deadline)
            child.close()


def _write_map(pid: int, name: str, mapping: Mapping) -> None:
    lines = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in mapping)
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, lines.encode())
        finally:
            os.close(fd)
    except OSError as error:
        said = lines.strip().replace("\n", "; ")
        raise OperationFailed.from_os_error(
            f"map ids of a mount: {name} {said!r}", error
        ) from error
