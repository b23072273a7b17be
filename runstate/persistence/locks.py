"""The lock of one container: one holder among all processes and threads, with a deadline.

It is flock(2) on the file ``lock``: each acquisition opens the file anew, so threads exclude
one another as processes do, and the kernel frees it when its holder dies. flock cannot time
out, so waiting is trying again, at growing intervals: the one place in runstate that does.
Nobody is promised a turn in order.

A flock belongs to the open file, which a fork shares: a child that lived on would keep its
dead parent's lock. So children of ``os.fork`` close their copies at once, and ``exec`` closes
them (``O_CLOEXEC``); whoever forks past Python has to close what it does not need.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from runstate.errors import ContainerBusy, ContainerNotExists
from runstate.linux import processes
from runstate.persistence.files import failure

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_WAIT, _LONGEST_WAIT = 0.0002, 0.01  # seconds
# The holder's line is padded to one width, so that each covers the one before, and so that a
# disk that is full now has the room since the first.
_WIDTH = 256

# The locks that this process holds, by the lock file's device and inode.
_held: dict[tuple[int, int], ContainerLock] = {}


class ContainerLock:
    """The lock in a container's directory.

    A thread that holds it already, be it through another object, is told so at once: a hook
    that fires a transition of its own container would otherwise wait for itself.
    """

    def __init__(self, directory: str, container_id: str) -> None:
        self._directory = directory
        self._id = container_id
        self._fd = -1
        self._key = (0, 0)
        self._thread = 0

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
            OperationFailed: The lock file cannot be opened.
        """
        self.acquire(deadline, purpose)
        try:
            yield
        finally:
            self.release()

    def acquire(self, deadline: float, purpose: str) -> None:
        """See ``hold``."""
        ends = 0.0
        wait = _FIRST_WAIT
        while (taken := self._try(purpose)) is None:
            now = time.monotonic()
            ends = ends or now + deadline
            if now >= ends:
                raise ContainerBusy(self._busy(purpose, deadline))
            time.sleep(min(wait, ends - now))
            wait = min(wait * 2, _LONGEST_WAIT)
        # Only now: other threads may try through this object while one holds the lock.
        self._fd, self._key = taken
        self._thread = threading.get_ident()
        _held[self._key] = self
        self._sign(self._fd, purpose)

    def _try(self, purpose: str) -> tuple[int, tuple[int, int]] | None:
        """The locked file's descriptor and identity, or None if another holds the lock."""
        path = f"{self._directory}/lock"
        try:
            # O_CREAT, for runnc made no such file.
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerNotExists(
                f"{purpose} container {self._id!r}: it does not exist"
            ) from None
        except OSError as error:
            raise failure(f"{purpose} container {self._id!r}: open {path}", error) from error
        try:
            own = os.fstat(fd)
            key = (own.st_dev, own.st_ino)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whom we waited for may have destroyed the container, and another may have the
            # id by now: then this is not the lock of what is at the path.
            there = os.stat(path)
            if (there.st_dev, there.st_ino) == key:
                return fd, key
        except BlockingIOError:
            os.close(fd)
            self._refuse_own_thread(key, purpose)
            return None
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(fd)
            raise failure(f"{purpose} container {self._id!r}: lock {path}", error) from error
        os.close(fd)
        raise ContainerNotExists(
            f"{purpose} container {self._id!r}: it was destroyed in the meantime"
        )

    def _refuse_own_thread(self, key: tuple[int, int], purpose: str) -> None:
        holder = _held.get(key)
        if holder is not None and holder._thread == threading.get_ident():  # noqa: SLF001
            raise ContainerBusy(
                f"{purpose} container {self._id!r}: this thread is in the middle of a transition"
                " of it; a transition hook cannot start another of the same container"
            )

    def _sign(self, fd: int, purpose: str) -> None:
        fields = (
            *_own_identity(os.getpid()),
            f"{time.monotonic():.3f}",  # one clock for all processes, and it is never set back
            purpose.replace("\t", " ")[:60],
            threading.current_thread().name.replace("\t", " ")[:60],
        )
        line = "\t".join(map(str, fields)).replace("\n", " ").encode("utf-8", "replace")
        # A full disk costs others the name of the holder, not us the lock.
        with suppress(OSError):
            os.pwrite(fd, line[: _WIDTH - 1].ljust(_WIDTH - 1) + b"\n", 0)

    def _busy(self, purpose: str, deadline: float) -> str:
        return (
            f"{purpose} container {self._id!r}: it is busy: {self._holder()};"
            f" waited {deadline:g} s for it"
        )

    def _holder(self) -> str:
        """Who holds it, by the line in the lock file, in words."""
        try:
            text = processes.read_text(f"{self._directory}/lock")
            pid, start, since, purpose, thread = text.strip().split("\t")
            found = processes.identify(int(pid))
            seconds = max(0.0, time.monotonic() - float(since))
            if found is None or found.start != int(start):
                return f"a child of process {pid}, which is dead, holds its lock for `{purpose}`"
            name = processes.read_text(f"/proc/{int(pid)}/comm").strip()
        except (OSError, ValueError):
            return "another process holds its lock"
        where = f"thread {thread} of " if thread != "MainThread" else ""
        return f"{where}process {pid} ({name}) holds its lock for `{purpose}` since {seconds:.1f} s"

    def moved(self, directory: str) -> None:
        """The directory has another name now."""
        self._directory = directory

    def release(self) -> None:
        """Let it go; not holding it is no error."""
        if self._fd >= 0:
            fd, self._fd, self._thread = self._fd, -1, 0
            _held.pop(self._key, None)
            try:
                # Not left to close(2) alone: a child may have a copy of the descriptor.
                fcntl.flock(fd, fcntl.LOCK_UN)
            finally:
                os.close(fd)


@cache
def _own_identity(pid: int) -> tuple[int, int]:
    own = processes.identify(pid)
    return pid, own.start if own is not None else 0


def _close_copies() -> None:
    """In a child of fork: the parent's locks are the parent's."""
    for lock in list(_held.values()):
        if lock._fd >= 0:  # noqa: SLF001
            os.close(lock._fd)  # noqa: SLF001
            lock._fd, lock._thread = -1, 0  # noqa: SLF001
    _held.clear()


os.register_at_fork(after_in_child=_close_copies)
