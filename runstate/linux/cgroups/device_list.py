"""The device list of a version 1 cgroup, changed under processes that use it.

The kernel's default is to deny or to allow, with exceptions; devices.list tells the exceptions
of the one (``c 1:3 rwm``), and of the other only that it allows (``a *:* rwm``).
"""

from __future__ import annotations

from runstate.errors import OperationFailed
from runstate.linux.cgroups.applying import Write, write_lines
from runstate.linux.cgroups.files import read_all

ALLOWS_ALL = "a *:* rwm"


def read_list(directory: str) -> list[str]:
    """The lines of devices.list.

    Raises:
        OSError: As the kernel reports it.
    """
    return read_all(f"{directory}/devices.list").splitlines()


def change(directory: str, allowed: bool, exceptions: tuple[str, ...]) -> None:
    """Make these the cgroup's rules.

    From one default to deny to another only what differs is written, grants first: a device
    that both allow can be used at every moment. A change of the default passes through a moment
    in which it stands alone.

    Args:
        directory: The cgroup.
        allowed: Whether the default is to allow.
        exceptions: From the default.

    Raises:
        OperationFailed: The kernel refuses.
    """
    try:
        present = read_list(directory)
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"read devices.list of cgroup {directory}", error
        ) from error
    if allowed or ALLOWS_ALL in present:
        default, other = ("allow", "deny") if allowed else ("deny", "allow")
        _write(directory, f"devices.{default}", ["a"])
        _write(directory, f"devices.{other}", exceptions)
        return
    had, wanted = _by_device(present), _by_device(exceptions)
    _write(directory, "devices.allow", _beyond(wanted, had))
    _write(directory, "devices.deny", _beyond(had, wanted))


def _by_device(lines: list[str] | tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        device, _, access = line.rpartition(" ")
        found[device] = found.get(device, "") + access
    return found


def _beyond(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """What one grants and the other does not, as lines."""
    lines = []
    for device, access in one.items():
        more = "".join(letter for letter in access if letter not in other.get(device, ""))
        if more:
            lines.append(f"{device} {more}")
    return lines


def _write(directory: str, file: str, lines: list[str] | tuple[str, ...]) -> None:
    if not lines:
        return
    write = Write("devices", directory, file, "\n".join(lines))
    try:
        write_lines(write)
    except OSError as error:
        raise OperationFailed.from_os_error(write.describe(), error) from error
