"""Waiting for the engine, for the record, and in the exec fifo to be started."""

from __future__ import annotations

import os

from runstate.init import kernel, protocol
from runstate.init.operations.base import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def await_engine(init: Init, _what: str) -> None:
    """Go on when the engine says so; end when it is gone."""
    if init.channel.recv(1) != protocol.PROCEED:
        os._exit(1)


def meet_host(init: Init) -> None:
    """Say that all namespaces and mounts are made, and go on when the engine has done its part."""
    init.channel.send(protocol.MEETING)
    if init.channel.recv(1) != protocol.PROCEED:
        os._exit(1)


def on_record(init: Init, keep_channel: bool) -> None:
    """Everything is ready; go on when the engine has put this process on record.

    A process that nobody has to start keeps the channel: its closing on exec is the news that
    the program runs, and a failing exec can still be told.
    """
    init.channel.send(protocol.READY + init.hooks)
    if init.channel.recv(1) != protocol.PROCEED:
        os._exit(1)
    if not keep_channel:
        init.channel.close()


def open_proc(init: Init, index: int) -> None:
    """Keep a way to this process's files in the host's /proc that needs none in the container.

    Where the host is out of sight already, its /proc is one of the engine's descriptors.
    """
    if index < 0:
        init.proc = os.open("/proc/self/fd", DIRECTORY | os.O_CLOEXEC)
    else:
        init.proc = os.open("self/fd", DIRECTORY | os.O_CLOEXEC, dir_fd=init.extras[index])


def wait_in_fifo(init: Init, index: int) -> None:
    """Block until someone opens the exec fifo for reading; then say so."""
    kernel.trim_memory()
    fifo = os.open(str(init.extras[index]), os.O_WRONLY | os.O_CLOEXEC, dir_fd=init.proc)
    init.fifo = fifo
    os.write(fifo, protocol.FIFO_BYTE)
