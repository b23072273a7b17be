"""What is saved about a container, as frozen values.

A change is a new value (``attrs.evolve``), so a State in hand stays what it was when it was
loaded. The dicts inside are shared, not copied: take them as read-only too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from runstate.states.status import Status


@frozen
class ProcessIdentity:
    """Which process: a pid alone may be another one tomorrow.

    Attributes:
        pid: The process id, as the host sees it.
        start: When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    """

    pid: int
    start: int


@frozen
class ExitStatus:
    """How a container's init ended.

    Attributes:
        code: The exit code, 0 to 255; None after a signal, or where nobody could learn it.
        signal: The number of the signal that ended it, or None.
        time: When that was noticed, in seconds since 1970 UTC.
        extra: Keys of the saved form that this version does not know.
    """

    code: int | None
    signal: int | None
    time: float
    extra: dict[str, Any] = field(factory=dict, eq=False, repr=False)

    @property
    def returncode(self) -> int | None:
        """As subprocess has it: the code, or minus the signal, or None where unknown."""
        return -self.signal if self.signal is not None else self.code

    @property
    def shell(self) -> int | None:
        """As a shell has it in ``$?``: the code, or 128 plus the signal, or None where unknown."""
        return 128 + self.signal if self.signal is not None else self.code


@frozen
class SavedSubstate:
    """What one handler must remember between calls.

    Attributes:
        handler: The name the handler is registered under.
        options: JSON that belongs to the handler alone.
        extra: Keys of the saved form that this version does not know.
    """

    handler: str
    options: Any
    extra: dict[str, Any] = field(factory=dict, eq=False, repr=False)


@frozen
class State:
    """A container's identity, status, configuration and substates.

    Attributes:
        id: The container's id.
        status: Its status as last saved: a claim, which the kernel may contradict.
        config: The OCI configuration as JSON.
        created: When it was created, in seconds since 1970 UTC.
        bundle: The bundle's directory, absolute.
        init: The init process, or None where there is none.
        boot_id: The boot in which ``init`` was started; in another boot that process is gone.
        backend: The name of the backend that chose the handlers.
        fs: The filesystem handler's substate.
        network: The network handler's substate.
        exec: The exec handler's substate.
        exit: How init ended, once it has.
        notices: What had to be left out on this host, one sentence each.
        extra: Keys of the saved form that this version does not know; saved again as they are.
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

    @property
    def annotations(self) -> dict[str, str]:
        """The configuration's annotations (config.md, Annotations)."""
        return dict(self.config.get("annotations") or {})
