"""The lock of one container: one holder among all processes and threads, with a deadline.

It is flock(2) on the file ``lock``: each acquisition opens the file anew, so threads exclude
one another as processes do, and the kernel frees it when its holder dies. flock cannot time
out, so waiting is trying again, at growing intervals: the one place in runstate that does.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runstate.errors import ContainerBusy, ContainerNotExists, OperationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_WAIT, _LONGEST_WAIT = 0.0002, 0.01  # seconds
_NOTE_WIDTH = 64  # so that a shorter note covers a longer one


class ContainerLock:
    """The lock in a container's directory.

    A holder that asks again in the same thread is told so at once: a hook that fires a
    transition of its own container would otherwise wait for itself.
    """

    def __init__(self, directory: str, container_id: str) -> None:
        self._directory = directory
        self._id = container_id
        self._fd = -1
        self._holder = 0  # the thread that holds it through this object

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._fd >= 0

    @contextmanager
    def hold(self, deadline: float, purpose: str) -> Iterator[None]:
        """Hold it.

        Args:
            deadline: Seconds to wait for it.
            purpose: What for, in a word; others' errors name it.

        Raises:
            ContainerBusy: Another holds it still; the error names the holder.
            ContainerNotExists: The container is gone.
        """
        self.acquire(deadline, purpose)
        try:
            yield
        finally:
            self.release()

    def acquire(self, deadline: float, purpose: str) -> None:
        """See ``hold``."""
        if self._holder == threading.get_ident():
            raise ContainerBusy(
                f"{purpose} container {self._id!r}: this thread is in the middle of a transition"
                " of it; a transition hook cannot start another of the same container"
            )
        ends = time.monotonic() + deadline
        wait = _FIRST_WAIT
        while True:
            fd = self._try()
            if fd >= 0:
                break
            left = ends - time.monotonic()
            if left <= 0:
                raise ContainerBusy(self._busy(purpose, deadline))
            time.sleep(min(wait, left))
            wait = min(wait * 2, _LONGEST_WAIT)
        self._fd = fd
        self._holder = threading.get_ident()
        self._sign(purpose)

    def _try(self) -> int:
        """The locked file's descriptor, or -1 if another holds the lock."""
        try:
            fd = os.open(f"{self._directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise ContainerNotExists(f"container {self._id!r} does not exist") from None
        except OSError as error:
            raise OperationFailed.from_os_error(f"open {self._directory}/lock", error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return -1
        if not self._still_there(fd):
            os.close(fd)
            raise ContainerNotExists(f"container {self._id!r} does not exist any more")
        return fd

    def _still_there(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(f"{self._directory}/lock"))
        except FileNotFoundError:
            return False

    def _sign(self, purpose: str) -> None:
        note = f"{os.getpid()} {purpose} {time.time():.3f}\n"
        try:
            os.pwrite(self._fd, note.ljust(_NOTE_WIDTH).encode(), 0)
        except OSError:
            return  # a full disk costs others the name of the holder, not the lock

    def _busy(self, purpose: str, deadline: float) -> str:
        holder = "another holds its lock"
        try:
            with open(f"{self._directory}/lock", encoding="utf-8") as file:
                pid, held_for, since = file.readline().split()
            seconds = max(0.0, time.time() - float(since))
            holder = f"process {pid} holds its lock for `{held_for}` since {seconds:.1f} s"
        except (OSError, ValueError):
            pass
        return f"{purpose} container {self._id!r}: {holder}; waited {deadline:g} s for it"

    def moved(self, directory: str) -> None:
        """The directory has another name now."""
        self._directory = directory

    def release(self) -> None:
        """Let it go; not holding it is no error."""
        if self._fd >= 0:
            fd, self._fd, self._holder = self._fd, -1, 0
            os.close(fd)
