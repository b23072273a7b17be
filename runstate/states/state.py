"""What is saved about a container, as plain values."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from runstate.states.status import Status


@frozen
class ProcessIdentity:
    """A process: never a bare pid, which another process may have by now.

    Attributes:
        pid: As the host sees it.
        start: When it started, in clock ticks since boot (proc(5), stat field 22).
    """

    pid: int
    start: int


@frozen
class ExitStatus:
    """How init ended.

    Attributes:
        code: Its exit code; None if a signal ended it, or nobody could learn it.
        signal: The signal that ended it, if one did.
        time: When that was learned, in seconds since the epoch.
    """

    code: int | None
    signal: int | None
    time: float

    @property
    def returncode(self) -> int | None:
        """As subprocess has it: the code, or the signal's negative number."""
        return -self.signal if self.signal is not None else self.code

    @property
    def shell(self) -> int | None:
        """As a shell has it: the code, or 128 and the signal's number."""
        return 128 + self.signal if self.signal is not None else self.code


@frozen
class SavedSubstate:
    """A handler's substate as it is saved.

    Attributes:
        handler: The name that the handler is registered under.
        options: The handler's own, as JSON.
    """

    handler: str
    options: Any


@frozen
class State:
    """All that is saved about a container.

    Attributes:
        id: Its id.
        status: The status it claims; the kernel decides.
        config: The OCI configuration, as JSON.
        created: When `create` began, in seconds since the epoch.
        bundle: The directory that relative paths of the config start from.
        init: The init process; None before it exists.
        boot_id: The boot that init lives in.
        backend: The backend's name.
        fs: The filesystem handler's substate.
        network: The network handler's.
        exec: The exec handler's.
        exit: How init ended, once that is known.
        notices: What had to be left out on this host.
        extra: Keys of state.json that this version does not know.
    """

    id: str
    status: Status
    config: dict[str, Any]
    created: float
    bundle: str
    init: ProcessIdentity | None
    boot_id: str
    backend: str
    fs: SavedSubstate
    network: SavedSubstate
    exec: SavedSubstate
    exit: ExitStatus | None = None
    notices: tuple[str, ...] = ()
    extra: dict[str, Any] = field(factory=dict)
