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
    path: str,
    mode: int,
    major: int,
    minor: int,
    owner: tuple[int, int] | None = None,
    *,
    only_same: bool = False,
) -> Operation:
    """A device node, or a fifo.

    Args:
        path: Where, inside the rootfs.
        mode: Its permissions and, as st_mode has it, its type.
        major: The device's major number.
        minor: The device's minor number.
        owner: User and group; None: root.
        only_same: Whether nothing but the same device may give way to it.
    """
    return Operation("mknod", (path, mode, major, minor, owner, only_same))


def bind_device(path: str, mode: int, major: int, minor: int) -> Operation:
    """The host's node of a device, at a path inside the rootfs."""
    return Operation("bind_device", (path, mode, major, minor))


def symlink(target: str, path: str) -> Operation:
    """A symlink inside the rootfs."""
    return Operation("symlink", (target, path))


def _device_words(mode: int, major: int, minor: int) -> str:
    kinds = {stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}
    kind = kinds.get(stat.S_IFMT(mode))
    return f"{kind} {major}:{minor}" if kind else "fifo"


def _mknod_words(
    path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None, _only_same: bool
) -> str:
    owned = f", owner {owner[0]}:{owner[1]}" if owner else ""
    words = _device_words(mode, major, minor)
    return f"make {words} {path}, mode {stat.S_IMODE(mode):04o}{owned}"


def _bind_words(path: str, mode: int, major: int, minor: int) -> str:
    return f"bind the host's {_device_words(mode, major, minor)} on {path}"


WORDS: dict[str, Callable[..., str]] = {
    "open_console": console_words,
    "mknod": _mknod_words,
    "bind_device": _bind_words,
    "symlink": lambda target, path: f"make symlink {path} to {target}",
}
