"""The kernel's part: runs a filter's program on a system call and tells its verdict."""

from __future__ import annotations

import struct

INSTRUCTION = struct.Struct("=HBBI")


def verdict(program: bytes, token: int, number: int, *arguments: int) -> int:
    """What the filter returns for a call.

    Args:
        program: struct sock_filter, in an array.
        token: The architecture (AUDIT_ARCH_*).
        number: The call's.
        arguments: As the kernel has them, up to six numbers of 64 bits.
    """
    order = "<" if token & 0x40000000 else ">"
    six = [*arguments, *[0] * (6 - len(arguments))]
    # The program is in this machine's byte order, and loads words; only the place of an
    # argument's halves depends on the architecture's.
    words = [number, token, 0, 0]
    for argument in six:
        halves = argument & 0xFFFFFFFF, argument >> 32
        words += halves if order == "<" else halves[::-1]
    return run(program, words)


def run(program: bytes, words: list[int]) -> int:
    """Run a program of the instructions that filters are made of; any other is a KeyError."""
    code: list[tuple[int, int, int, int]] = list(INSTRUCTION.iter_unpack(program))
    position = accumulator = 0
    while True:
        operation, if_so, if_not, operand = code[position]
        position += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            assert operand % 4 == 0
            accumulator = words[operand // 4]
        elif operation == 0x05:
            position += operand
        elif operation == 0x54:
            accumulator &= operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x25: accumulator > operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            position += if_so if holds else if_not
