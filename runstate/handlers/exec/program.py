"""From the config's ``process`` to the operations that make a process what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.linux import capabilities, operations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runstate.config.linux import Linux
    from runstate.linux.operations import Operation

_DESCRIPTORS = 64  # more than a process on its way to its program has open
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def compile_outside(process: Any) -> list[Operation]:
    """What has to happen before the process is in a user namespace, where it may not."""
    if process.oom_score_adj is None:
        return []
    return [operations.set_oom_score_adj(process.oom_score_adj)]


def compile_setup(container_id: str, process: Any, proc: int = -1) -> list[Operation]:
    """What needs the host's /proc, or makes a way to it that lasts.

    Args:
        container_id: Whose keys they are.
        process: The ``process`` object of the config.
        proc: Which of init's further descriptors the host's /proc is, if it is one.
    """
    plan = [operations.open_proc(proc)]
    keyring = operations.new_session_keyring(f"_ses.{container_id}"[:255])
    if process.selinux_label:
        from runstate.handlers.exec import tuning  # noqa: PLC0415 - few have one

        plan += [tuning.label_keys(process.selinux_label), keyring, tuning.label_keys("")]
    else:
        plan.append(keyring)
    if process.selinux_label or process.apparmor_profile:
        from runstate.handlers.exec import tuning  # noqa: PLC0415 - few have one

        plan += tuning.compile_labels(process)
    return plan


def compile_program(
    process: Any,
    linux: Linux | None,
    *,
    own_userns: bool,
    with_rights: Sequence[Operation] = (),
) -> list[Operation]:
    """The process's limits, rights, user and place, up to finding its executable.

    Args:
        process: The ``process`` object of the config, a :class:`runstate.config.Process`.
        linux: The config's Linux part.
        own_userns: Whether the process lives in a user namespace of the container's own.
        with_rights: What needs CAP_SYS_ADMIN, which the process may not keep.
    """
    user = process.user
    uid = user.uid or 0 if user is not None else 0
    gid = user.gid or 0 if user is not None else 0
    groups = user.additional_gids if user is not None else ()
    plan = [
        operations.set_rlimit(operations.rlimit(limit.type), limit.soft, limit.hard)
        for limit in process.rlimits
        if not _too_few(limit)
    ]
    if process.scheduler or process.io_priority or _tuned(linux):
        from runstate.handlers.exec.tuning import compile_tuning  # noqa: PLC0415 - few are

        plan += compile_tuning(process, linux)
    if process.no_new_privileges:
        plan.append(operations.set_no_new_privs())
    sets = process.capabilities
    can = capabilities.grantable(own_userns=own_userns)
    bounding, effective, permitted, inheritable, ambient = (
        capabilities.mask_of(getattr(sets, name) if sets is not None else ()) & can
        for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
    )
    plan.append(operations.drop_bounding(bounding))
    # Here, because a system call filter that is loaded as it needs rights may not let it.
    if not variables(process.env).get("HOME"):
        plan.append(operations.find_home(uid))
    if uid:
        plan += [operations.chdir(process.cwd, last=False), operations.own_streams(uid)]
    else:
        plan.append(operations.chdir(process.cwd))
    # An ordinary user's user namespace denies setgroups(2) (user_namespaces(7)).
    plan.append(operations.set_user(uid, gid, groups, may_keep=own_userns))
    if uid:
        plan.append(operations.chdir(process.cwd))
    if with_rights and uid:
        # What the change of user has taken away is still permitted.
        admin = capabilities.mask_of(["CAP_SYS_ADMIN"])
        plan.append(operations.set_capabilities(admin, permitted | admin, inheritable, 0))
    plan += with_rights
    # The kernel raises only what is permitted and inheritable (capabilities(7)); more is
    # left out, as runc does, because `runc spec` itself asks for more.
    plan.append(
        operations.set_capabilities(
            effective, permitted, inheritable, ambient & permitted & inheritable
        )
    )
    mask = user.umask if user is not None and user.umask is not None else 0o022
    plan += [
        operations.umask(mask),
        operations.find_executable(process.args[0], search_path(process.env)),
    ]
    return plan


def compile_late(process: Any) -> list[Operation]:
    """What must not be in force before the process has opened all that it needs to start."""
    return [
        operations.set_rlimit(operations.rlimit(limit.type), limit.soft, limit.hard)
        for limit in process.rlimits
        if _too_few(limit)
    ]


def _too_few(limit: Any) -> bool:
    return bool(limit.type == "RLIMIT_NOFILE" and limit.soft < _DESCRIPTORS)


def _tuned(linux: Linux | None) -> bool:
    return linux is not None and bool(linux.memory_policy or linux.personality)


def search_path(environment: tuple[str, ...]) -> str:
    """The $PATH of the process; a default one where it has none."""
    return variables(environment).get("PATH", _DEFAULT_PATH)


def variables(environment: tuple[str, ...]) -> dict[str, str]:
    """The environment; of a variable that is there twice, the last counts, as for runc."""
    return dict(entry.split("=", 1) for entry in environment if "=" in entry)


def command(process: Any) -> tuple[list[str], dict[str, str]]:
    """The program's arguments and environment."""
    return list(process.args), variables(process.env)
