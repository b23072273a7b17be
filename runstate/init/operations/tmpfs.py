"""A tmpfs that takes after the directory it covers."""

from __future__ import annotations

import errno
import os
import stat

from runstate.init.operations.base import DIRECTORY, fd_path
from runstate.init.operations.mounts import mount_on, propagate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_CHUNK = 1 << 20
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def mount_tmpfs(
    init: Init,
    source: str,
    target: str,
    flags: int,
    data: str,
    propagation: tuple[int, ...],
    copy_up: bool,
) -> None:
    """A tmpfs with the mode of the directory it covers, if that is there already.

    With ``copy_up`` it gets a copy of what it covers, too.
    """
    try:
        init.inside(target, os.O_PATH)
    except FileNotFoundError:
        below = init.mount_point(target)
        copy_up = False
    else:
        below = init.mount_point(target)
        # The first one counts less than what the configuration says.
        mode = f"mode={stat.S_IMODE(os.stat(below).st_mode):o}"
        data = f"{mode},{data}" if data else mode
    mount_on(below, source, "tmpfs", flags, data)
    above = init.inside(target, DIRECTORY)
    if copy_up:
        # What is opened from the covered directory's own descriptor is what it covers.
        old = os.open(".", _LIST, dir_fd=below)
        new = os.open(".", _LIST, dir_fd=above)
        if "uid=" not in data and "gid=" not in data:
            _give(".", new, os.fstat(old))
        _copy_entries(old, new)
        os.close(new)
    os.close(below)
    propagate(above, propagation)


def _copy_entries(old: int, new: int) -> None:
    """Copy what is in one directory to another; closes the old one's descriptor.

    Nothing follows a symlink, and each entry is worked on by its directory's descriptor.
    """
    for name in os.listdir(old):
        found = os.stat(name, dir_fd=old, follow_symlinks=False)
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            os.mkdir(name, 0o700, dir_fd=new)
            made = os.open(name, _LIST, dir_fd=new)
            _copy_entries(os.open(name, _LIST, dir_fd=old), made)
            _finish(name, new, made, found)
        elif stat.S_ISREG(mode):
            _copy_file(name, old, new, found)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(name, dir_fd=old), name, dir_fd=new)
            _give(name, new, found)
        elif not stat.S_ISSOCK(mode):  # a socket without its process is nothing
            _make_node(name, new, found)
    os.close(old)


def _copy_file(name: str, old: int, new: int, found: os.stat_result) -> None:
    source = os.open(name, _READ, dir_fd=old)
    copy = os.open(name, _WRITE, 0o600, dir_fd=new)
    while chunk := os.read(source, _CHUNK):
        while chunk:
            chunk = chunk[os.write(copy, chunk) :]
    os.close(source)
    _finish(name, new, copy, found)


def _make_node(name: str, new: int, found: os.stat_result) -> None:
    try:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=new)
    except PermissionError as error:
        if error.errno == errno.EPERM:
            return  # a device in a user namespace, where it could not be used either
        raise
    _give(name, new, found)


def _give(name: str, directory: int, found: os.stat_result) -> None:
    """Let the copy have the original's owner; one who has no id here leaves it to root."""
    try:
        os.chown(name, found.st_uid, found.st_gid, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _finish(name: str, directory: int, made: int, found: os.stat_result) -> None:
    """Owner before mode, because a change of owner takes the set-id bits away (chown(2))."""
    _give(name, directory, found)
    os.fchmod(made, stat.S_IMODE(found.st_mode))
    os.utime(fd_path(made), ns=(found.st_atime_ns, found.st_mtime_ns))
    os.close(made)
