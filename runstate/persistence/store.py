"""The root directory and in it each container's: reserving, finding, saving, retiring.

::

    <root>/<id>/state.json, journal.jsonl, lock, exec.fifo, exit, processes/<pid>/
    <root>/.creating-…      being reserved; its lock is held by the one who reserves
    <root>/.removing-…      destroyed; on its way to being removed
    <root>/.history/        journals of containers that are gone
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from runstate.errors import (
    ContainerNotExists,
    IdInUse,
    InvalidIdFormat,
    OperationFailed,
    StateInvalid,
)
from runstate.persistence import schema
from runstate.persistence.files import read_file, replace_file
from runstate.persistence.history import History
from runstate.persistence.journal import Journal
from runstate.persistence.locks import ContainerLock

if TYPE_CHECKING:
    from runstate.states.state import State

_MAX_ID = 1024
_LONGEST_PLAIN = 200  # longer ids would not leave room for what names are made of (NAME_MAX)
_BAD_CHARACTER = re.compile(r"[^A-Za-z0-9_+.\-]")
_CREATING, _REMOVING = ".creating-", ".removing-"
_HISTORY = ".history"
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


def check_id(container_id: str) -> None:
    """An id is 1 to 1024 characters of letters, digits, ``_ + - .``; not ``.`` or ``..``.

    Raises:
        InvalidIdFormat: With the character that is wrong and its place.
    """
    if not isinstance(container_id, str) or not container_id:
        raise InvalidIdFormat(f"id {container_id!r}: an id has at least one character")
    if len(container_id) > _MAX_ID:
        raise InvalidIdFormat(
            f"id {container_id[:20]!r}… has {len(container_id)} characters; {_MAX_ID} are the most"
        )
    bad = _BAD_CHARACTER.search(container_id)
    if bad is not None:
        raise InvalidIdFormat(
            f"id {container_id!r}: {bad.group()!r} at character {bad.start() + 1}; letters,"
            " digits, '_', '+', '-' and '.' are allowed"
        )
    if container_id in {".", ".."}:
        raise InvalidIdFormat(f"id {container_id!r}: it means a directory")
    if container_id == _HISTORY or container_id.startswith((_CREATING, _REMOVING)):
        raise InvalidIdFormat(f"id {container_id!r}: runstate itself uses names that begin so")


def default_root() -> str:
    """``/run/runstate`` for root, ``$XDG_RUNTIME_DIR/runstate`` for others.

    Where that variable is not set, /run/user/UID stands in, or else a private directory below
    the temporary one.

    Raises:
        OperationFailed: That directory exists and is not this user's alone.
    """
    uid = os.geteuid()
    if uid == 0:
        return "/run/runstate"
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    if os.path.isdir(base):
        return f"{base}/runstate"
    import tempfile  # noqa: PLC0415 - few need it

    path = f"{tempfile.gettempdir()}/runstate-{uid}"
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise OperationFailed(
            f"use the root directory {path}", "it belongs to, or is open to, others; name another"
        )
    return path


class ContainerDirectory:
    """One container's directory.

    Attributes:
        id: The container's id.
        path: The directory.
        lock: Who holds it may change what is in it.
        journal: The container's journal.
    """

    def __init__(self, store: Store, container_id: str, path: str, lock: ContainerLock) -> None:
        self.id = container_id
        self.path = path
        self.lock = lock
        self.journal = Journal(f"{path}/journal.jsonl")
        self._store = store
        self._cached: tuple[tuple[int, int, int], State] | None = None

    def load(self) -> State:
        """The saved state, without a lock: it is always whole.

        Raises:
            ContainerNotExists: There is none (any more).
            StateInvalid: It is no state; the error says what is wrong with it.
        """
        path = f"{self.path}/state.json"
        try:
            found = os.stat(path)
            key = (found.st_ino, found.st_mtime_ns, found.st_size)
            if self._cached is not None and self._cached[0] == key:
                return self._cached[1]
            raw = json.loads(read_file(path))
        except FileNotFoundError:
            raise ContainerNotExists(f"container {self.id!r} does not exist") from None
        except (ValueError, RecursionError) as error:
            raise StateInvalid(f"read {path}: it is not JSON: {error}") from error
        except OSError as error:
            raise OperationFailed.from_os_error(f"read {path}", error) from error
        state = schema.load(raw, path)
        self._cached = (key, state)
        return state

    def save(self, state: State) -> None:
        """Save the state; the lock is held.

        Raises:
            OperationFailed: The disk is full, or the like; the older state is intact.
        """
        data = json.dumps(schema.dump(state), separators=(",", ":")).encode()
        replace_file(self.path, "state.json", data)
        found = os.stat(f"{self.path}/state.json")
        self._cached = ((found.st_ino, found.st_mtime_ns, found.st_size), state)

    def retire(self) -> None:
        """Give the id free, move the journal to the history, remove the rest."""
        self._cached = None
        aside = f"{self._store.root}/{_REMOVING}{os.path.basename(self.path)}.{time.time_ns()}"
        with suppress(FileNotFoundError):
            os.rename(self.path, aside)
            self._store.finish_removing(aside)


class Store:
    """A root directory.

    Attributes:
        root: Its path.
        history: The journals of containers that are gone.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.history = History(f"{root}/{_HISTORY}")

    check_id = staticmethod(check_id)

    def name_of(self, container_id: str) -> str:
        """The name of the container's directory."""
        if len(container_id) <= _LONGEST_PLAIN:
            return container_id
        # No id has a tilde, so no short id's directory can be in the way.
        digest = hashlib.sha256(container_id.encode()).hexdigest()[:32]
        return f"{container_id[:64]}~{digest}"

    def path_of(self, container_id: str) -> str:
        """The container's directory, whether or not it exists."""
        return f"{self.root}/{self.name_of(container_id)}"

    def reserve(self, container_id: str) -> ContainerDirectory:
        """Make a container's directory, its lock held: it appears with both, or not at all.

        Raises:
            IdInUse: There is one.
            OperationFailed: The root directory cannot be written.
        """
        check_id(container_id)
        path = self.path_of(container_id)
        if os.path.lexists(path):
            raise _in_use(container_id)
        aside = f"{self.root}/{_CREATING}{os.getpid()}-{os.urandom(6).hex()}"
        try:
            self._mkdir(aside)
        except OSError as error:
            raise OperationFailed.from_os_error(
                f"create container {container_id!r}: make a directory in {self.root}", error
            ) from error
        lock = ContainerLock(aside, container_id)
        try:
            lock.acquire(0.0, "create")
            _rename_new(aside, path)
        except BaseException as error:
            lock.release()
            shutil.rmtree(aside, ignore_errors=True)
            if isinstance(error, FileExistsError):
                raise _in_use(container_id) from None
            if isinstance(error, OSError):
                raise OperationFailed.from_os_error(
                    f"create container {container_id!r}: make {path}", error
                ) from error
            raise
        lock.moved(path)
        return ContainerDirectory(self, container_id, path, lock)

    def _mkdir(self, path: str) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            os.makedirs(self.root, 0o711, exist_ok=True)
            os.mkdir(path, 0o700)

    def open(self, container_id: str) -> ContainerDirectory:
        """A container's directory.

        Raises:
            ContainerNotExists: There is none.
        """
        check_id(container_id)
        path = self.path_of(container_id)
        if not os.path.isdir(path):
            raise ContainerNotExists(f"container {container_id!r} does not exist in {self.root}")
        return ContainerDirectory(self, container_id, path, ContainerLock(path, container_id))

    def ids(self) -> list[str]:
        """The ids of all containers."""
        return sorted(
            self._id_of(name)
            for name in self._entries()
            if not name.startswith((_CREATING, _REMOVING)) and name != _HISTORY
        )

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OperationFailed.from_os_error(f"list {self.root}", error) from error

    def _id_of(self, name: str) -> str:
        if "~" not in name:
            return name
        try:
            container_id = json.loads(read_file(f"{self.root}/{name}/state.json"))["id"]
        except (OSError, ValueError, KeyError, TypeError):
            return name
        return str(container_id)

    def sweep(self) -> None:
        """Remove what a process that died left of a reservation or a removal."""
        for name in self._entries():
            if name.startswith((_CREATING, _REMOVING)):
                path = f"{self.root}/{name}"
                with suppress(FileNotFoundError, BlockingIOError):
                    fd = os.open(f"{path}/lock", os.O_RDWR | os.O_CLOEXEC)
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        self.finish_removing(path)
                    finally:
                        os.close(fd)

    def finish_removing(self, aside: str) -> None:
        """Archive the journal of a directory that is out of use, and remove it."""
        name = os.path.basename(aside)
        if name.startswith(_REMOVING):
            original, _, stamp = name[len(_REMOVING) :].rpartition(".")
            self.history.archive(f"{aside}/journal.jsonl", original, int(stamp))
        _remove_tree(aside)


def _in_use(container_id: str) -> IdInUse:
    return IdInUse(
        f"create container {container_id!r}: a container with this id exists; destroy it first,"
        " or choose another id"
    )


_libc = ctypes.CDLL(None, use_errno=True)


def _rename_new(source: str, target: str) -> None:
    """renameat2(2) that never replaces."""
    result = _libc.renameat2(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
    )
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


_KNOWN = ("state.json", "lock", "exec.fifo", "exit", ".exit.new", ".state.json.new")


def _remove_tree(path: str) -> None:
    """Remove a container's directory: what is known by name first, which is nearly always all."""
    for name in _KNOWN:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}/{name}")
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise OperationFailed.from_os_error(f"remove {path}", error) from error
        shutil.rmtree(path, ignore_errors=True)
