"""Mount options as mount(8) spells them, turned into what mount(2) and mount_setattr(2) take."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.init import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable


class MS(IntFlag):
    """mount(2) flags, for taking numbers apart into names."""

    RDONLY = kernel.MS_RDONLY
    NOSUID = kernel.MS_NOSUID
    NODEV = kernel.MS_NODEV
    NOEXEC = kernel.MS_NOEXEC
    SYNCHRONOUS = kernel.MS_SYNCHRONOUS
    REMOUNT = kernel.MS_REMOUNT
    MANDLOCK = kernel.MS_MANDLOCK
    DIRSYNC = kernel.MS_DIRSYNC
    NOSYMFOLLOW = kernel.MS_NOSYMFOLLOW
    NOATIME = kernel.MS_NOATIME
    NODIRATIME = kernel.MS_NODIRATIME
    BIND = kernel.MS_BIND
    REC = kernel.MS_REC
    SILENT = kernel.MS_SILENT
    UNBINDABLE = kernel.MS_UNBINDABLE
    PRIVATE = kernel.MS_PRIVATE
    SLAVE = kernel.MS_SLAVE
    SHARED = kernel.MS_SHARED
    RELATIME = kernel.MS_RELATIME
    I_VERSION = kernel.MS_I_VERSION
    STRICTATIME = kernel.MS_STRICTATIME
    LAZYTIME = kernel.MS_LAZYTIME


# option: (flag, whether the option clears it), mount(8) FILESYSTEM-INDEPENDENT MOUNT OPTIONS
_FLAGS: dict[str, tuple[int, bool]] = {
    "async": (kernel.MS_SYNCHRONOUS, True),
    "atime": (kernel.MS_NOATIME, True),
    "bind": (kernel.MS_BIND, False),
    "defaults": (0, False),
    "dev": (kernel.MS_NODEV, True),
    "diratime": (kernel.MS_NODIRATIME, True),
    "dirsync": (kernel.MS_DIRSYNC, False),
    "exec": (kernel.MS_NOEXEC, True),
    "iversion": (kernel.MS_I_VERSION, False),
    "lazytime": (kernel.MS_LAZYTIME, False),
    "loud": (kernel.MS_SILENT, True),
    "mand": (kernel.MS_MANDLOCK, False),
    "noatime": (kernel.MS_NOATIME, False),
    "nodev": (kernel.MS_NODEV, False),
    "nodiratime": (kernel.MS_NODIRATIME, False),
    "noexec": (kernel.MS_NOEXEC, False),
    "noiversion": (kernel.MS_I_VERSION, True),
    "nolazytime": (kernel.MS_LAZYTIME, True),
    "nomand": (kernel.MS_MANDLOCK, True),
    "norelatime": (kernel.MS_RELATIME, True),
    "nostrictatime": (kernel.MS_STRICTATIME, True),
    "nosuid": (kernel.MS_NOSUID, False),
    "nosymfollow": (kernel.MS_NOSYMFOLLOW, False),
    "rbind": (kernel.MS_BIND | kernel.MS_REC, False),
    "relatime": (kernel.MS_RELATIME, False),
    "remount": (kernel.MS_REMOUNT, False),
    "ro": (kernel.MS_RDONLY, False),
    "rw": (kernel.MS_RDONLY, True),
    "silent": (kernel.MS_SILENT, False),
    "strictatime": (kernel.MS_STRICTATIME, False),
    "suid": (kernel.MS_NOSUID, True),
    "symfollow": (kernel.MS_NOSYMFOLLOW, True),
    "sync": (kernel.MS_SYNCHRONOUS, False),
}
_PROPAGATION: dict[str, int] = {
    name: flag
    for plain, bit in (
        ("private", kernel.MS_PRIVATE),
        ("shared", kernel.MS_SHARED),
        ("slave", kernel.MS_SLAVE),
        ("unbindable", kernel.MS_UNBINDABLE),
    )
    for name, flag in ((plain, bit), ("r" + plain, bit | kernel.MS_REC))
}
# mount(2) flag: (attribute to set, attributes to clear first)
_ATTRIBUTES: tuple[tuple[int, int, int], ...] = (
    (kernel.MS_RDONLY, kernel.MOUNT_ATTR_RDONLY, 0),
    (kernel.MS_NOSUID, kernel.MOUNT_ATTR_NOSUID, 0),
    (kernel.MS_NODEV, kernel.MOUNT_ATTR_NODEV, 0),
    (kernel.MS_NOEXEC, kernel.MOUNT_ATTR_NOEXEC, 0),
    (kernel.MS_NODIRATIME, kernel.MOUNT_ATTR_NODIRATIME, 0),
    (kernel.MS_NOSYMFOLLOW, kernel.MOUNT_ATTR_NOSYMFOLLOW, 0),
    (kernel.MS_NOATIME, kernel.MOUNT_ATTR_NOATIME, kernel.MOUNT_ATTR__ATIME),
    (kernel.MS_STRICTATIME, kernel.MOUNT_ATTR_STRICTATIME, kernel.MOUNT_ATTR__ATIME),
    (kernel.MS_RELATIME, 0, kernel.MOUNT_ATTR__ATIME),
)


@frozen
class MountOptions:
    """Mount options, taken apart.

    Attributes:
        flags: mount(2) flags to set.
        cleared: mount(2) flags that an option such as ``rw`` or ``exec`` clears.
        propagation: The propagation flags, applied by a call of their own.
        data: What is left, for the file system itself.
    """

    flags: int
    cleared: int
    propagation: int
    data: str

    @property
    def bind(self) -> bool:
        """Whether this is a bind mount."""
        return bool(self.flags & kernel.MS_BIND)

    def attributes(self) -> tuple[int, int]:
        """The mount_setattr(2) attributes to set and to clear."""
        set_, clear = 0, 0
        for flag, attribute, before in _ATTRIBUTES:
            if self.flags & flag:
                set_ |= attribute
                clear |= before
            elif self.cleared & flag:
                clear |= attribute or before
        return set_, clear


def parse_options(options: Iterable[str]) -> MountOptions:
    """Take mount options apart; a later one wins over an earlier."""
    flags = cleared = propagation = 0
    data = []
    for option in options:
        if option in _FLAGS:
            flag, clears = _FLAGS[option]
            if clears:
                flags &= ~flag
                cleared |= flag
            else:
                flags |= flag
                cleared &= ~flag
        elif option in _PROPAGATION:
            propagation = _PROPAGATION[option]
        else:
            data.append(option)
    return MountOptions(flags, cleared, propagation, ",".join(data))


def flag_names(flags: int) -> str:
    """mount(2) flags by name: ``MS_NOSUID|MS_NODEV``."""
    names = [f"MS_{flag.name}" for flag in MS if flags & flag]
    return "|".join(names) or "0"


def unescape_mountinfo(field: str) -> str:
    r"""A path of /proc/PID/mountinfo, where space, tab, newline and backslash are ``\ooo``."""
    if "\\" not in field:
        return field
    head, *tail = field.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in tail)
