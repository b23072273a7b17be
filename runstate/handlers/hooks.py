"""The hooks of a configuration (config.md, POSIX-platform Hooks): what runs when, where, how long.

Those of the host (``prestart``, ``createRuntime``, ``poststart``, ``poststop``) are steps of
transitions; those of the container (``createContainer``, ``startContainer``) are operations
of init. runc is followed where the specification leaves room:

- Those of the host run in the bundle, with the rights and the umask of this process.
- ``createContainer`` runs in the rootfs, which is not the root yet, as the container's root with
  all its capabilities. Its path is the host's.
- ``startContainer`` runs as the program will: its user, capabilities, limits and working directory,
  and its environment unless the hook brings one along.
"""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runstate.config.memo import json_form
from runstate.linux.interruption import interruptible
from runstate.linux.operations import hooks as operations
from runstate.linux.operations.hooks import HookCommand
from runstate.states.oci import CREATING, oci_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runstate.config import Config
    from runstate.config.hooks import Hook
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.operations import Operation

PRESTART, CREATE_RUNTIME, CREATE_CONTAINER = "prestart", "createRuntime", "createContainer"
START_CONTAINER, POSTSTART, POSTSTOP = "startContainer", "poststart", "poststop"

_FIELDS = {
    PRESTART: "prestart",
    CREATE_RUNTIME: "create_runtime",
    CREATE_CONTAINER: "create_container",
    START_CONTAINER: "start_container",
    POSTSTART: "poststart",
    POSTSTOP: "poststop",
}


def of(config: Config, point: str) -> tuple[Hook, ...]:
    """The hooks of one point, in their order."""
    if config.hooks is None:
        return ()
    found: tuple[Hook, ...] = getattr(config.hooks, _FIELDS[point])
    return found


def commands(
    config: Config, point: str, environment: Sequence[str] = ()
) -> tuple[HookCommand, ...]:
    """The hooks of one point as they are executed.

    Args:
        config: The configuration.
        point: Which.
        environment: That of hooks that bring none along.
    """
    return tuple(
        HookCommand(
            f"{point}[{index}]",
            hook.path,
            hook.args or (hook.path,),
            dict(entry.split("=", 1) for entry in hook.env or environment if "=" in entry),
            hook.timeout or 0,
        )
        for index, hook in enumerate(of(config, point))
    )


def state(context: HandlerContext, status: str, pid: int | None) -> str:
    """What a hook gets on its standard input."""
    config = json_form(context.config)
    return json.dumps(oci_state(context.id, status, pid, context.bundle, config))


# --- those that init runs -------------------------------------------------------------------------

_PID = 2**53  # stands for the pid, which init alone knows: more than any pid is


def _split_state(context: HandlerContext, status: str) -> tuple[str, str]:
    before, _, after = state(context, status, _PID).partition(f'"pid": {_PID}')
    return f'{before}"pid": ', after


def before_pivot(context: HandlerContext) -> list[Operation]:
    """What init does last before it leaves the host's root."""
    hooks = commands(context.config, CREATE_CONTAINER)
    if not hooks:
        return []
    text = _split_state(context, CREATING)
    return [operations.create_container_hook(hook, text, context.bundle) for hook in hooks]


def before_program(context: HandlerContext) -> list[Operation]:
    """What init does last before it becomes the program."""
    process = context.config.process
    environment = process.env if process is not None else ()
    hooks = commands(context.config, START_CONTAINER, environment)
    if not hooks:
        return []
    text = _split_state(context, "created")
    configured = of(context.config, START_CONTAINER)
    return [
        operations.start_container_hook(hook, text, as_program=not by_itself.env)
        for hook, by_itself in zip(hooks, configured, strict=True)
    ]


def patience(config: Config, point: str, deadline: float) -> float | None:
    """How long what includes the hooks of a point may take, in seconds; None: for ever."""
    hooks = of(config, point)
    if not all(hook.timeout for hook in hooks):
        return None
    return deadline + sum(hook.timeout or 0 for hook in hooks)


@contextmanager
def uncounted(context: HandlerContext) -> Iterator[None]:
    """The time that hooks take is theirs, not the transition's."""
    started = time.monotonic()
    try:
        yield
    finally:
        context.expires += time.monotonic() - started


@contextmanager
def inside(context: HandlerContext) -> Iterator[None]:
    """While init runs its hooks, and is waited for."""
    with uncounted(context), interruptible():
        yield


# --- before any effect ----------------------------------------------------------------------------


def missing(config: Config) -> list[str]:
    """The hook that runs first, if it is not there to be executed.

    Of the others nobody knows before it is their turn: an earlier one may make them.
    """
    for point in (PRESTART, CREATE_RUNTIME, CREATE_CONTAINER):
        for hook in of(config, point):
            problem = _problem(hook.path)
            return [f"$.hooks.{point}[0].path: {problem}"] if problem else []
    return []


def _problem(path: str) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{path!r}: {error.strerror}; expected an executable file"
    if stat.S_ISDIR(mode) or not os.access(path, os.X_OK, effective_ids=True):
        return f"{path!r} is not an executable file"
    return None
