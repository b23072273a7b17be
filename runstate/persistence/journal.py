"""The journal: the append-only record of transitions and their steps, one JSON line each.

A line ends in a checksum of its text, so a torn or flipped one is known. Nothing is synced:
what a killed process has written, the kernel has; and after a power cut another boot id says
that every process is gone, whatever the journal's last lines would have said.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from runstate.errors import OperationFailed, StateInvalid
from runstate.persistence.files import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHECKSUM = ',"checksum":"'
_TAIL = len(_CHECKSUM) + 8 + len('"}')


@frozen
class Record:
    """One line.

    Attributes:
        seq: Its number, from 1.
        time: When, in seconds since the epoch.
        kind: ``begin``, ``intent``, ``note``, ``done``, ``failed``, ``undo``, ``commit`` or
            ``rollback``.
        data: What that kind tells.
    """

    seq: int
    time: float
    kind: str
    data: dict[str, Any] = field(factory=dict)


@frozen
class PendingTransition:
    """The last transition, if it has neither `commit` nor `rollback`.

    Attributes:
        trigger: Its trigger.
        source: The status that it left.
        dest: The status that it would have led to.
        plan: Its steps, as JSON.
        begun: The indices of the steps that had begun.
        notes: What steps had put on record.
        records: All its records, `begin` first.
    """

    trigger: str
    source: str
    dest: str
    plan: tuple[dict[str, Any], ...]
    begun: tuple[int, ...]
    notes: tuple[dict[str, Any], ...]
    records: tuple[Record, ...]


def encode(record: Record) -> bytes:
    """A record as its line."""
    head = {"seq": record.seq, "time": record.time, "kind": record.kind, **record.data}
    text = json.dumps(head, separators=(",", ":"))[:-1]
    return f'{text}{_CHECKSUM}{zlib.crc32(text.encode()):08x}"}}\n'.encode()


def decode(line: bytes) -> Record | None:
    """The record of a line; None if it is torn or was changed."""
    if len(line) < _TAIL or not line.endswith(b'"}'):
        return None
    text, tail = line[:-_TAIL], line[-_TAIL:]
    if tail[:-2] != f"{_CHECKSUM}{zlib.crc32(text):08x}".encode():
        return None
    try:
        data = json.loads(text + b"}")
        return Record(data.pop("seq"), data.pop("time"), data.pop("kind"), data)
    except (ValueError, KeyError, RecursionError):
        return None


class Journal:
    """The journal of one container. Only the holder of the container's lock may append."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seq = 0
        # The size up to which this object knows that no transition is pending.
        self._settled_at = -1
        self._size = 0

    def append(self, kind: str, **data: Any) -> None:
        """Add a record.

        Raises:
            OperationFailed: The disk is full, or the like; no part of it is left.
        """
        self._seq = (self._seq or self._last_seq()) + 1
        line = encode(Record(self._seq, round(time.time(), 6), kind, data))
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                before = os.fstat(fd).st_size
                if os.write(fd, line) != len(line):
                    os.ftruncate(fd, before)
                    raise OSError(28, os.strerror(28))
            finally:
                os.close(fd)
        except OSError as error:
            self._seq -= 1
            raise OperationFailed.from_os_error(
                f"append to the journal {self.path}", error
            ) from error
        self._size = before + len(line)
        if kind in ("commit", "rollback") or (kind == "note" and "index" not in data):
            self._settled_at = self._size

    def _last_seq(self) -> int:
        self._drop_torn_end()
        records = self.read(strict=False)
        return records[-1].seq if records else 0

    def _drop_torn_end(self) -> None:
        """Cut off a last line that has no end: its writer died, or the disk was full."""
        try:
            data = read_file(self.path)
        except FileNotFoundError:
            return
        if data and not data.endswith(b"\n"):
            os.truncate(self.path, data.rfind(b"\n") + 1)

    def read(self, *, strict: bool = True) -> list[Record]:
        """All records, the oldest first; a torn last line is left out.

        Args:
            strict: Whether a line that is damaged, or missing, in the middle is an error;
                otherwise what can be read is returned.

        Raises:
            StateInvalid: With the number of the damaged line.
        """
        try:
            lines = read_file(self.path).split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OperationFailed.from_os_error(f"read the journal {self.path}", error) from error
        records: list[Record] = []
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            record = decode(line)
            if record is not None and (not records or record.seq > records[-1].seq):
                records.append(record)
            elif strict and number < len(lines):
                raise StateInvalid(f"read the journal {self.path}: line {number} is damaged")
        return records

    def pending(self) -> PendingTransition | None:
        """The last transition, if it was interrupted."""
        try:
            if os.stat(self.path).st_size == self._settled_at:
                return None
        except FileNotFoundError:
            return None
        records = self.read(strict=False)
        # Another process may have appended since this object did.
        self._seq = records[-1].seq if records else 0
        self._drop_torn_end()
        found = find_pending(records)
        if found is None:
            self._settled_at = os.stat(self.path).st_size
        return found


def find_pending(records: Sequence[Record]) -> PendingTransition | None:
    """The transition at the end of these records that was not brought to one."""
    begin = next((i for i in reversed(range(len(records))) if records[i].kind == "begin"), None)
    if begin is None:
        return None
    rest = records[begin:]
    if any(record.kind in ("commit", "rollback") for record in rest):
        return None
    data = rest[0].data
    return PendingTransition(
        trigger=data["trigger"],
        source=data["source"],
        dest=data["dest"],
        plan=tuple(data["plan"]),
        begun=tuple(sorted({r.data["index"] for r in rest if r.kind == "intent"})),
        notes=tuple(r.data for r in rest if r.kind == "note"),
        records=tuple(rest),
    )
