"""How init ended, and how handlers' options become JSON and come back."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from runstate.errors import StateInvalid
from runstate.linux import processes
from runstate.states.state import ExitStatus

if TYPE_CHECKING:
    from cattrs import Converter

    from runstate.handlers.contract import Handler, HandlerContext
    from runstate.linux.launcher import Child


def collect(context: HandlerContext) -> ExitStatus:
    """The exit status of a container's init, from whoever knows it first.

    The zygote's lifeline, when this process made the container; the kernel, while init is a
    zombie; the record that the zygote left in the container's directory.
    """
    substate = context.substates.get("exec")
    child: Child | None = substate.objects.get("child") if substate is not None else None
    status = None
    if child is not None and child.wait(context.deadline):
        status = child.status
    if status is None and context.init is not None:
        status = processes.zombie_status(context.init)
    if status is None:
        status = _recorded(context.directory)
    return from_wait_status(status)


def from_wait_status(status: int | None) -> ExitStatus:
    """A wait status as wait(2) gives it; None where nobody knows."""
    now = time.time()
    if status is None:
        return ExitStatus(None, None, now)
    if os.WIFSIGNALED(status):
        return ExitStatus(None, os.WTERMSIG(status), now)
    return ExitStatus(os.WEXITSTATUS(status), None, now)


def _recorded(directory: str) -> int | None:
    try:
        with open(f"{directory}/exit", encoding="ascii") as record:
            return int(record.read())
    except (FileNotFoundError, ValueError):
        return None


@cache
def _converter() -> Converter:
    from cattrs import Converter  # noqa: PLC0415 - only handlers with options need it

    return Converter()


def unstructure(options: Any) -> Any:
    """A handler's options as JSON."""
    if options is None or isinstance(options, (dict, list, str, int, float, bool)):
        return options
    return _converter().unstructure(options)


def structure(handler: Handler, options: Any) -> Any:
    """A handler's options from JSON, by its own ``options_type``."""
    wanted = getattr(handler, "options_type", None)
    if wanted is None or options is None:
        return options
    try:
        return _converter().structure(options, wanted)
    except Exception as error:
        raise StateInvalid(
            f"read the saved options of {type(handler).__name__}: {error}; saved were {options!r}"
        ) from error
