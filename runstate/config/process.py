"""The program, and the user, rights and limits that it starts with (config.md, Process)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.section import Int32, UInt32, UInt64
    from runstate.config.tuning import ConsoleSize, ExecCPUAffinity, IOPriority, Scheduler


@frozen(eq=False, repr=False)
class User(Section):
    """Whom the program runs as, in the container's user namespace.

    Attributes:
        uid: The user id.
        gid: The group id.
        umask: The file mode creation mask; None leaves the runtime's.
        additional_gids: Supplementary groups.
        username: Windows only.
    """

    uid: UInt32 | None = None
    gid: UInt32 | None = None
    umask: UInt32 | None = None
    additional_gids: tuple[UInt32, ...] = field(default=(), converter=elements)
    username: str | None = None


@frozen(eq=False, repr=False)
class Capabilities(Section):
    """The five sets of capabilities(7), by the kernel's names (``CAP_CHOWN``)."""

    bounding: tuple[str, ...] = field(default=(), converter=elements)
    effective: tuple[str, ...] = field(default=(), converter=elements)
    inheritable: tuple[str, ...] = field(default=(), converter=elements)
    permitted: tuple[str, ...] = field(default=(), converter=elements)
    ambient: tuple[str, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class Rlimit(Section):
    """One resource limit of getrlimit(2), in that resource's unit.

    Attributes:
        type: The kernel's name, ``RLIMIT_NOFILE``.
        soft: What the kernel enforces.
        hard: The ceiling of what the program may raise the soft limit to.
    """

    type: str
    soft: UInt64
    hard: UInt64


@frozen(eq=False, repr=False)
class Process(Section):
    """The container's program.

    Attributes:
        cwd: The working directory, absolute, in the container.
        args: The program and its arguments, as in execvp(3).
        env: ``KEY=value`` strings.
        user: Whom it runs as; None is user and group 0.
        terminal: Whether it gets a terminal.
        console_size: The terminal's size; without a terminal it means nothing.
        capabilities: None: none at all.
        rlimits: Resource limits, each type at most once.
        no_new_privileges: Whether execve(2) may not raise privileges (prctl(2)).
        oom_score_adj: From -1000 to 1000 (proc(5)); None leaves it.
        apparmor_profile: The AppArmor profile's name.
        selinux_label: The SELinux label.
        io_priority: ioprio_set(2).
        scheduler: sched_setattr(2).
        exec_cpu_affinity: The CPUs for a process that `exec` starts.
        command_line: Windows only.
    """

    cwd: str
    args: tuple[str, ...] = field(default=(), converter=elements)
    env: tuple[str, ...] = field(default=(), converter=elements)
    user: User | None = None
    terminal: bool | None = None
    console_size: ConsoleSize | None = None
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = field(default=(), converter=elements)
    no_new_privileges: bool | None = None
    oom_score_adj: Int32 | None = None
    apparmor_profile: str | None = None
    selinux_label: str | None = None
    io_priority: IOPriority | None = None
    scheduler: Scheduler | None = None
    exec_cpu_affinity: ExecCPUAffinity | None = None
    command_line: str | None = None
