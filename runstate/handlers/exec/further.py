"""A further process: from its ``process`` object to what happens outside and inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.handlers.exec.program import (
    command,
    compile_late,
    compile_outside,
    compile_program,
    compile_setup,
)
from runstate.handlers.exec.requirements import beyond_ceiling
from runstate.linux import operations

if TYPE_CHECKING:
    from runstate.handlers.contract import HandlerContext
    from runstate.handlers.exec.filtering import Loading
    from runstate.linux.cgroups.cgroup import Cgroup
    from runstate.linux.operations import Operation


def compile_before(process: Any, *, own_userns: bool) -> list[Operation]:
    """What happens before the process is in the container: there it may not, or it is late."""
    plan = compile_outside(process)
    if own_userns:
        plan += [
            operations.set_rlimit(operations.rlimit(limit.type), limit.soft, limit.hard)
            for limit in beyond_ceiling(process)
        ]
    if process.exec_cpu_affinity is not None:
        from runstate.handlers.exec.tuning import compile_affinity  # noqa: PLC0415 - rare

        plan += compile_affinity(process)[0]
    return plan


def compile_further(
    context: HandlerContext,
    process: Any,
    cgroup: Cgroup | None,
    load: Loading,
    *,
    own_userns: bool,
) -> list[Operation]:
    """What the process executes inside.

    Args:
        context: The container's.
        process: The ``process`` object.
        cgroup: The container's cgroup, whose files' descriptors come after the context's; after
            them come the one of the host's /proc, and init's pidfd.
        load: When its system call filter is loaded.
        own_userns: Whether the container has a user namespace of its own.
    """
    plan: list[Operation] = []
    first = len(context.descriptors)
    if cgroup is not None:
        count = len(cgroup.self_attach_files)
        plan.append(operations.join_cgroups(first, count))
        first += count
    if process.exec_cpu_affinity is not None:
        from runstate.handlers.exec.tuning import compile_affinity  # noqa: PLC0415 - rare

        plan += compile_affinity(process)[1]
    plan += compile_setup(context.id, process, first)
    if process.terminal:
        if own_userns:
            # The terminal is its maker's, who is nobody in there; init became root by itself.
            plan.append(operations.become_root())
        plan.append(_terminal(process))
    return [
        *plan,
        *compile_program(
            process, context.config.linux, own_userns=own_userns, with_rights=load.with_rights
        ),
        *load.before_ready,
        operations.on_record(keep_channel=True),
        *compile_late(process),
        operations.prepare_program(*command(process)),
        *load.last,
        operations.execute(process.args),
    ]


def _terminal(process: Any) -> Operation:
    from runstate.linux.operations.terminal import open_terminal  # noqa: PLC0415 - few have one

    size, user = process.console_size, process.user
    return open_terminal(
        size.height if size is not None else 0,
        size.width if size is not None else 0,
        user.uid or 0 if user is not None else 0,
    )
