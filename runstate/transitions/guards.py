"""Guards: checks that must hold before a transition may begin. They change nothing.

A guard raises the typed error that says why not; it never answers a silent False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from runstate.errors import ConfigInvalid, ContainerNotStopped, NoProcessOps, NotSupported
from runstate.handlers.contract import ROOMS, ability, offers
from runstate.linux import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.config import Config
    from runstate.transitions.attempt import Attempt


def config_valid(attempt: Attempt) -> None:
    """The config keeps the runtime spec's rules."""
    from runstate.config.validation import validate  # noqa: PLC0415 - only `create` asks

    problems = validate(attempt.context.config)
    if problems:
        from runstate.config.reporting import rest_of  # noqa: PLC0415 - only for an error

        # What the handlers say of the rest belongs into the same report.
        rest, problems = rest_of(attempt.context.config.to_dict(), problems)
        if rest is not None:
            problems += rest.further(_impossible(attempt, rest.config))
    _refuse(attempt, problems)


def backend_can(attempt: Attempt) -> None:
    """The three handlers can do all that the config asks for, here and now."""
    _refuse(attempt, _impossible(attempt, attempt.context.config))


def _impossible(attempt: Attempt, config: Config) -> list[str]:
    """What of a config, which keeps all rules, the handlers cannot do."""
    context = attempt.context
    if config is not context.config:
        context = evolve(context, config=config)
    from runstate.config.support import for_others  # noqa: PLC0415 - only `create` asks

    handlers = [attempt.handlers[room] for room in ROOMS]
    takes: set[str] = set().union(*(getattr(handler, "takes", ()) for handler in handlers))
    problems = for_others(config, takes)
    if config.hooks is not None and not getattr(attempt.handlers.exec, "runs_hooks", False):
        name = attempt.handlers.names["exec"]
        problems += [
            f"$.hooks.{point}: the exec handler {name!r} cannot run hooks inside"
            for point, found in (
                ("createContainer", config.hooks.create_container),
                ("startContainer", config.hooks.start_container),
            )
            if found
        ]
    for room in ROOMS:
        if offers(attempt.handlers, "check", room=room):
            try:
                problems += ability(attempt.handlers, "check", None, room=room)(context)
            except (ConfigInvalid, NotSupported) as error:
                problems += getattr(error, "problems", ()) or (_as_problem(str(error)),)
    return list(dict.fromkeys(problems))  # two handlers may lack the same


def _as_problem(told: str) -> str:
    """What runstate's kernel layer says, which knows no JSON paths, but names properties."""
    return f"$.{told}" if told.startswith("linux.") else told


def _refuse(attempt: Attempt, problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigInvalid(
            f"{attempt.trigger} container {attempt.id!r}: {problems[0]}{more}", problems
        )


def init_waiting(attempt: Attempt) -> None:
    """Init is alive, and waits in the exec fifo."""
    if not ability(attempt.handlers, "waiting", attempt.context)(attempt.context):
        raise NoProcessOps(
            f"{attempt.trigger} container {attempt.id!r}: its init does not wait to be started"
        )


def init_not_waiting(attempt: Attempt) -> None:
    """Init has become the program already."""
    if ability(attempt.handlers, "waiting", attempt.context)(attempt.context):
        raise NoProcessOps(
            f"{attempt.trigger} container {attempt.id!r}: its init still waits to be started"
        )


def init_gone(attempt: Attempt) -> None:
    """Init does not live any more; an ended process that is not reaped yet counts as gone."""
    init = attempt.context.init
    if init is not None and processes.is_alive(init):
        raise ContainerNotStopped(
            f"{attempt.trigger} container {attempt.id!r}: its init (process {init.pid}) lives",
            trigger=attempt.trigger,
            status=attempt.status,
        )


def can_freeze(attempt: Attempt) -> None:
    """The exec handler can freeze this container."""
    ability(attempt.handlers, "freeze", attempt.context, doing="pause")


def can_update(attempt: Attempt) -> None:
    """The exec handler can change this container's limits, and the host has the controllers."""
    ability(attempt.handlers, "update", attempt.context)
    if offers(attempt.handlers, "check_resources"):
        check = ability(attempt.handlers, "check_resources", attempt.context)
        _refuse(attempt, check(attempt.context, attempt.arguments["resources"]))


def can_exec(attempt: Attempt) -> None:
    """The exec handler can start further processes, and this one is described in full."""
    from runstate.config.validation import validate_process  # noqa: PLC0415

    ability(attempt.handlers, "exec", attempt.context)
    process = attempt.arguments["spec"].process
    problems = validate_process(process)
    check: Callable[..., list[str]] = lambda *_: []  # noqa: E731 - a handler need not have one
    if offers(attempt.handlers, "check_process"):
        check = ability(attempt.handlers, "check_process", None)
    if not problems:
        problems = check(attempt.context, process)
    else:
        from runstate.config.reporting import rest_of_process  # noqa: PLC0415 - for an error

        rest, problems = rest_of_process(process.to_dict(), problems)
        if rest is not None:
            problems += rest.further(check(attempt.context, rest.config.process))
    _refuse(attempt, problems)


def forced(attempt: Attempt) -> None:
    """A container that still lives is destroyed only by force."""
    if not attempt.arguments.get("force"):
        raise ContainerNotStopped(
            f"destroy container {attempt.id!r}: it is {attempt.status}, not stopped; stop it"
            " first, or force it",
            trigger=attempt.trigger,
            status=attempt.status,
            allowed=("destroy, forced",),
        )


def can_checkpoint(attempt: Attempt) -> None:
    """The exec handler can checkpoint. None can yet."""
    raise NotSupported(f"checkpoint container {attempt.id!r}: {_NOT_YET}")


def image_matches(attempt: Attempt) -> None:
    """There is an image to restore from, and it is of this config. None can be yet."""
    raise NotSupported(f"restore container {attempt.id!r}: {_NOT_YET}")


_NOT_YET = "not supported yet by any exec handler of runstate"
