"""The process: its limits, rights, user and place, and the program that it becomes."""

from __future__ import annotations

import errno
import os
import resource
import stat

from runstate.init import kernel
from runstate.init.operations.base import OperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def set_rlimit(_init: Init, kind: int, soft: int, hard: int) -> None:
    """setrlimit(2)."""
    resource.setrlimit(kind, (_rlim(soft), _rlim(hard)))


def _rlim(value: int) -> int:
    return resource.RLIM_INFINITY if value >= 1 << 63 else value


def set_oom_score_adj(_init: Init, value: int) -> None:
    """Write /proc/self/oom_score_adj (proc(5)); the host's /proc, before pivot_root."""
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def drop_bounding(_init: Init, dropped: list[int]) -> None:
    """prctl(2) PR_CAPBSET_DROP of each, up to the last that the kernel knows."""
    for capability in dropped:
        try:
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return
            raise


def set_user(_init: Init, uid: int, gid: int, groups: list[int] | None) -> None:
    """Become the user; capabilities stay permitted until ``set_capabilities``."""
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    if groups is not None:
        os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def set_capabilities(
    _init: Init, effective: int, permitted: int, inheritable: int, ambient: list[int]
) -> None:
    """capset(2), then the ambient set (capabilities(7))."""
    kernel.capset(effective, permitted, inheritable)
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in ambient:
        kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, capability)


def set_no_new_privs(_init: Init) -> None:
    """prctl(2) PR_SET_NO_NEW_PRIVS."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def make_cwd(_init: Init, path: str) -> None:
    """Make the working directory where it is missing, as runc does."""
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EEXIST, errno.ENOTDIR):
            raise


def chdir(_init: Init, path: str) -> None:
    """chdir(2); the directory must be inside the root (CVE-2024-21626)."""
    os.chdir(path)
    try:
        inside = os.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False
    if not inside:
        raise OperationError(errno.ENOENT, "the directory is not inside the container's root")


def umask(_init: Init, value: int) -> None:
    """umask(2)."""
    os.umask(value)


def find_executable(init: Init, name: str, search: str) -> None:
    """Find the program as execvp(3) would, before anyone relies on it."""
    candidates = [name] if "/" in name else [f"{part or '.'}/{name}" for part in search.split(":")]
    denied = ""
    for path in candidates:
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            denied = denied or path
            continue
        if stat.S_ISDIR(mode):
            denied = denied or path
        elif os.access(path, os.X_OK, effective_ids=True):
            init.executable = path
            return
        else:
            denied = denied or path
    if denied:
        raise OperationError(errno.EACCES, f"{denied} is not an executable file")
    where = "in the container" if "/" in name else f"in $PATH ({search})"
    raise OperationError(errno.ENOENT, f"no such executable {where}")


def execute(init: Init, arguments: list[str], environment: dict[str, str]) -> None:
    """execve(2). All descriptors but the standard streams close on it."""
    os.execve(init.executable, arguments, environment)  # noqa: S606 - a shell is not wanted
