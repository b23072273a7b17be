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

_LARGEST_PASSWD = 1 << 20  # bytes; a rootfs could have one without an end


def set_rlimit(_init: Init, kind: int, soft: int, hard: int) -> None:
    """setrlimit(2)."""
    try:
        resource.setrlimit(kind, (_rlim(soft), _rlim(hard)))
    except ValueError:  # what Python makes of EPERM
        ceiling = resource.getrlimit(kind)[1]
        what = "no limit" if ceiling == resource.RLIM_INFINITY else ceiling
        raise OperationError(
            errno.EPERM,
            f"the hard limit is {what}; to raise it takes CAP_SYS_RESOURCE, and for RLIMIT_NOFILE"
            " no more than the sysctl fs.nr_open",
        ) from None


def _rlim(value: int) -> int:
    return resource.RLIM_INFINITY if value >= 1 << 63 else value


def set_oom_score_adj(_init: Init, value: int) -> None:
    """Write /proc/self/oom_score_adj (proc(5)); the host's /proc, which is in sight yet."""
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        former = os.read(fd, 16).decode().strip()
        try:
            os.write(fd, str(value).encode())
        except PermissionError:
            raise OperationError(
                errno.EACCES, f"it is {former}; to lower it takes CAP_SYS_RESOURCE"
            ) from None
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


def set_user(_init: Init, uid: int, gid: int, groups: list[int], may_keep: bool) -> None:
    """Become the user; capabilities stay permitted until ``set_capabilities``."""
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups(groups)
    except PermissionError:
        if groups or not may_keep:
            raise OperationError(
                errno.EPERM,
                f"the user namespace denies setgroups(2), so groups {groups} cannot be had; leave"
                " additionalGids out, or map the groups by newgidmap(1)",
            ) from None
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def own_streams(_init: Init, uid: int) -> None:
    """Give the pipes among the standard streams to the user, who may open /dev/stdout then.

    Files and terminals of the host's are left to whom they belong, where runc gives them away.
    """
    for stream in (0, 1, 2):
        found = os.fstat(stream)
        if stat.S_ISFIFO(found.st_mode) and found.st_uid != uid:
            try:
                os.fchown(stream, uid, -1)
            except OSError as error:
                # A pipe of somebody whom the user namespace does not know.
                if error.errno not in (errno.EPERM, errno.EINVAL, errno.EROFS):
                    raise


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
    """Make the working directory where it is missing, as runc does: root's, and mode 0755.

    No descriptor of ours is gone through: directories would be made outside (CVE-2024-21626).
    """
    try:
        os.close(_open_directory(path))
    except FileNotFoundError:
        _make_directory(path)
    except OSError:
        return  # ``chdir`` tells


def _open_directory(path: str) -> int:
    flags = os.O_PATH | os.O_DIRECTORY
    return kernel.openat2(kernel.AT_FDCWD, path, flags, 0, kernel.RESOLVE_NO_MAGICLINKS)


def _make_directory(path: str) -> None:
    above, name = os.path.split(path.rstrip("/"))
    try:
        parent = _open_directory(above)
    except FileNotFoundError:
        _make_directory(above)
        parent = _open_directory(above)
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except OSError as error:
        # ``chdir`` tells of what cannot be made; a dangling link is there, and is not followed.
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EEXIST):
            raise
    finally:
        os.close(parent)


def chdir(init: Init, path: str, last: bool) -> None:
    """chdir(2); the directory must be inside the root (CVE-2024-21626).

    Before the user is set, root may reach what the user may not; after it, the user may reach
    what root may not, on a network file system for one. Either is enough, as it is for runc.
    """
    if init.arrived:
        return
    try:
        os.chdir(path)
    except PermissionError:
        if last:
            raise
        return
    init.arrived = True
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


def find_home(init: Init, uid: int) -> None:
    """Find $HOME in the container's /etc/passwd (passwd(5)); ``/`` where it does not tell."""
    init.home = "/"
    try:
        # No terminal is taken, no fifo waited for, and no descriptor of ours gone through.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        fd = kernel.openat2(kernel.AT_FDCWD, "/etc/passwd", flags, 0, kernel.RESOLVE_NO_MAGICLINKS)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            init.home = _home_of(b"%d" % uid, fd) or "/"
    except OSError:
        return
    finally:
        os.close(fd)


def _home_of(uid: bytes, fd: int) -> str:
    left, rest = _LARGEST_PASSWD, b""
    while chunk := os.read(fd, min(left, 65536)):
        left -= len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if home := _home_in(line, uid):
                return home
    return _home_in(rest, uid)


def _home_in(line: bytes, uid: bytes) -> str:
    fields = line.split(b":")
    if len(fields) < 6 or fields[2] != uid or b"\0" in line:
        return ""
    return os.fsdecode(fields[5])


def prepare_program(init: Init, arguments: list[str], environment: dict[str, str]) -> None:
    """Do what execve(2) needs, so that nothing but that call is left to pass a filter.

    Its arguments are laid out in memory: even to ask for more memory is a system call. All
    descriptors but the standard streams and what tells of a failure are closed: they would close
    on exec, but before it a path through /proc/self/fd would lead out of the container.
    """
    if init.home and not environment.get("HOME"):
        environment["HOME"] = init.home
    init.program = (
        os.fsencode(init.executable),
        kernel.strings([os.fsencode(each) for each in arguments]),
        kernel.strings([os.fsencode(f"{name}={value}") for name, value in environment.items()]),
    )
    kept = init.fifo if init.fifo >= 0 else init.channel.fileno()
    if kept > 3:
        kernel.close_range(3, kept - 1)
    kernel.close_range(kept + 1, 0xFFFFFFFF)


def execute(init: Init, _arguments: list[str]) -> None:
    """execve(2)."""
    kernel.execve(*init.program)
