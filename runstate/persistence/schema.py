"""A container's State as JSON, and the versions of that JSON.

The keys are libcontainer's (``id``, ``init_process_pid``, ``init_process_start``, ``created``,
``config``, ``fsstate``, ``netstate``, ``execstate``, ``status``) and beside them ours
(``version``, ``boot_id``, ``backend``, ``bundle``, ``exit``, ``notices``). The mapping is
written out by hand: state.json is read and written in each transition, and a generated
converter would cost a command more to import than all its reading.

Versions: 1 is ours. 0 is what runnc wrote, which had no ``version``; `migrations` raises it.
A key that this version does not know is kept, and written again. In ``created`` the seconds
have nine decimals, which a double needs to come back as the same double.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from runstate.errors import StateInvalid
from runstate.states.state import ExitStatus, ProcessIdentity, SavedSubstate, State
from runstate.states.status import Status

VERSION = 1

# Made once: json.dumps with any option but the default builds an encoder on each call.
# ASCII only, since argv may hold lone surrogates (bytes that were not UTF-8), and UTF-8 cannot.
encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode

_KINDS: tuple[tuple[str, type, str], ...] = (
    ("id", str, "text"),
    ("init_process_pid", int, "an integer"),
    ("init_process_start", int, "an integer"),
    ("created", str, "an RFC 3339 time"),
    ("config", dict, "an object"),
    ("fsstate", dict, "an object"),
    ("netstate", dict, "an object"),
    ("execstate", dict, "an object"),
    ("status", str, "a status"),
    ("boot_id", str, "text"),
    ("backend", str, "text"),
    ("bundle", str, "text"),
)
_KNOWN = frozenset([key for key, _, _ in _KINDS] + ["version", "exit", "notices"])
_STATUSES = {status.value: status for status in Status if status is not Status.ABSENT}
_EXIT_KEYS = frozenset(("code", "signal", "time"))
_SUBSTATE_KEYS = frozenset(("handler", "options"))


# The texts of configs that were saved lately, with the config itself, which keeps its id() from
# being another's: in a container's life the config is most of each state, and always the same.
_config_texts: dict[int, tuple[dict[str, Any], str]] = {}
_CONFIG_TEXTS = 64


def config_text(config: dict[str, Any]) -> str:
    """A config's JSON; the same object is encoded once. It must not change any more."""
    known = _config_texts.get(id(config))
    if known is not None:
        return known[1]
    text = encode_json(config)
    if len(_config_texts) >= _CONFIG_TEXTS:
        _config_texts.clear()
    _config_texts[id(config)] = (config, text)
    return text


def encode(state: State) -> bytes:
    """The text of state.json, with a newline at its end.

    Raises:
        StateInvalid: A handler's options, or the config, hold what JSON has not.
    """
    try:
        raw = dump(state)
        config = config_text(raw.pop("config"))
        return f'{encode_json(raw)[:-1]},"config":{config}}}\n'.encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise StateInvalid(
            f"the state of container {state.id!r} cannot be saved as JSON: {error}"
        ) from error


def decode(text: bytes, source: str) -> State:
    """The State in the text of a state.json; ``source`` is the file's path, for errors.

    Raises:
        StateInvalid: The text is not JSON, or not a state; it names key, value and file.
    """
    return load(parse(text, source), source)


def parse(text: bytes, source: str) -> Any:
    """JSON, or an error that names the file."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"{source}: not JSON ({error})" if text else f"{source}: the file is empty"
        raise StateInvalid(where) from error


def dump(state: State) -> dict[str, Any]:
    """A State as a JSON object."""
    init = state.init
    raw = {
        "version": VERSION,
        "id": state.id,
        "init_process_pid": 0 if init is None else init.pid,
        "init_process_start": 0 if init is None else init.start,
        "created": format_time(state.created),
        "config": state.config,
        "fsstate": _dump_substate(state.fs),
        "netstate": _dump_substate(state.network),
        "execstate": _dump_substate(state.exec),
        "status": state.status.value,
        "boot_id": state.boot_id,
        "backend": state.backend,
        "bundle": state.bundle,
        "exit": None if state.exit is None else _dump_exit(state.exit),
        "notices": list(state.notices),
    }
    return {**state.extra, **raw} if state.extra else raw


def load(raw: Any, source: str) -> State:
    """A State from a JSON object of any version up to ours.

    Raises:
        StateInvalid: It names key, value and file, or the version that is too new.
    """
    if type(raw) is not dict:
        raise StateInvalid(f"{source}: {_shown(raw)} is not an object")
    if raw.get("version") != VERSION or type(raw["version"]) is not int:
        raw = migrate(raw, source)
    for key, kind, words in _KINDS:
        if type(raw.get(key)) is not kind:
            raise wrong(source, raw, key, words)
    pid = raw["init_process_pid"]
    if pid < 0 or raw["init_process_start"] < 0:
        # Not only wrong but dangerous: kill(2) takes a negative pid for a group, -1 for all.
        raise wrong(source, raw, "init_process_pid" if pid < 0 else "init_process_start", "from 0")
    status = _STATUSES.get(raw["status"])
    if status is None:
        raise wrong(source, raw, "status", "one of " + ", ".join(_STATUSES))
    created = parse_time(raw["created"])
    if created is None:
        raise wrong(source, raw, "created", "an RFC 3339 time")
    extra = {key: raw[key] for key in raw.keys() - _KNOWN} if raw.keys() - _KNOWN else {}
    return State(
        raw["id"],
        status,
        raw["config"],
        created,
        raw["bundle"],
        ProcessIdentity(pid, raw["init_process_start"]) if pid else None,
        raw["boot_id"],
        raw["backend"],
        _load_substate(raw, "fsstate", source),
        _load_substate(raw, "netstate", source),
        _load_substate(raw, "execstate", source),
        _load_exit(raw, source),
        _load_notices(raw, source),
        extra,
    )


def migrate(raw: dict[str, Any], source: str = "state") -> dict[str, Any]:
    """Upgrade a JSON object step by step to our version; one of ours comes back as it is.

    Raises:
        StateInvalid: The version is newer than ours, or not a version.
    """
    from runstate.persistence.migrations import MIGRATIONS  # noqa: PLC0415 - seldom needed

    version = raw.get("version", 0)
    if type(version) is not int or version < 0:
        raise wrong(source, raw, "version", "an integer from 0")
    if version > VERSION:
        raise StateInvalid(
            f"{source}: written in version {version} of the format, by a newer runstate; "
            f"this one reads up to version {VERSION}: upgrade runstate"
        )
    for step in MIGRATIONS[version:]:
        raw = step(raw, source)
    return raw


def wrong(source: str, raw: dict[str, Any], key: str, expected: str) -> StateInvalid:
    """The error for a value that is not what it must be, or that is missing."""
    if key not in raw:
        return StateInvalid(f"{source}: the key {key!r} is missing; expected {expected}")
    return StateInvalid(f"{source}: {key} is {_shown(raw[key])}; expected {expected}")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _dump_substate(substate: SavedSubstate) -> dict[str, Any]:
    raw = {"handler": substate.handler, "options": substate.options}
    return {**substate.extra, **raw} if substate.extra else raw


def _load_substate(raw: dict[str, Any], key: str, source: str) -> SavedSubstate:
    value = raw[key]
    handler = value.get("handler")
    if type(handler) is not str:
        raise wrong(f"{source}: {key}", value, "handler", "a handler's name")
    if "options" not in value:
        raise wrong(f"{source}: {key}", value, "options", "the handler's options")
    if len(value) == len(_SUBSTATE_KEYS):
        return SavedSubstate(handler, value["options"])
    extra = {name: value[name] for name in value.keys() - _SUBSTATE_KEYS}
    return SavedSubstate(handler, value["options"], extra)


def _dump_exit(status: ExitStatus) -> dict[str, Any]:
    raw = {"code": status.code, "signal": status.signal, "time": status.time}
    return {**status.extra, **raw} if status.extra else raw


def _load_exit(raw: dict[str, Any], source: str) -> ExitStatus | None:
    value = raw.get("exit")
    if value is None:
        return None
    if type(value) is not dict:
        raise wrong(source, raw, "exit", "an object or null")
    code, signal, when = value.get("code"), value.get("signal"), value.get("time")
    for key, number in (("code", code), ("signal", signal)):
        if number is not None and (type(number) is not int or number < 0):
            raise wrong(f"{source}: exit", value, key, "an integer from 0, or null")
    if type(when) is not float and type(when) is not int:
        raise wrong(f"{source}: exit", value, "time", "seconds since 1970")
    extra = {name: value[name] for name in value.keys() - _EXIT_KEYS}
    return ExitStatus(code, signal, when, extra)


def _load_notices(raw: dict[str, Any], source: str) -> tuple[str, ...]:
    value = raw.get("notices")
    if not value and (value is None or type(value) is list):
        return ()
    if type(value) is not list or not all(type(notice) is str for notice in value):
        raise wrong(source, raw, "notices", "a list of sentences")
    return tuple(value)


# --- times ------------------------------------------------------------------------------

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def format_time(seconds: float) -> str:
    """Seconds since 1970 UTC as RFC 3339 text with nine decimals."""
    whole = int(seconds // 1)
    nanoseconds = round((seconds - whole) * 1e9)
    if nanoseconds == 1_000_000_000:
        whole, nanoseconds = whole + 1, 0
    t = time.gmtime(whole)
    return f"{t[0]:04}-{t[1]:02}-{t[2]:02}T{t[3]:02}:{t[4]:02}:{t[5]:02}.{nanoseconds:09}Z"


def parse_time(text: str) -> float | None:
    """RFC 3339 text as seconds since 1970 UTC; None if it is no such text."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    # Days since 1970 in the Gregorian calendar, with the year beginning in March, so that
    # the leap day comes last (datetime would cost its import and knows only microseconds).
    y, m = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 719469
    whole = days * 86400 + hour * 3600 + minute * 60 + second
    if time.gmtime(whole)[:6] != (year, month, day, hour, minute, second):
        return None  # a 30th of February, a 25th hour
    if match[8]:
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        whole += offset if match[8] == "-" else -offset
    return whole + int(match[7][:9].ljust(9, "0")) / 1e9 if match[7] else float(whole)
