"""One container's directory: its state, its journal, its lock, and its removal."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runstate.errors import ContainerNotExists, OperationFailed, StateInvalid
from runstate.persistence import schema
from runstate.persistence.files import failure, read_file, remove_tree, replace_file
from runstate.persistence.journal import Journal
from runstate.persistence.names import REMOVING

if TYPE_CHECKING:
    from runstate.persistence.history import History
    from runstate.persistence.locks import ContainerLock
    from runstate.states.state import State

STATE, JOURNAL, LOCK, ID = "state.json", "journal.jsonl", "lock", "id"


class ContainerDirectory:
    """One container's directory.

    Attributes:
        id: The container's id.
        path: The directory.
        lock: Who holds it may change what is in it.
        journal: The container's journal.
    """

    def __init__(self, container_id: str, path: str, lock: ContainerLock, history: History) -> None:
        self.id = container_id
        self.path = path
        self.lock = lock
        self.journal = Journal(f"{path}/{JOURNAL}")
        self._history = history
        # What state.json was when it was last seen: inode, mtime and size, then the State.
        self._seen: tuple[tuple[int, int, int], State] | None = None

    def load(self) -> State:
        """The saved state, without a lock: it is always whole.

        It is read again only if the file has changed; so take what it holds as read-only.

        Raises:
            ContainerNotExists: There is none (any more, or yet).
            StateInvalid: It is no state; the error says what is wrong with it.
            OperationFailed: It cannot be read.
        """
        path = f"{self.path}/{STATE}"
        seen = self._seen
        try:
            if seen is not None and seen[0] == _key(os.stat(path)):
                return seen[1]
            text, found = read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ContainerNotExists(f"container {self.id!r} does not exist") from None
        except OSError as error:
            raise failure(f"read {path}", error) from error
        state = schema.decode(text, path)
        if state.id != self.id:
            raise StateInvalid(f"{path}: id is {state.id!r}; the directory is that of {self.id!r}")
        self._seen = (_key(found), state)
        return state

    def save(self, state: State) -> None:
        """Save the state; the lock is held.

        Raises:
            StateInvalid: It holds what cannot be JSON.
            OperationFailed: The disk is full, or the like; the older state is intact.
            ContainerNotExists: The directory is gone.
        """
        text = schema.encode(state)
        try:
            written = replace_file(self.path, STATE, text)
        except FileNotFoundError:
            raise ContainerNotExists(
                f"save the state of container {self.id!r}: it does not exist any more"
            ) from None
        self._seen = (_key(written), state)

    def has_state(self) -> bool:
        """Whether a state is saved: from the end of `create` to the end of `destroy`."""
        return os.path.exists(f"{self.path}/{STATE}")

    def drop_state(self) -> None:
        """Remove the saved state: the container is destroyed, whatever happens from here on."""
        self._seen = None
        try:
            os.unlink(f"{self.path}/{STATE}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise failure(f"remove {self.path}/{STATE}", error) from error

    def retire(self) -> OperationFailed | None:
        """Give the id free, move the journal to the history, remove the rest; the lock is held.

        A second time is as good as once. After a crash anywhere in between, `Store.sweep`
        goes on from there.

        Returns:
            What kept the journal from going to the history, if anything did: a full disk must
            not keep a container from going.

        Raises:
            OperationFailed: The directory cannot be renamed, or not be removed entirely.
        """
        self._seen = None
        self.journal.close()
        root, name = os.path.split(self.path)
        aside = f"{root}/{REMOVING}{name}.{time.time_ns()}"
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(f"remove container {self.id!r}: rename {self.path}", error) from error
        return finish_removing(aside, self._history)


def finish_removing(aside: str, history: History) -> OperationFailed | None:
    """Archive the journal of a directory that is out of use, and remove it; see ``retire``."""
    name, _, stamp = os.path.basename(aside).removeprefix(REMOVING).rpartition(".")
    problem = None
    if name and stamp.isdigit():
        try:
            history.archive(f"{aside}/{JOURNAL}", name, int(stamp))
        except OperationFailed as error:
            problem = error
    # The lock goes last: while it is there and held, nobody else sweeps here.
    remove_tree(aside, last=(LOCK,))
    return problem


def _key(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_size
