"""The kernel's newer way to mount: a file system is described piece by piece, then made.

fsopen(2), fsconfig(2), fsmount(2). It tells in words what it does not like
(Documentation/filesystems/mount_api.rst), which mount(2) does not.
"""

from __future__ import annotations

import ctypes
import os

from runstate.init import kernel

_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_MOST_WORDS = 4096

_long, _str = ctypes.c_long, ctypes.c_char_p


def mount_detached(fstype: str, options: dict[str, str], attributes: int) -> int:
    """A new mount that is nowhere in the tree, as long-lived as its descriptor.

    Args:
        fstype: The file system's type.
        options: Its parameters; one with an empty value is a flag.
        attributes: MOUNT_ATTR_*.
    """
    context = _open(fstype)
    try:
        _describe(context, options)
        return _call(_SYS_FSMOUNT, context, _long(_FSMOUNT_CLOEXEC), _long(attributes))
    finally:
        os.close(context)


def complaint(fstype: str, source: str, data: str) -> str:
    """What the kernel has to say against a file system that mount(2) did not make; or nothing."""
    options = {"source": source} if source else {}
    for option in data.split(",") if data else ():
        key, _, value = option.partition("=")
        options[key] = value
    try:
        context = _open(fstype)
    except OSError:
        return ""
    try:
        _describe(context, options)
    except OSError:
        return _words(context)
    finally:
        os.close(context)
    return ""


def _words(context: int) -> str:
    said = []
    while True:
        try:
            # One message a read, after a letter for its weight and a space.
            said.append(os.read(context, _MOST_WORDS).decode("utf-8", "replace")[2:].strip())
        except OSError:
            return "; ".join(said)


def _open(fstype: str) -> int:
    return _call(_SYS_FSOPEN, _str(fstype.encode()), _long(_FSOPEN_CLOEXEC))


def _describe(context: int, options: dict[str, str]) -> None:
    for key, value in options.items():
        if value:
            _configure(context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value))
        else:
            _configure(context, _FSCONFIG_SET_FLAG, key.encode(), None)
    _configure(context, _FSCONFIG_CMD_CREATE, None, None)


def _configure(context: int, command: int, key: bytes | None, value: bytes | None) -> None:
    _call(_SYS_FSCONFIG, context, _long(command), _str(key), _str(value), _long(0))


def _call(number: int, first: int | ctypes.c_char_p, *arguments: object) -> int:
    head = _long(first) if isinstance(first, int) else first
    return kernel.system_call(number, head, *arguments)
