"""The messages between engine, zygote and init: a closed set, in the order of their use.

::

    engine                         zygote                        init (the new process)
      |  Spawn (+ descriptors)       |                              |
      |----------- control --------->|  clone3                      |
      |                              |----------------------------->|
      |  Spawned(pid) + pidfd        |                              |
      |<---------- lifeline ---------|                              |
      |  plan: the operations                                       |
      |---------------------------- channel ----------------------->|  executes
      |  proceed: ids are mapped, cgroup is attached                |
      |---------------------------- channel ----------------------->|  (awaited by operations)
      |  console, if it has a terminal (+ its master)               |
      |<--------------------------- channel ------------------------|
      |  meeting, if the host has something to do in the namespaces |
      |<--------------------------- channel ------------------------|
      |  proceed: it is done                                        |
      |---------------------------- channel ----------------------->|
      |  ready (+ hooks that it has run), or failed(index, errno, text)
      |<--------------------------- channel ------------------------|
      |  proceed: init is on record                                 |
      |---------------------------- channel ----------------------->|  waits in the exec fifo
      |
      |  (later, by any process) opens the exec fifo                |
      |<---------------------------- fifo --------------------------|  "0", hooks that it runs,
      |                                                             |  then exec: end of file;
      |                                                             |  or "failed…" after them
      |  Exited(status)              |  waitid                      |
      |<---------- lifeline ---------|<-----------------------------|

Until the last `proceed` init ends by itself when the engine's end of the channel closes,
so that an engine which dies leaves nothing behind. When the zygote's control socket closes,
the zygote ends; containers go on, and their nearest subreaper becomes their parent.

Engine and zygote are the same interpreter, so their messages are marshalled. What comes from
init is text, because it is the side next to the container.
"""

from __future__ import annotations

import marshal
import struct
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket

MAX_MESSAGE = 65536
MAX_FDS = 253  # SCM_MAX_FD, unix(7)

FIFO_BYTE = b"0"
PROCEED = b"p"
MEETING = b"meeting"
READY = b"ready"
CONSOLE = b"console"
FAILED = b"failed"
HOOK = "\0hook\0"  # begins the text of a failure that is a hook's; see unpack_hook_failure

_HOOK_RAN, _HOOK_END = b"\1", b"\2"
_LENGTH = struct.Struct("=I")
_FD_SIZE = struct.calcsize("i")


# Engine to zygote, with descriptors: channel, lifeline, stdin, stdout, stderr, the container's
# directory (only if record_exit), its unified cgroup (only if into_cgroup), the namespaces to
# join, extras.
#   (flags: CLONE_NEW* for clone3, early: those that the plan unshares and a spare child may
#    have before, joins: CLONE_NEW* of each namespace descriptor or pidfd, into_cgroup,
#    record_exit, before: the operations to execute before the namespaces are joined, needed:
#    the names of those that are executed inside, clocks: the lines of timens_offsets for a new
#    time namespace)
Spawn = tuple[int, int, tuple[int, ...], bool, bool, list[tuple[object, ...]], list[str], str]

# Zygote to engine, as (kind, value, text):
SPAWNED = "spawned"  # value: the pid; text: its start time; its pidfd comes along
SPAWN_FAILED = "failed"  # value: errno; text: the operation
EXITED = "exited"  # value: the wait status, as in wait(2)
Reply = tuple[str, int, str]


def send_spawn(control: socket, spawn: Spawn, fds: list[int]) -> None:
    """Engine to zygote; one packet, so threads need no lock."""
    _send(control, spawn, fds)


def receive_spawn(control: socket) -> tuple[Spawn, list[int]] | None:
    """The zygote's side; None when the engine is gone."""
    data, fds = _receive(control)
    return (marshal.loads(data), fds) if data else None  # noqa: S302 - from our parent


def send_take(spare: socket, fds: list[int]) -> None:
    """Zygote to its spare child: the descriptors of the container that it becomes."""
    spare.sendmsg([PROCEED], [_rights(fds)])


def receive_take(sock: socket) -> list[int] | None:
    """The spare child's side; None when the zygote is gone or does not want it."""
    data, fds = _receive(sock)
    return fds if data else None


def send_reply(lifeline: socket, reply: Reply, fds: list[int]) -> None:
    """Zygote to engine."""
    _send(lifeline, reply, fds)


def receive_reply(lifeline: socket) -> tuple[Reply, list[int]] | None:
    """The engine's side; None when the zygote is gone."""
    data, fds = _receive(lifeline)
    reply = parse_reply(data)
    return None if reply is None else (reply, fds)


def parse_reply(data: bytes) -> Reply | None:
    """A packet of the lifeline; None for the empty one that means the zygote is gone."""
    if not data:
        return None
    reply: Reply = marshal.loads(data)  # noqa: S302 - the zygote runs our own code only
    return reply


def _send(sock: socket, message: Spawn | Reply, fds: list[int]) -> None:
    ancillary = [_rights(fds)] if fds else []
    sock.sendmsg([marshal.dumps(message)], ancillary)


def _rights(fds: list[int]) -> tuple[int, int, bytes]:
    # The array module would do it too, but its import brings all of collections with it.
    return SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds)


def _receive(sock: socket) -> tuple[bytes, list[int]]:
    data, ancillary, _flags, _address = sock.recvmsg(
        MAX_MESSAGE, CMSG_SPACE(MAX_FDS * _FD_SIZE), MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            count = len(payload) // _FD_SIZE
            fds += struct.unpack(f"{count}i", payload[: count * _FD_SIZE])
    return data, fds


def pack_plan(operations: list[tuple[object, ...]]) -> bytes:
    """The plan as it goes over the channel."""
    body = marshal.dumps(operations)
    return _LENGTH.pack(len(body)) + body


def receive_plan(channel: socket) -> list[tuple[object, ...]] | None:
    """Init's side; None when the engine is gone."""
    header = _receive_exactly(channel, _LENGTH.size)
    if header is None:
        return None
    body = _receive_exactly(channel, _LENGTH.unpack(header)[0])
    return None if body is None else marshal.loads(body)  # noqa: S302 - from our parent


def _receive_exactly(channel: socket, size: int) -> bytes | None:
    chunks = b""
    while len(chunks) < size:
        chunk = channel.recv(size - len(chunks))
        if not chunk:
            return None
        chunks += chunk
    return chunks


def send_console(channel: socket, master: int) -> None:
    """Init's side: the master of its terminal."""
    send_descriptors(channel, CONSOLE, [master])


def send_descriptors(channel: socket, message: bytes, fds: list[int]) -> None:
    """A message with descriptors."""
    channel.sendmsg([message], [_rights(fds)])


def receive_report(channel: socket) -> tuple[bytes, list[int]]:
    """The engine's side: what init says, with descriptors if it sends any.

    Descriptors are a barrier in a stream (unix(7)), so one report is read at a time.
    """
    return _receive(channel)


def pack_failure(index: int, errno: int, text: str) -> bytes:
    """What init says of the operation that failed."""
    return b"\0".join(
        (FAILED, str(index).encode(), str(errno).encode(), text.encode("utf-8", "replace"))
    )


def pack_hook(name: str, ms: float) -> bytes:
    """What init says of a hook that it has run: after its `ready`, or in the exec fifo."""
    return b"%b%b %.3f%b" % (_HOOK_RAN, name.encode(), ms, _HOOK_END)


def take_hooks(message: bytes) -> tuple[list[tuple[str, float]], bytes]:
    """The names and milliseconds of hooks that a message begins with, and what comes then."""
    found = []
    while message[:1] == _HOOK_RAN:
        record, _, message = message[1:].partition(_HOOK_END)
        name, _, ms = record.partition(b" ")
        found.append((name.decode(), float(ms)))
    return found, message


def unpack_hook_failure(text: str) -> tuple[str, str, int, int, int, str, str] | None:
    """What a failure's text says of a hook; None if it is none's.

    Returns:
        Its name, its path, the errno of its exec (0: none), its wait status, the seconds that
        it had if it took longer (else 0), and the last that it wrote to stderr and to stdout.
    """
    fields = text.removeprefix(HOOK).split("\0")
    if not text.startswith(HOOK) or len(fields) != 7:
        return None
    name, path, number, status, late, err, out = fields
    try:
        return name, path, int(number), int(status), int(late), err, out
    except ValueError:
        return None


def unpack_failure(message: bytes) -> tuple[int, int, str] | None:
    """Index, errno (0: none) and text of a failure; None if the message is no such thing."""
    parts = message.split(b"\0", 3)
    if len(parts) != 4 or parts[0] != FAILED:
        return None
    try:
        return int(parts[1]), int(parts[2]), parts[3].decode("utf-8", "replace")
    except ValueError:
        return None
