"""Giving a version 2 cgroup to the container's user, to make sub-cgroups in (cgroups(7))."""

from __future__ import annotations

import os

from runstate.errors import OperationFailed
from runstate.linux.cgroups.files import read_all

_LIST = "/sys/kernel/cgroup/delegate"
# For kernels before 4.15, which have no list (config-linux.md, Cgroup ownership).
_FILES = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


def delegate(directory: str, uid: int) -> None:
    """Make a user the owner of a cgroup, and of the files in it that the kernel lists for that.

    The others, its limits among them, stay whose they were.

    Args:
        directory: The cgroup.
        uid: The user, by the host's number.

    Raises:
        OperationFailed: The kernel refuses.
    """
    try:
        files = read_all(_LIST).split()
    except FileNotFoundError:
        files = list(_FILES)
    except OSError as error:
        raise OperationFailed.from_os_error(f"read {_LIST}", error) from error
    for path in (directory, *(f"{directory}/{file}" for file in files)):
        try:
            os.chown(path, uid, -1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OperationFailed.from_os_error(f"give {path} to user {uid}", error) from error
