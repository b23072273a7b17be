"""The operations of the plan that init executes: plain values that describe themselves.

One constructor for each, with types; :mod:`runstate.init.operations` has the function of the
same name that executes it. The same words appear in ``runstate plan``, in the journal and in
errors.
"""

from __future__ import annotations

import shlex
import stat
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.init import kernel
from runstate.linux import capabilities
from runstate.linux.mounts import flag_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@frozen
class Operation:
    """One operation inside the new process.

    Attributes:
        name: Which one.
        arguments: What the function of that name takes; values that marshal can carry.
    """

    name: str
    arguments: tuple[Any, ...] = ()

    def describe(self) -> str:
        """What it does and to what, in words."""
        return _WORDS[self.name](*self.arguments)

    def encode(self) -> tuple[object, ...]:
        """As it goes over the channel."""
        return (self.name, *self.arguments)


_NAMESPACES = (
    (kernel.CLONE_NEWUSER, "user"),
    (kernel.CLONE_NEWPID, "pid"),
    (kernel.CLONE_NEWNS, "mount"),
    (kernel.CLONE_NEWNET, "network"),
    (kernel.CLONE_NEWIPC, "ipc"),
    (kernel.CLONE_NEWUTS, "uts"),
    (kernel.CLONE_NEWCGROUP, "cgroup"),
    (kernel.CLONE_NEWTIME, "time"),
)


def namespace_names(flags: int) -> str:
    """CLONE_NEW* flags in words."""
    return ", ".join(name for flag, name in _NAMESPACES if flags & flag)


def await_engine(what: str) -> Operation:
    """Wait for the engine's word that ``what`` is done."""
    return Operation("await_engine", (what,))


def join_cgroups(first: int, count: int) -> Operation:
    """Enter version 1 cgroups, by ``count`` of the engine's descriptors from ``first`` on."""
    return Operation("join_cgroups", (first, count))


def become_root() -> Operation:
    """Take the root ids of the new user namespace."""
    return Operation("become_root")


def unshare(flags: int) -> Operation:
    """New namespaces, by their CLONE_NEW* flags."""
    return Operation("unshare", (flags,))


def new_session_keyring(name: str) -> Operation:
    """A session keyring of the container's own."""
    return Operation("new_session_keyring", (name,))


def set_propagation(path: str, flags: int) -> Operation:
    """Mount propagation of everything at and below ``path``."""
    return Operation("set_propagation", (path, flags))


def bind_rootfs(path: str) -> Operation:
    """The bundle's rootfs, as a mount of its own."""
    return Operation("bind_rootfs", (path,))


def overlay_host(mount_point: str, lower: str, options: str, size: str) -> Operation:
    """The host's root under a throw-away upper layer."""
    return Operation("overlay_host", (mount_point, lower, options, size))


def overlay_directories(
    mount_point: str, names: Iterable[str], options: str, size: str
) -> Operation:
    """The directories of the host's root, each under a throw-away upper layer."""
    return Operation("overlay_directories", (mount_point, list(names), options, size))


def mount(
    source: str, target: str, fstype: str, flags: int, data: str, propagation: int = 0
) -> Operation:
    """A new mount of a file system inside the rootfs."""
    return Operation("mount", (source, target, fstype, flags, data, propagation))


def bind(
    source: str,
    target: str,
    *,
    recursive: bool = False,
    attributes: int = 0,
    cleared: int = 0,
    propagation: int = 0,
) -> Operation:
    """A bind mount of a host path inside the rootfs."""
    return Operation("bind", (source, target, recursive, attributes, cleared, propagation))


def mask(path: str) -> Operation:
    """Hide a path."""
    return Operation("mask", (path,))


def make_readonly(path: str) -> Operation:
    """Make a path read-only."""
    return Operation("make_readonly", (path,))


def open_console(rows: int, columns: int, owner: tuple[int, int]) -> Operation:
    """The container's terminal, on /dev/console and the standard streams."""
    return Operation("open_console", (rows, columns, owner))


def mknod(
    path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None = None
) -> Operation:
    """A device node; ``mode`` holds the file type as well."""
    return Operation("mknod", (path, mode, major, minor, owner))


def symlink(target: str, path: str) -> Operation:
    """A symlink inside the rootfs."""
    return Operation("symlink", (target, path))


def pivot_root() -> Operation:
    """Make the rootfs the root."""
    return Operation("pivot_root")


def remount_readonly(path: str) -> Operation:
    """Make the mount at a path read-only."""
    return Operation("remount_readonly", (path,))


def sethostname(name: str) -> Operation:
    """The host name of the uts namespace."""
    return Operation("sethostname", (name,))


def setdomainname(name: str) -> Operation:
    """The NIS domain name of the uts namespace."""
    return Operation("setdomainname", (name,))


def link_up(name: str) -> Operation:
    """Set a network interface up."""
    return Operation("link_up", (name,))


def set_rlimit(kind: int, soft: int, hard: int) -> Operation:
    """A resource limit, by the resource's number."""
    return Operation("set_rlimit", (kind, soft, hard))


def set_oom_score_adj(value: int) -> Operation:
    """How readily the kernel's out-of-memory killer takes this process."""
    return Operation("set_oom_score_adj", (value,))


def drop_bounding(kept: int) -> Operation:
    """Drop all capabilities from the bounding set but these."""
    return Operation("drop_bounding", ([n for n in range(64) if not kept >> n & 1],))


def set_user(uid: int, gid: int, groups: Sequence[int] | None) -> Operation:
    """User, group, and supplementary groups (None: as they are)."""
    return Operation("set_user", (uid, gid, None if groups is None else list(groups)))


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


def chdir(path: str) -> Operation:
    """The working directory."""
    return Operation("chdir", (path,))


def umask(value: int) -> Operation:
    """The file mode creation mask."""
    return Operation("umask", (value,))


def find_executable(name: str, search: str) -> Operation:
    """Find the program, by $PATH where it has no slash."""
    return Operation("find_executable", (name, search))


def on_record(*, keep_channel: bool = False) -> Operation:
    """Report readiness, and wait until the engine has put the process on record."""
    return Operation("on_record", (keep_channel,))


def open_proc() -> Operation:
    """Keep the host's /proc/self/fd for the exec fifo."""
    return Operation("open_proc")


def wait_in_fifo(index: int) -> Operation:
    """Wait for `start`."""
    return Operation("wait_in_fifo", (index,))


def execute(arguments: Sequence[str], environment: Mapping[str, str]) -> Operation:
    """Become the program."""
    return Operation("execute", (list(arguments), dict(environment)))


def _mount_words(
    source: str, target: str, fstype: str, flags: int, data: str, propagation: int
) -> str:
    words = f"mount {fstype} {source} on {target}, flags {flag_names(flags)}"
    words += f", data {data!r}" if data else ""
    return words + (f", then {flag_names(propagation)}" if propagation else "")


def _bind_words(
    source: str, target: str, recursive: bool, attributes: int, cleared: int, propagation: int
) -> str:
    words = f"bind {source} on {target}" + (", with what is mounted below" if recursive else "")
    words += f", attributes {_attribute_names(attributes)}" if attributes else ""
    words += f", without {_attribute_names(cleared & ~attributes)}" if cleared else ""
    return words + (f", then {flag_names(propagation)}" if propagation else "")


def _attribute_names(attributes: int) -> str:
    names = [
        name
        for name, value in vars(kernel).items()
        if name.startswith("MOUNT_ATTR_") and "__" not in name and attributes & value == value
    ]
    return "|".join(names) or "MOUNT_ATTR_RELATIME"


def _mknod_words(
    path: str, mode: int, major: int, minor: int, owner: tuple[int, int] | None
) -> str:
    kind = {stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}.get(
        stat.S_IFMT(mode), "fifo"
    )
    numbers = "" if kind == "fifo" else f" {major}:{minor}"
    owned = f", owner {owner[0]}:{owner[1]}" if owner else ""
    return f"make {kind}{numbers} {path}, mode {stat.S_IMODE(mode):04o}{owned}"


def _user_words(uid: int, gid: int, groups: list[int] | None) -> str:
    more = "" if groups is None else f", groups {groups or 'none'}"
    return f"become user {uid}, group {gid}{more}"


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


_RLIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS",
    "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip

_WORDS: dict[str, Callable[..., str]] = {
    "await_engine": lambda what: f"wait until {what}",
    "join_cgroups": lambda _first, count: f"enter {count} cgroups",
    "become_root": lambda: "become root of the user namespace",
    "unshare": lambda flags: f"new namespaces: {namespace_names(flags)}",
    "new_session_keyring": lambda name: f"join a new session keyring {name}",
    "set_propagation": lambda path, flags: f"set mount propagation of {path}: {flag_names(flags)}",
    "bind_rootfs": lambda path: f"mount the rootfs {path} on itself",
    "overlay_host": lambda mount_point, lower, _options, size: (
        f"mount an overlay at {mount_point}: {lower} below, a throw-away tmpfs of {size} above"
    ),
    "overlay_directories": lambda mount_point, names, _options, size: (
        f"mount overlays at {mount_point}: {', '.join(f'/{name}' for name in names)} below,"
        f" a throw-away tmpfs of {size} above"
    ),
    "mount": _mount_words,
    "bind": _bind_words,
    "mask": lambda path: f"mask {path}",
    "make_readonly": lambda path: f"make {path} read-only",
    "open_console": lambda rows, columns, _owner: (
        "open a terminal" + (f" of {columns} columns and {rows} rows" if rows and columns else "")
    ),
    "mknod": _mknod_words,
    "symlink": lambda target, path: f"make symlink {path} to {target}",
    "pivot_root": lambda: "pivot into the rootfs and drop the host's root",
    "remount_readonly": lambda path: f"make the mount at {path} read-only",
    "sethostname": lambda name: f"set the host name {name}",
    "setdomainname": lambda name: f"set the domain name {name}",
    "link_up": lambda name: f"set interface {name} up",
    "set_rlimit": lambda kind, soft, hard: f"set RLIMIT_{_RLIMITS[kind]} to {soft}, hard {hard}",
    "set_oom_score_adj": lambda value: f"set oom_score_adj to {value}",
    "drop_bounding": lambda dropped: (
        "keep in the bounding set " + capabilities.mask_names(~sum(1 << n for n in dropped))
    ),
    "set_user": _user_words,
    "set_capabilities": _capability_words,
    "set_no_new_privs": lambda: "set no_new_privs",
    "make_cwd": lambda path: f"make the working directory {path} if it is missing",
    "chdir": lambda path: f"change to the working directory {path}",
    "umask": lambda value: f"set the umask {value:04o}",
    "find_executable": lambda name, _search: f"find the executable {name}",
    "on_record": lambda _keep: "report ready, and wait to be put on record",
    "open_proc": lambda: "keep a way to the exec fifo",
    "wait_in_fifo": lambda _index: "wait in the exec fifo to be started",
    "execute": lambda arguments, _environment: f"execute {shlex.join(arguments)}",
}
