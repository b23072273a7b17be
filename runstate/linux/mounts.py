"""Mount options as mount(8) spells them, turned into what mount(2) and mount_setattr(2) take."""

from __future__ import annotations

from enum import IntFlag
from functools import lru_cache

from attrs import frozen

from runstate.init import kernel


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
# The three ways of access times: one of them is in force, so a later option replaces another.
_ATIME = kernel.MS_NOATIME | kernel.MS_RELATIME | kernel.MS_STRICTATIME
# Options with an r before them are for all that is mounted below, too (mount_setattr(2)).
_RECURSIVE: dict[str, tuple[int, bool]] = {
    f"r{name}": _FLAGS[name]
    for name in (
        "atime", "dev", "diratime", "exec", "noatime", "nodev", "nodiratime", "noexec",
        "norelatime", "nostrictatime", "nosuid", "nosymfollow", "relatime", "ro", "rw",
        "strictatime", "suid", "symfollow",
    )
}  # fmt: skip
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
# mount(2) flags that a bind mount has of its own; the others are its file system's.
_ATTRIBUTES: tuple[tuple[int, int], ...] = (
    (kernel.MS_RDONLY, kernel.MOUNT_ATTR_RDONLY),
    (kernel.MS_NOSUID, kernel.MOUNT_ATTR_NOSUID),
    (kernel.MS_NODEV, kernel.MOUNT_ATTR_NODEV),
    (kernel.MS_NOEXEC, kernel.MOUNT_ATTR_NOEXEC),
    (kernel.MS_NODIRATIME, kernel.MOUNT_ATTR_NODIRATIME),
    (kernel.MS_NOSYMFOLLOW, kernel.MOUNT_ATTR_NOSYMFOLLOW),
    (kernel.MS_NOATIME, kernel.MOUNT_ATTR_NOATIME),
    (kernel.MS_STRICTATIME, kernel.MOUNT_ATTR_STRICTATIME),
)
_OF_FILE_SYSTEM = (
    kernel.MS_SYNCHRONOUS | kernel.MS_MANDLOCK | kernel.MS_DIRSYNC | kernel.MS_I_VERSION
    | kernel.MS_LAZYTIME
)  # fmt: skip


@frozen
class MountOptions:
    """Mount options, taken apart.

    Attributes:
        flags: mount(2) flags to set.
        cleared: mount(2) flags that an option such as ``rw`` or ``exec`` clears.
        data: What is left, for the file system itself.
        propagation: The propagation flags in their order, each applied by a call of its own.
        below: mount(2) flags to set, and to clear, on all that is mounted below, too.
        idmap: MS_BIND if the mount is to have mapped ids, with MS_REC what is below it as well.
        copy_up: Whether a tmpfs gets a copy of what it covers.
    """

    flags: int
    cleared: int
    data: str
    propagation: tuple[int, ...] = ()
    below: tuple[int, int] = (0, 0)
    idmap: int = 0
    copy_up: bool = False

    @property
    def bind(self) -> bool:
        """Whether this is a bind mount."""
        return bool(self.flags & kernel.MS_BIND)

    def attributes(self) -> tuple[int, int]:
        """The mount_setattr(2) attributes to set and to clear."""
        return attributes_of(self.flags, self.cleared)


def attributes_of(flags: int, cleared: int) -> tuple[int, int]:
    """The mount_setattr(2) attributes to set and to clear, for mount(2) flags."""
    set_, clear = 0, 0
    for flag, attribute in _ATTRIBUTES:
        if flags & flag:
            set_ |= attribute
        elif cleared & flag:
            clear |= attribute
    if (flags | cleared) & _ATIME:
        # The kernel takes these together or not at all; none of them is relatime.
        clear |= kernel.MOUNT_ATTR__ATIME
    return set_, clear


def _apply(name: tuple[int, bool], flags: int, cleared: int) -> tuple[int, int]:
    flag, clears = name
    if clears:
        return flags & ~flag, cleared | flag
    if flag & _ATIME:
        flags &= ~_ATIME
    return flags | flag, cleared & ~flag


@lru_cache(maxsize=256)
def parse_options(options: tuple[str, ...]) -> MountOptions:
    """Take mount options apart; a later one wins over an earlier."""
    flags = cleared = idmap = 0
    propagation, data = [], []
    below = (0, 0)
    copy_up = False
    for option in options:
        if option in _FLAGS:
            flags, cleared = _apply(_FLAGS[option], flags, cleared)
        elif option in _PROPAGATION:
            propagation.append(_PROPAGATION[option])
        elif option in _RECURSIVE:
            below = _apply(_RECURSIVE[option], *below)
        elif option == "idmap":
            idmap = kernel.MS_BIND
        elif option == "ridmap":
            idmap = kernel.MS_BIND | kernel.MS_REC
        elif option == "tmpcopyup":
            copy_up = True
        else:
            data.append(option)
    return MountOptions(flags, cleared, ",".join(data), tuple(propagation), below, idmap, copy_up)


def means_nothing(option: str) -> bool:
    """Whether a bind mount would ignore this option: it is about file systems."""
    found = parse_options((option,))
    return bool(found.data or found.copy_up or found.flags & _OF_FILE_SYSTEM)


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
