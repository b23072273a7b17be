"""OCI hooks: programs that the runtime runs at points of the lifecycle (config.md, POSIX hooks).

They are not the Python hooks of the state machine's transitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    from runstate.config.section import Int64


@frozen(eq=False, repr=False)
class Hook(Section):
    """One program.

    Attributes:
        path: The executable, absolute.
        args: As in execv(3): the first is the program's name.
        env: ``KEY=value`` strings; all the environment that it gets.
        timeout: Seconds until it is given up.
    """

    path: str
    args: tuple[str, ...] = field(default=(), converter=elements)
    env: tuple[str, ...] = field(default=(), converter=elements)
    timeout: Int64 | None = None


@frozen(eq=False, repr=False)
class Hooks(Section):
    """The hooks of each point, in their order (runtime.md, Lifecycle)."""

    prestart: tuple[Hook, ...] = field(default=(), converter=elements)
    create_runtime: tuple[Hook, ...] = field(default=(), converter=elements)
    create_container: tuple[Hook, ...] = field(default=(), converter=elements)
    start_container: tuple[Hook, ...] = field(default=(), converter=elements)
    poststart: tuple[Hook, ...] = field(default=(), converter=elements)
    poststop: tuple[Hook, ...] = field(default=(), converter=elements)
