"""Namespaces and cgroups to be in, and what a namespace has of its own: names, keys, interfaces."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from _socket import AF_INET, SOCK_DGRAM, socket

from runstate.init import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # netdevice(7)


def join_cgroups(init: Init, first: int, count: int) -> None:
    """Write ``0``, this very process, to the cgroups' files among the engine's descriptors."""
    for fd in init.extras[first : first + count]:
        os.write(fd, b"0")
        os.close(fd)


def join_namespaces(init: Init, index: int, flags: int) -> None:
    """setns(2) by a pidfd, or a namespace, among the engine's descriptors."""
    kernel.setns(init.extras[index], flags)
    os.close(init.extras[index])


def become_root(_init: Init) -> None:
    """Take the ids 0 of a new user namespace, so that what is made belongs to its root."""
    try:  # noqa: SIM105 - contextlib is not loaded here
        os.setgroups([])
    except PermissionError:
        pass  # denied in a user namespace that an ordinary user made
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # A change of ids makes the process dumpable or not by sysctl; keep it not.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def unshare(init: Init, flags: int) -> None:
    """unshare(2), of what was not made in advance."""
    kernel.unshare(flags & ~init.unshared)


def new_session_keyring(_init: Init, name: str) -> None:
    """keyctl(2); a kernel or a container of ours without keyrings has no keys to hide."""
    try:
        kernel.join_session_keyring(name)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EDQUOT):
            raise


def sethostname(_init: Init, name: str) -> None:
    """sethostname(2)."""
    kernel.sethostname(name)


def setdomainname(_init: Init, name: str) -> None:
    """setdomainname(2)."""
    kernel.setdomainname(name)


def link_up(_init: Init, name: str) -> None:
    """Set an interface up: one ioctl, where netlink would need a socket library."""
    sock = socket(AF_INET, SOCK_DGRAM)
    try:
        request = struct.pack("16sh22x", name.encode(), 0)
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request)
        flags = struct.unpack("16sh22x", answer)[1] | _IFF_UP
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags))
    finally:
        sock.close()
