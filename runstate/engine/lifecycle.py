"""One container's way through the machine: lock, load, settle, decide, act, save."""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from runstate.engine import machine, recovery
from runstate.engine.hooks import TransitionEvent
from runstate.engine.runner import StepRunner
from runstate.errors import ContainerBusy, OperationFailed
from runstate.handlers import registry
from runstate.handlers.contract import HandlerContext, Handlers, Substate, ability, offers
from runstate.linux import processes
from runstate.states.invariants import HostView, reconcile
from runstate.states.state import SavedSubstate, State
from runstate.states.status import Status
from runstate.transitions.attempt import Attempt
from runstate.transitions.exits import structure, unstructure
from runstate.transitions.table import row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runstate.config import Config
    from runstate.engine.container import Container
    from runstate.engine.hooks import Hooks
    from runstate.handlers.contract import Handler
    from runstate.persistence.store import ContainerDirectory
    from runstate.transitions.table import Transition

# The errnos of a root directory that cannot be written now.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class LiveObjects:
    """The live objects of one container's substates, shared by all that use it here."""

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, Any]] = {}
        # The saved options that were structured last, and what came of it.
        self._structured: dict[str, tuple[Any, Any]] = {}

    def substate(self, room: str, handler: Handler, options: Any) -> Substate:
        """The substate that these saved options are of."""
        known = self._structured.get(room)
        if known is None or known[0] is not options:
            known = self._structured[room] = (options, structure(handler, options))
        return Substate(known[1], self.rooms.setdefault(room, {}))


class Lifecycle:
    """What moves one container.

    Attributes:
        directory: Its place on disk.
        live: Descriptors and the like, if it was made by this process.
        deadline: Seconds for locks and for what handlers wait for.
    """

    def __init__(
        self,
        directory: ContainerDirectory,
        hooks: Hooks,
        deadline: float,
        live: LiveObjects,
    ) -> None:
        self.directory = directory
        self.hooks = hooks
        self.deadline = deadline
        self.live = live

    # --- reading ------------------------------------------------------------------------------

    def load(self) -> State:
        """The saved state, without a lock."""
        return self.directory.load()

    def handlers(self, state: State) -> Handlers:
        """The handlers that the state was made with.

        Raises:
            HandlerMissing: One is not installed here.
        """
        return registry.handlers(
            {"fs": state.fs.handler, "network": state.network.handler, "exec": state.exec.handler}
        )

    def context(self, state: State, config: Config, expires: float | None = None) -> HandlerContext:
        """What handlers are told of a container that exists."""
        handlers = self.handlers(state)
        same_boot = state.boot_id == processes.boot_id()
        return HandlerContext(
            id=state.id,
            directory=self.directory.path,
            bundle=state.bundle,
            config=config,
            init=state.init if same_boot else None,
            substates={
                room: self.live.substate(room, handlers[room], saved.options)
                for room, saved in (
                    ("fs", state.fs), ("network", state.network), ("exec", state.exec),
                )
            },
            expires=time.monotonic() + self.deadline if expires is None else expires,
        )  # fmt: skip

    def view(self, state: State, context: HandlerContext) -> HostView:
        """What the host says about the container now."""
        handlers = self.handlers(state)
        alive = context.init is not None and processes.is_alive(context.init)
        return HostView(
            init_alive=alive,
            waiting=alive
            and state.status is Status.CREATED
            and ability(handlers, "waiting", None)(context),
            frozen=alive
            and state.status is not Status.CREATED
            and offers(handlers, "frozen")
            and handlers.exec.frozen(context),  # type: ignore[attr-defined]
        )

    # --- settling -----------------------------------------------------------------------------

    def settled(self, config: Callable[[State], Config]) -> State:
        """The state as the kernel has it; a claim that does not hold is settled and journalled.

        While another holds the lock, what is saved stands for what it is about to be.
        """
        state = self.load()
        if not state.status.alive:
            return state
        if reconcile(state.status, self.view(state, self.context(state, config(state)))) is None:
            return state
        try:
            with self.locked("settle", 0.0):
                return self.settle(config)[0]
        except ContainerBusy:
            return self.load()

    @contextmanager
    def locked(self, purpose: str, deadline: float | None = None) -> Iterator[None]:
        """Hold the container's lock, with what an interrupted transition left repaired.

        Raises:
            ContainerBusy: Another holds it, and did so until the deadline.
            ContainerNotExists: It was destroyed meanwhile.
        """
        with self.directory.lock.hold(self.deadline if deadline is None else deadline, purpose):
            recovery.repair(self)
            yield

    def settle(
        self, config: Callable[[State], Config], expires: float | None = None
    ) -> tuple[State, HandlerContext]:
        """Fire what brings the saved status to the kernel's; the lock is held.

        On a full disk the kernel's word stands all the same, only unsaved: a container has to
        be seen, and destroyed, there too.
        """
        state = self.load()
        while True:
            context = self.context(state, config(state), expires)
            trigger = None
            if state.status.alive:
                trigger = reconcile(state.status, self.view(state, context))
            if trigger is None:
                return state, context
            attempt = Attempt(trigger, state.status, context, self.handlers(state), state)
            try:
                self.fire(attempt, None)
                state = self.load()
            except OperationFailed as error:
                transition = row(trigger, state.status)
                if error.errno not in _UNWRITABLE or transition is None:
                    raise
                state = attrs.evolve(state, status=transition.dest_from(state.status))

    # --- acting -------------------------------------------------------------------------------

    def fire(self, attempt: Attempt, container: Container | None) -> TransitionEvent:
        """Decide on an attempt and act; the lock is held, and the saved status is true.

        Args:
            attempt: What is tried.
            container: For the hooks; without one no hooks run (settling and recovery).

        Returns:
            The event, for the `after` hooks, which run when the lock is free again.
        """
        source = attempt.status
        event: list[TransitionEvent] = []

        def act(attempt: Attempt, transition: Transition) -> None:
            dest = transition.dest_from(attempt.status)
            event.append(TransitionEvent(attempt.trigger, source, dest, attempt.id, container))
            if container is not None:
                self.hooks.run_before(event[0])
            self.act(attempt, transition)

        machine.fire(attempt, act)
        return event[0]

    def act(self, attempt: Attempt, transition: Transition, **facts: Any) -> None:
        """Run the plan of a transition that may begin."""
        runner = StepRunner(self.directory.journal, attempt, transition)
        plan = transition.plan(attempt)
        dest = transition.dest_from(attempt.status)
        try:
            runner.run(plan, facts, lambda: self._save(attempt, dest))
        finally:
            attempt.context.close_descriptors()

    def _save(self, attempt: Attempt, dest: Status) -> None:
        state = attempt.state
        for room, substate in attempt.context.substates.items():
            self.live.rooms[room] = substate.objects
        if dest is Status.ABSENT:
            self.directory.drop_state()
            return
        if state is None:
            return
        substates: dict[str, Any] = {
            room: SavedSubstate(attempt.handlers.names[room], unstructure(substate.options))
            for room, substate in attempt.context.substates.items()
        }
        attempt.state = attrs.evolve(
            state,
            status=dest,
            init=attempt.context.init or state.init,
            exit=attempt.outcome.get("exit", state.exit),
            config=attempt.outcome.get("config", state.config),
            **substates,
        )
        self.directory.save(attempt.state)

    def note(self, **facts: Any) -> None:
        """Put a fact on record that is no transition; the lock is held."""
        self.directory.journal.append("note", **facts)

    def save(self, state: State) -> None:
        """Save a state outside of a transition: recovery's last act."""
        self.directory.save(state)
