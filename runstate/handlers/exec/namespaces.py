"""Which namespaces a container is in: made for it, or joined by path; and what is in the way."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from runstate.config.problems import abbreviate, json_path
from runstate.config.rules import expect
from runstate.errors import NotSupported, OperationFailed, explain_errno
from runstate.init import kernel
from runstate.linux import namespaces
from runstate.linux.namespaces import FLAGS, NotANamespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config import Config
    from runstate.config.linux import Namespace
    from runstate.errors import RuntimeStateError

# Only a child can be in a new pid or time namespace, and the others shall belong to the new user
# namespace; these are made where init is made. The rest it makes itself, while the engine goes on.
BY_CLONE = kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWTIME
EARLY = kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
# What init needs of the host (its files, its place in the unified hierarchy) is out of sight in
# these, so it joins them late, by itself. A new process joins init's the same way.
LATE = kernel.CLONE_NEWNS | kernel.CLONE_NEWCGROUP
MOUNT = "mount namespace"
"""The name of the descriptor by which init joins a mount namespace."""

_NO_USER_NAMESPACES = (errno.EPERM, errno.ENOSPC, errno.EUSERS)
_NO_USER_NAMESPACE = (
    "$.linux.namespaces: an ordinary user's container needs a user namespace of its own, with"
    " uidMappings and gidMappings; Config.default asks for one, and so does `runstate spec"
    " --rootless`"
)
_KINDS = {flag: kind for kind, flag in FLAGS.items()}
_LATEST = 2**62 // 10**9  # seconds; half of KTIME_MAX, where the kernel ends offset clocks
_CLOCKS = {"monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}


def made_and_joined(config: Config) -> tuple[int, int]:
    """The CLONE_NEW* of the namespaces to make, and of those to join."""
    made = joined = 0
    for namespace in config.linux.namespaces if config.linux is not None else ():
        flag = FLAGS[namespace.type]
        if not namespace.path:
            made |= flag
        elif flag != kernel.CLONE_NEWUSER or not namespaces.leads_to_own(namespace.path, "user"):
            joined |= flag  # setns(2) refuses the user namespace that a process is in already
    return made, joined


def _to_join(config: Config) -> list[tuple[int, Namespace]]:
    all_ = config.linux.namespaces if config.linux is not None else ()
    return [(index, namespace) for index, namespace in enumerate(all_) if namespace.path]


# --- before any effect ------------------------------------------------------------------------


def missing(config: Config) -> list[str]:
    """What of the namespaces cannot be had on this host, each with its JSON path."""
    made, joined = made_and_joined(config)
    if os.geteuid() != 0 and not (made | joined) & kernel.CLONE_NEWUSER:
        return [_NO_USER_NAMESPACE]
    problems = [] if not (made | joined) & kernel.CLONE_NEWTIME else list(_clocks(config))
    return [*problems, *_not_joinable(config)] if joined else problems


def _clocks(config: Config) -> Iterator[str]:
    try:
        with namespaces.own("time"):
            pass
    except NotSupported as error:
        yield f"$.linux.namespaces: {error}"
    assert config.linux is not None  # noqa: S101 - it has a time namespace
    for clock, offset in config.linux.time_offsets.items():
        now = int(time.clock_gettime(_CLOCKS[clock]))
        if not -now <= (offset.secs or 0) <= _LATEST - now:
            yield expect(
                ("linux", "timeOffsets", clock, "secs"),
                offset.secs,
                f"from {-now} to {_LATEST - now}: the clock stands at {now} s, and can go back to"
                f" 0 and on to {_LATEST}",
            )


def _not_joinable(config: Config) -> list[str]:
    problems = []
    with ExitStack() as stack:
        opened = []
        for index, namespace in _to_join(config):
            try:
                fd = namespaces.open_file(namespace.path or "", namespace.type)
            except NotANamespace as what:
                problems.append(
                    f"{_path_of(index)}: expected the file of a {namespace.type} namespace, got"
                    f" {abbreviate(namespace.path)}: {what}"
                )
            else:
                stack.callback(os.close, fd)
                opened.append((index, namespace.type, fd))
        return problems or list(_refused(config, opened))


def _refused(config: Config, opened: list[tuple[int, str, int]]) -> Iterator[str]:
    """Those that the kernel will not let this process join."""
    made, _joined = made_and_joined(config)
    foreign = {kind: fd for _, kind, fd in opened if not namespaces.is_own(fd, kind)}
    user = foreign.get("user")
    with namespaces.own("user") as own_user, namespaces.own("pid") as own_pid:
        powerful = _is_powerful()
        for index, kind, fd in opened:
            if kind not in foreign:
                continue
            words = ""
            if kind == "user":
                if not (powerful and namespaces.is_within(fd, own_user)) and not namespaces.is_mine(
                    fd, os.geteuid()
                ):
                    words = "this process may not join it: it is another user's"
            elif kind == "mount":
                inner = own_user if user is None else user
                if made & kernel.CLONE_NEWUSER or not namespaces.belongs_to(fd, inner):
                    words = (
                        "nothing could be mounted there: it does not belong to the container's"
                        " user namespace"
                    )
            elif kind == "pid" and not namespaces.is_within(fd, own_pid):
                words = "it is not below this process's own, as it has to be (setns(2))"
            elif not (powerful and namespaces.belongs_to(fd, own_user)) and not (
                user is not None and namespaces.belongs_to(fd, user)
            ):
                words = (
                    "this process may not join it: it belongs to a user namespace in which this"
                    " process has no rights; join that one, too"
                )
            if words:
                yield f"{_path_of(index)}: {words}"


def _is_powerful() -> bool:
    from runstate.linux import capabilities  # noqa: PLC0415 - few join any

    can = capabilities.grantable(own_userns=False)
    return bool(can & capabilities.mask_of(["CAP_SYS_ADMIN"]))


def _path_of(index: int) -> str:
    return json_path(("linux", "namespaces", index, "path"))


# --- making ------------------------------------------------------------------------------------


@contextmanager
def opened(config: Config, descriptors: dict[str, int]) -> Iterator[list[tuple[int, int]]]:
    """Descriptors for the namespaces to join, and the CLONE_NEW* of each, as long as this lasts.

    The mount namespace's goes to init's further ones instead, for it is joined late.

    Args:
        config: The container's.
        descriptors: Init's further descriptors, by name.

    Raises:
        OperationFailed: A path leads to something else by now.
    """
    joins: list[tuple[int, int]] = []
    try:
        for index, namespace in _to_join(config):
            try:
                fd = namespaces.open_file(namespace.path or "", namespace.type)
            except NotANamespace as what:
                raise OperationFailed(
                    f"join the {namespace.type} namespace {namespace.path}",
                    f"{what} ({_path_of(index)})",
                ) from what
            if namespace.type == "mount":
                descriptors[MOUNT] = fd
            else:
                joins.append((fd, FLAGS[namespace.type]))
        # What this process is in itself takes no rights that way, and none would do for its own
        # user namespace (setns(2)).
        own = {fd for fd, flag in joins if namespaces.is_own(fd, _KINDS[flag])}
        yield [(fd, flag) for fd, flag in joins if fd not in own]
    finally:
        for fd, _flag in joins:
            os.close(fd)


def clock_lines(config: Config) -> str:
    """The offsets of a new time namespace's clocks, as timens_offsets takes them."""
    if config.linux is None:
        return ""
    return "".join(
        f"{clock} {offset.secs or 0} {offset.nanosecs or 0}\n"
        for clock, offset in config.linux.time_offsets.items()
    )


def to_enter(flags: int, joined: int, pid: int) -> int:
    """The CLONE_NEW* of init's namespaces that a further process has to enter.

    Not those that this process is in itself: it needs no rights for them, and there are none for
    its own user namespace (setns(2)).

    Args:
        flags: Of all that the container has to itself, or has joined.
        joined: Of those that it has joined.
        pid: Init's.
    """
    for kind, flag in FLAGS.items():
        if flag & flags & (joined | kernel.CLONE_NEWUSER) and namespaces.leads_to_own(
            f"/proc/{pid}/ns/{namespaces.FILES[kind]}", kind
        ):
            flags &= ~flag
    return flags


def explained(error: OperationFailed, made: int, joined: int) -> RuntimeStateError:
    """Why init could not be made, where more is known than the kernel says."""
    words = ""
    if error.errno == errno.ENOMEM and joined & kernel.CLONE_NEWPID:
        # fork(2), ERRORS: ENOMEM, the second.
        words = "the pid namespace that it joins has no init any more, and takes no processes"
    elif made & kernel.CLONE_NEWUSER and error.errno in _NO_USER_NAMESPACES:
        # user_namespaces(7), namespaces(7); the last two are Debian's and Ubuntu's own.
        words = (
            "it was to have a new user namespace, which this host may not grant: see the sysctls"
            " user.max_user_namespaces, kernel.unprivileged_userns_clone and"
            " kernel.apparmor_restrict_unprivileged_userns"
        )
    if not words or error.errno is None:
        return error
    return OperationFailed(error.operation, f"{explain_errno(error.errno)}; {words}", error.errno)
