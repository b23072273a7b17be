"""Attending a program until it ends: what it reads, what it writes, and for how long.

For programs that are run for their effect, as hooks are. No pipe can block either side: what
the program reads is there before it starts, and what it writes is taken as it comes. Its own
end is what counts, not that of its pipes, which a child that it leaves behind may hold for ever.
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENDED, LATE, ALONE = "ended", "late", "alone"
"""How it came out: it has ended; its time was over; who is watched has gone."""

KEPT = 4096  # bytes of each output, the last ones
_CHUNK = 65536
_LAST_CHUNKS = 16  # of what a program has left in a pipe, one pipe's size each
_GLANCE = 0.01  # seconds between looks at a program without a pidfd


def holding(data: bytes) -> int:
    """A descriptor to read the data from, to its end.

    A pipe that is filled already, or, for what no pipe can hold, a file in memory.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        os.set_blocking(writer, False)
        if os.write(writer, data) == len(data):
            return reader
    except BlockingIOError:
        pass
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    os.close(reader)
    file = os.memfd_create("state", os.MFD_CLOEXEC)
    while data:
        data = data[os.write(file, data) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file


def attend(
    pidfd: int,
    outputs: Sequence[int],
    timeout: float | None,
    *,
    watch: int = -1,
    has_ended: Callable[[], bool] | None = None,
) -> tuple[str, list[bytes]]:
    """Wait until a program ends, and take what it writes meanwhile.

    Args:
        pidfd: The program's; -1 where there is none, then ``has_ended`` is asked instead.
        outputs: The pipes that it writes to; not blocking afterwards, and still open.
        timeout: Seconds; None: for ever.
        watch: A socket whose other end's closing ends the wait; or -1.
        has_ended: Whether it has.

    Returns:
        ENDED, LATE or ALONE; and the last that it wrote to each output.
    """
    tails = dict.fromkeys(outputs, b"")
    poll = select.poll()
    for fd in outputs:
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    if pidfd >= 0:
        poll.register(pidfd, select.POLLIN)
    if watch >= 0:
        poll.register(watch, 0)  # its hang-up is always told
    ends = None if timeout is None else time.monotonic() + timeout
    how = ""
    while not how:
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            return LATE, list(tails.values())
        if pidfd < 0:
            left = _GLANCE if left is None else min(left, _GLANCE)
        ready = [fd for fd, _event in poll.poll(None if left is None else left * 1000)]
        for fd in tails.keys() & ready:
            if _take(fd, tails):
                poll.unregister(fd)
        if pidfd in ready or (pidfd < 0 and has_ended is not None and has_ended()):
            how = ENDED
        elif watch in ready:
            how = ALONE
    for fd in outputs:
        _drain(fd, tails)
    return how, list(tails.values())


def _drain(fd: int, tails: dict[int, bytes]) -> None:
    for _ in range(_LAST_CHUNKS):
        if _take(fd, tails):
            return


def _take(fd: int, tails: dict[int, bytes]) -> bool:
    """Take what is there; True when there is no more."""
    try:
        chunk = os.read(fd, _CHUNK)
    except BlockingIOError:
        return True
    tails[fd] = (tails[fd] + chunk)[-KEPT:]
    return not chunk
