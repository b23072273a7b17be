"""Tables and small files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runstate.errors import OperationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runstate.engine.container import Container
    from runstate.engine.process import Process


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell; the last one is not padded."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("   ".join(cells).rstrip())


def write_pid_file(path: str, pid: int | None) -> None:
    """Write a pid, aside and renamed, so that no reader sees half of it."""
    aside = f"{path}.new"
    try:
        with open(aside, "w", encoding="ascii") as file:
            file.write(str(pid or 0))
        os.rename(aside, path)
    except OSError as error:
        raise OperationFailed.from_os_error(f"write the pid file {path}", error) from error


def send_console(path: str, container: Container | Process) -> None:
    """Hand the terminal's master to whoever listens at a unix socket, as runc does."""
    import socket  # noqa: PLC0415 - few containers have a terminal

    if container.console is None:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
            socket.send_fds(sock, [b"/dev/pts/ptmx"], [container.console])
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"send the terminal to the console socket {path}", error
        ) from error
