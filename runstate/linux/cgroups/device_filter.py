"""Device rules of a version 2 cgroup: a BPF program of type BPF_PROG_TYPE_CGROUP_DEVICE.

The kernel runs it for each open and each mknod of a device node by a process of the cgroup, with
``struct bpf_cgroup_dev_ctx``: the type and the access that is asked for, and the numbers. It
returns 1 to allow. The file system has no say in it, nor has the process's user (bpf(2)).

The program decides each asked-for access by the last rule that matches: it goes through the
rules from the end, with the accesses that are not decided yet in a register. A denial ends it
with 0, the last grant with 1; what no rule is about is denied.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

from runstate.errors import NotSupported, OperationFailed
from runstate.linux.cgroups.devices import DeviceRule, parse_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# linux/bpf.h
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_DETACH = 9
BPF_PROG_GET_FD_BY_ID = 13
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_PROG_QUERY = 16
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 1 << 1
BPF_F_REPLACE = 1 << 2
BPF_DEVCG_ACC_MKNOD = 1
BPF_DEVCG_ACC_READ = 2
BPF_DEVCG_ACC_WRITE = 4
BPF_DEVCG_DEV_BLOCK = 1
BPF_DEVCG_DEV_CHAR = 2

# Instruction codes: class, operation and source in one byte (linux/bpf_common.h, linux/bpf.h).
_LDX_W = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOV_X = 0xBC  # BPF_ALU | BPF_MOV | BPF_X, on 32 bits
_MOV64_K = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_AND_K = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RSH_K = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_JEQ_K = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JNE_K = 0x55  # BPF_JMP | BPF_JNE | BPF_K
_JNE_32 = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K: device numbers are unsigned 32 bits
_EXIT = 0x95  # BPF_JMP | BPF_EXIT

# Registers: R0 is the result and R1 the context, by the calling convention.
_RESULT, _CONTEXT, _TYPE, _UNDECIDED, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5

_ACCESS = {"m": BPF_DEVCG_ACC_MKNOD, "r": BPF_DEVCG_ACC_READ, "w": BPF_DEVCG_ACC_WRITE}
_KIND = {"b": BPF_DEVCG_DEV_BLOCK, "c": BPF_DEVCG_DEV_CHAR}
_EVERYTHING = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE

_SYS_BPF = {
    "x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351,
    "loongarch64": 280, "armv7l": 386, "i686": 357,
}  # fmt: skip


_NAME = b"runstate_dev"


def _instruction(
    code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    # Numbers from 2**31 on are compared as the 32 bits that they are.
    signed = immediate - (1 << 32) if immediate >= 1 << 31 else immediate
    return struct.pack("=BBhi", code, source << 4 | target, offset, signed)


_PROLOGUE = b"".join(
    (
        _instruction(_LDX_W, _TYPE, _CONTEXT, 0),
        _instruction(_MOV_X, _UNDECIDED, _TYPE),
        _instruction(_AND_K, _TYPE, immediate=0xFFFF),
        _instruction(_RSH_K, _UNDECIDED, immediate=16),
        _instruction(_LDX_W, _MAJOR, _CONTEXT, 4),
        _instruction(_LDX_W, _MINOR, _CONTEXT, 8),
    )
)


def _return(value: int) -> list[bytes]:
    return [_instruction(_MOV64_K, _RESULT, immediate=value), _instruction(_EXIT)]


def assemble(rules: Iterable[Mapping[str, Any]]) -> bytes:
    """The program for these rules; without any rule it denies everything.

    Args:
        rules: The config's ``linux.resources.devices``, in order.

    Returns:
        Its instructions, 8 bytes each, in this machine's byte order.

    Raises:
        ConfigInvalid: A rule is none; see :func:`~runstate.linux.cgroups.devices.parse_rules`.
    """
    blocks = [_PROLOGUE]
    decided: set[str] = set()
    for rule in reversed(parse_rules(rules)):
        # A rule about everything hides all earlier ones about its type.
        if rule.kind in decided:
            continue
        blocks.append(_rule_block(rule))
        if rule.is_total:
            decided.add(rule.kind)
            if len(decided) == len(_KIND):
                break
    blocks += _return(0)
    return b"".join(blocks)


def _rule_block(rule: DeviceRule) -> bytes:
    if rule.allow:
        access = sum(_ACCESS[letter] for letter in rule.access)
        action = [
            _instruction(_AND_K, _UNDECIDED, immediate=_EVERYTHING & ~access),
            _instruction(_JNE_K, _UNDECIDED, offset=2),
            *_return(1),
        ]
    else:
        action = _denial(rule)
    tests = [(_TYPE, _KIND[rule.kind]), (_MAJOR, rule.major), (_MINOR, rule.minor)]
    block = action
    for register, number in reversed(tests):
        if number is not None:
            # From the instruction after the test to the one after the block.
            block = [_instruction(_JNE_32, register, offset=len(block), immediate=number), *block]
    return b"".join(block)


def _denial(rule: DeviceRule) -> list[bytes]:
    denied = sum(_ACCESS[letter] for letter in rule.access)
    # R0 holds what is asked for and denied; a program's result is written last.
    return [
        _instruction(_MOV_X, _RESULT, _UNDECIDED),
        _instruction(_AND_K, _RESULT, immediate=denied),
        _instruction(_JEQ_K, _RESULT, offset=2),
        *_return(0),
    ]


def put(directory: str, program: bytes | None) -> None:
    """Load a program and make it the one device filter of ours that a cgroup has.

    The one of an earlier call is replaced in one step, so that there is no moment without a
    filter. The filter goes with the cgroup: nothing is to be undone.

    Args:
        directory: The cgroup.
        program: Of :func:`assemble`; None takes ours away.

    Raises:
        OperationFailed: The kernel refuses: EPERM without CAP_BPF and CAP_NET_ADMIN (or
            CAP_SYS_ADMIN), EINVAL where it lacks CONFIG_CGROUP_BPF.
        NotSupported: The number of bpf(2) is not known for this machine.
    """
    words = f"open cgroup {directory}"
    descriptors: list[int] = []
    try:
        cgroup_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        descriptors.append(cgroup_fd)
        if program is not None:
            words = f"load a device filter (bpf, BPF_PROG_TYPE_CGROUP_DEVICE) for {directory}"
            descriptors.append(_load(program))
        words = f"attach a device filter (bpf, BPF_CGROUP_DEVICE) to cgroup {directory}"
        former_fd = _attached(cgroup_fd)
        if former_fd >= 0:
            descriptors.append(former_fd)
        if program is None:
            if former_fd >= 0:
                _bpf(
                    BPF_PROG_DETACH,
                    struct.pack("=IIII", cgroup_fd, former_fd, BPF_CGROUP_DEVICE, 0),
                )
            return
        flags = BPF_F_ALLOW_MULTI | (BPF_F_REPLACE if former_fd >= 0 else 0)
        _bpf(
            BPF_PROG_ATTACH,
            struct.pack(
                "=IIIII", cgroup_fd, descriptors[1], BPF_CGROUP_DEVICE, flags, max(former_fd, 0)
            ),
        )
    except OSError as error:
        raise OperationFailed.from_os_error(words, error) from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _load(program: bytes) -> int:
    instructions = ctypes.create_string_buffer(program, len(program))
    # Only programs that call GPL-only helpers must be GPL; this calls none.
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    attribute = struct.pack(
        "=IIQQIIQII16s", BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8,
        ctypes.addressof(instructions), ctypes.addressof(license_), 0, 0, 0, 0, 0,
        _NAME,
    )  # fmt: skip
    return _bpf(BPF_PROG_LOAD, attribute)


def _attached(cgroup_fd: int) -> int:
    """A descriptor of the filter that we attached to this cgroup before, or -1.

    Filters of others, known by their names, stay: all that are attached must allow.
    """
    ids = (ctypes.c_uint32 * 64)()
    attribute = ctypes.create_string_buffer(
        struct.pack("=IIIIQI", cgroup_fd, BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids)),
        64,
    )
    _bpf_buffer(BPF_PROG_QUERY, attribute)
    (count,) = struct.unpack_from("=I", attribute, 24)
    for number in ids[:count]:
        descriptor = _bpf(BPF_PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
        try:
            # struct bpf_prog_info; its member name is at byte 64.
            info = ctypes.create_string_buffer(80)
            _bpf(
                BPF_OBJ_GET_INFO_BY_FD,
                struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info)),
            )
            if info.raw[64:80].rstrip(b"\0") == _NAME:
                found, descriptor = descriptor, -1
                return found
        finally:
            if descriptor >= 0:
                os.close(descriptor)
    return -1


def _bpf(command: int, attribute: bytes) -> int:
    return _bpf_buffer(command, ctypes.create_string_buffer(attribute, len(attribute)))


def _bpf_buffer(command: int, attribute: ctypes.Array[ctypes.c_char]) -> int:
    result = _syscall()(_syscall_number(), command, attribute, ctypes.c_uint(len(attribute)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


@cache
def _syscall() -> Any:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    return function


@cache
def _syscall_number() -> ctypes.c_long:
    machine = os.uname().machine
    if machine not in _SYS_BPF:
        raise NotSupported(f"attach a device filter: no number of bpf(2) is known for {machine}")
    return ctypes.c_long(_SYS_BPF[machine])
