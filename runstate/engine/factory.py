"""Making, finding and listing containers."""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Any

from runstate.config import Config
from runstate.config import load as load_config
from runstate.config.memo import json_form
from runstate.engine import machine, recovery
from runstate.engine.container import Container
from runstate.engine.hooks import Hooks, TransitionEvent
from runstate.engine.lifecycle import Lifecycle, LiveObjects
from runstate.engine.streams import Streams
from runstate.errors import ContainerNotExists, IdInUse, RuntimeStateError
from runstate.handlers import registry
from runstate.handlers.contract import (
    ROOMS,
    HandlerContext,
    Substate,
    ability,
    meets_host,
    offers,
)
from runstate.linux import processes
from runstate.persistence.store import Store, default_root
from runstate.states.state import SavedSubstate, State
from runstate.states.status import Status
from runstate.transitions.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runstate.engine.streams import Stream
    from runstate.handlers.registry import Backend
    from runstate.linux.operations import Operation
    from runstate.persistence.history import TransitionRecord
    from runstate.persistence.store import ContainerDirectory
    from runstate.transitions.steps import Step
    from runstate.transitions.table import Transition

    Source = Config | Mapping[str, Any] | str | os.PathLike[str]

# By directory and inode: all that use one container in this process share its live objects.
_live: weakref.WeakValueDictionary[tuple[str, int], LiveObjects] = weakref.WeakValueDictionary()


class Factory:
    """Makes containers below one root directory. Safe to use from many threads.

    Attributes:
        root: Where the containers' states are.
        deadline: Seconds that a transition may wait for a lock, a process, or the kernel.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        backend: str | Backend = "linux",
        *,
        deadline: float = 10.0,
    ) -> None:
        """Make a factory.

        Args:
            root: The root directory; ``/run/runstate``, or ``$XDG_RUNTIME_DIR/runstate``
                without root, where not given.
            backend: The handlers that new containers get: ``linux``, ``process``, one that a
                distribution provides, or a :class:`runstate.Backend`.
            deadline: Seconds that a transition may wait.

        Raises:
            HandlerMissing: There is no such backend.
        """
        self.root = os.path.abspath(os.fspath(root) if root is not None else default_root())
        self.deadline = deadline
        self._backend = registry.backend(backend)
        self._store = Store(self.root)
        self._hooks = Hooks()

    def __repr__(self) -> str:
        return f"<runstate.Factory {self.root!r} backend {self._backend.name!r}>"

    # --- hooks ----------------------------------------------------------------------------------

    def before(
        self, trigger: str
    ) -> Callable[[Callable[[TransitionEvent], object]], Callable[[TransitionEvent], object]]:
        """A decorator: call the function before this transition, of any container of this factory.

        It is called with a :class:`runstate.TransitionEvent`, when the guards have let the
        transition pass and nothing has happened yet. Raising vetoes: the caller gets
        TransitionVetoed. ``"*"`` stands for every transition that somebody asks for.
        """
        return self._hooks.add("before", trigger)

    def after(
        self, trigger: str
    ) -> Callable[[Callable[[TransitionEvent], object]], Callable[[TransitionEvent], object]]:
        """A decorator: call the function after this transition; see ``before``.

        The transition is committed and the lock is free. What the function raises is reported
        as AfterHookFailed, and undoes nothing.
        """
        return self._hooks.add("after", trigger)

    # --- making ---------------------------------------------------------------------------------

    def create(
        self,
        id: str,  # noqa: A002 - the field's word
        config: Source,
        *,
        bundle: str | os.PathLike[str] | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> Container:
        """Make a container and leave it `created`: all is ready, and init waits for `start`.

        Args:
            id: 1 to 1024 characters of letters, digits, ``_ + - .``; not ``.`` or ``..``.
            config: A Config, a bundle's path, or the config's JSON as a dict.
            bundle: Where relative paths of the config start from: the bundle's path, or else
                the working directory, where not given.
            stdin: The program's standard input: None inherits, PIPE, DEVNULL, a file, or a
                descriptor.
            stdout: Likewise.
            stderr: Likewise, or STDOUT.

        Raises:
            InvalidIdFormat: The id is none.
            IdInUse: There is such a container.
            ConfigInvalid: The config breaks the spec, or asks for what cannot be done here.
            OperationFailed: Something failed; all is undone.
        """
        self._store.check_id(id)
        loaded = load_config(config, rules=True)
        attempt = self._attempt(id, loaded, _bundle(config, bundle))
        with Streams(stdin, stdout, stderr) as streams:
            attempt.context.stdio = streams.child
            created: list[Container] = []
            event = TransitionEvent("create", Status.ABSENT, Status.CREATED, id, None)

            def act(attempt: Attempt, transition: Transition) -> None:
                self._hooks.run_before(event)
                created.append(self._create(attempt, transition, streams))

            machine.fire(attempt, act)
        container = created[0]
        self._hooks.run_after(
            TransitionEvent("create", Status.ABSENT, Status.CREATED, id, container)
        )
        return container

    def _attempt(self, id: str, config: Config, bundle: str) -> Attempt:  # noqa: A002
        handlers = registry.handlers(self._backend.names(config))
        context = HandlerContext(
            id=id,
            directory=self._store.path_of(id),
            bundle=bundle,
            config=config,
            expires=time.monotonic() + self.deadline,
        )
        context.meets_host = meets_host(handlers, context)
        return Attempt("create", Status.ABSENT, context, handlers)

    def _create(self, attempt: Attempt, transition: Transition, streams: Streams) -> Container:
        context, names = attempt.context, attempt.handlers.names
        raw = json_form(context.config)
        notices = _notices(attempt)
        attempt.state = State(
            id=context.id,
            status=Status.CREATED,
            config=raw,
            created=time.time(),
            bundle=context.bundle,
            init=None,
            boot_id=processes.boot_id(),
            backend=self._backend.name,
            fs=SavedSubstate(names["fs"], None),
            network=SavedSubstate(names["network"], None),
            exec=SavedSubstate(names["exec"], None),
            notices=tuple(notices),
        )
        directory = self._reserve(context.id)
        lifecycle = self._lifecycle(directory)
        try:
            lifecycle.act(
                attempt,
                transition,
                id=context.id,
                backend=self._backend.name,
                handlers=names,
                bundle=context.bundle,
                config=raw,
            )
        except BaseException:
            directory.retire()
            raise
        finally:
            directory.lock.release()
        return Container(lifecycle, context.config, streams)

    def _reserve(self, id: str) -> ContainerDirectory:  # noqa: A002
        try:
            return self._store.reserve(id)
        except IdInUse:
            # It may be the rest of a create or destroy that was cut off.
            try:
                self._open(id)
            except ContainerNotExists:
                return self._store.reserve(id)
            raise

    def run(
        self,
        id: str,  # noqa: A002
        config: Source,
        **options: Any,
    ) -> Container:
        """``create`` and ``start``; a failing start leaves nothing behind.

        The container is a context manager: leaving it destroys the container.

        Args:
            id: As for ``create``.
            config: As for ``create``.
            options: As for ``create``.
        """
        container = self.create(id, config, **options)
        try:
            container.start()
        except BaseException as error:
            try:
                container.destroy(force=True)
            except RuntimeStateError as second:
                error.add_note(f"while destroying container {id!r}: {second}")
            raise
        return container

    def plan(
        self,
        config: Source,
        *,
        id: str = "plan",  # noqa: A002
        bundle: str | os.PathLike[str] | None = None,
    ) -> tuple[list[Step], list[Operation], list[str]]:
        """What ``create`` would do, touching nothing.

        Returns:
            The steps on the host, the operations inside, and what would be left out.

        Raises:
            ConfigInvalid: ``create`` would refuse the config.
        """
        self._store.check_id(id)
        attempt = self._attempt(id, load_config(config, rules=True), _bundle(config, bundle))
        found: list[Any] = []
        machine.fire(attempt, lambda attempt, transition: found.extend(transition.plan(attempt)))
        operations: list[Operation] = []
        for room in ("fs", "network"):
            if offers(attempt.handlers, "preview", room=room):
                preview = ability(attempt.handlers, "preview", None, room=room)
                attempt.context.substates[room] = Substate(
                    None, operations=preview(attempt.context)
                )
        if offers(attempt.handlers, "preview"):
            operations += ability(attempt.handlers, "preview", None)(attempt.context)
        return found, operations, _notices(attempt)

    # --- finding --------------------------------------------------------------------------------

    def load(self, id: str) -> Container:  # noqa: A002
        """The container of this id; what an interrupted transition left is repaired.

        Raises:
            ContainerNotExists: There is none.
            StateInvalid: Its saved state cannot be read; ``destroy`` of this factory, forced,
                still removes it.
        """
        container = self._open(id)
        container.state  # noqa: B018 - settles
        return container

    def _open(self, id: str) -> Container:  # noqa: A002
        self._store.check_id(id)
        lifecycle = self._lifecycle(self._store.open(id))
        recovery.repair_if_free(lifecycle)
        return Container(lifecycle)

    def list(self) -> list[Container]:
        """All containers below the root, in order of their ids.

        Those that are destroyed meanwhile are left out; one whose state cannot be read is in
        the list, and says so when it is asked for its state.
        """
        self._store.sweep()
        containers = []
        for id_ in self._store.ids():
            try:
                containers.append(self._open(id_))
            except ContainerNotExists:
                continue
        return containers

    def destroy(self, id: str, *, force: bool = False) -> None:  # noqa: A002
        """Destroy the container of this id, also one whose saved state cannot be read.

        Raises:
            ContainerNotExists: There is none.
            ContainerNotStopped: It lives, and force was not asked for.
        """
        self._open(id).destroy(force=force)

    def history(self, id: str) -> tuple[TransitionRecord, ...]:  # noqa: A002
        """What happened to the container of this id, or, if it is gone, to its last bearer.

        Raises:
            ContainerNotExists: There is none, and none is remembered.
        """
        from runstate.persistence.history import timeline  # noqa: PLC0415 - few ask

        try:
            return self._open(id).history()
        except ContainerNotExists:
            remembered = self._store.history.find(id)
            if not remembered:
                raise
            return timeline(self._store.history.read(remembered[0]))

    def _lifecycle(self, directory: ContainerDirectory) -> Lifecycle:
        key = (directory.path, os.stat(directory.path).st_ino)
        live = _live.get(key)
        if live is None:
            live = _live.setdefault(key, LiveObjects())
        return Lifecycle(directory, self._hooks, self.deadline, live)


def _bundle(config: Source, bundle: str | os.PathLike[str] | None) -> str:
    if bundle is None:
        bundle = config if isinstance(config, (str, os.PathLike)) else os.getcwd()
    return os.path.abspath(os.fspath(bundle))


def _notices(attempt: Attempt) -> list[str]:
    notices: list[str] = []
    for room in ROOMS:
        if offers(attempt.handlers, "notices", room=room):
            notices += ability(attempt.handlers, "notices", None, room=room)(attempt.context)
    return notices
