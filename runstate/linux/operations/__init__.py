"""The operations of the plan that init executes: plain values that describe themselves.

One constructor for each, with types; :mod:`runstate.init.operations` has the function of the
same name that executes it. The same words appear in ``runstate plan``, in the journal and in
errors.

What few plans name is in modules that are imported where it is used; ``RARE`` tells them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from runstate.linux.operations import (
    devices,
    mounts,
    namespaces,
    process,
    rootfs,
    seccomp,
    synchronising,
)
from runstate.linux.operations.base import Operation
from runstate.linux.operations.devices import (
    bind_device,
    mknod,
    open_console,
    symlink,
)
from runstate.linux.operations.mounts import (
    bind,
    mount,
)
from runstate.linux.operations.namespaces import (
    become_root,
    join_cgroups,
    join_namespaces,
    link_up,
    namespace_names,
    new_session_keyring,
    setdomainname,
    sethostname,
    unshare,
)
from runstate.linux.operations.process import (
    chdir,
    drop_bounding,
    execute,
    find_executable,
    find_home,
    make_cwd,
    own_streams,
    prepare_program,
    rlimit,
    set_capabilities,
    set_no_new_privs,
    set_oom_score_adj,
    set_rlimit,
    set_user,
    umask,
)
from runstate.linux.operations.rootfs import (
    bind_rootfs,
    make_readonly,
    mask,
    overlay_directories,
    overlay_host,
    pivot_root,
    remount_readonly,
    set_propagation,
)
from runstate.linux.operations.seccomp import load_seccomp
from runstate.linux.operations.synchronising import (
    await_engine,
    meet_host,
    on_record,
    open_proc,
    wait_in_fifo,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Operation",
    "await_engine",
    "become_root",
    "bind",
    "bind_device",
    "bind_rootfs",
    "chdir",
    "drop_bounding",
    "execute",
    "find_executable",
    "find_home",
    "join_cgroups",
    "join_namespaces",
    "link_up",
    "load_seccomp",
    "make_cwd",
    "make_readonly",
    "mask",
    "meet_host",
    "mknod",
    "mount",
    "namespace_names",
    "new_session_keyring",
    "on_record",
    "open_console",
    "open_proc",
    "overlay_directories",
    "overlay_host",
    "own_streams",
    "pivot_root",
    "prepare_program",
    "remount_readonly",
    "rlimit",
    "set_capabilities",
    "set_no_new_privs",
    "set_oom_score_adj",
    "set_propagation",
    "set_rlimit",
    "set_user",
    "setdomainname",
    "sethostname",
    "symlink",
    "umask",
    "unshare",
    "wait_in_fifo",
]

WORDS: dict[str, Callable[..., str]] = {
    **synchronising.WORDS,
    **namespaces.WORDS,
    **rootfs.WORDS,
    **mounts.WORDS,
    **devices.WORDS,
    **process.WORDS,
    **seccomp.WORDS,
}

RARE: dict[str, str] = {
    "bind_tree": "trees",
    "fetch_trees": "trees",
    "serve_trees": "trees",
    "mount_sysfs": "trees",
    "mount_tmpfs": "tmpfs",
    "set_attributes": "trees",
    "set_root_propagation": "trees",
    "label_keys": "labels",
    "open_terminal": "terminal",
    "set_affinity": "tuning",
    "set_apparmor_profile": "labels",
    "set_io_priority": "tuning",
    "set_memory_policy": "tuning",
    "set_personality": "tuning",
    "set_scheduler": "tuning",
    "set_selinux_label": "labels",
    "set_sysctl": "sysctl",
    "create_container_hook": "hooks",
    "start_container_hook": "hooks",
    "become_hook": "hooks",
}
"""Operations that few containers need: the name of each, and its module in this package."""


def words(name: str) -> Callable[..., str]:
    """What puts an operation's arguments into words."""
    if name in RARE:
        found: dict[str, Callable[..., str]] = import_module(f"{__name__}.{RARE[name]}").WORDS
        return found[name]
    return WORDS[name]
