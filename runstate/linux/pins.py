"""Namespaces that outlast their last process, because something is mounted on a name.

A bind mount of a namespace's file keeps the namespace (namespaces(7), The /proc/pid/ns/
directory). The name is there before the mount is, so whoever finds the name can let go.
"""

from __future__ import annotations

import errno
import fcntl
import os

from runstate.init import kernel

_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)
_UMOUNT_NOFOLLOW = 8
_NOT_MOUNTED = (errno.EINVAL, errno.ENOENT)


def pin(namespace: int, path: str) -> None:
    """Keep a namespace, by its descriptor, under a name; nothing is mounted there yet."""
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(path, flags, 0o600))
    kernel.mount(f"/proc/self/fd/{namespace}", path, "", kernel.MS_BIND, "")


def open_pinned(path: str) -> int | None:
    """A descriptor of the namespace that is kept here; None if none is (any more)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:  # a plain file: nothing is mounted on it yet, or since the last boot
        os.close(fd)
        return None
    return fd


def unpin(path: str) -> None:
    """Let go of the namespace that is kept here, if one is, and remove the name."""
    try:
        kernel.umount2(path, kernel.MNT_DETACH | _UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in _NOT_MOUNTED:
            raise
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
