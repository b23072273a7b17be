"""The terminal of a further process."""

from __future__ import annotations

import os

from runstate.init.operations.devices import become_terminal, open_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def open_terminal(init: Init, rows: int, columns: int, uid: int) -> None:
    """Make a terminal of the devpts that this process, who is inside, has at /dev."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        master = os.open("/dev/pts/ptmx", flags)
    except FileNotFoundError:
        master = os.open("/dev/ptmx", flags)
    slave = open_pair(master, rows, columns, uid)
    become_terminal(init, master, slave)
