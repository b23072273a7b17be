"""The terminal of a further process."""

from __future__ import annotations

import os

from runstate.init import kernel
from runstate.init.operations.devices import become_terminal, open_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def open_terminal(init: Init, rows: int, columns: int, uid: int) -> None:
    """Make a terminal of the devpts that this process, who is inside, has at /dev."""
    try:
        master = _open("/dev/pts/ptmx")
    except FileNotFoundError:
        master = _open("/dev/ptmx")
    slave = open_pair(master, rows, columns, uid)
    become_terminal(init, master, slave)


def _open(path: str) -> int:
    # Not through a descriptor of this process's: it could lead to the host's terminals.
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    return kernel.openat2(kernel.AT_FDCWD, path, flags, 0, kernel.RESOLVE_NO_MAGICLINKS)
