"""The rules of OCI hooks (config.md, POSIX-platform Hooks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runstate.config.rules import absolute, environment, expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.hooks import Hooks


def check_hooks(hooks: Hooks) -> Iterator[str]:
    """All that is wrong with the hooks."""
    for name, point in (
        ("prestart", hooks.prestart),
        ("createRuntime", hooks.create_runtime),
        ("createContainer", hooks.create_container),
        ("startContainer", hooks.start_container),
        ("poststart", hooks.poststart),
        ("poststop", hooks.poststop),
    ):
        for index, hook in enumerate(point):
            path = ("hooks", name, index)
            yield from absolute((*path, "path"), hook.path)
            yield from environment((*path, "env"), hook.env)
            if hook.timeout is not None and hook.timeout < 1:
                yield expect((*path, "timeout"), hook.timeout, "at least 1 second")
