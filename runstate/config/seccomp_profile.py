"""The system call filter of configurations made here, from :mod:`runstate.config.system_calls`.

What is not allowed is answered with EPERM, as the kernel does what it does not permit. Beside
the calls themselves, four are decided by their arguments:

- ``clone`` makes processes and threads for everyone, namespaces only with CAP_SYS_ADMIN: in a
  user namespace of its own any process has all capabilities, and code of the kernel opens to it
  that was written for root alone.
- ``clone3`` has its flags in memory, where no filter can look. It is answered with ENOSYS, as by
  a kernel before 5.3, and C libraries then use ``clone``.
- ``personality`` may ask what there is and choose among Linux's own: the others switch off
  protections, such as the random layout of memory.
- ``socket`` makes the sockets of the families below. Left out are those that reach what has no
  namespace (the hypervisor by AF_VSOCK), that lead deep into the kernel (its cryptography by
  AF_ALG), and that are retired but may still be loaded as a module (DECnet, Econet, ATM SVC, IrDA,
  ISDN, CAIF). A 32-bit program's ``socketcall`` has the family in memory, and cannot be told.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache

from runstate.config.seccomp import Seccomp, Syscall, SyscallArg
from runstate.config.system_calls import EVERYONE, WITH_CAPABILITY

ARCHITECTURES = {
    "x86_64": ("X86_64", "X86", "X32"),
    "i686": ("X86",),
    "aarch64": ("AARCH64", "ARM"),
    "mips64": ("MIPS64", "MIPS", "MIPS64N32"),
    "ppc64le": ("PPC64LE",),
    "s390x": ("S390X", "S390"),
    "riscv64": ("RISCV64",),
    "loongarch64": ("LOONGARCH64",),
}
"""By machine (uname(2)), what its programs may be made for, in names of SCMP_ARCH_*."""

# clone(2): CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NAMESPACES = 0x7E020000

# personality(2): PER_LINUX, PER_LINUX32, each with UNAME26; and the question
PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# socket(2), linux/socket.h
_FAMILIES_BELOW = 12
FAMILIES = (*range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46))


def default_seccomp(bounding: tuple[str, ...], machine: str | None = None) -> Seccomp:
    """The default filter.

    Args:
        bounding: The capabilities of the bounding set: what a process of the container may
            come to have.
        machine: The machine to run on (uname(2)); None for this one.
    """
    return _default(tuple(sorted(bounding)), machine or os.uname().machine)


@lru_cache(maxsize=8)
def _default(bounding: tuple[str, ...], machine: str) -> Seccomp:
    allowed = {name for names in EVERYONE.values() for name in names.split()}
    for capability in bounding:
        allowed.update(WITH_CAPABILITY.get(capability, "").split())
    rules = [
        Syscall(tuple(sorted(allowed)), "SCMP_ACT_ALLOW"),
        _allow("socket", 0, "SCMP_CMP_EQ", *FAMILIES, below=_FAMILIES_BELOW),
        _allow("personality", 0, "SCMP_CMP_EQ", *PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in bounding:
        flags = 1 if machine.startswith("s390") else 0  # clone(2), C library/kernel differences
        rules += [
            _allow("clone", flags, "SCMP_CMP_MASKED_EQ", _NAMESPACES),
            Syscall(("clone3",), "SCMP_ACT_ERRNO", errno_ret=errno.ENOSYS),
        ]
    return Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=errno.EPERM,
        architectures=tuple(f"SCMP_ARCH_{name}" for name in ARCHITECTURES.get(machine, ())),
        syscalls=tuple(rules),
    )


def _allow(name: str, index: int, op: str, *values: int, below: int = 0) -> Syscall:
    """Allow a call for any of some values of one argument (conditions on one are alternatives)."""
    conditions = [SyscallArg(index, value, op) for value in values]
    if below:
        conditions.insert(0, SyscallArg(index, below, "SCMP_CMP_LT"))
    return Syscall((name,), "SCMP_ACT_ALLOW", args=tuple(conditions))
