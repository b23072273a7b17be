"""The operations that init can execute: one function each, named as in the plan.

The engine's values for them, which describe themselves, are in
:mod:`runstate.linux.operations`; a test holds the two sets together. Every path inside the
rootfs is resolved by openat2(RESOLVE_IN_ROOT), and what follows works on the descriptor, so a
hostile rootfs full of symlinks has no effect outside itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import struct
from _socket import AF_INET, SOCK_DGRAM, socket

from runstate.init import kernel, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_TIOCSCTTY, _TIOCSWINSZ, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # netdevice(7)


class OperationError(Exception):
    """A failure that is more than its errno."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.errno = number
        self.text = text


class Init:
    """What one operation leaves for the next.

    Attributes:
        channel: The socket to the engine, until init is on record.
        extras: The further descriptors that the engine sent, by index.
        unshared: The CLONE_NEW* that a spare child has made in advance.
        rootfs: The rootfs's directory, once ``enter_rootfs_mount`` has made it a mount.
        fifo: The exec fifo's write end, once someone has opened the other.
        proc: /proc/self/fd, for opening the fifo when the host's /proc is out of sight.
        executable: The program's path, once it is found.
    """

    def __init__(self, channel: socket, extras: tuple[int, ...], unshared: int) -> None:
        self.channel = channel
        self.extras = extras
        self.unshared = unshared
        self.rootfs = -1
        self.fifo = -1
        self.proc = -1
        self.executable = ""

    def report(self, message: bytes) -> None:
        """Tell the engine: over the channel, or over the fifo once the channel is closed."""
        try:
            if self.fifo >= 0:
                os.write(self.fifo, message)
            else:
                self.channel.send(message)
        except OSError:
            return  # nobody is left to be told

    def inside(self, path: str, flags: int, mode: int = 0) -> int:
        """A descriptor for a path as it is within the rootfs."""
        return kernel.openat2(self.rootfs, path, flags, mode, kernel.RESOLVE_IN_ROOT)

    def make_inside(self, path: str, *, directory: bool) -> int:
        """Like ``inside`` with O_PATH, but what is missing is made."""
        try:
            return self.inside(path, os.O_PATH)
        except FileNotFoundError:
            pass
        above, name = os.path.split(path.rstrip("/"))
        if name in {"", ".", ".."}:
            raise OSError(errno.EINVAL, "cannot be made", path)
        parent = self.make_inside(above or "/", directory=True)
        try:
            self._make(name, parent, directory=directory)
        finally:
            os.close(parent)
        return self.inside(path, os.O_PATH)

    @staticmethod
    def _make(name: str, parent: int, *, directory: bool) -> None:
        try:
            if directory:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                os.close(os.open(name, flags, 0o644, dir_fd=parent))
        except FileExistsError:
            # A dangling symlink stands there, or someone was faster; resolving tells.
            return


def _fd_path(fd: int) -> str:
    # Before pivot_root the host's /proc is in sight, and the link leads to the very inode.
    return f"/proc/self/fd/{fd}"


# --- synchronising with the engine ----------------------------------------------------------


def await_engine(init: Init, _what: str) -> None:
    """Go on when the engine says so; end when it is gone."""
    if init.channel.recv(1) != protocol.PROCEED:
        os._exit(1)


def join_cgroups(init: Init, first: int, count: int) -> None:
    """Write ``0``, this very process, to the cgroups' files among the engine's descriptors."""
    for fd in init.extras[first : first + count]:
        os.write(fd, b"0")
        os.close(fd)


def become_root(_init: Init) -> None:
    """Take the ids 0 of a new user namespace, so that what is made belongs to its root."""
    try:  # noqa: SIM105 - contextlib is not loaded here
        os.setgroups([])
    except PermissionError:
        pass  # denied in a user namespace that an ordinary user made
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # A change of ids makes the process dumpable or not by sysctl; keep it not.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def unshare(init: Init, flags: int) -> None:
    """unshare(2), of what was not made in advance."""
    kernel.unshare(flags & ~init.unshared)


def new_session_keyring(_init: Init, name: str) -> None:
    """keyctl(2); a kernel or a container of ours without keyrings has no keys to hide."""
    try:
        kernel.join_session_keyring(name)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EDQUOT):
            raise


# --- the rootfs -------------------------------------------------------------------------------


def set_propagation(_init: Init, path: str, flags: int) -> None:
    """Change how mount events pass between the host and this mount namespace."""
    kernel.mount("none", path, "", flags, "")


def bind_rootfs(init: Init, path: str) -> None:
    """Make the rootfs a mount of its own, as pivot_root(2) needs."""
    tree = kernel.open_tree(kernel.AT_FDCWD, path, kernel.OPEN_TREE_CLONE | kernel.AT_RECURSIVE)
    target = os.open(path, _DIRECTORY | os.O_CLOEXEC)
    kernel.move_mount(tree, target)
    os.close(target)
    init.rootfs = tree


def overlay_host(init: Init, mount_point: str, lower: str, options: str, size: str) -> None:
    """The host's root below, an empty tmpfs above, merged at ``mount_point``.

    The tmpfs lives in this mount namespace only, so nothing of it outlives the container.
    """
    kernel.mount("tmpfs", mount_point, "tmpfs", kernel.MS_NODEV, f"mode=755,size={size}")
    upper, work, merged = (f"{mount_point}/{name}" for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        os.mkdir(path, 0o755)
    data = f"lowerdir={lower},upperdir={upper},workdir={work}{options}"
    kernel.mount("overlay", merged, "overlay", 0, data)
    init.rootfs = os.open(merged, _DIRECTORY | os.O_CLOEXEC)


def overlay_directories(
    init: Init, mount_point: str, names: list[str], options: str, size: str
) -> None:
    """Like ``overlay_host``, for a user namespace: one overlay for each directory of the root.

    There the mounts that were inherited are locked to each other (mount_namespaces(7)), and
    overlayfs takes no lower layer that other mounts are locked to, as they are to the root.
    """
    kernel.mount("tmpfs", mount_point, "tmpfs", kernel.MS_NODEV, f"mode=755,size={size}")
    upper, work, merged = (f"{mount_point}/{name}" for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        os.mkdir(path, 0o755)
    kernel.mount(merged, merged, "", kernel.MS_BIND, "")
    for name in names:
        mode = os.stat(f"/{name}").st_mode & 0o777  # the upper layer's own root is what is seen
        for path in (upper, work, merged):
            os.mkdir(f"{path}/{name}", mode)
        data = f"lowerdir=/{name},upperdir={upper}/{name},workdir={work}/{name}{options}"
        kernel.mount("overlay", f"{merged}/{name}", "overlay", 0, data)
    init.rootfs = os.open(merged, _DIRECTORY | os.O_CLOEXEC)


def mount(
    init: Init, source: str, target: str, fstype: str, flags: int, data: str, propagation: int
) -> None:
    """mount(2) of a new file system on a target inside the rootfs."""
    fd = init.make_inside(target, directory=True)
    try:
        kernel.mount(source, _fd_path(fd), fstype, flags, data)
    finally:
        os.close(fd)
    if propagation:
        fd = init.inside(target, os.O_PATH)
        try:
            kernel.mount("none", _fd_path(fd), "", propagation, "")
        finally:
            os.close(fd)


def bind(
    init: Init,
    source: str,
    target: str,
    recursive: bool,
    attributes: int,
    cleared: int,
    propagation: int,
) -> None:
    """A bind mount that has its attributes before anyone can see it."""
    flags = kernel.OPEN_TREE_CLONE | (kernel.AT_RECURSIVE if recursive else 0)
    tree = kernel.open_tree(kernel.AT_FDCWD, source, flags)
    try:
        if attributes or cleared:
            kernel.mount_setattr(tree, attr_set=attributes, attr_clr=cleared)
        if propagation:
            kernel.mount_setattr(
                tree,
                attr_set=0,
                propagation=propagation & ~kernel.MS_REC,
                recursive=bool(propagation & kernel.MS_REC),
            )
        directory = stat.S_ISDIR(os.stat(tree).st_mode)
        fd = init.make_inside(target, directory=directory)
        try:
            kernel.move_mount(tree, fd)
        finally:
            os.close(fd)
    finally:
        os.close(tree)


def mask(init: Init, path: str) -> None:
    """Hide a file behind the host's /dev/null, a directory behind an empty tmpfs."""
    try:
        target = init.inside(path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if stat.S_ISDIR(os.stat(target).st_mode):
            kernel.mount(
                "tmpfs", _fd_path(target), "tmpfs", kernel.MS_RDONLY, "nr_blocks=1,nr_inodes=1"
            )
        else:
            tree = kernel.open_tree(kernel.AT_FDCWD, "/dev/null", kernel.OPEN_TREE_CLONE)
            kernel.move_mount(tree, target)
            os.close(tree)
    finally:
        os.close(target)


def make_readonly(init: Init, path: str) -> None:
    """Put a read-only view of a path over itself."""
    try:
        target = init.inside(path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        tree = kernel.open_tree(
            target, "", kernel.OPEN_TREE_CLONE | kernel.AT_EMPTY_PATH | kernel.AT_RECURSIVE
        )
        kernel.mount_setattr(tree, attr_set=kernel.MOUNT_ATTR_RDONLY)
        kernel.move_mount(tree, target)
        os.close(tree)
    finally:
        os.close(target)


def open_console(init: Init, rows: int, columns: int, owner: tuple[int, int]) -> None:
    """Make the container's terminal, and send its master side to the engine.

    The terminal is of the container's own devpts; TIOCGPTPEER opens its other side without a
    path that the rootfs could have tampered with (ioctl_tty(2)).
    """
    master = init.inside("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    os.fchown(slave, *owner)
    if rows and columns:
        fcntl.ioctl(master, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    tree = kernel.open_tree(slave, "", kernel.OPEN_TREE_CLONE | kernel.AT_EMPTY_PATH)
    console = init.make_inside("/dev/console", directory=False)
    kernel.move_mount(tree, console)
    for fd in (tree, console):
        os.close(fd)
    protocol.send_console(init.channel, master)
    os.close(master)
    # This process leads a session already (the executor saw to it).
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    for stream in (0, 1, 2):
        os.dup2(slave, stream)
    os.close(slave)


def mknod(
    init: Init, path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None
) -> None:
    """Make a device node (or a fifo) inside the rootfs; an older file gives way to it."""
    parent, name = _parent(init, path)
    try:
        device = os.makedev(major, minor)
        try:
            os.mknod(name, mode, device, dir_fd=parent)
        except FileExistsError:
            os.unlink(name, dir_fd=parent)
            os.mknod(name, mode, device, dir_fd=parent)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def symlink(init: Init, target: str, path: str) -> None:
    """Make a symlink inside the rootfs, unless something stands there."""
    parent, name = _parent(init, path)
    try:
        os.symlink(target, name, dir_fd=parent)
    except FileExistsError:
        pass
    finally:
        os.close(parent)


def _parent(init: Init, path: str) -> tuple[int, str]:
    directory, name = os.path.split(path.rstrip("/"))
    if not name:
        raise OSError(errno.EINVAL, "names no file", path)
    return init.make_inside(directory or "/", directory=True), name


def pivot_root(init: Init) -> None:
    """Make the rootfs this namespace's root, and drop the host's (pivot_root(2), NOTES)."""
    os.fchdir(init.rootfs)
    kernel.pivot_root(".", ".")
    # Nothing that happens to the old root from here on may reach the host.
    kernel.mount("none", ".", "", kernel.MS_SLAVE | kernel.MS_REC, "")
    kernel.umount2(".", kernel.MNT_DETACH)
    os.chdir("/")
    os.close(init.rootfs)
    init.rootfs = -1
    _check_namespace_root(init)


def _check_namespace_root(init: Init) -> None:
    """See that the new root is the root of the whole mount namespace.

    In a chroot, pivot_root(2) moves the process's root alone; whoever joined the namespace later
    (`exec`, nsenter) would be in the host's root. setns(2) goes where they would go.
    """
    root = os.stat("/")
    namespace = os.open("../ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=init.proc)
    try:
        kernel.setns(namespace, kernel.CLONE_NEWNS)
    finally:
        os.close(namespace)
    if not os.path.samestat(root, os.stat("/")):
        raise OperationError(
            errno.EINVAL, "the runtime runs in a chroot; give it a mount namespace instead"
        )


def remount_readonly(init: Init, path: str) -> None:
    """Make the mount at a path read-only, its other attributes as they are."""
    if init.rootfs >= 0:
        fd = init.inside(path, _DIRECTORY)
    else:
        fd = os.open(path, _DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.mount_setattr(fd, attr_set=kernel.MOUNT_ATTR_RDONLY)
    finally:
        os.close(fd)


# --- names, network -----------------------------------------------------------------------------


def sethostname(_init: Init, name: str) -> None:
    """sethostname(2)."""
    kernel.sethostname(name)


def setdomainname(_init: Init, name: str) -> None:
    """setdomainname(2)."""
    kernel.setdomainname(name)


def link_up(_init: Init, name: str) -> None:
    """Set an interface up: one ioctl, where netlink would need a socket library."""
    sock = socket(AF_INET, SOCK_DGRAM)
    try:
        request = struct.pack("16sh22x", name.encode(), 0)
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request)
        flags = struct.unpack("16sh22x", answer)[1] | _IFF_UP
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags))
    finally:
        sock.close()


# --- the process ----------------------------------------------------------------------------------


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


def on_record(init: Init, keep_channel: bool) -> None:
    """Everything is ready; go on when the engine has put this process on record.

    A process that nobody has to start keeps the channel: its closing on exec is the news that
    the program runs, and a failing exec can still be told.
    """
    init.channel.send(protocol.READY)
    if init.channel.recv(1) != protocol.PROCEED:
        os._exit(1)
    if not keep_channel:
        init.channel.close()


def open_proc(init: Init) -> None:
    """Keep a way to the fifo's descriptor that needs no /proc in the container."""
    init.proc = os.open("/proc/self/fd", _DIRECTORY | os.O_CLOEXEC)


def wait_in_fifo(init: Init, index: int) -> None:
    """Block until someone opens the exec fifo for reading; then say so."""
    kernel.trim_memory()
    fifo = os.open(str(init.extras[index]), os.O_WRONLY | os.O_CLOEXEC, dir_fd=init.proc)
    init.fifo = fifo
    os.write(fifo, protocol.FIFO_BYTE)


def execute(init: Init, arguments: list[str], environment: dict[str, str]) -> None:
    """execve(2). All descriptors but the standard streams close on it."""
    os.execve(init.executable, arguments, environment)  # noqa: S606 - a shell is not wanted


OPERATIONS: dict[Any, Callable[..., None]] = {
    function.__name__: function
    for function in (
        await_engine, join_cgroups, become_root, unshare, new_session_keyring, set_propagation,
        bind_rootfs, overlay_host, overlay_directories, mount, bind, mask, make_readonly,
        open_console, mknod, symlink, pivot_root, remount_readonly, sethostname, setdomainname,
        link_up, set_rlimit, set_oom_score_adj, drop_bounding, set_user, set_capabilities,
        set_no_new_privs, make_cwd, chdir, umask, find_executable, on_record, open_proc,
        wait_in_fifo, execute,
    )
}  # fmt: skip
