"""Signals that ask for an end while a hook is waited for, which may take for ever.

A command only notes signals, so that it is not cut off at any instruction. To wait for a hook
is the one thing that it has to be got out of; this is where the two meet.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_waiting = 0
_asked = False


@contextmanager
def interruptible() -> Iterator[None]:
    """The main thread, which gets the signals, waits for a hook.

    Raises:
        KeyboardInterrupt: A signal asks for an end, or has done so before.
    """
    global _waiting, _asked  # noqa: PLW0603 - signals come to the whole process
    mine = threading.current_thread() is threading.main_thread()
    _waiting += mine
    try:
        if mine and _asked:
            _asked = False
            raise KeyboardInterrupt
        yield
    finally:
        _waiting -= mine


def ask() -> bool:
    """A signal asks for an end; True if its handler has to raise, because a hook is waited for."""
    global _asked  # noqa: PLW0603
    _asked = not _waiting
    return bool(_waiting)


def forget() -> None:
    """Those who had to hear of the signals have heard of them."""
    global _asked  # noqa: PLW0603
    _asked = False
