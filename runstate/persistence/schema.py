"""state.json: its keys, and how older ones become today's.

The keys that libcontainer had keep its names. Version 1 is the first of ours; a file without
a version was written by runnc, whose statuses were numbers. Unknown keys survive.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runstate.errors import StateInvalid
from runstate.states.state import ExitStatus, ProcessIdentity, SavedSubstate, State
from runstate.states.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
# libcontainer's order (its Status type), which runnc saved as numbers.
_NUMBERED = (Status.CREATED, Status.RUNNING, Status.PAUSING, Status.PAUSED, Status.STOPPED)
_KEYS = frozenset(
    {
        "version", "id", "init_process_pid", "init_process_start", "created", "config", "fsstate",
        "netstate", "execstate", "status", "boot_id", "backend", "bundle", "exit", "notices",
    }
)  # fmt: skip


def dump(state: State) -> dict[str, Any]:
    """A state as the JSON object of state.json."""
    init = state.init
    raw: dict[str, Any] = {
        "version": VERSION,
        "id": state.id,
        "init_process_pid": init.pid if init is not None else 0,
        "init_process_start": init.start if init is not None else 0,
        "created": datetime.fromtimestamp(state.created, UTC).isoformat().replace("+00:00", "Z"),
        "config": state.config,
        "fsstate": {"handler": state.fs.handler, "options": state.fs.options},
        "netstate": {"handler": state.network.handler, "options": state.network.options},
        "execstate": {"handler": state.exec.handler, "options": state.exec.options},
        "status": state.status.value,
        "boot_id": state.boot_id,
        "backend": state.backend,
        "bundle": state.bundle,
    }
    if state.exit is not None:
        ended = state.exit
        raw["exit"] = {"code": ended.code, "signal": ended.signal, "time": ended.time}
    if state.notices:
        raw["notices"] = list(state.notices)
    raw.update(state.extra)
    return raw


def load(raw: Any, path: str) -> State:
    """A state from the JSON of state.json.

    Raises:
        StateInvalid: It is not one, or is newer than this version; the key is named.
    """
    if not isinstance(raw, dict):
        raise StateInvalid(f"read {path}: expected a JSON object, found {_short(raw)}")
    raw = migrate(raw, path)
    get = _Getter(raw, path)
    pid, start = get("init_process_pid", int), get("init_process_start", int)
    return State(
        id=get("id", str),
        status=_status(get("status", str), path),
        config=get("config", dict),
        created=_created(get("created", str), path),
        bundle=get("bundle", str),
        init=ProcessIdentity(pid, start) if pid > 0 else None,
        boot_id=get("boot_id", str),
        backend=get("backend", str),
        fs=_substate(get("fsstate", dict), "fsstate", path),
        network=_substate(get("netstate", dict), "netstate", path),
        exec=_substate(get("execstate", dict), "execstate", path),
        exit=_exit(raw.get("exit"), path),
        notices=tuple(raw.get("notices", ())),
        extra={key: value for key, value in raw.items() if key not in _KEYS},
    )


class _Getter:
    def __init__(self, raw: dict[str, Any], path: str) -> None:
        self._raw = raw
        self._path = path

    def __call__(self, key: str, kind: type) -> Any:
        value = self._raw.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            found = _short(value) if key in self._raw else "nothing"
            raise StateInvalid(
                f"read {self._path}: {key}: expected {kind.__name__}, found {found}"
            )
        return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004


def _status(text: str, path: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        known = ", ".join(status.value for status in _NUMBERED)
        raise StateInvalid(f"read {path}: status: {text!r} is none of {known}") from None


def _created(text: str, path: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise StateInvalid(f"read {path}: created: {text!r} is no RFC 3339 time") from None


def _substate(raw: dict[str, Any], key: str, path: str) -> SavedSubstate:
    handler = raw.get("handler")
    if not isinstance(handler, str):
        raise StateInvalid(f"read {path}: {key}.handler: expected str, found {_short(handler)}")
    return SavedSubstate(handler, raw.get("options"))


def _exit(raw: Any, path: str) -> ExitStatus | None:
    if raw is None:
        return None
    try:
        return ExitStatus(raw["code"], raw["signal"], raw["time"])
    except (KeyError, TypeError):
        raise StateInvalid(f"read {path}: exit: {_short(raw)} is no exit status") from None


# --- migrations ---------------------------------------------------------------------------------


def migrate(raw: dict[str, Any], path: str) -> dict[str, Any]:
    """Bring older JSON to today's version, one version at a time.

    Raises:
        StateInvalid: It is of a version that this code does not know.
    """
    version = raw.get("version", 0)
    if not isinstance(version, int) or version > VERSION or version < 0:
        raise StateInvalid(
            f"read {path}: it has version {_short(version)}, and this runstate knows versions up"
            f" to {VERSION}; upgrade runstate"
        )
    while version < VERSION:
        raw = _MIGRATIONS[version](raw, path)
        version += 1
    return raw


def _from_runnc(raw: dict[str, Any], path: str) -> dict[str, Any]:
    """Numbered statuses, start times as text, substates of runnc's own."""
    number = raw.get("status")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(_NUMBERED):
        raise StateInvalid(f"read {path}: status: {_short(number)} is no status of runnc's")
    start = raw.get("init_process_start", 0)
    if isinstance(start, str):
        start = int(start) if start.isdigit() else 0
    config = raw.get("config")
    return raw | {
        "version": 1,
        "status": _NUMBERED[number].value,
        "init_process_pid": raw.get("init_process_pid") or 0,
        "init_process_start": start or 0,
        "config": config if isinstance(config, dict) else {},
        "boot_id": raw.get("boot_id", ""),
        "backend": raw.get("backend", "runnc"),
        "bundle": raw.get("bundle", ""),
        **{
            key: {"handler": "runnc", "options": raw.get(key)}
            for key in ("fsstate", "netstate", "execstate")
        },
    }


_MIGRATIONS: tuple[Callable[[dict[str, Any], str], dict[str, Any]], ...] = (_from_runnc,)
