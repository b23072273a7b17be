"""The journal: the append-only record of transitions and their steps, one JSON line each.

==========  ===============================================================================
kind        data
==========  ===============================================================================
begin       trigger, source, dest, plan (the steps as JSON), who acts, facts for recovery
intent      index: this step of the plan is about to act
note        facts that must be on record before an effect (with the step's index), or beside
            all transitions
done        index, ms, result
failed      index, ms, error
undo        index: this step is about to be undone
commit      status, ms: the transition has happened
rollback    error, ms: it has not
damaged     line, reason: only in what `read` returns, in the place of what cannot be read
==========  ===============================================================================

A line ends in a checksum of its text, so a torn or flipped one is known. Nothing is synced:
what a killed process has written, the kernel has; and after a power cut another boot id says
that every process is gone, whatever the journal's last lines would have said.

A damaged journal must not keep anyone from destroying the container. So `read` can go on past
the damage, and `find_pending` says ``damaged`` of a transition whose records are not complete.
"""

from __future__ import annotations

import errno
import os
import time
import zlib
from contextlib import suppress
from json import JSONEncoder, loads
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from runstate.errors import StateInvalid
from runstate.persistence.files import failure, read_file
from runstate.persistence.schema import config_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHECKSUM = ',"checksum":"'
_TAIL = len(_CHECKSUM) + 8 + len('"}')

_encode_json = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


@frozen
class Record:
    """One line.

    Attributes:
        seq: Its number, from 1.
        time: When, in seconds since 1970 UTC.
        kind: See the table above.
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
        begun: The indices of the steps that had begun; all of them if records are lost.
        done: By index, the results of the steps that were done.
        notes: What steps had put on record.
        records: All its records, `begin` first.
        damaged: Whether records of it are lost.
    """

    trigger: str
    source: str
    dest: str
    plan: tuple[dict[str, Any], ...]
    begun: tuple[int, ...]
    done: dict[int, Any]
    notes: tuple[dict[str, Any], ...]
    records: tuple[Record, ...]
    damaged: bool = False


_INDEX_ONLY = frozenset({"index"})


def encode(record: Record) -> bytes:
    """A record as its line.

    Raises:
        StateInvalid: Its data is not JSON.
    """
    return _line(record.seq, record.time, record.kind, record.data)


def _line(seq: int, when: float, kind: str, data: dict[str, Any]) -> bytes:
    if data.keys() == _INDEX_ONLY and type(data["index"]) is int:
        # An intent: the most frequent line, and of known form.
        text = f'{{"seq":{seq},"time":{when!r},"kind":"{kind}","index":{data["index"]}'.encode(
            "ascii"
        )
        return b'%b,"checksum":"%08x"}\n' % (text, zlib.crc32(text))
    try:
        config = data.get("config")
        if type(config) is dict:
            # Nearly all of the line, and the same as in state.json.
            data = {key: value for key, value in data.items() if key != "config"}
            last = f',"config":{config_text(config)}'
        else:
            last = ""
        line = _encode_json({"seq": seq, "time": when, "kind": kind, **data})[:-1] + last
        text = line.encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise StateInvalid(f"journal {kind!r}: it cannot be JSON: {error}") from error
    return b'%b,"checksum":"%08x"}\n' % (text, zlib.crc32(text))


def decode(line: bytes) -> Record | None:
    """The record of a line without its newline; None if it is torn or was changed."""
    text, tail = line[:-_TAIL], line[-_TAIL:]
    if tail != f'{_CHECKSUM}{zlib.crc32(text):08x}"}}'.encode("ascii"):
        return None
    try:
        data = loads(text + b"}")
        seq, when, kind = data.pop("seq"), data.pop("time"), data.pop("kind")
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None
    if type(seq) is not int or type(when) not in (int, float) or type(kind) is not str:
        return None
    return Record(seq, when, kind, data)


class Journal:
    """The journal of one container.

    Anyone may read; only the holder of the container's lock may append. The file is open from
    the first record of a transition to its last, so that a process with many containers does
    not run out of descriptors.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._seq = 0
        self._end = -1  # how far this object knows the file
        self._settled_at = -1  # the size at which no transition was pending

    def append(self, kind: str, **data: Any) -> None:
        """Add a record.

        Raises:
            OperationFailed: The disk is full, or the like; no part of it is left.
            StateInvalid: The data is not JSON.
        """
        self.append_many([(kind, data)])

    def append_many(self, entries: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Add records by one write: all of them, or none.

        Raises:
            OperationFailed: See ``append``.
            StateInvalid: See ``append``.
        """
        try:
            fd = self._opened()
            # Another process may have appended since, or died in the middle of a line.
            if os.fstat(fd).st_size != self._end:
                self._catch_up(fd)
        except OSError as error:
            raise failure(f"append to the journal {self.path}", error) from error
        now = round(time.time(), 6)
        seq, settled = self._seq, self._settled_at == self._end
        lines = b""
        for kind, data in entries:
            seq += 1
            lines += _line(seq, now, kind, data)
            # A note beside all transitions changes nothing of what is pending.
            settled = kind in ("commit", "rollback") or (settled and kind == "note")
        try:
            if os.write(fd, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        except OSError as error:
            # If even this fails, the torn line is dropped by whoever reads or appends next.
            with suppress(OSError):
                os.ftruncate(fd, self._end)
            raise failure(f"append to the journal {self.path}", error) from error
        self._seq = seq
        self._end += len(lines)
        self._settled_at = self._end if settled else -1
        if settled:
            self.close()

    def _opened(self) -> int:
        if self._fd < 0:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)
        return self._fd

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def _catch_up(self, fd: int) -> None:
        """Cut off a torn last line, and learn the number of the last one."""
        data, _ = read_file(self.path)
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(fd, whole)
        records = self._parse(data, strict=False)
        self._seq = records[-1].seq if records else 0
        self._end = whole

    def read(self, *, strict: bool = True) -> list[Record]:
        """All records, the oldest first. A torn last line is left out: nobody relied on it.

        Args:
            strict: Whether a line that is damaged or missing in the middle is an error;
                otherwise a record of kind ``damaged`` stands in its place.

        Raises:
            StateInvalid: With the number of the damaged line.
            OperationFailed: The file cannot be read.
        """
        try:
            data, _ = read_file(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise failure(f"read the journal {self.path}", error) from error
        return self._parse(data, strict=strict)

    def _parse(self, data: bytes, *, strict: bool) -> list[Record]:
        records: list[Record] = []
        seq, when = 0, 0.0
        lines = data.split(b"\n")
        lines.pop()  # what follows the last newline: nothing, or a torn line
        for number, line in enumerate(lines, 1):
            record = decode(line)
            # Numbers may jump behind lines that were lost, which the line before says.
            lost = bool(records) and records[-1].kind == "damaged"
            if record is not None and (record.seq == seq + 1 or (lost and record.seq > seq)):
                records.append(record)
                seq, when = record.seq, record.time
                continue
            reason = "it was changed" if record is None else f"its number is not {seq + 1}"
            if strict:
                raise StateInvalid(
                    f"read the journal {self.path}: line {number} is damaged: {reason}; the"
                    " container can still be destroyed by force"
                )
            if record is None or record.seq <= seq:
                seq += 1
                records.append(Record(seq, when, "damaged", {"line": number, "reason": reason}))
            else:
                told = {"line": number, "reason": f"lines before it are missing: {reason}"}
                records += [Record(record.seq - 1, when, "damaged", told), record]
                seq, when = record.seq, record.time
        return records

    def pending(self) -> PendingTransition | None:
        """The last transition, if it was interrupted. It changes nothing, and needs no lock.

        Raises:
            OperationFailed: The file cannot be read.
        """
        if self._settled_at >= 0:
            with suppress(OSError):
                if os.stat(self.path).st_size == self._settled_at:
                    return None
        try:
            data, found = read_file(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(f"read the journal {self.path}", error) from error
        pending = find_pending(self._parse(data, strict=False))
        # Not with a torn line at its end, which another's append may turn into a begin of
        # the same size.
        whole = len(data) == found.st_size and data.endswith(b"\n")
        self._settled_at = len(data) if pending is None and whole else -1
        return pending


def find_pending(records: Sequence[Record]) -> PendingTransition | None:
    """The transition at the end of these records that was not brought to one.

    If every step of it was done and what followed cannot be read, then that was the commit:
    state.json is saved before, and nothing but the commit comes after. If a whole `begin` was
    lost, nothing tells what it was, and the saved state and the kernel must do.
    """
    begin = next((i for i in reversed(range(len(records))) if records[i].kind == "begin"), None)
    if begin is None:
        return None
    rest = records[begin:]
    if any(record.kind in ("commit", "rollback") for record in rest):
        return None
    data = rest[0].data
    plan = tuple(data["plan"])
    begun = {record.data["index"] for record in rest if record.kind == "intent"}
    done = {r.data["index"]: r.data.get("result") for r in rest if r.kind == "done"}
    damaged = any(record.kind == "damaged" for record in rest)
    if damaged:
        if len(done) == len(plan) and _ends_in_damage(rest):
            return None
        begun = set(range(len(plan)))
    return PendingTransition(
        trigger=data["trigger"],
        source=data["source"],
        dest=data["dest"],
        plan=plan,
        begun=tuple(sorted(begun)),
        done=done,
        notes=tuple(record.data for record in rest if record.kind == "note"),
        records=tuple(rest),
        damaged=damaged,
    )


def _ends_in_damage(records: Sequence[Record]) -> bool:
    """Whether the first record after the last step's `done` cannot be read."""
    done = max((i for i in range(len(records)) if records[i].kind == "done"), default=0)
    return len(records) > done + 1 and records[done + 1].kind == "damaged"
