"""Mounts whose ids are mapped (mount_setattr(2), ID-mapped mounts), made on the host's side.

The kernel takes the mapping from a user namespace. One with a mapping of one's own has to be
made for it, by a process that lives no longer than that takes.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from runstate.errors import OperationFailed, explain_errno
from runstate.init import kernel
from runstate.linux import launcher

if TYPE_CHECKING:
    from collections.abc import Iterable

    Mapping = Iterable[tuple[int, int, int]]

_NO_SUCH_FILE_SYSTEM = (
    "its file system, or one that is mounted below it, maps no ids on this kernel, or does so"
    " already"
)


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


def open_tree(source: str, *, recursive: bool) -> int:
    """A detached copy of a mount, with what is mounted below it or without.

    Raises:
        OperationFailed: There is no such path, or the kernel refuses.
    """
    flags = kernel.OPEN_TREE_CLONE | (kernel.AT_RECURSIVE if recursive else 0)
    try:
        return kernel.open_tree(kernel.AT_FDCWD, source, flags)
    except OSError as error:
        raise OperationFailed.from_os_error(f"open {source} to bind it", error) from error


def map_ids(tree: int, userns: int, source: str, *, recursive: bool) -> None:
    """Map the ids of a detached mount.

    Args:
        tree: What ``open_tree`` gave.
        userns: A descriptor of the user namespace whose mappings it gets.
        source: Its path, for the words of an error.
        recursive: Whether what is mounted below is mapped as well.

    Raises:
        OperationFailed: A file system cannot do it.
    """
    try:
        kernel.mount_setattr(
            tree, attr_set=kernel.MOUNT_ATTR_IDMAP, userns=userns, recursive=recursive
        )
    except OSError as error:
        reason = explain_errno(error.errno)
        if error.errno in (errno.EINVAL, errno.EPERM):
            reason = f"{reason}: {_NO_SUCH_FILE_SYSTEM}"
        raise OperationFailed(f"map the ids of a mount of {source}", reason, error.errno) from error
