"""How the process is scheduled and where its memory comes from: what few containers ask for."""

from __future__ import annotations

import ctypes
import os

from runstate.init import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_NUMBERS = {  # architecture: ioprio_set, set_mempolicy, sched_setattr
    "x86_64": (251, 238, 314),
    "aarch64": (30, 237, 274),
    "riscv64": (30, 237, 274),
    "loongarch64": (30, 237, 274),
    "ppc64le": (273, 261, 355),
    "s390x": (282, 270, 345),
}
_SYS_IOPRIO_SET, _SYS_SET_MEMPOLICY, _SYS_SCHED_SETATTR = _NUMBERS.get(
    os.uname().machine, (-1, -1, -1)
)

_IOPRIO_WHO_PROCESS = 1
_EVERY_CPU = 8192  # the largest CONFIG_NR_CPUS that a kernel can be built with
_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)

_personality = ctypes.CDLL(None, use_errno=True).personality
_personality.argtypes = (ctypes.c_ulong,)


class _SchedAttr(ctypes.Structure):
    """sched_setattr(2), with the utilization clamps, which the configuration has no values for."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
        ("sched_util_min", ctypes.c_uint32),
        ("sched_util_max", ctypes.c_uint32),
    )


def set_scheduler(
    _init: Init, policy: int, flags: int, nice: int, priority: int, times: tuple[int, int, int]
) -> None:
    """sched_setattr(2) of this process; ``times``: runtime, deadline, period in nanoseconds."""
    attributes = _SchedAttr(ctypes.sizeof(_SchedAttr), policy, flags, nice, priority, *times, 0, 0)
    kernel.syscall(_SYS_SCHED_SETATTR, 0, ctypes.byref(attributes), 0)


def set_io_priority(_init: Init, value: int) -> None:
    """ioprio_set(2) of this process: class and priority in one number."""
    kernel.syscall(_SYS_IOPRIO_SET, _IOPRIO_WHO_PROCESS, 0, value)


def set_affinity(_init: Init, cpus: list[int]) -> None:
    """sched_setaffinity(2); no CPUs: all that the process's cpuset has."""
    os.sched_setaffinity(0, cpus or range(_EVERY_CPU))


def set_memory_policy(_init: Init, mode: int, nodes: list[int]) -> None:
    """set_mempolicy(2); ``mode`` with its flags."""
    if not nodes:
        kernel.syscall(_SYS_SET_MEMPOLICY, mode, None, 0)
        return
    words = max(nodes) // _BITS + 1
    mask = (ctypes.c_ulong * words)()
    for node in nodes:
        mask[node // _BITS] |= 1 << node % _BITS
    # The kernel takes one bit less than it is told (get_nodes() in mm/mempolicy.c).
    kernel.syscall(_SYS_SET_MEMPOLICY, mode, ctypes.byref(mask), words * _BITS + 1)


def set_personality(_init: Init, domain: int) -> None:
    """personality(2)."""
    if _personality(domain) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
