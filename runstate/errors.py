"""Every error that runstate raises.

One base class, :class:`RuntimeStateError`; one class for each code, so that callers catch
classes and other languages read codes. The first group carries libcontainer's codes (its
``error.go``), the second is our own. A message says what was being done, to what, why it
failed and, where that is known, what to do about it. ``detail()`` adds the chain of causes.
"""

from __future__ import annotations

import errno as errno_names
import os
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class RuntimeStateError(Exception):
    """The base of all errors that runstate raises.

    Attributes:
        code: The stable name of this kind of error.
        cleanup_errors: What went wrong while the failed transition was undone.
    """

    code: ClassVar[str] = "SystemError"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.cleanup_errors: list[BaseException] = []

    def add_cleanup_error(self, error: BaseException) -> None:
        """Attach an error met while undoing; it never replaces this one."""
        self.cleanup_errors.append(error)
        self.add_note(f"while cleaning up: {describe(error)}")

    def detail(self) -> str:
        """The whole story: this error, what caused it, and what failed while cleaning up."""
        lines = [f"{self.code}: {self}"]
        lines += [f"  caused by {describe(cause)}" for cause in _causes(self)]
        lines += [f"  while cleaning up: {describe(error)}" for error in self.cleanup_errors]
        return "\n".join(lines)


def describe(error: BaseException) -> str:
    """One line for any exception: a typed error's code, or the class, then its message."""
    name = error.code if isinstance(error, RuntimeStateError) else type(error).__name__
    return f"{name}: {error}" if str(error) else name


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


# --- identity ---------------------------------------------------------------------------


class IdInUse(RuntimeStateError):
    """A container with this id exists already."""

    code = "IdInUse"


class InvalidIdFormat(RuntimeStateError):
    """The id is empty, too long, or has a character that ids may not have."""

    code = "InvalidIdFormat"


class ContainerNotExists(RuntimeStateError):
    """No container has this id."""

    code = "ContainerNotExists"


# --- illegal triggers -------------------------------------------------------------------


class IllegalTransition(RuntimeStateError):
    """The container's status does not allow this trigger. Nothing has changed.

    Attributes:
        trigger: The transition that was asked for.
        status: The container's status.
        allowed: The triggers that this status allows.
    """

    code = "IllegalTransition"

    def __init__(
        self, message: str, *, trigger: str = "", status: str = "", allowed: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.trigger = trigger
        self.status = status
        self.allowed = tuple(allowed)


class ContainerPaused(IllegalTransition):
    """The container is paused, or pausing; resume it first."""

    code = "ContainerPaused"


class ContainerNotStopped(IllegalTransition):
    """The container still lives."""

    code = "ContainerNotStopped"


class ContainerNotRunning(IllegalTransition):
    """The container does not run."""

    code = "ContainerNotRunning"


class ContainerNotPaused(IllegalTransition):
    """The container is not paused."""

    code = "ContainerNotPaused"


# --- what was asked for cannot be ---------------------------------------------------------


class NoProcessOps(RuntimeStateError):
    """The operation needs a process that this container does not have."""

    code = "NoProcessOps"


class ConfigInvalid(RuntimeStateError):
    """The configuration breaks the OCI runtime spec, or asks for what is not supported yet.

    Attributes:
        problems: All that is wrong, one line each, with JSON path, value and expectation.
    """

    code = "ConfigInvalid"

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def detail(self) -> str:
        """The whole story, with every problem."""
        first, *more = super().detail().split("\n")
        told = self.problems if len(self.problems) > 1 else ()
        return "\n".join([first, *(f"  {problem}" for problem in told), *more])


class ConsoleExists(RuntimeStateError):
    """The process has a console already."""

    code = "ConsoleExists"


class NotSupported(RuntimeStateError):
    """This backend, handler or host cannot do what was asked."""

    code = "NotSupported"


class HandlerMissing(RuntimeStateError):
    """No installed distribution provides this handler or backend."""

    code = "HandlerMissing"


class TransitionVetoed(RuntimeStateError):
    """A `before` hook raised; nothing has happened. The hook's error is the cause."""

    code = "TransitionVetoed"


class AfterHookFailed(RuntimeStateError):
    """An `after` hook raised; the transition is committed all the same."""

    code = "AfterHookFailed"


# --- the host -----------------------------------------------------------------------------


class SystemFailure(RuntimeStateError):
    """The kernel or the file system refused; libcontainer's code for it is SystemError."""

    code = "SystemError"


class OperationFailed(SystemFailure):
    """One operation failed, on the host or inside the container's init.

    Attributes:
        operation: What was being done, in the words of the plan.
        errno: The kernel's error number, or None where it was not the kernel that refused.
    """

    code = "OperationFailed"

    def __init__(self, operation: str, reason: str, errno: int | None = None) -> None:
        super().__init__(f"{operation}: {reason}" if operation else reason)
        self.operation = operation
        self.errno = errno

    @classmethod
    def from_os_error(cls, operation: str, error: OSError) -> OperationFailed:
        """The failure of ``operation`` as the kernel reported it."""
        return cls(operation, explain_errno(error.errno, error.strerror), error.errno)


class HookFailed(OperationFailed):
    """A hook of the configuration could not be executed, failed, or took too long.

    Attributes:
        path: The hook's path.
        exit_status: Its exit status; None if it did not exit by itself.
        signal: The signal that ended it, if one did.
        timed_out: Whether its time was over, so that it was killed.
        stderr: The last that it wrote there, as it wrote it.
    """

    code = "HookFailed"

    def __init__(
        self,
        operation: str,
        reason: str,
        errno: int | None = None,
        *,
        path: str = "",
        exit_status: int | None = None,
        signal: int | None = None,
        timed_out: bool = False,
        stderr: str = "",
    ) -> None:
        super().__init__(operation, reason, errno)
        self.path = path
        self.exit_status = exit_status
        self.signal = signal
        self.timed_out = timed_out
        self.stderr = stderr


class HookWarning(UserWarning):
    """A poststop hook failed; the container is destroyed all the same (runtime.md, Lifecycle)."""


class InitDied(SystemFailure):
    """The container's init, or the zygote that starts it, ended in the middle of its work."""

    code = "InitDied"


class DeadlineExceeded(SystemFailure):
    """The kernel, or a process, did not do in time what it was asked."""

    code = "DeadlineExceeded"


class ContainerBusy(RuntimeStateError):
    """Another transition holds the container's lock, and still did when the deadline came."""

    code = "ContainerBusy"


class StateInvalid(RuntimeStateError):
    """A saved state or journal cannot be read as one."""

    code = "StateInvalid"


def explain_errno(number: int | None, text: str | None = None) -> str:
    """An error number in words, with the kernel's name for it: ``No such file … (ENOENT)``."""
    if number is None:
        return text or "unknown error"
    name = errno_names.errorcode.get(number, f"errno {number}")
    return f"{os.strerror(number)} ({name})"
