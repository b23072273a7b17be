"""The system calls that Python's ``os`` lacks: one thin wrapper each, prototypes set once.

Every failing call raises :class:`OSError` with errno and, where there is one, the path.
Numbers from 424 on are the same on every architecture (arch/*/entry/syscalls); the few older
ones that glibc does not wrap are in ``_NUMBERS``. Needs Linux 5.12 (mount_setattr(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False  # typing itself would cost the zygote a megabyte
if TYPE_CHECKING:
    from typing import Any, NoReturn

_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the interpreter lock: the child of clone3 must find it held by itself.
_pylibc = ctypes.PyDLL(None, use_errno=True)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

# clone(2), unshare(2), setns(2)
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000


# mount(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

# mount_setattr(2)
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70  # the mask of the access time settings
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

MNT_DETACH = 2
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40

# openat2(2)
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# statfs(2)
PROC_SUPER_MAGIC = 0x9FA0

# prctl(2)
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

KEYCTL_JOIN_SESSION_KEYRING = 1

# seccomp(2)
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_MODE_FILTER = 2
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32

_MADV_DONTNEED = 4

_SYS_MOUNT_SETATTR = 442
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_CLONE3 = 435
_SYS_CLOSE_RANGE = 436
_SYS_OPENAT2 = 437
_NUMBERS = {  # architecture: keyctl, seccomp
    "x86_64": (250, 317),
    "aarch64": (219, 277),
    "riscv64": (219, 277),
    "loongarch64": (219, 277),
    "ppc64le": (271, 358),
    "s390x": (280, 348),
}

_SYS_KEYCTL, _SYS_SECCOMP = _NUMBERS.get(os.uname().machine, (None, None))

_int, _uint, _ulong = ctypes.c_int, ctypes.c_uint, ctypes.c_ulong
_str, _ptr, _long = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_long


def _prototype(name: str, *arguments: type) -> ctypes._NamedFuncPointer:
    function: ctypes._NamedFuncPointer = getattr(_libc, name)
    function.argtypes = arguments
    function.restype = _int
    return function


_mount = _prototype("mount", _str, _str, _str, _ulong, _str)
_umount2 = _prototype("umount2", _str, _int)
_pivot_root = _prototype("pivot_root", _str, _str)
_unshare = _prototype("unshare", _int)
_setns = _prototype("setns", _int, _int)
_sethostname = _prototype("sethostname", _str, ctypes.c_size_t)
_setdomainname = _prototype("setdomainname", _str, ctypes.c_size_t)
_prctl = _prototype("prctl", _int, _ulong, _ulong, _ulong, _ulong)
_capset = _prototype("capset", _ptr, _ptr)
_execve = _prototype("execve", _str, _ptr, _ptr)
_fstatfs = _prototype("fstatfs", _int, _ptr)
_madvise = _prototype("madvise", _ptr, ctypes.c_size_t, _int)
# syscall(2) is variadic: every argument is passed as a long, as the kernel takes it.
_syscall = _libc.syscall
_syscall.restype = _long


def _numbered(*arguments: type) -> ctypes._NamedFuncPointer:
    """syscall(2) for one call of many: to convert by prototype is faster than one by one."""
    function: ctypes._NamedFuncPointer = _libc["syscall"]
    function.argtypes = (_long, *arguments)
    function.restype = _long
    return function


_open_tree = _numbered(_long, _str, _long)
_move_mount = _numbered(_long, _str, _long, _str, _long)
_mount_setattr = _numbered(_long, _str, _long, _ptr, _long)
_openat2 = _numbered(_long, _str, _ptr, _long)
_pysyscall = _pylibc.syscall
_pysyscall.restype = _long


def _fail(path: str | bytes | None = None, path2: str | bytes | None = None) -> NoReturn:
    number = ctypes.get_errno()
    if path2 is not None:
        raise OSError(number, os.strerror(number), path, None, path2)
    raise OSError(number, os.strerror(number), path)


def syscall(number: int, *arguments: Any) -> int:
    """syscall(2), for the calls that few plans need.

    Args:
        number: The call's, on this architecture; below 0: not known, so it fails by ENOSYS.
        arguments: Integers, and pointers as ctypes has them.
    """
    if number < 0:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result = _syscall(_long(number), *(_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        _fail()
    return int(result)


def system_call(number: int, *arguments: object) -> int:
    """syscall(2), for what only one module needs; each argument as ctypes has it."""
    result = _syscall(_long(number), *arguments)
    if result < 0:
        _fail()
    return int(result)


def mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    """mount(2)."""
    if _mount(
        source.encode("utf-8", "surrogateescape"),
        target.encode("utf-8", "surrogateescape"),
        fstype.encode() or None,
        flags,
        data.encode("utf-8", "surrogateescape") or None,
    ):
        _fail(source, target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    if _umount2(os.fsencode(target), flags):
        _fail(target)


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """open_tree(2): a descriptor for a mount, or for a detached copy of it."""
    fd = _open_tree(_SYS_OPEN_TREE, dirfd, os.fsencode(path), flags | os.O_CLOEXEC)
    if fd < 0:
        _fail(path)
    return int(fd)


def move_mount(tree: int, target: int) -> None:
    """move_mount(2) of a detached tree onto a descriptor."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    if _move_mount(_SYS_MOVE_MOUNT, tree, b"", target, b"", flags):
        _fail()


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_setattr(
    dirfd: int,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns: int = 0,
    recursive: bool = False,
) -> None:
    """mount_setattr(2) of the mount that a descriptor stands for."""
    attr = _MountAttr(attr_set, attr_clr, propagation, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    if _mount_setattr(
        _SYS_MOUNT_SETATTR, dirfd, b"", flags, ctypes.byref(attr), ctypes.sizeof(attr)
    ):
        _fail()


# struct statfs begins with f_type, a long, wherever Linux has it. There is one thread.
_statfs = (_long * 32)()


def filesystem_type(fd: int) -> int:
    """fstatfs(2): the magic number of the file system that a descriptor is in."""
    if _fstatfs(fd, _statfs):
        _fail()
    return int(_statfs[0])


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    if _pivot_root(os.fsencode(new_root), os.fsencode(put_old)):
        _fail(new_root)


def unshare(flags: int) -> None:
    """unshare(2)."""
    if _unshare(flags):
        _fail()


def setns(fd: int, flags: int) -> None:
    """setns(2); ``fd`` is a namespace's, or a pidfd with any set of flags."""
    if _setns(fd, flags):
        _fail()


def sethostname(name: str) -> None:
    """sethostname(2)."""
    raw = name.encode()
    if _sethostname(raw, len(raw)):
        _fail()


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    raw = name.encode()
    if _setdomainname(raw, len(raw)):
        _fail()


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2)."""
    result = _prctl(option, arg2, arg3, arg4, arg5)
    if result < 0:
        _fail()
    return int(result)


# Made once: making a type costs more than the call.
_CapHeader = ctypes.c_uint32 * 2
_CapData = ctypes.c_uint32 * 6


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2), version 3: the three sets as bit masks."""
    low = 0xFFFFFFFF
    header = _CapHeader(0x20080522, 0)
    data = _CapData(
        effective & low, permitted & low, inheritable & low,
        effective >> 32, permitted >> 32, inheritable >> 32,
    )  # fmt: skip
    if _capset(header, data):
        _fail()


class _CloneArgs(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size",
            "tls", "set_tid", "set_tid_size", "cgroup",
        )
    )  # fmt: skip


def clone3(flags: int, exit_signal: int, cgroup: int = -1) -> int:
    """clone3(2) as a fork: 0 in the child, the child's pid in the parent.

    The child is born into the cgroup that ``cgroup`` is a descriptor of, if it is one.

    Only for a process with one thread: Python's and glibc's own fork handlers do not run,
    and they have nothing to do there.
    """
    args = _CloneArgs(flags=flags, exit_signal=exit_signal)
    if cgroup >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup
    pid = _pysyscall(_long(_SYS_CLONE3), ctypes.byref(args), _long(ctypes.sizeof(args)))
    if pid < 0:
        _fail()
    return int(pid)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    fd = _openat2(_SYS_OPENAT2, dirfd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        _fail(path)
    return int(fd)


def close_range(first: int, last: int) -> None:
    """close_range(2), both ends included."""
    if _syscall(_long(_SYS_CLOSE_RANGE), _long(first), _long(last), _long(0)):
        _fail()


# The program text of the interpreter and its libraries: (address, size), as `learn_text` saw it.
_text: list[tuple[int, int]] = []


def learn_text() -> None:
    """Remember where program text is mapped; forks have it at the same addresses."""
    fd = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
    maps = b""
    while chunk := os.read(fd, 65536):
        maps += chunk
    os.close(fd)
    for line in maps.splitlines():
        # Read-only data is no such thing: it may have been written to, by relocation.
        if b" r-xp " in line and b"/" in line:
            start, end = (int(address, 16) for address in line.split(b" ")[0].split(b"-"))
            _text.append((start, end - start))


def trim_memory() -> None:
    """Give up what a process that waits does not need, and can have again (PSS of proc(5)).

    malloc_trim(3), and madvise(2) MADV_DONTNEED of program text: what is used again is mapped
    again from the page cache.
    """
    _libc.malloc_trim(0)
    for address, size in _text:
        _madvise(address, size, _MADV_DONTNEED)


def join_session_keyring(name: str) -> None:
    """keyctl(2): a new session keyring, so that the host's keys are out of reach."""
    if _SYS_KEYCTL is None:
        raise OSError(errno.ENOSYS, "keyctl's number is not known on this architecture")
    if _syscall(_long(_SYS_KEYCTL), _long(KEYCTL_JOIN_SESSION_KEYRING), _str(name.encode())) < 0:
        _fail()


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", _str))


_SOCK_FILTER_SIZE = 8


def seccomp_filter(program: bytes | None, flags: int) -> int:
    """seccomp(2) SECCOMP_SET_MODE_FILTER: filter this thread's system calls from here on.

    Args:
        program: struct sock_filter in an array; None only asks whether the flags are known,
            which EFAULT says.
        flags: SECCOMP_FILTER_FLAG_*.

    Returns:
        The listener's descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0.
    """
    pointer = None
    if program is not None:
        pointer = ctypes.byref(_SockFprog(len(program) // _SOCK_FILTER_SIZE, program))
    if _SYS_SECCOMP is not None:
        result = _syscall(
            _long(_SYS_SECCOMP), _long(SECCOMP_SET_MODE_FILTER), _long(flags), pointer
        )
    elif flags & ~SECCOMP_FILTER_FLAG_SPEC_ALLOW == 0:
        # The older call takes no flags, and of this one only speed is lost.
        result = _libc.prctl(_int(PR_SET_SECCOMP), _ulong(SECCOMP_MODE_FILTER), pointer)
    else:
        raise OSError(errno.ENOSYS, "seccomp's number is not known on this architecture")
    if result < 0:
        _fail()
    if result > 0 and not flags & SECCOMP_FILTER_FLAG_NEW_LISTENER:
        raise OSError(errno.ESRCH, f"thread {result} has another filter")
    return int(result)


_Strings = _str * 256  # made once, for all but the largest


def strings(entries: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """Strings as execve(2) takes them."""
    if any(b"\0" in entry for entry in entries):
        raise OSError(errno.EINVAL, "a NUL byte ends a string")
    array = (_Strings if len(entries) < 256 else _str * (len(entries) + 1))()
    for index, entry in enumerate(entries):
        array[index] = entry
    return array


def execve(
    path: bytes,
    arguments: ctypes.Array[ctypes.c_char_p] | None,
    environment: ctypes.Array[ctypes.c_char_p] | None,
) -> None:
    """execve(2); returns only to raise."""
    _execve(path, arguments, environment)
    _fail(os.fsdecode(path))
