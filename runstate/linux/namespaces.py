"""Namespaces as files: of which type one is, whose it is, and who may join it (ioctl_ns(2))."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runstate.errors import NotSupported
from runstate.init import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

_NS_GET_USERNS = 0xB701
_NS_GET_PARENT = 0xB702
_NS_GET_NSTYPE = 0xB703
_NS_GET_OWNER_UID = 0xB704

FLAGS = {
    "user": kernel.CLONE_NEWUSER,
    "pid": kernel.CLONE_NEWPID,
    "mount": kernel.CLONE_NEWNS,
    "network": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "uts": kernel.CLONE_NEWUTS,
    "cgroup": kernel.CLONE_NEWCGROUP,
    "time": kernel.CLONE_NEWTIME,
}
"""The CLONE_NEW* of each type, by the specification's name for it."""

FILES = {**{name: name for name in FLAGS}, "mount": "mnt", "network": "net"}
"""The name of each type's file below /proc/PID/ns."""

_NAMES = {flag: name for name, flag in FLAGS.items()}


class NotANamespace(Exception):
    """What is at a path is not the namespace that it should be; the text says what it is."""


def open_file(path: str, kind: str) -> int:
    """A descriptor for a namespace's file.

    Nothing that is not one is opened: that could block (a fifo), or do something (a device).

    Args:
        path: The file: ``/proc/PID/ns/…``, or what such a file is mounted on.
        kind: The type that it shall have.

    Raises:
        NotANamespace: It has not, or cannot be opened; in words that follow a path.
    """
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise NotANamespace(_unreachable(path, error)) from error
    try:
        # All namespaces' files are of one file system of the kernel's, nsfs.
        if os.fstat(place).st_dev != os.stat("/proc/self/ns/user").st_dev:
            raise NotANamespace("which is no namespace" + _since_when(place))
        fd = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotANamespace(_unreachable(path, error)) from error
    finally:
        os.close(place)
    found = _NAMES.get(fcntl.ioctl(fd, _NS_GET_NSTYPE), "strange")
    if found != kind:
        os.close(fd)
        raise NotANamespace(f"which is a {found} namespace")
    return fd


def _unreachable(path: str, error: OSError) -> str:
    words = os.strerror(error.errno or errno.EIO)
    if path.startswith("/proc/") and error.errno == errno.ENOENT:
        return f"{words}; has its process ended?"
    if path.startswith("/proc/") and error.errno == errno.EACCES:
        return f"{words}; is its process another user's?"
    return words


def _since_when(place: int) -> str:
    found = os.fstat(place)
    # Names of namespaces are empty files, on which something is mounted as long as there is one.
    return ", or not any more" if stat.S_ISREG(found.st_mode) and not found.st_size else ""


def is_own(fd: int, kind: str) -> bool:
    """Whether a namespace is the one that this process is in itself."""
    return os.path.samestat(os.fstat(fd), os.stat(f"/proc/self/ns/{FILES[kind]}"))


def leads_to_own(path: str, kind: str) -> bool:
    """The same of a path; one that leads nowhere leads to no namespace of this process."""
    try:
        return os.path.samestat(os.stat(path), os.stat(f"/proc/self/ns/{FILES[kind]}"))
    except OSError:
        return False


def owner_of(fd: int) -> int | None:
    """A descriptor for the user namespace that owns a namespace; None if it is out of reach.

    The kernel shows none but this process's own user namespace and those below it.
    """
    return _related(fd, _NS_GET_USERNS)


def _related(fd: int, request: int) -> int | None:
    try:
        return int(fcntl.ioctl(fd, request))
    except PermissionError:
        return None


def is_within(fd: int, ancestor: int, request: int = _NS_GET_PARENT) -> bool:
    """Whether a user or pid namespace is another one, or below it."""
    goal = os.fstat(ancestor)
    here: int | None = os.dup(fd)
    while here is not None:
        try:
            if os.path.samestat(os.fstat(here), goal):
                return True
            above = _related(here, request)
        finally:
            os.close(here)
        here = above
    return False


def belongs_to(fd: int, user: int) -> bool:
    """Whether the user namespace ``user``, or one below it, owns a namespace."""
    owner = owner_of(fd)
    if owner is None:
        return False
    try:
        return is_within(owner, user)
    finally:
        os.close(owner)


def is_mine(user: int, uid: int) -> bool:
    """Whether a user with this id rules a user namespace: made it, or one above it."""
    here: int | None = os.dup(user)
    while here is not None:
        try:
            if is_own(here, "user"):
                return False
            if _owner_uid(here) == uid:
                return True
            above = _related(here, _NS_GET_PARENT)
        finally:
            os.close(here)
        here = above
    return False


def _owner_uid(fd: int) -> int:
    answer = fcntl.ioctl(fd, _NS_GET_OWNER_UID, b"\0\0\0\0")
    return int.from_bytes(answer, sys.byteorder)


@contextmanager
def own(kind: str) -> Iterator[int]:
    """A descriptor for the namespace of a type that this process is in.

    Raises:
        NotSupported: The kernel has no such namespaces.
    """
    try:
        fd = os.open(f"/proc/self/ns/{FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotSupported(f"this kernel has no {kind} namespaces") from error
    try:
        yield fd
    finally:
        os.close(fd)
