"""Cache and memory bandwidth by the resctrl file system (config-linux.md, IntelRdt).

A class of service is a directory at its top, with the files ``schemata`` and ``tasks``; a group
that is only watched is a directory below ``mon_groups`` in one of these. Making a directory
makes the group, and removing it sends its tasks back to the group above
(Documentation/filesystems/resctrl.rst).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.errors import OperationFailed, explain_errno
from runstate.linux.cgroups.files import read_all
from runstate.linux.cgroups.paths import cgroup_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT_CLASS = "/"
_MOUNT = "mount -t resctrl resctrl /sys/fs/resctrl"

# What of the config needs which of the kernel's abilities, by the directory that tells of it.
_ABILITIES = {"l3CacheSchema": "L3", "memBwSchema": "MB", "enableMonitoring": "L3_MON"}


@frozen
class ResctrlGroup:
    """Where a container is in the resctrl file system; what state.json keeps.

    Attributes:
        directory: Its class of service.
        made: Whether it was made for this container, and goes when it is used no more.
        monitoring: The container's own group to be watched by, or empty.
    """

    directory: str
    made: bool
    monitoring: str = ""


def mount_point() -> str | None:
    """Where the resctrl file system is mounted; None if nowhere.

    Raises:
        OperationFailed: The mount table cannot be read.
    """
    path = "/proc/self/mountinfo"
    try:
        lines = read_all(path).splitlines()
    except OSError as error:
        raise OperationFailed.from_os_error(f"read {path}", error) from error
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if kind.startswith("resctrl "):
            return mount.split(" ")[4]
    return None


def plan(settings: Mapping[str, Any], id: str) -> ResctrlGroup | None:  # noqa: A002 - the spec's word
    """Where a container goes; nothing is made. None where resctrl is not mounted.

    Args:
        settings: The config's ``linux.intelRdt``, as JSON has it.
        id: The container's, for the class of service's name where the config has none.
    """
    top = mount_point()
    if top is None:
        return None
    name = settings.get("closID") or cgroup_name(id)
    directory = top if name == _ROOT_CLASS else f"{top}/{name}"
    watched = bool(settings.get("enableMonitoring"))
    return ResctrlGroup(
        directory,
        not os.path.isdir(directory),
        f"{directory}/mon_groups/{cgroup_name(id)}" if watched else "",
    )


def schemata(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What is written to the file ``schemata``, in this order; nothing where nothing is set."""
    bandwidth = settings.get("memBwSchema") or ""
    lines = (settings.get("l3CacheSchema") or "").splitlines()
    if bandwidth:
        # Such lines are bandwidth's alone, and it has a property of its own.
        lines = [line for line in lines if not line.startswith("MB:")] + [bandwidth]
    blocks = (lines, settings.get("schemata") or ())
    return tuple("\n".join(block) + "\n" for block in blocks if block)


def problems(
    settings: Mapping[str, Any],
    id: str,  # noqa: A002 - the spec's word
) -> list[tuple[tuple[str, ...], str]]:
    """What of the settings this host cannot do: each property's path below intelRdt, and why.

    Raises:
        OperationFailed: The kernel refuses to tell.
    """
    group, top = plan(settings, id), mount_point()
    if group is None or top is None:
        return [((), f"needs the resctrl file system, which is not mounted: {_MOUNT}")]
    found: list[tuple[tuple[str, ...], str]] = [
        ((name,), f"this host's resctrl file system has no info/{ability}")
        for name, ability in _ABILITIES.items()
        if settings.get(name) and not os.path.isdir(f"{top}/info/{ability}")
    ]
    wanted = schemata(settings)
    if not settings.get("closID"):
        if not group.made:
            found.append(((), f"the class of service {group.directory} exists already"))
    elif group.made and not wanted:
        why = f"there is no class of service {group.directory}, and no schemata to make it with"
        found.append((("closID",), why))
    elif not group.made and wanted:
        difference = _difference(group.directory, "".join(wanted))
        if difference:
            found.append((("closID",), f"{group.directory} exists with {difference}"))
    return found


def _difference(directory: str, wanted: str) -> str:
    """Where the schemata of a class differ from those that are wanted, in words."""
    path = f"{directory}/schemata"
    try:
        present = _parse(read_all(path))
    except OSError as error:
        raise OperationFailed.from_os_error(f"read {path}", error) from error
    for key, value in _parse(wanted).items():
        if present.get(key) != value:
            resource, domain = key
            has = present.get(key, "nothing")
            return f"{has} for {resource} of domain {domain}, where the config has {value}"
    return ""


def _parse(text: str) -> dict[tuple[str, str], str]:
    """Lines such as ``L3:0=7f0;1=1f``, without the differences that make none."""
    found = {}
    for line in text.splitlines():
        resource, _, domains = line.strip().partition(":")
        for pair in filter(None, domains.split(";")):
            domain, _, value = pair.partition("=")
            found[resource.strip(), domain.strip()] = value.strip().lower().lstrip("0") or "0"
    return found


# --- effects --------------------------------------------------------------------------------------


def create(group: ResctrlGroup, settings: Mapping[str, Any]) -> None:
    """Make what is not there; :func:`remove` is the undo, also when this was cut off.

    Raises:
        OperationFailed: The kernel refuses; with its own words where it has some.
    """
    if group.made:
        make_directory(group.directory)
        for text in schemata(settings):
            _write(f"{group.directory}/schemata", text)
    if group.monitoring:
        make_directory(group.monitoring)


def assign(group: ResctrlGroup, pid: int) -> None:
    """Put a process with one thread into the class and the watched group.

    Raises:
        OperationFailed: The kernel refuses.
    """
    _write(f"{group.directory}/tasks", f"{pid}\n")
    if group.monitoring:
        _write(f"{group.monitoring}/tasks", f"{pid}\n")


def remove(group: ResctrlGroup) -> None:
    """Remove what was made for the container; a class that others use by now stays.

    Raises:
        OperationFailed: The kernel refuses.
    """
    if group.monitoring:
        remove_directory(group.monitoring)
    if group.made and not _is_used(group.directory):
        remove_directory(group.directory)


def _is_used(directory: str) -> bool:
    try:
        pids = read_all(f"{directory}/tasks").split()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OperationFailed.from_os_error(f"read {directory}/tasks", error) from error
    return any(os.path.exists(f"/proc/{pid}") for pid in pids)


def make_directory(directory: str) -> None:
    """Make a group."""
    try:
        os.mkdir(directory, 0o755)
    except OSError as error:
        raise _refused(f"make resctrl group {directory}", error, directory) from error


def remove_directory(directory: str) -> None:
    """Remove a group; that it is gone already is fine."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(f"remove resctrl group {directory}", error, directory) from error


def _write(path: str, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        words = ", ".join(text.splitlines())
        raise _refused(f"write {words} to {path}", error, path) from error


def _refused(operation: str, error: OSError, path: str) -> OperationFailed:
    """The error, with what the kernel says in info/last_cmd_status."""
    reason = explain_errno(error.errno, error.strerror)
    directory = os.path.dirname(path)
    while directory != "/":
        try:
            status = read_all(f"{directory}/info/last_cmd_status").strip()
        except OSError:
            directory = os.path.dirname(directory)
            continue
        if status and status != "ok":
            reason = f"{reason}; the kernel says: {status}"
        break
    return OperationFailed(operation, reason, error.errno)
