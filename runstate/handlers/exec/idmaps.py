"""The ids of a container's user namespace: what may be mapped, and by whom it is written.

Root writes the maps of a new one directly. An ordinary user may map the own ids alone that way,
after giving up setgroups(2), and ranges of /etc/subuid and /etc/subgid by newuidmap(1) and
newgidmap(1) (user_namespaces(7)). A user namespace that is joined has its maps already.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.config.linux import IDMapping
from runstate.config.problems import json_path
from runstate.config.rules import expect
from runstate.errors import OperationFailed
from runstate.linux import namespaces, privileges, processes, subids
from runstate.linux.namespaces import NotANamespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config import Config

_KINDS = ("uid", "gid")
_NOBODY = 65534


@frozen
class Ids:
    """The ids of a container's user namespace.

    Attributes:
        uids: Of users.
        gids: Of groups.
    """

    uids: tuple[IDMapping, ...]
    gids: tuple[IDMapping, ...]

    def of(self, kind: str) -> tuple[IDMapping, ...]:
        """Those of a kind, ``uid`` or ``gid``."""
        return self.uids if kind == "uid" else self.gids

    @property
    def root(self) -> tuple[int, int]:
        """The host's ids of the container's root; 65534 where it is nobody there."""
        uid, gid = _outside(0, self.uids), _outside(0, self.gids)
        return _NOBODY if uid is None else uid, _NOBODY if gid is None else gid


def of_container(config: Config, init: int = 0) -> Ids | None:
    """The ids of the container's user namespace; None if it has none, or they cannot be told.

    Args:
        config: The container's.
        init: Its init's pid, if there is one already.
    """
    linux = config.linux
    user = next((n for n in linux.namespaces if n.type == "user"), None) if linux else None
    if linux is None or user is None:
        return None
    if not user.path:
        return Ids(linux.uid_mappings, linux.gid_mappings)
    try:
        return _of_process(init) if init else _of_namespace(user.path)
    except (OSError, NotANamespace):
        return None  # who joins it is told


def _own_ids() -> Ids:
    """This process's own user namespace's; its map tells what they are further out."""
    uids, gids = (
        tuple(
            IDMapping(container_id=inside, host_id=inside, size=size)
            for inside, _, size in privileges.own_ids(kind)
        )
        for kind in _KINDS
    )
    return Ids(uids, gids)


def _of_process(pid: int | str) -> Ids:
    if namespaces.leads_to_own(f"/proc/{pid}/ns/user", "user"):
        return _own_ids()
    uids, gids = (
        tuple(
            IDMapping(container_id=inside, host_id=outside, size=size)
            for inside, outside, size in privileges.parse_map(
                processes.read_text(f"/proc/{pid}/{kind}_map")
            )
        )
        for kind in _KINDS
    )
    return Ids(uids, gids)


def _of_namespace(path: str) -> Ids:
    fd = namespaces.open_file(path, "user")
    try:
        if namespaces.is_own(fd, "user"):
            return _own_ids()
        name = path.removeprefix("/proc/").removesuffix("/ns/user")
        if path == f"/proc/{name}/ns/user" and name.isdecimal():
            return _of_process(name)
        return _by_joining(fd)
    finally:
        os.close(fd)


def _by_joining(namespace: int) -> Ids:
    """Ask a process that is made for it; the kernel tells the maps of processes only."""
    from runstate.init import kernel  # noqa: PLC0415 - few come here
    from runstate.linux import launcher  # noqa: PLC0415
    from runstate.linux.handshake import Handshake  # noqa: PLC0415

    handshake = Handshake()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        child = launcher.get().launch(
            handshake.theirs, (null, null, null), joins=[(namespace, kernel.CLONE_NEWUSER)]
        )
        handshake.theirs.close()
        try:
            return _of_process(child.identity.pid)
        finally:
            handshake.close()  # without a plan it ends
            child.wait(1)
            child.close()
    except OperationFailed as error:
        raise OSError(error.errno or 0, str(error)) from error
    finally:
        handshake.close()
        os.close(null)


def host_uid(config: Config, uid: int, init: int = 0) -> int | None:
    """The host's id of a container's user; None if it has none, or it cannot be told.

    Args:
        config: The container's, with a user namespace.
        uid: The id inside.
        init: The container's init, if there is one already.
    """
    ids = of_container(config, init)
    return None if ids is None else _outside(uid, ids.uids)


def _outside(number: int, mappings: tuple[IDMapping, ...]) -> int | None:
    for mapping in mappings:
        if mapping.container_id <= number < mapping.container_id + mapping.size:
            return mapping.host_id + number - mapping.container_id
    return None


# --- before any effect ---------------------------------------------------------------------------


def missing(config: Config) -> list[str]:
    """What of the mappings this process may not do, each with its JSON path."""
    linux = config.linux
    user = next((n for n in linux.namespaces if n.type == "user"), None) if linux else None
    if linux is None or user is None:
        return []
    if user.path:
        return list(_unlike(config))
    problems: list[str] = []
    for kind in _KINDS:
        mappings = linux.uid_mappings if kind == "uid" else linux.gid_mappings
        problems += _not_mine(kind, mappings)
    process_user = config.process.user if config.process is not None else None
    if (
        process_user is not None
        and process_user.additional_gids
        and os.geteuid() != 0
        and _is_own_alone("gid", linux.gid_mappings)
    ):
        problems.append(
            expect(
                ("process", "user", "additionalGids"),
                list(process_user.additional_gids),
                "none: an ordinary user's container that maps no group but the user's own may"
                " not set any (user_namespaces(7)); map a range of /etc/subgid",
            )
        )
    return problems


def _unlike(config: Config) -> Iterator[str]:
    """Mappings for a user namespace that has other ones; runc takes the same ones, and so do we."""
    assert config.linux is not None  # noqa: S101 - it has a user namespace
    ids = of_container(config)
    path = next(n.path for n in config.linux.namespaces if n.type == "user") or ""
    is_own = namespaces.leads_to_own(path, "user")
    for kind, given in (("uid", config.linux.uid_mappings), ("gid", config.linux.gid_mappings)):
        found = ids.of(kind) if ids is not None else ()
        if is_own and _are_themselves(kind, given):
            continue
        if given and sorted(map(_numbers, given)) != sorted(map(_numbers, found)):
            yield expect(
                ("linux", f"{kind}Mappings"),
                list(given),
                "none for a user namespace that is joined, or those that it has"
                f" ({_words(found) or 'unknown'})",
            )


def _are_themselves(kind: str, mappings: tuple[IDMapping, ...]) -> bool:
    """Whether mappings are of this process's own ids to themselves: what podman calls its own."""
    ranges = tuple((inside, size) for inside, _, size in privileges.own_ids(kind))
    return all(
        mapping.container_id == mapping.host_id
        and subids.cover(ranges, mapping.host_id, mapping.size)
        for mapping in mappings
    )


def _numbers(mapping: IDMapping) -> tuple[int, int, int]:
    return mapping.container_id, mapping.host_id, mapping.size


def _words(mappings: tuple[IDMapping, ...]) -> str:
    return "; ".join(" ".join(map(str, _numbers(mapping))) for mapping in mappings)


def notices(config: Config) -> list[str]:
    """What an ordinary user's container has to do without."""
    linux = config.linux
    if os.geteuid() == 0 or linux is None or not _is_own_alone("uid", linux.uid_mappings):
        return []
    return ["users: only the caller's own id is mapped, as root of the container"]


def _is_own_alone(kind: str, mappings: tuple[IDMapping, ...]) -> bool:
    return len(mappings) == 1 and mappings[0].size == 1 and mappings[0].host_id == _own(kind)


def _own(kind: str) -> int:
    return os.geteuid() if kind == "uid" else os.getegid()


def _not_mine(kind: str, mappings: tuple[IDMapping, ...]) -> Iterator[str]:
    if os.geteuid() == 0:
        if not privileges.in_user_namespace():
            return
        ranges = tuple((inside, size) for inside, _, size in privileges.own_ids(kind))
        whose = f"ids that this process's own user namespace has ({_ranges(ranges)})"
        advice = ""
    elif _is_own_alone(kind, mappings):
        return
    else:
        if not subids.helper(kind):
            yield (
                f"{json_path(('linux', f'{kind}Mappings'))}: an ordinary user maps more than the"
                f" own id by {subids.HELPERS[kind]}, which is not in $PATH; install it (Debian:"
                f" {subids.PACKAGE}), or map {_own(kind)} alone"
            )
            return
        if subids.helpers_are_powerless():
            yield (
                f"{json_path(('linux', f'{kind}Mappings'))}: {subids.HELPERS[kind]} cannot map"
                " them, for this process may not start programs with more rights than its own"
                f" (no_new_privs); map {_own(kind)} alone"
            )
            return
        if subids.come_from_elsewhere():
            return
        granted, file = subids.granted(kind), subids.FILES[kind]
        ranges = (*granted, (_own(kind), 1))
        whose = f"this user's own {_own(kind)}, or ids of {file} ({_ranges(granted)})"
        advice = f"; an administrator grants some by usermod --add-sub{kind}s"
    for index, mapping in enumerate(mappings):
        if not subids.cover(ranges, mapping.host_id, mapping.size):
            end = mapping.host_id + mapping.size - 1
            got = f"{mapping.host_id}-{end}" if mapping.size > 1 else mapping.host_id
            path = json_path(("linux", f"{kind}Mappings", index, "hostID"))
            yield f"{path}: expected {whose}, got {got}{advice}"


def _ranges(ranges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{start}-{start + count - 1}" for start, count in ranges) or "none"


# --- writing -------------------------------------------------------------------------------------


def write_maps(pid: int, config: Config, deadline: float) -> None:
    """Map the ids of the user namespace that process ``pid`` is the first of.

    Args:
        pid: The process.
        config: The container's.
        deadline: Seconds that newuidmap and newgidmap may take.

    Raises:
        OperationFailed: The kernel, or one of the two, refuses.
    """
    linux = config.linux
    if linux is None:
        return
    running = []
    for kind, mappings in (("uid", linux.uid_mappings), ("gid", linux.gid_mappings)):
        if os.geteuid() == 0 or _is_own_alone(kind, mappings):
            if kind == "gid" and os.geteuid() != 0:
                _write(f"/proc/{pid}/setgroups", "deny")
            lines = "".join(f"{_words((mapping,))}\n" for mapping in mappings)
            _write(f"/proc/{pid}/{kind}_map", lines)
        else:
            running.append(_Helper(kind, pid, mappings))
    errors = [error for helper in running if (error := helper.finish(deadline))]
    if errors:
        raise errors[0]


class _Helper:
    """One of newuidmap and newgidmap, which run at the same time."""

    def __init__(self, kind: str, pid: int, mappings: tuple[IDMapping, ...]) -> None:
        self.kind = kind
        numbers = [str(number) for mapping in mappings for number in _numbers(mapping)]
        self.words = [subids.helper(kind) or subids.HELPERS[kind], str(pid), *numbers]
        self.process: subprocess.Popen[bytes] | OSError
        try:
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            self.process = error

    def finish(self, deadline: float) -> OperationFailed | None:
        """Wait for it; its error, if it has one."""
        doing = f"map the container's {self.kind}s by {' '.join(self.words)}"
        if isinstance(self.process, OSError):
            return OperationFailed.from_os_error(doing, self.process)
        try:
            said = self.process.communicate(timeout=deadline)[1].decode("utf-8", "replace").strip()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return OperationFailed(doing, f"it takes longer than {deadline:g} s")
        if self.process.returncode == 0:
            return None
        remedy = f"see {subids.FILES[self.kind]}, and whether the program is set-user-ID root"
        return OperationFailed(doing, f"{said or 'it failed'}; {remedy}")


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        lines = text.strip().replace("\n", "; ")
        raise OperationFailed.from_os_error(f"write '{lines}' to {path}", error) from error
