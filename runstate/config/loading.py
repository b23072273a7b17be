"""Configurations from wherever they come: bundles, JSON text, dicts, Python."""

from __future__ import annotations

import json
import os
from errno import EISDIR
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, NoReturn

from runstate.config.problems import refusal
from runstate.config.spec import Config
from runstate.config.structuring import is_checked, set_checked, structure
from runstate.errors import ConfigInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runstate.config.process import Process

SIZE_LIMIT = 16 * 1024 * 1024
"""How many bytes a config.json may have: one of more is no configuration."""


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number that JSON has")


class _Twice(Exception):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant).decode


def parse(text: str | bytes, subject: str = "the JSON text") -> Any:
    """What a JSON text holds.

    A key that an object has twice is refused: readers differ in which of the values they take
    (RFC 8259, 4), so one of them would see what another has not.

    Raises:
        ConfigInvalid: It is not UTF-8, or not JSON; with line and column.
    """
    try:
        if not isinstance(text, str):
            text = text.decode()
        return _decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg
        if error.doc.startswith("\ufeff"):
            reason = "a byte order mark stands before it, which UTF-8 needs not"
        problem = f"$: not JSON: {reason} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError as error:
        problem = f"$: not UTF-8: {error.reason} at byte {error.start}"
    except RecursionError:
        problem = "$: nested too deeply"
    except _Twice:
        from runstate.config.duplicates import find_duplicates  # noqa: PLC0415 - an error

        raise refusal(find_duplicates(str(text)), subject) from None
    except ValueError as error:  # NaN and its like; an integer of thousands of digits
        reason = "an integer of thousands of digits" if "digits" in str(error) else str(error)
        problem = f"$: not JSON: {reason}"
    raise refusal([problem], subject)


def load(
    source: Config | Mapping[str, Any] | str | os.PathLike[str], *, rules: bool = False
) -> Config:
    """A configuration from whatever describes one.

    Args:
        source: A configuration, whose types are checked once unless it was loaded; its JSON
            form; or the path of a bundle, a directory with a ``config.json``.
        rules: Whether an error shall also tell which rules are broken, as whoever wants to
            make a container would be told next.

    Raises:
        ConfigInvalid: There is no such bundle, its file cannot be read, is not JSON, or not a
            configuration. Whether a configuration makes sense is for
            :func:`runstate.config.validation.validate` to say.
    """
    if isinstance(source, Config):
        return source if is_checked(source) else _check(source, rules=rules)
    if isinstance(source, (str, os.PathLike)):
        return _load_bundle(source, rules=rules)
    return structure(Config, source, rules=rules)


def _check(config: Config, *, rules: bool) -> Config:
    try:
        data = config.to_dict()
    except RecursionError:
        raise refusal(["$: nested too deeply"]) from None
    checked = structure(Config, data, rules=rules)
    if checked != config:
        return checked
    set_checked(config)
    return config


def load_process(
    source: Process | Mapping[str, Any] | str | os.PathLike[str], *, rules: bool = False
) -> Process:
    """A process, as `exec` takes one, from whatever describes it.

    Args:
        source: A process, whose types are checked; its JSON form; or the path of a file with
            that.
        rules: Whether an error shall also tell which rules are broken.

    Raises:
        ConfigInvalid: As :func:`load` does.
    """
    from runstate.config.process import Process  # noqa: PLC0415 - few ask

    if isinstance(source, Process):
        return structure(Process, source.to_dict(), rules=rules)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        subject = f"the process file {path!r}"
        return structure(Process, _read_json(path, subject), subject, rules=rules)
    return structure(Process, source, rules=rules)


def _load_bundle(source: str | os.PathLike[str], *, rules: bool) -> Config:
    bundle = os.fspath(source)
    subject = f"config.json of bundle {bundle!r}"
    data = _read_json(os.path.join(bundle, "config.json"), subject, bundle)
    return structure(Config, data, subject, rules=rules)


def _read_json(path: str, subject: str, bundle: str | None = None) -> Any:
    try:
        text = _read_regular(path)
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {_unreadable(bundle, error)}"
        raise ConfigInvalid(f"{subject} {problem}", [f"$: {problem}"]) from error
    return parse(text, subject)


def _read_regular(path: str) -> bytes:
    if "\0" in path:
        raise ValueError("its path has a NUL byte")
    # To open what is no file may do more than read: a fifo blocks, a watchdog starts to count.
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        mode = os.fstat(place).st_mode
        if S_ISDIR(mode):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        if not S_ISREG(mode):
            raise ValueError("it is not a regular file")
        with open(f"/proc/self/fd/{place}", "rb", buffering=0) as file:
            text = file.read(SIZE_LIMIT + 1)
    finally:
        os.close(place)
    if text is None or len(text) > SIZE_LIMIT:
        raise ValueError(f"it has more than {SIZE_LIMIT} bytes")
    return text


def _unreadable(bundle: str | None, error: OSError | ValueError) -> str:
    """Why a file could not be read and, where it is a bundle's, what to do about it."""
    if not isinstance(error, OSError):
        return str(error)
    if bundle is not None and isinstance(error, FileNotFoundError):
        if os.path.isdir(bundle):
            return "there is no such file in the directory; `runstate spec` writes one"
        return "there is no such directory"
    if bundle is not None and isinstance(error, NotADirectoryError):
        return "this is a file; a bundle is the directory with config.json in it"
    return error.strerror or str(error)
