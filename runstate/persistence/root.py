"""Where containers are kept if nobody says where."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from runstate.errors import OperationFailed
from runstate.persistence.files import failure

_RUN = "/run"


def default_root() -> str:
    """``/run/runstate`` for root, ``$XDG_RUNTIME_DIR/runstate`` for others.

    Root of a user namespace may well be someone who cannot write to /run: it counts as one of
    the others then. Where the variable is not set, ``/run/user/UID`` stands in for it, or else
    a private directory below the temporary one.

    Raises:
        OperationFailed: That private directory exists, and is not this user's alone.
    """
    uid = os.geteuid()
    if uid == 0 and os.access(_RUN, os.W_OK):
        return f"{_RUN}/runstate"
    # The XDG Base Directory Specification: a relative path there is to be ignored.
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), f"{_RUN}/user/{uid}"):
        if base.startswith("/") and os.path.isdir(base) and os.access(base, os.W_OK):
            return f"{base.rstrip('/')}/runstate"
    import tempfile  # noqa: PLC0415 - few come here, and it imports much

    return _private(f"{tempfile.gettempdir()}/runstate-{uid}", uid)


def _private(path: str, uid: int) -> str:
    """A directory in one that others write to: ours and only ours, or an error.

    Anyone may have made it before us, as a symbolic link too. Once it is known to be ours,
    the sticky bit of its parent keeps others from replacing it.
    """
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
            os.chmod(path, 0o700)  # whatever the umask
        found = os.lstat(path)
    except OSError as error:
        raise failure(f"use the root directory {path}", error) from error
    remedy = "set XDG_RUNTIME_DIR, or name another root directory"
    if not stat.S_ISDIR(found.st_mode):
        raise OperationFailed(f"use the root directory {path}", f"it is no directory; {remedy}")
    if found.st_uid != uid or found.st_mode & 0o077:
        raise OperationFailed(
            f"use the root directory {path}",
            f"it belongs to user {found.st_uid} and has mode {found.st_mode & 0o7777:04o}, so it"
            f" is not user {uid}'s alone; {remedy}",
        )
    return path
