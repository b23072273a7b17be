"""A tmpfs that takes after the directory it covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.linux.operations.base import Operation
from runstate.linux.operations.mounts import mount_words

if TYPE_CHECKING:
    from collections.abc import Callable


def mount_tmpfs(
    source: str,
    target: str,
    flags: int,
    data: str,
    propagation: tuple[int, ...] = (),
    *,
    copy_up: bool = False,
) -> Operation:
    """A tmpfs with the mode, and perhaps the contents, of what it covers."""
    return Operation("mount_tmpfs", (source, target, flags, data, propagation, copy_up))


def _words(
    source: str, target: str, flags: int, data: str, propagation: tuple[int, ...], copy_up: bool
) -> str:
    words = mount_words(source, target, "tmpfs", flags, data, propagation)
    return words + f", with {'a copy' if copy_up else 'the mode'} of what it covers"


WORDS: dict[str, Callable[..., str]] = {"mount_tmpfs": _words}
