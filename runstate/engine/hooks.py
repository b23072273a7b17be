"""Transition hooks: Python callables before and after a transition.

Not OCI hooks, which are executables named in config.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from runstate.errors import AfterHookFailed, NotSupported, TransitionVetoed, describe
from runstate.transitions.table import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.engine.container import Container
    from runstate.states.status import Status

    Hook = Callable[["TransitionEvent"], object]

_H = TypeVar("_H", bound="Callable[[TransitionEvent], object]")
ANY = "*"


@frozen
class TransitionEvent:
    """What a transition hook is told.

    Attributes:
        trigger: The transition's trigger.
        source: The status it leaves.
        dest: The status it leads to.
        id: The container's id.
        container: The container; None before `create`, when there is none yet.
    """

    trigger: str
    source: Status
    dest: Status
    id: str
    container: Container | None


class Hooks:
    """Hooks by trigger; those of a container come after those of its factory."""

    def __init__(self, parent: Hooks | None = None) -> None:
        self._parent = parent
        self._hooks: dict[tuple[str, str], list[Hook]] = {}

    def add(self, moment: str, trigger: str) -> Callable[[_H], _H]:
        """A decorator that adds a hook.

        Raises:
            NotSupported: There is no such trigger.
        """
        if trigger != ANY and trigger not in TRIGGERS:
            raise NotSupported(
                f"add a hook {moment} {trigger!r}: there is no such transition; there are"
                f" {', '.join(TRIGGERS)}, and {ANY!r} for all of them"
            )

        def decorate(hook: _H) -> _H:
            self._hooks.setdefault((moment, trigger), []).append(hook)
            return hook

        return decorate

    def _matching(self, moment: str, trigger: str) -> list[Hook]:
        inherited = self._parent._matching(moment, trigger) if self._parent else []  # noqa: SLF001
        own = self._hooks.get((moment, trigger), [])
        return [*inherited, *own, *self._hooks.get((moment, ANY), [])]

    def run_before(self, event: TransitionEvent) -> None:
        """Run the `before` hooks; the first that raises vetoes.

        Raises:
            TransitionVetoed: With the hook's error as its cause.
        """
        for hook in self._matching("before", event.trigger):
            try:
                hook(event)
            except Exception as error:
                raise TransitionVetoed(
                    f"{event.trigger} container {event.id!r}: vetoed by the hook"
                    f" {_name(hook)}: {describe(error)}"
                ) from error

    def run_after(self, event: TransitionEvent) -> None:
        """Run all `after` hooks.

        Raises:
            AfterHookFailed: One or more raised; the others have run all the same.
        """
        failed: AfterHookFailed | None = None
        for hook in self._matching("after", event.trigger):
            try:
                hook(event)
            except Exception as error:  # noqa: BLE001 - reported below, when all have run
                if failed is None:
                    failed = AfterHookFailed(
                        f"{event.trigger} container {event.id!r} is done, but the hook"
                        f" {_name(hook)} after it failed: {describe(error)}"
                    )
                    failed.__cause__ = error
                else:
                    failed.add_cleanup_error(error)
        if failed is not None:
            raise failed


def _name(hook: Hook) -> str:
    return getattr(hook, "__qualname__", repr(hook))
