"""The system call filter (config-linux.md, Seccomp; seccomp(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.section import UInt32, UInt64


@frozen(eq=False, repr=False)
class SyscallArg(Section):
    """A condition on one argument of a system call.

    Attributes:
        index: Which argument, from 0 to 5.
        value: What it is compared with, or the mask of ``SCMP_CMP_MASKED_EQ``.
        op: ``SCMP_CMP_EQ`` and its like.
        value_two: What the masked argument is compared with.
    """

    index: UInt32
    value: UInt64
    op: str
    value_two: UInt64 | None = None


@frozen(eq=False, repr=False)
class Syscall(Section):
    """A rule for some system calls.

    Attributes:
        names: The calls.
        action: ``SCMP_ACT_ALLOW`` and its like.
        errno_ret: The errno that the action returns.
        args: Conditions that must all hold.
    """

    names: tuple[str, ...] = field(converter=elements)
    action: str
    errno_ret: UInt32 | None = None
    args: tuple[SyscallArg, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class Seccomp(Section):
    """A filter.

    Attributes:
        default_action: For the calls that no rule is about.
        default_errno_ret: The errno that the default action returns.
        architectures: ``SCMP_ARCH_X86_64`` and its like, beside the machine's own.
        flags: Of seccomp(2), ``SECCOMP_FILTER_FLAG_LOG`` and its like.
        listener_path: The socket to send the notification descriptor to.
        listener_metadata: What to send with it.
        syscalls: The rules.
    """

    default_action: str
    default_errno_ret: UInt32 | None = None
    architectures: tuple[str, ...] = field(default=(), converter=elements)
    flags: tuple[str, ...] = field(default=(), converter=elements)
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: tuple[Syscall, ...] = field(default=(), converter=elements)
