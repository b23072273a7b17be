"""Raising a state.json of an older version to the next, one function a version.

Imported only when such a file is met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.persistence.schema import wrong

if TYPE_CHECKING:
    from collections.abc import Callable

# libcontainer's order of the statuses, in which runnc saved their numbers.
_LIBCONTAINER_STATUSES = ("created", "running", "pausing", "paused", "stopped")

RUNNC = "runnc"


def from_runnc(raw: dict[str, Any], source: str) -> dict[str, Any]:
    """Version 0 to 1: what runnc wrote.

    It saved the status as a number, the start time as text, and of the config only what it
    used, flattened. Its substates are a map of text; the objects beside them lived in the
    process that is gone.
    """
    pid = raw.get("init_process_pid", 0)
    upgraded = {
        **raw,
        "version": 1,
        "init_process_pid": pid,
        "init_process_start": _start(raw, source) if pid else 0,
        "status": _status(raw, source),
        "boot_id": "",  # unknown; the start time alone must tell
        "backend": RUNNC,
        "bundle": "",
        "exit": None,
        "notices": ["made by runnc: it can be looked at; runstate has no handlers of runnc's"],
    }
    for key in ("fsstate", "netstate", "execstate"):
        upgraded[key] = {"handler": RUNNC, "options": _options(raw.get(key))}
    config = raw.get("config")
    if isinstance(config, dict) and "ociVersion" not in config:
        upgraded["config"] = _oci_config(config)
        upgraded["bundle"] = _labels(config).get("bundle", "")
    return upgraded


def _status(raw: dict[str, Any], source: str) -> str:
    status = raw.get("status")
    if type(status) is not int or not 0 <= status < len(_LIBCONTAINER_STATUSES):
        raise wrong(source, raw, "status", "a status' number, 0 to 4 (there is no 'version')")
    return _LIBCONTAINER_STATUSES[status]


def _start(raw: dict[str, Any], source: str) -> int:
    start = raw.get("init_process_start", 0)
    if type(start) is str and (not start or (start.isascii() and start.isdigit())):
        return int(start or "0")
    if type(start) is not int:
        raise wrong(source, raw, "init_process_start", "clock ticks since boot")
    return start


def _options(substate: Any) -> Any:
    if isinstance(substate, dict) and "Options" in substate:
        return substate["Options"] or {}
    return substate or {}


def _labels(config: dict[str, Any]) -> dict[str, str]:
    labels = config.get("labels")
    if not isinstance(labels, list):
        return {}
    pairs = (label.partition("=") for label in labels if isinstance(label, str))
    return {key: value for key, _, value in pairs}


def _oci_config(config: dict[str, Any]) -> dict[str, Any]:
    """The flat config as an OCI config; what has no place there is kept under ``runnc``."""
    oci: dict[str, Any] = {
        "ociVersion": config.get("version") or "1.0.0",
        "process": {
            "args": config.get("args") or [],
            "env": config.get("env") or [],
            "cwd": config.get("cwd") or "/",
            "user": {"uid": 0, "gid": 0},
        },
        "root": {"path": config.get("rootfs") or ""},
        "linux": {},
    }
    if config.get("hooks"):
        oci["hooks"] = config["hooks"]
    if config.get("mounts"):
        oci["mounts"] = config["mounts"]
    if _labels(config):
        oci["annotations"] = _labels(config)
    if config.get("netnspath"):
        oci["linux"]["namespaces"] = [{"type": "network", "path": config["netnspath"]}]
    if isinstance(config.get("memory"), int):
        # runnc counts MiB, the OCI config bytes.
        oci["linux"]["resources"] = {"memory": {"limit": config["memory"] << 20}}
    rest = config.keys() - _FLAT_KEYS
    if rest:
        oci[RUNNC] = {key: config[key] for key in sorted(rest)}
    return oci


_FLAT_KEYS = frozenset(
    ("args", "rootfs", "env", "cwd", "version", "labels", "netnspath", "hooks", "memory", "mounts")
)

MIGRATIONS: tuple[Callable[[dict[str, Any], str], dict[str, Any]], ...] = (from_runnc,)
