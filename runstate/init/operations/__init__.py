"""The operations that init can execute: one function each, named as in the plan.

The engine's values for them, which describe themselves, are in
:mod:`runstate.linux.operations`; a test holds the two sets together. Every path inside the
rootfs is resolved by openat2(RESOLVE_IN_ROOT), and what follows works on the descriptor, so a
hostile rootfs full of symlinks has no effect outside itself.

What every container needs is loaded with the zygote. What few need is in modules that init
itself loads, before the first operation of a plan that names one: then the host's files are
still in sight.
"""

from __future__ import annotations

import sys

from runstate.init.operations import (
    devices,
    mounts,
    namespaces,
    process,
    rootfs,
    seccomp,
    synchronising,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

OPERATIONS: dict[Any, Callable[..., None]] = {
    function.__name__: function
    for function in (
        synchronising.await_engine,
        namespaces.join_cgroups,
        namespaces.join_namespaces,
        namespaces.become_root,
        namespaces.unshare,
        namespaces.new_session_keyring,
        rootfs.set_propagation,
        rootfs.bind_rootfs,
        rootfs.overlay_host,
        rootfs.overlay_directories,
        mounts.mount,
        mounts.bind,
        rootfs.mask,
        rootfs.make_readonly,
        devices.open_console,
        devices.mknod,
        devices.bind_device,
        devices.symlink,
        synchronising.meet_host,
        rootfs.pivot_root,
        rootfs.remount_readonly,
        namespaces.sethostname,
        namespaces.setdomainname,
        namespaces.link_up,
        process.set_rlimit,
        process.set_oom_score_adj,
        process.drop_bounding,
        process.own_streams,
        process.set_user,
        process.set_capabilities,
        process.set_no_new_privs,
        process.make_cwd,
        process.chdir,
        process.umask,
        process.find_executable,
        process.find_home,
        synchronising.on_record,
        synchronising.open_proc,
        synchronising.wait_in_fifo,
        seccomp.load_seccomp,
        process.prepare_program,
        process.execute,
    )
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


def load(names: Iterable[Any]) -> None:
    """Load the modules of the rare operations among these, and nothing ever after.

    A process that joins a container, or has pivoted into one, would take Python code for its
    own from the container's files.
    """
    for name in names:
        if name not in OPERATIONS and name in RARE:
            module = f"{__name__}.{RARE[name]}"
            __import__(module)
            OPERATIONS[name] = getattr(sys.modules[module], name)
    sys.meta_path.clear()
