"""The root directory: reserving, finding and listing containers, and sweeping up.

::

    <root>/<id>/state.json, journal.jsonl, lock, exec.fifo, exit, processes/<pid>/
    <root>/.creating-…      being reserved; its lock is held by the one who reserves
    <root>/.removing-…      destroyed; on its way to being removed
    <root>/.history/        journals of containers that are gone

A container's directory appears by one rename, with its lock inside and held, and goes by one
rename. Until its journal or its state is written, nobody but its creator takes it for a
container; if the creator dies before that, its lock is free, and the directory is rubbish.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from runstate.errors import (
    ContainerBusy,
    ContainerNotExists,
    IdInUse,
    OperationFailed,
)
from runstate.persistence import names
from runstate.persistence.directory import (
    ID,
    JOURNAL,
    LOCK,
    STATE,
    ContainerDirectory,
    finish_removing,
)
from runstate.persistence.files import failure, read_file, remove_tree, write_all
from runstate.persistence.history import History
from runstate.persistence.locks import ContainerLock
from runstate.persistence.names import CREATING, HISTORY, REMOVING, check_id
from runstate.persistence.root import default_root

__all__ = ["ContainerDirectory", "Store", "check_id", "default_root"]

# All that a reservation may hold; anything else in a directory is somebody's.
_RUBBISH = frozenset((LOCK, ID, f".{STATE}.new"))
_ATTEMPTS = 100


class Store:
    """A root directory.

    Attributes:
        root: Its path.
        history: The journals of containers that are gone.
    """

    check_id = staticmethod(check_id)

    def __init__(self, root: str) -> None:
        """Nothing is touched: the directory is made when the first container is."""
        self.root = root
        self.history = History(f"{root}/{HISTORY}")

    def path_of(self, container_id: str) -> str:
        """The container's directory, whether or not it exists."""
        return f"{self.root}/{names.directory_name(container_id)}"

    def _directory(self, container_id: str, path: str, lock: ContainerLock) -> ContainerDirectory:
        return ContainerDirectory(container_id, path, lock, self.history)

    # --- reserving ----------------------------------------------------------------------------

    def reserve(self, container_id: str) -> ContainerDirectory:
        """Make a container's directory, its lock held: it appears with both, or not at all.

        Raises:
            InvalidIdFormat: The id is none.
            IdInUse: There is such a container.
            OperationFailed: The root directory cannot be written.
        """
        check_id(container_id)
        path = self.path_of(container_id)
        try:
            for _ in range(_ATTEMPTS):
                aside, lock = self._prepare(container_id, path)
                if lock is None:
                    continue  # a sweeper was faster than our lock
                try:
                    # rename(2) replaces no directory that has something in it, and a
                    # container's has its lock from the beginning. What it may replace is an
                    # empty one, which a power cut or a crash has left.
                    os.rename(aside, path)
                except OSError as error:
                    remove_tree(aside, last=(LOCK,))
                    lock.release()
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        raise
                    if not self._clear(path):
                        raise _in_use(container_id) from None
                    continue
                lock.moved(path)
                return self._directory(container_id, path, lock)
        except OSError as error:
            raise failure(
                f"create container {container_id!r}: make its directory in {self.root}", error
            ) from error
        raise OperationFailed(
            f"create container {container_id!r}", f"{self.root} is being swept all the time"
        )

    def _prepare(self, container_id: str, path: str) -> tuple[str, ContainerLock | None]:
        """A directory aside, with its lock held; no lock if a sweeper took it for rubbish."""
        aside = f"{self.root}/{CREATING}{os.getpid()}-{os.urandom(6).hex()}"
        try:
            os.mkdir(aside, 0o700)
        except FileNotFoundError:
            self._make_root()
            os.mkdir(aside, 0o700)
        lock = ContainerLock(aside, container_id)
        try:
            os.chmod(aside, 0o700)  # whatever the umask
            lock.acquire(0.0, "create")
            if not path.endswith(f"/{container_id}"):
                _write_id(aside, container_id)
        except (ContainerBusy, ContainerNotExists, FileNotFoundError):
            lock.release()
            return aside, None
        except BaseException:
            with suppress(OperationFailed):
                remove_tree(aside, last=(LOCK,))
            lock.release()
            raise
        return aside, lock

    def _make_root(self) -> None:
        parent = os.path.dirname(os.path.abspath(self.root))
        os.makedirs(parent, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self.root, 0o711)
            # Whatever the umask. Others may pass, to what a container opens to them (a user
            # namespace's root is one of them), and list nothing.
            os.chmod(self.root, 0o711)  # noqa: S103

    # --- finding ------------------------------------------------------------------------------

    def open(self, container_id: str) -> ContainerDirectory:
        """A container's directory.

        Raises:
            InvalidIdFormat: The id is none.
            ContainerNotExists: There is no such container.
        """
        check_id(container_id)
        path = self.path_of(container_id)
        if not _is_container(path):
            raise ContainerNotExists(f"container {container_id!r} does not exist in {self.root}")
        return self._directory(container_id, path, ContainerLock(path, container_id))

    def ids(self) -> list[str]:
        """The ids of all containers, in order; those that are just being created too.

        Raises:
            OperationFailed: The root directory cannot be read.
        """
        found = (
            self._id_of(name)
            for name in self._entries()
            if not names.is_ours(name) and _is_container(f"{self.root}/{name}")
        )
        return sorted(container_id for container_id in found if container_id is not None)

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise failure(f"list {self.root}", error) from error

    def _id_of(self, name: str) -> str | None:
        if "~" not in name:
            return name
        try:
            text, _ = read_file(f"{self.root}/{name}/{ID}")
            return text.decode("ascii")
        except (OSError, ValueError):
            return None  # it goes, or is nobody's

    # --- sweeping up --------------------------------------------------------------------------

    def sweep(self) -> list[OperationFailed]:
        """Remove what processes that died have left of a reservation or a removal.

        Returns:
            What could not be removed, and why. It is in nobody's way, so nothing is raised.

        Raises:
            OperationFailed: The root directory cannot be read.
        """
        problems: list[OperationFailed] = []
        for name in self._entries():
            try:
                self._sweep_one(name, f"{self.root}/{name}")
            except OperationFailed as error:
                problems.append(error)
        return problems

    def _sweep_one(self, name: str, path: str) -> None:
        if name.startswith((CREATING, REMOVING)):
            # Empty: its maker died before it made the lock, or its remover behind it.
            with suppress(OSError):
                os.rmdir(path)
                return
            self._remove_unlocked(path)
        elif name != HISTORY and not _is_container(path):
            self._clear(path)

    def _clear(self, path: str) -> bool:
        """Remove what a reservation left, if that is what it is and its maker is dead."""
        try:
            found = set(os.listdir(path))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        # Without a lock it is none of ours, and has to be left alone.
        return LOCK in found and found <= _RUBBISH and self._remove_unlocked(path)

    def _remove_unlocked(self, path: str) -> bool:
        lock = ContainerLock(path, os.path.basename(path))
        try:
            lock.acquire(0.0, "sweep")
        except (ContainerBusy, ContainerNotExists):
            return False
        try:
            if os.path.basename(path).startswith((CREATING, REMOVING)):
                finish_removing(path, self.history)
                return True
            if _is_container(path):
                return False  # its maker was faster
            self._directory(os.path.basename(path), path, lock).retire()
            return True
        finally:
            lock.release()


def _is_container(path: str) -> bool:
    """Whether there is a state or, before the first state, a journal."""
    return os.path.lexists(f"{path}/{STATE}") or os.path.lexists(f"{path}/{JOURNAL}")


def _write_id(directory: str, container_id: str) -> None:
    fd = os.open(f"{directory}/{ID}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, container_id.encode("ascii"))
    finally:
        os.close(fd)


def _in_use(container_id: str) -> IdInUse:
    return IdInUse(
        f"create container {container_id!r}: a container with this id exists; destroy it first,"
        " or choose another id"
    )
