"""Before any effect: what of a config cannot be done here, and what has to be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from runstate.handlers.exec import filtering, lifecycle, limits, namespaces, rdt
from runstate.handlers.exec.requirements import missing, not_granted

if TYPE_CHECKING:
    from runstate.handlers.contract import HandlerContext


def missing_on_host(context: HandlerContext) -> list[str]:
    """What of the config this host cannot do, each with its JSON path."""
    from runstate.config.support import unsupported  # noqa: PLC0415 - only `create` asks
    from runstate.config.validation import missing_for_linux  # noqa: PLC0415 - as above

    config = context.config
    problems = namespaces.missing(config)
    if not problems and _names_user_namespace(context):
        from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have one

        problems = idmaps.missing(config)
    problems = problems or [
        *missing(config, config.process),
        *filtering.check(config),
        *limits.missing(context),
        *rdt.missing(context),
    ]
    hooks = lifecycle.missing_hooks(config)
    return [*missing_for_linux(config), *unsupported(config), *problems, *hooks]


def _names_user_namespace(context: HandlerContext) -> bool:
    linux = context.config.linux
    return linux is not None and any(n.type == "user" for n in linux.namespaces)


def missing_for_process(context: HandlerContext, process: Any) -> list[str]:
    """What of a further process cannot be done."""
    from runstate.config.support import unsupported  # noqa: PLC0415 - only `exec` asks

    described = evolve(context.config, process=process)
    problems = unsupported(described)
    problems = [problem for problem in problems if problem.startswith("$.process")]
    for words in not_granted(described):
        import logging  # noqa: PLC0415 - few processes ask for what they cannot have

        logging.getLogger("runstate.exec").warning("container %r: %s", context.id, words)
    init = context.init.pid if context.init is not None else 0
    return problems or missing(context.config, process, init)


def left_out(context: HandlerContext) -> list[str]:
    """What has to be left out on this host."""
    notices = limits.notices(context)
    if _names_user_namespace(context):
        from runstate.handlers.exec import idmaps  # noqa: PLC0415 - not all have one

        notices += idmaps.notices(context.config)
    return notices + not_granted(context.config)
