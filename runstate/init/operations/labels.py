"""The labels of security modules that the program runs under (proc_pid_attr(5))."""

from __future__ import annotations

import errno
import os

from runstate.init.operations.base import OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def set_apparmor_profile(init: Init, name: str) -> None:
    """Run the program under an AppArmor profile.

    The interface of AppArmor's own where the kernel has it (since 5.8); the other one belongs
    to whichever security module comes first.
    """
    fd = -1
    for path in ("attr/apparmor/exec", "attr/exec"):
        try:
            fd = _open(init, path)
            break
        except FileNotFoundError:
            continue
    if fd < 0:
        raise OperationError(errno.ENOSYS, "the kernel has no AppArmor")
    try:
        _write(fd, f"exec {name}")
    except FileNotFoundError:
        raise OperationError(errno.ENOENT, "no such profile is loaded") from None


def set_selinux_label(init: Init, label: str) -> None:
    """Run the program under an SELinux label."""
    _write(_open(init, "attr/exec"), label)


def label_keys(init: Init, label: str) -> None:
    """Give keys that are made from here on an SELinux label; none: the process's own."""
    try:
        fd = _open(init, "attr/keycreate")
    except FileNotFoundError:
        return  # without keyrings there are no keys to label
    _write(fd, label)


def _open(init: Init, path: str) -> int:
    return os.open(f"../{path}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=init.proc)


def _write(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)
