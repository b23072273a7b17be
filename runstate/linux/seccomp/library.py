"""libseccomp, as far as it tells numbers: a thin typed layer over libseccomp.so.2.

The library is loaded when the first filter is compiled, on the engine's side; the new process
needs none.
"""

from __future__ import annotations

import ctypes
from functools import cache

from runstate.errors import NotSupported

_free = ctypes.CDLL(None).free
_free.argtypes = (ctypes.c_void_p,)
_SONAME = "libseccomp.so.2"
_MISSING = (
    f"system call filters need {_SONAME}, which cannot be loaded; install the package libseccomp2"
    " (Debian, Ubuntu) or libseccomp (Fedora, Alpine, Arch)"
)
_NO_SUCH_CALL = -1  # __NR_SCMP_ERROR (seccomp.h)

# Tokens of architectures are AUDIT_ARCH_* (linux/audit.h); x32, which shares its own with
# x86_64, is libseccomp's invention.
X86_64, X32, ARM = 0xC000003E, 0x4000003E, 0x40000028
S390 = (0x16, 0x80000016)
_LITTLE_ENDIAN, _64_BIT, _N32 = 0x40000000, 0x80000000, 0x20000000

X32_BIT = 1 << 30
ARM_PRIVATE = 0x0F0000  # cacheflush and its like are up there (arch/arm, asm/unistd.h)
# Where the numbers of calls start, on the architectures where it is not at 0.
_MIPS, _MIPS64, _MIPS64N32 = 0x08, 0x80000008, 0xA0000008

# Calls that came after the libseccomp of stable distributions; since Linux 5.1 a new call has the
# same number everywhere (counted from where the architecture starts).
_NEWER = {
    name: number
    for number, name in enumerate(
        (
            "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait", "futex_requeue",
            "statmount", "listmount", "lsm_get_self_attr", "lsm_set_self_attr",
            "lsm_list_modules", "mseal", "setxattrat", "getxattrat", "listxattrat",
            "removexattrat", "open_tree_attr", "file_getattr", "file_setattr",
        ),
        start=452,
    )
}  # fmt: skip
_NEWER_ON = {("uretprobe", X86_64): 335}
SOMEWHERE = frozenset(name for name, _token in _NEWER_ON)
"""Calls that may be unknown on one architecture and known on another."""
# Where the kernel has put the calls that socketcall(2) and ipc(2) are made of.
_DIRECT = range(100, 420)

_PROTOTYPES: dict[str, tuple[type, tuple[type, ...]]] = {
    "seccomp_arch_native": (ctypes.c_uint32, ()),
    "seccomp_arch_resolve_name": (ctypes.c_uint32, (ctypes.c_char_p,)),
    "seccomp_syscall_resolve_name_arch": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_char_p)),
    "seccomp_syscall_resolve_num_arch": (ctypes.c_void_p, (ctypes.c_uint32, ctypes.c_int)),
}


@cache
def _library() -> ctypes.CDLL:
    try:
        found = ctypes.CDLL(_SONAME)
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NotSupported(f"{_MISSING} ({error})") from error
    return found


def native_architecture() -> int:
    """The token of this machine's architecture."""
    return int(_library().seccomp_arch_native())


@cache
def architecture(name: str) -> int | None:
    """An architecture's token by its name (``x86_64``); None if this libseccomp lacks it."""
    return _library().seccomp_arch_resolve_name(name.encode()) or None


def known(name: str) -> int:
    """Like ``architecture``, for one that has to be there.

    Raises:
        NotSupported: It is not.
    """
    token = architecture(name)
    if token is None:
        raise NotSupported(f"system call filters: this libseccomp has no architecture {name!r}")
    return token


def is_little_endian(token: int) -> bool:
    """Whether an architecture's low bytes come first."""
    return bool(token & _LITTLE_ENDIAN)


def is_64_bit(token: int) -> bool:
    """Whether a system call's arguments have 64 bits on an architecture."""
    return bool(token & _64_BIT) and not token & _N32


def first_number(token: int) -> int:
    """Where an architecture's numbers start."""
    if token == X32:
        return X32_BIT
    starts = {_MIPS: 4000, _MIPS64: 5000, _MIPS64N32: 6000}
    return starts.get(token & ~_LITTLE_ENDIAN, 0)


def call_number(name: str, token: int) -> int | None:
    """A system call's number on an architecture.

    Returns:
        A negative number, one of libseccomp's own, if the architecture has no such call, or has
        it also as part of another one (see ``direct_number``); None if the call is unknown.
    """
    encoded = name.encode("utf-8", "surrogateescape")
    number = int(_library().seccomp_syscall_resolve_name_arch(token, encoded))
    if number != _NO_SUCH_CALL:
        return number
    newer = _NEWER.get(name)
    if newer is None:
        return _NEWER_ON.get((name, token))
    return first_number(token) + newer


def direct_number(name: str, token: int) -> int | None:
    """The number of a call of its own, of one that socketcall(2) or ipc(2) offers as well."""
    return _direct_numbers(token).get(name)


@cache
def _direct_numbers(token: int) -> dict[str, int]:
    found = {}
    for number in (first_number(token) + offset for offset in _DIRECT):
        name = call_name(number, token)
        if name is not None:
            found[name] = number
    return found


def call_name(number: int, token: int) -> str | None:
    """The call that has a number on an architecture."""
    pointer = _library().seccomp_syscall_resolve_num_arch(token, number)
    if not pointer:
        return None
    name = ctypes.string_at(pointer).decode()
    _free(pointer)
    return name
