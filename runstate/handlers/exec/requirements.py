"""What a process asks for that this host or this container's user namespace may not have."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Any

from runstate.config.memo import remembered
from runstate.config.problems import json_path
from runstate.config.rules import expect
from runstate.errors import OperationFailed
from runstate.linux import capabilities, operations
from runstate.linux.sysctls import sysctl_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config import Config
    from runstate.config.linux import IDMapping, Linux

_SYS_RESOURCE = 1 << capabilities.NAMES.index("CAP_SYS_RESOURCE")
# The type of a namespace: its file of proc(5), and the parameters that it has.
_PARAMETERS = {
    "network": ("net", ("net/",)),
    "ipc": ("ipc", ("kernel/", "fs/mqueue/")),
    "uts": ("uts", ("kernel/domainname",)),
}
_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


def missing(config: Config, process: Any, init: int = 0) -> list[str]:
    """What cannot be had, each with its JSON path.

    Args:
        config: The container's.
        process: Its program's, or a further process's, ``process`` object.
        init: The container's init, if it has one.
    """
    problems = [*_rlimits(process)]
    linux = config.linux
    if linux is not None and linux.sysctl and process is config.process:
        problems += _of_host(linux)
    if linux is not None and any(n.type == "user" for n in linux.namespaces) and process.user:
        from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have one

        ids = idmaps.of_container(config, init)
        if ids is not None:
            problems += _unmapped(process.user, ids.uids, ids.gids)
    if process.apparmor_profile and not _has_apparmor():
        path = json_path(("process", "apparmorProfile"))
        problems.append(
            f"{path}: {process.apparmor_profile!r}: AppArmor is not active on this host"
        )
    if process.selinux_label and not _has_selinux():
        path = json_path(("process", "selinuxLabel"))
        problems.append(f"{path}: {process.selinux_label!r}: SELinux is not active on this host")
    return problems


def beyond_ceiling(process: Any) -> list[Any]:
    """The limits above the hard ones that this process has, and its children will."""
    found = []
    for limit in process.rlimits:
        ceiling = resource.getrlimit(operations.rlimit(limit.type))[1]
        if ceiling != resource.RLIM_INFINITY and limit.hard > ceiling:
            found.append(limit)
    return found


def raise_ceilings(pid: int, process: Any) -> None:
    """Let a process in a user namespace have the limits that this one may give it.

    In there CAP_SYS_RESOURCE is not the one that setrlimit(2) asks for; prlimit(2) of this
    process asks for its own.
    """
    for limit in beyond_ceiling(process):
        kind = operations.rlimit(limit.type)
        hard = resource.RLIM_INFINITY if limit.hard >= 1 << 63 else limit.hard
        try:
            resource.prlimit(pid, kind, (resource.getrlimit(kind)[0], hard))
        except (OSError, ValueError) as error:
            raise OperationFailed(f"raise the hard limit {limit.type} to {hard}", str(error)) from (
                error
            )


def _of_host(linux: Linux) -> Iterator[str]:
    """Kernel parameters that would be set for the host, whose namespace is the one to join."""
    for namespace in linux.namespaces:
        own = _PARAMETERS.get(namespace.type)
        if own is None or not namespace.path or not _is_own(namespace.path, own[0]):
            continue
        for name in linux.sysctl:
            if sysctl_path(name).startswith(own[1]):
                yield expect(
                    ("linux", "sysctl", name),
                    name,
                    f"nothing of the {namespace.type} namespace {namespace.path}: it is the host's",
                )


def _is_own(path: str, name: str) -> bool:
    try:
        return os.path.samefile(path, f"/proc/self/ns/{name}")
    except OSError:
        return False


def _rlimits(process: Any) -> Iterator[str]:
    beyond = beyond_ceiling(process)
    if not beyond or capabilities.grantable(own_userns=False) & _SYS_RESOURCE:
        return
    for index, limit in enumerate(process.rlimits):
        if limit in beyond:
            ceiling = resource.getrlimit(operations.rlimit(limit.type))[1]
            yield expect(
                ("process", "rlimits", index, "hard"),
                limit.hard,
                f"at most {ceiling} for {limit.type}: the hard limit that this process has itself"
                " and, without CAP_SYS_RESOURCE, may not raise",
            )


def _unmapped(user: Any, uids: tuple[IDMapping, ...], gids: tuple[IDMapping, ...]) -> Iterator[str]:
    ids = [("uid", user.uid or 0, uids), ("gid", user.gid or 0, gids)]
    for name, number, mappings in ids:
        if not is_mapped(number, mappings):
            yield _not_mapped(("process", "user", name), number, f"{name}Mappings")
    for index, number in enumerate(user.additional_gids):
        if not is_mapped(number, gids):
            yield _not_mapped(("process", "user", "additionalGids", index), number, "gidMappings")


def is_mapped(number: int, mappings: tuple[IDMapping, ...]) -> bool:
    """Whether a user namespace with these mappings has an id."""
    return any(m.container_id <= number < m.container_id + m.size for m in mappings)


def _not_mapped(path: tuple[str | int, ...], number: int, mappings: str) -> str:
    return expect(path, number, f"an id that the container has by linux.{mappings}")


def _has_apparmor() -> bool:
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as file:
            return file.read(1) == "Y"
    except OSError:
        return False


def _has_selinux() -> bool:
    return os.path.exists("/sys/fs/selinux/enforce")


@remembered
def not_granted(config: Config) -> list[str]:
    """What a program is not granted, and no error, for the specification forbids to make it one."""
    sets = config.process.capabilities if config.process is not None else None
    if sets is None:
        return []
    names = [name for which in _SETS for name in getattr(sets, which)]
    own_userns = config.linux is not None and any(n.type == "user" for n in config.linux.namespaces)
    denied = capabilities.not_grantable(names, own_userns=own_userns)
    if not denied:
        return []
    return [f"capabilities: {', '.join(denied)}: not known here, or not this process's to give"]
