"""The standard streams of a process whose user the host knows by another id."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstate.config import Config


def give_to_user(config: Config, process: Any, stdio: tuple[int, int, int], init: int = 0) -> None:
    """Give this process's pipes among the streams to the user, who may open /dev/stdout then.

    Inside it could not be done (``own_streams``), because the user namespace does not know
    whose they are.

    Args:
        config: The container's.
        process: The ``process`` object.
        stdio: The descriptors that become 0, 1 and 2.
        init: The container's init, if there is one already.
    """
    if config.linux is None or all(n.type != "user" for n in config.linux.namespaces):
        return
    from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have a user namespace

    uid = process.user.uid or 0 if process.user is not None else 0
    owner = idmaps.host_uid(config, uid, init)
    if owner is None:
        return
    for fd in stdio:
        found = os.fstat(fd)
        if stat.S_ISFIFO(found.st_mode) and found.st_uid == os.geteuid() != owner:
            with suppress(PermissionError):  # an ordinary user has nobody to give it to
                os.fchown(fd, owner, -1)
