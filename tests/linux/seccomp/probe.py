"""Programs that make one system call, written in machine code: nothing else passes the filter.

Each ends with the errno that the call gave as its exit status, or 0.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BASE, _HEADERS = 0x400000, 64 + 56
_X32_BIT = 1 << 30
_EXIT_GROUP, _EXIT_32 = 231, 1


def write_x86_64(path: Path, number: int, *arguments: int) -> None:
    """A program that calls as x86_64 programs do; as x32's with the bit in the number."""
    registers = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")
    code = b"\xb8" + struct.pack("<I", number)
    for register, value in zip(registers, arguments, strict=False):
        code += register + struct.pack("<Q", value)
    _write(path, code + b"\x0f\x05" + _EXIT)


def write_x32(path: Path, number: int, *arguments: int) -> None:
    """A program that calls as x32 programs do."""
    write_x86_64(path, number | _X32_BIT, *arguments)


def write_int_0x80(path: Path, number: int, *arguments: int) -> None:
    """A 64-bit program that calls as 32-bit ones do, and ends as itself."""
    _write(path, _call_32(number, arguments) + _EXIT)


# neg eax; mov edi, eax; mov eax, exit_group; syscall
_EXIT = b"\xf7\xd8\x89\xc7\xb8" + struct.pack("<I", _EXIT_GROUP) + b"\x0f\x05"


def _call_32(number: int, arguments: tuple[int, ...]) -> bytes:
    code = b"\xb8" + struct.pack("<I", number)
    for register, value in zip(b"\xbb\xb9\xba\xbe\xbf", arguments, strict=False):
        code += bytes([register]) + struct.pack("<I", value)
    return code + b"\xcd\x80"


def _write(path: Path, code: bytes) -> None:
    size = _HEADERS + len(code)
    start = _BASE + _HEADERS
    # elf(5): an executable for x86_64 with one segment, which is the whole file.
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    path.write_bytes(header + segment + code)
    path.chmod(0o755)


def write_i386(path: Path, number: int, *arguments: int) -> None:
    """A 32-bit program."""
    # neg eax; mov ebx, eax; mov eax, exit; int 0x80
    code = _call_32(number, arguments)
    code += b"\xf7\xd8\x89\xc3\xb8" + struct.pack("<I", _EXIT_32) + b"\xcd\x80"
    base, headers = 0x08048000, 52 + 32
    size = headers + len(code)
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, base + headers, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    path.write_bytes(header + segment + code)
    path.chmod(0o755)
