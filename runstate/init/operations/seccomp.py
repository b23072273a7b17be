"""The system call filter, which everything that comes after it has to pass."""

from __future__ import annotations

import os
import struct
from _socket import MSG_NOSIGNAL, SCM_RIGHTS, SHUT_RDWR, SOL_SOCKET, socket

from runstate.init import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def load_seccomp(init: Init, program: bytes, flags: int, agent: int, message: bytes) -> None:
    """seccomp(2); and let the agent have the listener, if there is one.

    Between the two calls nothing may happen that the filter could ask the agent about.

    Args:
        init: This process.
        program: The filter.
        flags: SECCOMP_FILTER_FLAG_*.
        agent: The index of the descriptor that is connected to the agent; -1 without one.
        message: What the agent is told (config-linux.md, The Container Process State).
    """
    if agent < 0:
        kernel.seccomp_filter(program, flags)
        return
    connection = socket(fileno=init.extras[agent])
    rights = struct.Struct("i")
    listener = kernel.seccomp_filter(program, flags)
    ancillary = [(SOL_SOCKET, SCM_RIGHTS, rights.pack(listener))]
    # An agent that is gone is an error to be told of, not a signal to die of.
    sent = connection.sendmsg([message], ancillary, MSG_NOSIGNAL)
    if sent < len(message):
        connection.sendall(message[sent:], MSG_NOSIGNAL)
    connection.shutdown(SHUT_RDWR)  # the engine has a copy of it
    connection.close()
    os.close(listener)
