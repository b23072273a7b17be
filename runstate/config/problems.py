"""How a problem in a configuration is worded: where it is, what stands there, what may.

Every problem is one line that starts with a JSON path (RFC 9535's normalized form, with the
shorter ``.name`` where a name allows it) in the configuration as JSON: ``$.process.args[1]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.errors import ConfigInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MISSING = "required, but missing"

_TEXT_LIMIT = 60
_INTEGER_LIMIT = 80  # bits; past that the digits tell a reader nothing


def json_path(parts: Iterable[str | int]) -> str:
    """The JSON path of a value: names of properties and indexes of arrays, from the root on."""
    return "$" + "".join(map(_path_segment, parts))


def _path_segment(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if part.isascii() and part.isidentifier():
        return f".{part}"
    return f"[{_quote(part)}]"


def _quote(text: str) -> str:
    import json  # noqa: PLC0415 - only a message needs it

    quoted = json.dumps(text[:_TEXT_LIMIT])  # ASCII alone: what is in it can harm no terminal
    return quoted if len(text) <= _TEXT_LIMIT else f'{quoted[:-1]}…"'


def abbreviate(value: Any) -> str:
    """A value in few words, in JSON's terms, safe to print whatever it holds."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int):
        bits = value.bit_length()
        return int.__repr__(value) if bits <= _INTEGER_LIMIT else f"an integer of {bits} bits"
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, (dict, list, tuple)):
        kind = "object" if isinstance(value, dict) else "array"
        return f"an {kind} of {len(value)}" if value else f"an empty {kind}"
    return f"a Python object of type {type(value).__name__}"


def unexpected(value: Any, expected: str) -> str:
    """What is wrong with a value that is there: ``expected a string, got 5``."""
    return f"expected {expected}, got {abbreviate(value)}"


def refusal(problems: Sequence[str], subject: str = "the configuration") -> ConfigInvalid:
    """The one error for all ``problems``: its message names the first, and how many more.

    Args:
        problems: At least one, as :func:`runstate.config.validation.validate` gives them.
        subject: Whose problems they are, to start the message with.
    """
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ConfigInvalid(f"{subject} is invalid: {problems[0]}{more}", problems)
