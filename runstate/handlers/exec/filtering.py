"""The system call filter of a container: compiled once for a config, loaded by each process.

Where it is loaded follows from what the kernel and the agent need:

- With no_new_privs anyone may load a filter, so it comes last, directly before execve(2), and
  that is the only call which the profile has to allow for the program to start.
- Without it, CAP_SYS_ADMIN is needed (seccomp(2)), so it comes before the capabilities are set;
  and what init still does has to pass the filter: capset, prctl, umask, newfstatat, faccessat2,
  openat, fstat, read, close, close_range, sendto, recvfrom, write, brk, mmap, munmap, madvise and
  execve. As runc has it; the profiles of engines allow all of these.
- An agent is told while the container is being created, before the process reports that it is
  ready: an agent that cannot be told is an error of `create`, and none has a connection that
  waits for `start`. What init does after that has to pass the filter, or the agent, too.
- Hooks that run inside before the program are filtered like it.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.config.memo import json_form, remembered
from runstate.errors import ConfigInvalid, OperationFailed
from runstate.init import kernel
from runstate.linux import operations

if TYPE_CHECKING:
    from runstate.config import Config
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.operations import Operation
    from runstate.linux.seccomp.compiler import Filter

_AGENT = "seccomp agent"
_LISTENER = "$.linux.seccomp.listenerPath"


@frozen
class Loading:
    """When a process loads its filter; the same operation in one of three places.

    Attributes:
        with_rights: While it has CAP_SYS_ADMIN.
        before_ready: Before it reports that it is ready.
        last: Directly before it becomes the program.
    """

    with_rights: tuple[Operation, ...] = ()
    before_ready: tuple[Operation, ...] = ()
    last: tuple[Operation, ...] = ()


NOTHING = Loading()


@remembered
def filter_of(config: Config) -> Filter | None:
    """The compiled filter of a config; None if it asks for none.

    Raises:
        ConfigInvalid: It cannot be compiled.
        NotSupported: There is no libseccomp.
    """
    if config.linux is None or config.linux.seccomp is None:
        return None
    from runstate.linux.seccomp.compiler import compile_filter  # noqa: PLC0415 - not all need it

    form: Any = json_form(config)
    found = compile_filter(form["linux"]["seccomp"])
    if found.unknown or found.left_out:
        _tell(found)
    return found


def _tell(found: Filter) -> None:
    import logging  # noqa: PLC0415 - few filters need it

    log = logging.getLogger("runstate.seccomp")
    if found.unknown:
        log.debug("not in the filter, for nobody knows them: %s", ", ".join(found.unknown))
    if found.left_out:
        log.debug("not in the filter, for this machine never has them: %s", found.left_out)


def check(config: Config) -> list[str]:
    """What of the filter this host cannot do."""
    try:
        found = filter_of(config)
    except ConfigInvalid as error:
        return list(error.problems)
    if found is None or not found.flags & kernel.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV:
        return []  # all else is older than what runstate needs
    try:
        kernel.seccomp_filter(None, found.flags)
    except OSError as error:
        if error.errno == errno.EINVAL:
            path = "$.linux.seccomp.flags"
            return [f"{path}: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19"]
    return []


def connect_agent(context: HandlerContext) -> None:
    """Connect to the agent that decides about calls, if the filter has one, for init's use.

    Raises:
        OperationFailed: Nobody listens there.
    """
    found = filter_of(context.config)
    if found is None or not found.notifies:
        return
    assert context.config.linux is not None  # noqa: S101 - it has a filter
    assert context.config.linux.seccomp is not None  # noqa: S101
    path = context.config.linux.seccomp.listener_path or ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(context.deadline)
        try:
            connection.connect(path)
        except OSError as error:
            raise OperationFailed.from_os_error(
                f"connect to the seccomp agent ({_LISTENER}: {path})", error
            ) from error
        connection.settimeout(None)
        # An agent that does not read must not keep init for ever.
        timeout = struct.pack("ll", int(context.deadline) + 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        context.descriptors[_AGENT] = connection.detach()


def loading(context: HandlerContext, process: Any, pid: int, status: str) -> Loading:
    """The operation that loads the filter, in its place.

    Args:
        context: The container's.
        process: The ``process`` object of the config, or the further process.
        pid: The process, as the host sees it; only the agent is told.
        status: The container's, of the runtime specification.
    """
    found = filter_of(context.config)
    if found is None:
        return NOTHING
    agent, message = -1, b""
    if found.notifies:
        agent, message = context.descriptor(_AGENT), _message(context, pid, status)
    load = (operations.load_seccomp(found.program, found.flags, agent, message),)
    if not process.no_new_privileges:
        return Loading(with_rights=load)
    return Loading(before_ready=load) if found.notifies else Loading(last=load)


def tells_agent(config: Config) -> bool:
    """Whether an agent is told of each process that loads the filter."""
    found = filter_of(config)
    return found is not None and found.notifies


def _message(context: HandlerContext, pid: int, status: str) -> bytes:
    """The container process state (config-linux.md), for the agent."""
    config = context.config
    assert config.linux is not None  # noqa: S101 - it has a filter
    assert config.linux.seccomp is not None  # noqa: S101
    state: dict[str, Any] = {
        "ociVersion": config.oci_version,
        "id": context.id,
        "status": status,
        "bundle": context.bundle,
    }
    init = pid if context.init is None else context.init.pid
    if init:
        state["pid"] = init
    if config.annotations:
        state["annotations"] = config.annotations
    message = {
        "ociVersion": config.oci_version,
        "fds": ["seccompFd"],
        "pid": pid,
        "state": state,
    }
    if config.linux.seccomp.listener_metadata:
        message["metadata"] = config.linux.seccomp.listener_metadata
    return json.dumps(message, separators=(",", ":")).encode()
