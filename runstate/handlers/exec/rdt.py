"""The exec handler's part in Intel's Resource Director Technology: few containers ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.config.memo import json_form

if TYPE_CHECKING:
    from runstate.config import Config
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.resctrl import ResctrlGroup


def _settings(config: Config) -> dict[str, Any] | None:
    if config.linux is None or config.linux.intel_rdt is None:
        return None
    form: Any = json_form(config)
    settings: dict[str, Any] = form["linux"].get("intelRdt", {})
    return settings


def missing(context: HandlerContext) -> list[str]:
    """What of the config's ``intelRdt`` this host cannot do."""
    settings = _settings(context.config)
    if settings is None:
        return []
    from runstate.config.problems import json_path  # noqa: PLC0415
    from runstate.linux import resctrl  # noqa: PLC0415

    return [
        f"{json_path(('linux', 'intelRdt', *path))}: {why}"
        for path, why in resctrl.problems(settings, context.id)
    ]


def plan(context: HandlerContext) -> dict[str, str]:
    """Where the container goes, as it is saved; empty where the config does not say."""
    settings = _settings(context.config)
    if settings is None:
        return {}
    from runstate.linux import resctrl  # noqa: PLC0415

    group = resctrl.plan(settings, context.id)
    if group is None:
        return {}
    made = "yes" if group.made else ""
    return {"directory": group.directory, "made": made, "monitoring": group.monitoring}


def _group(saved: dict[str, str]) -> ResctrlGroup:
    from runstate.linux.resctrl import ResctrlGroup  # noqa: PLC0415

    return ResctrlGroup(saved["directory"], bool(saved["made"]), saved["monitoring"])


def create(context: HandlerContext, saved: dict[str, str]) -> None:
    """Make what is to be made."""
    settings = _settings(context.config)
    if saved and settings is not None:
        from runstate.linux import resctrl  # noqa: PLC0415

        resctrl.create(_group(saved), settings)


def assign(saved: dict[str, str], pid: int) -> None:
    """Put a process into the container's groups; its children follow it."""
    if saved:
        from runstate.linux import resctrl  # noqa: PLC0415

        resctrl.assign(_group(saved), pid)


def remove(saved: dict[str, str]) -> None:
    """Remove what was made for the container, once its processes are gone."""
    if saved:
        from runstate.linux import resctrl  # noqa: PLC0415

        resctrl.remove(_group(saved))
