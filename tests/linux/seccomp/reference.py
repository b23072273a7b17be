"""libseccomp's own compiler, which the tests hold ours against (seccomp_rule_add(3))."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

from runstate.linux.seccomp.compiler import ACTIONS
from tests.linux.seccomp.bpf import INSTRUCTION

_OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
_WITH_DATA = set(ACTIONS.values()) - {0}
_library = ctypes.CDLL("libseccomp.so.2")
_library.seccomp_init.restype = ctypes.c_void_p
_library.seccomp_arch_native.restype = ctypes.c_uint32
_library.seccomp_arch_resolve_name.restype = ctypes.c_uint32


class _ArgCmp(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def compile_filter(form: dict[str, Any], *names: str) -> bytes:
    """libseccomp's program for a form, for these architectures alone."""
    context = ctypes.c_void_p(_library.seccomp_init(_action(form, "defaultAction")))
    assert context
    try:
        own = _library.seccomp_arch_native()
        tokens = [_library.seccomp_arch_resolve_name(name.encode()) for name in names]
        if own not in tokens:
            assert _library.seccomp_arch_remove(context, ctypes.c_uint32(own)) == 0
        for token in tokens:
            result = _library.seccomp_arch_add(context, ctypes.c_uint32(token))
            assert result in (0, -errno.EEXIST)
        for rule in form["syscalls"]:
            _add(context, rule, _action(form, "defaultAction"))
        fd = os.memfd_create("filter")
        try:
            assert _library.seccomp_export_bpf(context, fd) == 0
            return _in_our_order(os.pread(fd, os.fstat(fd).st_size, 0), tokens[0])
        finally:
            os.close(fd)
    finally:
        _library.seccomp_release(context)


def _in_our_order(program: bytes, token: int) -> bytes:
    # It is exported for the architectures that it is about, not for this machine: all but what
    # some of its returns return, which libseccomp forgets to turn.
    order = "<" if token & 0x40000000 else ">"
    instructions = []
    for operation, if_so, if_not, operand in struct.iter_unpack(order + "HBBI", program):
        if operation == 0x06 and operand and operand & 0xFFFF0000 not in _WITH_DATA:
            operand = int.from_bytes(operand.to_bytes(4, "big"), "little")  # noqa: PLW2901
        instructions.append(INSTRUCTION.pack(operation, if_so, if_not, operand))
    return b"".join(instructions)


def _add(context: ctypes.c_void_p, rule: dict[str, Any], default: int) -> None:
    action = _action(rule, "action")
    conditions = [
        _ArgCmp(
            argument["index"],
            _OPERATORS.index(argument["op"].removeprefix("SCMP_CMP_")) + 1,
            argument["value"],
            argument.get("valueTwo", 0),
        )
        for argument in rule.get("args", [])
    ]
    for name in rule["names"]:
        number = _library.seccomp_syscall_resolve_name(name.encode())
        if number == -1 or action == default:
            continue
        array = (_ArgCmp * len(conditions))(*conditions)
        result = _library.seccomp_rule_add_array(
            context, ctypes.c_uint32(action), number, len(conditions), array
        )
        assert result in (0, -errno.EEXIST), os.strerror(-result)


def _action(section: dict[str, Any], key: str) -> int:
    name = section[key]
    number = section.get("errnoRet" if key == "action" else "defaultErrnoRet", errno.EPERM)
    return ACTIONS[name] | (number if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0)
