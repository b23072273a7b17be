"""Waiting for the engine, for the record, and to be started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable


def await_engine(what: str) -> Operation:
    """Wait for the engine's word that ``what`` is done."""
    return Operation("await_engine", (what,))


def meet_host() -> Operation:
    """Let the host do its part, now that all namespaces and mounts are made."""
    return Operation("meet_host")


def on_record(*, keep_channel: bool = False) -> Operation:
    """Report readiness, and wait until the engine has put the process on record."""
    return Operation("on_record", (keep_channel,))


def open_proc(index: int = -1) -> Operation:
    """Keep the host's /proc/self/fd; ``index``: of a descriptor of the host's /proc."""
    return Operation("open_proc", (index,))


def wait_in_fifo(index: int) -> Operation:
    """Wait for `start`."""
    return Operation("wait_in_fifo", (index,))


WORDS: dict[str, Callable[..., str]] = {
    "await_engine": lambda what: f"wait until {what}",
    "meet_host": lambda: "wait until the host has done its part in the namespaces",
    "on_record": lambda _keep: "report ready, and wait to be put on record",
    "open_proc": lambda _index: "keep a way to the host's /proc",
    "wait_in_fifo": lambda _index: "wait in the exec fifo to be started",
}
