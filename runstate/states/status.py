"""The five statuses of a container, and the word for none at all."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a container is in its life.

    ``ABSENT`` is never saved: it is where `create` starts and `destroy` ends. The others are
    the OCI runtime spec's (runtime.md, State) and libcontainer's.
    """

    ABSENT = "absent"
    CREATED = "created"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPED = "stopped"

    @property
    def alive(self) -> bool:
        """Whether a container with this status has an init process."""
        return self not in (Status.ABSENT, Status.STOPPED)
