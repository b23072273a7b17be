"""OCI hooks: those that init runs in the container, and those that a process becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class HookCommand:
    """A hook as it is executed.

    Attributes:
        name: Which one it is, as in the configuration: ``prestart[0]``.
        path: The executable.
        arguments: All of them, its own name first.
        environment: All that it gets.
        timeout: Seconds that it may take; 0: as long as it likes.
    """

    name: str
    path: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    timeout: int

    def describe(self) -> str:
        """What it is, in words."""
        return words(self.name, self.path)

    def encode(self) -> tuple[Any, ...]:
        """As the functions of the operations take it."""
        return (self.name, self.path, list(self.arguments), self.environment, self.timeout)


def words(name: str, path: str) -> str:
    """What running a hook is called in plans, in the journal and in errors."""
    return f"run the hook {name} {path}"


def create_container_hook(hook: HookCommand, state: tuple[str, str], bundle: str) -> Operation:
    """Run a hook in the container's namespaces, while the host's files are in sight.

    Args:
        hook: Which.
        state: What it reads, before and after init's pid.
        bundle: Where it runs if there is no rootfs.
    """
    return Operation("create_container_hook", (hook.encode(), state, bundle))


def start_container_hook(
    hook: HookCommand, state: tuple[str, str], *, as_program: bool
) -> Operation:
    """Run a hook in the container, right before the program.

    Args:
        hook: Which.
        state: What it reads, before and after init's pid.
        as_program: Whether its environment is the program's.
    """
    return Operation("start_container_hook", (hook.encode(), state, as_program))


def become_hook(hook: HookCommand, directory: str, umask: int) -> Operation:
    """Become a hook of the host's, in a directory."""
    return Operation("become_hook", (hook.encode(), directory, umask))


WORDS: dict[str, Callable[..., str]] = {
    "create_container_hook": lambda hook, _state, _bundle: words(hook[0], hook[1]),
    "start_container_hook": lambda hook, _state, _as_program: words(hook[0], hook[1]),
    "become_hook": lambda hook, _directory, _umask: words(hook[0], hook[1]),
}
