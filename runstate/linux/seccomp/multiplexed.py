"""System calls that are parts of another one on some architectures (socketcall(2), ipc(2)).

libseccomp gives these calls numbers below zero there, from which the part can be told.
"""

from __future__ import annotations

from runstate.linux.seccomp import library
from runstate.linux.seccomp.program import Comparison

_SOCKETCALL, _IPC = range(-120, -100), range(-224, -200)


def multiplexed(number: int, token: int) -> tuple[int, Comparison] | None:
    """The call that a part belongs to, and how the part is told by its first argument.

    Args:
        number: What libseccomp gives for the part: SYS_SOCKET of linux/net.h below -100, or SEMOP
            of linux/ipc.h below -200.
        token: The architecture.

    Returns:
        None if it is nothing of that kind.
    """
    if number in _SOCKETCALL:
        whole = library.call_number("socketcall", token)
        part = Comparison(0, "EQ", -100 - number)
    elif number in _IPC:
        whole = library.call_number("ipc", token)
        # The upper half is the version of the structures in memory.
        part = Comparison(0, "MASKED_EQ", 0xFFFF, -200 - number)
    else:
        return None
    return None if whole is None or whole < 0 else (whole, part)
