"""Running the commonest operations before they are needed, so that every child is quick at them.

CPython specializes the byte code of a function after a few calls (PEP 659), and writes to its
memory to do so. Children that are forked from an interpreter in which nothing has run yet do
that each anew, and copy the pages that they write to. So a zygote that is asked for a second
container goes through the operations once for all, in a mount namespace that it leaves again.
It is for speed alone: where the kernel does not allow it, nothing is lost.
"""

from __future__ import annotations

import os
import stat
from _socket import AF_UNIX, SOCK_STREAM, socketpair

from runstate.init import kernel, protocol
from runstate.init.operations import OPERATIONS
from runstate.init.operations.base import Init

_TIMES = 16  # a function is specialized from its eighth call on; what it calls, sooner
_STAGE = "/sys"  # a directory that every host has; a tmpfs is put over it

_PLAN: list[tuple[object, ...]] = [
    ("mount", "tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID, "mode=755", ()),
    ("mount", "proc", "/proc", "proc", 0, "", ()),
    ("bind", "/proc/self", "/dev/deep/bound", False, kernel.MOUNT_ATTR_RDONLY, 0, ()),
    ("mknod", "/dev/fifo", stat.S_IFIFO | 0o666, 0, 0, None, False),
    ("symlink", "/proc/self/fd", "/dev/fd"),
    ("mask", "/dev/fifo"),
    ("mask", "/proc/nothing"),
    ("make_readonly", "/proc/sys"),
    ("make_cwd", "/"),
    ("find_home", 0),
    ("find_executable", "/bin/sh", ""),
]


def rehearse() -> None:
    """Go through the operations, and leave the process as it was."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        try:
            kernel.mount("none", "/", "", kernel.MS_PRIVATE | kernel.MS_REC, "")
            for _ in range(_TIMES):
                _perform()
                _ask_for_flags()
        finally:
            kernel.setns(namespace, kernel.CLONE_NEWNS)
            # setns goes to the namespace's root, and this process may be in a chroot.
            os.fchdir(root)
            os.chroot(".")
    except OSError:
        return  # without CAP_SYS_ADMIN, for one
    finally:
        os.close(namespace)
        os.close(root)


def _perform() -> None:
    kernel.mount("tmpfs", _STAGE, "tmpfs", kernel.MS_NOSUID, "mode=755")
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    try:
        init = Init(theirs, (), 0)
        init.rootfs = os.open(_STAGE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        ours.send(protocol.pack_plan(_PLAN))
        for name, *arguments in protocol.receive_plan(theirs) or []:
            OPERATIONS[name](init, *arguments)
        os.close(init.rootfs)
    finally:
        ours.close()
        theirs.close()
    kernel.umount2(_STAGE, kernel.MNT_DETACH)


def _ask_for_flags() -> None:
    # A filter would stay; the way to the system call is the same without one.
    try:
        kernel.seccomp_filter(None, kernel.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
    except OSError:
        return
