"""The effects that :mod:`~runstate.linux.cgroups.resources` compiles, and performing them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.errors import OperationFailed, explain_errno
from runstate.linux.cgroups.files import read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@frozen
class Write:
    """A setting: what is written to one file of a cgroup.

    Attributes:
        controller: Which controller has the file, by its name in that version.
        directory: The cgroup.
        file: The file in it.
        value: What is written; of several lines, each by a write(2) of its own, because the
            kernel takes one setting in each.
        optional: That the file is missing is no error: the value is what holds without it.
        may_follow: Two limits that the kernel checks against each other: refused with EINVAL,
            this one is to be written again after the next one.
        instead: What to write where the kernel has no such file.
        key: Which of the file's entries it is about, by the entry's first word (a device, an
            interface), where the file has one for each.
        reset: What to write to be rid of that entry.
    """

    controller: str
    directory: str
    file: str
    value: str
    optional: bool = False
    may_follow: bool = False
    instead: Write | None = None
    key: str = ""
    reset: str = ""

    def describe(self) -> str:
        """The write in words, as plans and errors have it."""
        value = self.value.replace("\n", ", ")
        return f"write {value} to {self.file} of cgroup {self.directory}"


@frozen
class DeviceFilter:
    """Device rules of a version 2 cgroup: a program, in place of files.

    Attributes:
        directory: The cgroup.
        rules: The config's rules, in order.
    """

    directory: str
    rules: tuple[Mapping[str, Any], ...]

    def describe(self) -> str:
        """The effect in words, as plans and errors have it."""
        return f"attach a filter of {len(self.rules)} device rules to cgroup {self.directory}"


@frozen
class DeviceList:
    """Device rules of a version 1 cgroup in which processes live already.

    Attributes:
        directory: The cgroup.
        allowed: Whether the default is to allow.
        exceptions: From the default, each in the form ``c 1:3 rwm``.
    """

    directory: str
    allowed: bool
    exceptions: tuple[str, ...]

    def describe(self) -> str:
        """The effect in words, as plans and errors have it."""
        words = "allow all devices but" if self.allowed else "allow no devices but"
        listed = ", ".join(self.exceptions) or "none"
        return f"{words} {listed} in cgroup {self.directory}"


def perform(writes: Iterable[Write | DeviceFilter | DeviceList]) -> None:
    """Perform the writes in order.

    Raises:
        OperationFailed: The kernel refuses one; those before it stay.
        ConfigInvalid: A device rule is none.
    """
    postponed: Write | None = None
    for write in writes:
        if not isinstance(write, Write):
            _set_devices(write)
            continue
        try:
            write_lines(write)
        except OSError as error:
            if error.errno == errno.EINVAL and write.may_follow:
                postponed = write
                continue
            _fall_back(write, error)
        if postponed is not None:
            _write(postponed)
            postponed = None


def write_lines(write: Write) -> None:
    """Write each line of a value by a write(2) of its own.

    Raises:
        OSError: As the kernel reports it.
    """
    fd = os.open(f"{write.directory}/{write.file}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        for line in write.value.encode().split(b"\n"):
            os.write(fd, line or b"\n")  # nothing at all would not reach the kernel
    finally:
        os.close(fd)


def _write(write: Write) -> None:
    try:
        write_lines(write)
    except OSError as error:
        _fall_back(write, error)


def _fall_back(write: Write, error: OSError) -> None:
    if error.errno == errno.ENOENT and os.path.isdir(write.directory):
        if write.instead is not None:
            _write(write.instead)
            return
        if write.optional:
            return
    raise OperationFailed(write.describe(), _reason(write, error), error.errno) from error


def _reason(write: Write, error: OSError) -> str:
    reason = explain_errno(error.errno, error.strerror)
    if error.errno == errno.ENOENT:
        if os.path.isdir(write.directory):
            return f"{reason}; this host's kernel has no such setting"
        return f"{reason}; the cgroup is gone"
    if error.errno == errno.EBUSY and write.file == "memory.limit_in_bytes":
        try:
            usage = read_value(f"{write.directory}/memory.usage_in_bytes")
        except OSError:
            return reason
        return f"{reason}; {usage} bytes are in use, and cannot be reclaimed"
    if error.errno == errno.EACCES and write.file.startswith("cpuset."):
        return f"{reason}; the parent cgroup has not all of them"
    return reason


def _set_devices(effect: DeviceFilter | DeviceList) -> None:
    # For updates, and for hosts without version 1's controller, only.
    if isinstance(effect, DeviceList):
        from runstate.linux.cgroups.device_list import change  # noqa: PLC0415

        change(effect.directory, effect.allowed, effect.exceptions)
    else:
        from runstate.linux.cgroups import device_filter  # noqa: PLC0415

        device_filter.put(effect.directory, device_filter.assemble(effect.rules))
