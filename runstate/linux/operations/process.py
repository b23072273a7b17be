"""The process: its limits, rights, user and place, and the program that it becomes."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from runstate.linux import capabilities
from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# include/uapi/asm-generic/resource.h
_RLIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
    "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip


def rlimit(name: str) -> int:
    """The number of a resource of getrlimit(2); Python's own names lack RLIMIT_LOCKS."""
    return _RLIMITS.index(name.removeprefix("RLIMIT_"))


def set_rlimit(kind: int, soft: int, hard: int) -> Operation:
    """A resource limit, by the resource's number."""
    return Operation("set_rlimit", (kind, soft, hard))


def set_oom_score_adj(value: int) -> Operation:
    """How readily the kernel's out-of-memory killer takes this process."""
    return Operation("set_oom_score_adj", (value,))


def drop_bounding(kept: int) -> Operation:
    """Drop all capabilities from the bounding set but these."""
    return Operation("drop_bounding", ([n for n in range(64) if not kept >> n & 1],))


def set_user(
    uid: int, gid: int, groups: Sequence[int] = (), *, may_keep: bool = False
) -> Operation:
    """User, group, and supplementary groups.

    Args:
        uid: The user's id.
        gid: The group's.
        groups: All supplementary groups.
        may_keep: Whether, where there shall be none, those that the user namespace does not
            let go of may stay.
    """
    return Operation("set_user", (uid, gid, list(groups), may_keep))


def own_streams(uid: int) -> Operation:
    """Give the pipes among the standard streams to the user."""
    return Operation("own_streams", (uid,))


def set_capabilities(effective: int, permitted: int, inheritable: int, ambient: int) -> Operation:
    """The process's capability sets, as bit masks."""
    raised = [n for n in range(64) if ambient >> n & 1]
    return Operation("set_capabilities", (effective, permitted, inheritable, raised))


def set_no_new_privs() -> Operation:
    """No set-user-ID program gives privileges any more."""
    return Operation("set_no_new_privs")


def make_cwd(path: str) -> Operation:
    """Make the working directory where it is missing."""
    return Operation("make_cwd", (path,))


def chdir(path: str, *, last: bool = True) -> Operation:
    """The working directory; before the last try it may be out of reach."""
    return Operation("chdir", (path, last))


def umask(value: int) -> Operation:
    """The file mode creation mask."""
    return Operation("umask", (value,))


def find_executable(name: str, search: str) -> Operation:
    """Find the program, by $PATH where it has no slash."""
    return Operation("find_executable", (name, search))


def find_home(uid: int) -> Operation:
    """Find the user's home directory."""
    return Operation("find_home", (uid,))


def prepare_program(arguments: Sequence[str], environment: Mapping[str, str]) -> Operation:
    """Lay out what the program gets, and keep no descriptors but its standard streams."""
    return Operation("prepare_program", (list(arguments), dict(environment)))


def execute(arguments: Sequence[str]) -> Operation:
    """Become the program that is prepared."""
    return Operation("execute", (list(arguments),))


def _user_words(uid: int, gid: int, groups: list[int], _may_keep: bool) -> str:
    return f"become user {uid}, group {gid}, groups {groups or 'none'}"


def _capability_words(effective: int, permitted: int, inheritable: int, ambient: list[int]) -> str:
    sets = {
        "effective": effective,
        "permitted": permitted,
        "inheritable": inheritable,
        "ambient": sum(1 << n for n in ambient),
    }
    return "set capabilities: " + "; ".join(
        f"{name} {capabilities.mask_names(mask)}" for name, mask in sets.items()
    )


WORDS: dict[str, Callable[..., str]] = {
    "set_rlimit": lambda kind, soft, hard: f"set RLIMIT_{_RLIMITS[kind]} to {soft}, hard {hard}",
    "set_oom_score_adj": lambda value: f"set oom_score_adj to {value}",
    "drop_bounding": (
        lambda dropped: (
            "keep in the bounding set " + capabilities.mask_names(~sum(1 << n for n in dropped))
        )
    ),
    "set_user": _user_words,
    "own_streams": lambda uid: f"give the pipes among the standard streams to user {uid}",
    "set_capabilities": _capability_words,
    "set_no_new_privs": lambda: "set no_new_privs",
    "make_cwd": lambda path: f"make the working directory {path} if it is missing",
    "chdir": lambda path, _last: f"change to the working directory {path}",
    "umask": lambda value: f"set the umask {value:04o}",
    "find_executable": lambda name, _search: f"find the executable {name}",
    "find_home": lambda uid: f"find the home directory of user {uid}",
    "prepare_program": lambda _arguments, environment: (
        f"prepare the program's {len(environment)} variables, and close all descriptors but its"
        " standard streams"
    ),
    "execute": lambda arguments: f"execute {shlex.join(arguments)}",
}
