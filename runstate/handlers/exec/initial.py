"""The first process: from the config to what init executes, up to its program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.handlers.exec import filtering, lifecycle, namespaces
from runstate.handlers.exec.program import (
    command,
    compile_late,
    compile_outside,
    compile_program,
    compile_setup,
)
from runstate.init import kernel
from runstate.linux import operations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runstate.handlers.contract import HandlerContext
    from runstate.handlers.exec.linux import LinuxExecOptions
    from runstate.linux.cgroups.cgroup import Cgroup
    from runstate.linux.operations import Operation

_USER = kernel.CLONE_NEWUSER


def compile_initial(
    context: HandlerContext, options: LinuxExecOptions, pid: int = 0
) -> tuple[Operation, ...]:
    """What init executes.

    Args:
        context: The container's, with the substates of the rooms before exec.
        options: The handler's.
        pid: Init's, where its system call filter's agent is told; else 0.
    """
    config = context.config
    assert config.process is not None  # noqa: S101 - validation saw to it
    plan = compile_outside(config.process)
    first = len(context.descriptors)  # of those that `create` adds
    if options.cgroup is not None:
        plan.append(_join(options.cgroup, first + 1))
    if options.made & _USER:
        plan.append(operations.await_engine("the ids are mapped"))
    if options.namespaces & _USER:
        plan.append(operations.become_root())
    # The cgroup at this moment becomes the root of a new cgroup namespace.
    if options.made & ~namespaces.BY_CLONE:
        plan.append(operations.unshare(options.made & ~namespaces.BY_CLONE))
    plan += compile_setup(context.id, config.process)
    if options.joined & kernel.CLONE_NEWNS:
        index = context.descriptor(namespaces.MOUNT)
        plan.append(operations.join_namespaces(index, kernel.CLONE_NEWNS))
    plan += context.operations()
    if context.meets_host or config.hooks is not None:
        names = [operation.name for operation in plan]
        place = names.index("pivot_root") if "pivot_root" in names else len(plan)
        plan[place:place] = lifecycle.before_pivot(context)
    if config.hostname:
        plan.append(operations.sethostname(config.hostname))
    if config.domainname:
        plan.append(operations.setdomainname(config.domainname))
    if config.linux is not None and config.linux.sysctl:
        from runstate.handlers.exec.tuning import compile_sysctls  # noqa: PLC0415 - rare

        plan += compile_sysctls(config.linux)
    # Only here, as runc does it: a further process finds its directory or fails.
    plan.append(operations.make_cwd(config.process.cwd))
    load = filtering.loading(context, config.process, pid, "creating")
    plan += compile_program(
        config.process,
        config.linux,
        own_userns=bool(options.namespaces & _USER),
        with_rights=load.with_rights,
    )
    plan += [
        *load.before_ready,
        operations.on_record(),
        operations.wait_in_fifo(first),
        *compile_late(config.process),
        *_last(context, load.last),
        operations.execute(config.process.args),
    ]
    return tuple(plan)


def _last(context: HandlerContext, load: Iterable[Operation]) -> list[Operation]:
    """What is left to do before the program.

    What runs inside before it, from the container's own files, is filtered like it, as runc has
    it; without such hooks the filter comes last of all, and need allow nothing but execve(2).
    """
    hooks = lifecycle.before_program(context)
    prepare = operations.prepare_program(*command(context.config.process))
    return [*load, *hooks, prepare] if hooks else [prepare, *load]


def _join(cgroup: Cgroup, first: int) -> Operation:
    return operations.join_cgroups(first, len(cgroup.self_attach_files))
