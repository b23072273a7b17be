"""From the config's ``process`` to the operations that make a process what it says."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

from runstate.linux import capabilities, operations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runstate.linux.operations import Operation

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def compile_setup(container_id: str, process: Any) -> list[Operation]:
    """What has to happen while the host is still in sight."""
    plan = [
        operations.new_session_keyring(f"_ses.{container_id}"[:255]),
        operations.open_proc(),
    ]
    if process.oom_score_adj is not None:
        plan.append(operations.set_oom_score_adj(process.oom_score_adj))
    return plan


def compile_program(
    process: Any, *, own_userns: bool, with_rights: Iterable[Operation] = ()
) -> list[Operation]:
    """The process's limits, rights, user and place, up to finding its executable.

    Args:
        process: The ``process`` object of the config, a :class:`runstate.config.Process`.
        own_userns: Whether the process lives in a user namespace of the container's own.
        with_rights: What needs capabilities that the process may not keep.
    """
    user = process.user
    uid = user.uid or 0 if user is not None else 0
    gid = user.gid or 0 if user is not None else 0
    groups = list(user.additional_gids) if user is not None else []
    plan = [
        operations.set_rlimit(getattr(resource, limit.type), limit.soft, limit.hard)
        for limit in process.rlimits
    ]
    if process.no_new_privileges:
        plan.append(operations.set_no_new_privs())
    sets = process.capabilities
    bounding, effective, permitted, inheritable, ambient = (
        capabilities.mask_of(getattr(sets, name) if sets is not None else ())
        for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
    )
    plan += [
        operations.drop_bounding(bounding),
        operations.chdir(process.cwd),
        # An ordinary user's user namespace denies setgroups(2) (user_namespaces(7)).
        operations.set_user(uid, gid, groups if groups or not own_userns else None),
        *with_rights,
        # The kernel raises only what is permitted and inheritable (capabilities(7)); more is
        # left out, as runc does, because `runc spec` itself asks for more.
        operations.set_capabilities(
            effective, permitted, inheritable, ambient & permitted & inheritable
        ),
    ]
    mask = user.umask if user is not None and user.umask is not None else 0o022
    plan += [
        operations.umask(mask),
        operations.find_executable(process.args[0], search_path(process.env)),
    ]
    return plan


def search_path(environment: tuple[str, ...]) -> str:
    """The $PATH of the process; a default one where it has none."""
    for entry in environment:
        if entry.startswith("PATH="):
            return entry[len("PATH=") :]
    return _DEFAULT_PATH
