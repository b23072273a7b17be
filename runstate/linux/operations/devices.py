"""Device nodes, links and the terminal."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation, console_words

if TYPE_CHECKING:
    from collections.abc import Callable


def open_console(rows: int, columns: int, uid: int) -> Operation:
    """The container's terminal, on /dev/console and the standard streams."""
    return Operation("open_console", (rows, columns, uid))


def mknod(
    path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None = None
) -> Operation:
    """A device node; ``mode`` holds the file type as well."""
    return Operation("mknod", (path, mode, major, minor, owner))


def symlink(target: str, path: str) -> Operation:
    """A symlink inside the rootfs."""
    return Operation("symlink", (target, path))


def _mknod_words(
    path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None
) -> str:
    kind = {stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}.get(
        stat.S_IFMT(mode), "fifo"
    )
    numbers = "" if kind == "fifo" else f" {major}:{minor}"
    owned = f", owner {owner[0]}:{owner[1]}" if owner else ""
    return f"make {kind}{numbers} {path}, mode {stat.S_IMODE(mode):04o}{owned}"


WORDS: dict[str, Callable[..., str]] = {
    "open_console": console_words,
    "mknod": _mknod_words,
    "symlink": lambda target, path: f"make symlink {path} to {target}",
}
