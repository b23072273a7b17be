"""For each status, what must be true on the host while it holds; and what settles a false claim.

A saved status is a claim; the kernel decides. ``reconcile`` is pure: it compares the claim
with what was seen on the host, and names the trigger that settles the difference.
"""

from __future__ import annotations

from attrs import frozen

from runstate.states.status import Status


@frozen
class HostView:
    """What the host says about a container.

    Attributes:
        init_alive: The process with init's pid and start time lives, and this is its boot.
        waiting: Init still waits in the exec fifo.
        frozen: Its processes are frozen.
    """

    init_alive: bool
    waiting: bool
    frozen: bool


def reconcile(status: Status, view: HostView) -> str | None:
    """The trigger that brings a claim one step nearer to the truth; None if it holds."""
    if not status.alive:
        return None
    if not view.init_alive:
        return "exited"
    if status is Status.CREATED:
        return None if view.waiting else "started"
    if status is Status.RUNNING:
        return "pause" if view.frozen else None
    if status is Status.PAUSING:
        return "freeze" if view.frozen else "resume"
    return None if view.frozen else "resume"
