"""What is worked out once for a configuration.

A configuration is a value: the same object gives the same answer each time, and who starts
many containers starts many from one configuration.
"""

from __future__ import annotations

import weakref
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from runstate.config.spec import Config

_T = TypeVar("_T")


def remembered(function: Callable[[Config], _T]) -> Callable[[Config], _T]:
    """A function of a configuration that is called once for each, as long as that lives."""
    # By identity: a configuration has no hash, and to compare two costs as much as the answer.
    found: dict[int, tuple[weakref.ref[Config], _T]] = {}

    @wraps(function)
    def remembering(config: Config) -> _T:
        key = id(config)
        hit = found.get(key)
        if hit is not None and hit[0]() is config:
            return hit[1]
        answer = function(config)
        found[key] = (weakref.ref(config, lambda _gone: found.pop(key, None)), answer)
        return answer

    return remembering


@remembered
def json_form(config: Config) -> dict[str, object]:
    """The configuration's JSON form; shared, so not to be changed."""
    return config.to_dict()
