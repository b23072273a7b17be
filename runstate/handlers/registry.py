"""Finding handlers and backends by name.

Ours are found by the table below, without the cost of reading every installed distribution's
metadata; others by the entry points ``runstate.handlers.fs``, ``.network`` and ``.exec``
(values: a class or function without arguments that makes the handler) and
``runstate.backends`` (value: a :class:`Backend`). ``register`` and ``register_backend`` add
to this process only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.errors import HandlerMissing
from runstate.handlers.contract import ROOMS, Handler, Handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runstate.config import Config


@frozen
class Backend:
    """A named choice of three handlers.

    Attributes:
        name: What state.json and error messages call it.
        fs: The filesystem handler's name.
        network: The network handler's name.
        exec: The exec handler's name.
        fs_host: The filesystem handler for a ``root.path`` of ``/``, the host's own root.
    """

    name: str
    fs: str
    network: str
    exec: str
    fs_host: str | None = None

    def names(self, config: Config) -> dict[str, str]:
        """The three handlers' names for this config, by room."""
        of_host = self.fs_host and config.root is not None and config.root.path == "/"
        filesystem = self.fs_host if of_host and self.fs_host else self.fs
        return {"fs": filesystem, "network": self.network, "exec": self.exec}


_BUILTIN: dict[tuple[str, str], str] = {
    ("fs", "bundle"): "runstate.handlers.fs.bundle:BundleFilesystem",
    ("fs", "host"): "runstate.handlers.fs.host:HostFilesystem",
    ("fs", "none"): "runstate.handlers.fs.none:NoFilesystem",
    ("network", "interfaces"): "runstate.handlers.network.interfaces:NetworkInterfaces",
    # What it was called when loopback was all that it could do; saved states say so.
    ("network", "loopback"): "runstate.handlers.network.interfaces:NetworkInterfaces",
    ("network", "none"): "runstate.handlers.network.none:NoNetwork",
    ("exec", "linux"): "runstate.handlers.exec.linux:LinuxExec",
    ("exec", "process"): "runstate.handlers.exec.process:ProcessExec",
}
_BACKENDS: dict[str, Backend] = {
    "linux": Backend("linux", "bundle", "interfaces", "linux", fs_host="host"),
    "process": Backend("process", "none", "none", "process"),
}
_registered: dict[tuple[str, str], Callable[[], Handler]] = {}
_made: dict[tuple[str, str], Handler] = {}


def register(room: str, name: str, make: Callable[[], Handler]) -> None:
    """Add a handler for this process; it goes before one that is installed.

    Args:
        room: ``fs``, ``network`` or ``exec``.
        name: What backends and state.json call it.
        make: A class or function that makes the handler.
    """
    if room not in ROOMS:
        raise HandlerMissing(f"register handler {name!r}: no room {room!r}; use one of {ROOMS}")
    _registered[room, name] = make
    _made.pop((room, name), None)


def register_backend(backend: Backend) -> None:
    """Add a backend for this process."""
    _BACKENDS[backend.name] = backend


def backend(name: str | Backend) -> Backend:
    """The backend of this name.

    Raises:
        HandlerMissing: None is installed.
    """
    if isinstance(name, Backend):
        return name
    if name in _BACKENDS:
        return _BACKENDS[name]
    found = _entry_point("runstate.backends", name)
    if not isinstance(found, Backend):
        raise HandlerMissing(
            f"find backend {name!r}: there is none; runstate has {', '.join(sorted(_BACKENDS))},"
            " and installed distributions add to them by the entry point group runstate.backends"
        )
    return found


def handler(room: str, name: str) -> Handler:
    """The handler of this name, one instance for the whole process.

    Raises:
        HandlerMissing: None is installed, or its code cannot be imported.
    """
    key = (room, name)
    if key not in _made:
        _made[key] = _find(room, name)()
    return _made[key]


def handlers(names: Mapping[str, str]) -> Handlers:
    """The three handlers of these names."""
    return Handlers(
        handler("fs", names["fs"]),
        handler("network", names["network"]),
        handler("exec", names["exec"]),
        dict(names),
    )


def _find(room: str, name: str) -> Callable[[], Handler]:
    if (room, name) in _registered:
        return _registered[room, name]
    if (room, name) in _BUILTIN:
        module, _, attribute = _BUILTIN[room, name].partition(":")
        make: Callable[[], Handler] = getattr(import_module(module), attribute)
        return make
    group = f"runstate.handlers.{room}"
    found = _entry_point(group, name)
    if found is None:
        known = sorted({n for r, n in (*_BUILTIN, *_registered) if r == room})
        raise HandlerMissing(
            f"find {room} handler {name!r}: no installed distribution has the entry point"
            f" {name!r} in group {group!r}; install the one that does (here: {', '.join(known)})"
        )
    result: Callable[[], Handler] = found
    return result


def _entry_point(group: str, name: str) -> Any:
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs more than a container

    for entry in entry_points(group=group, name=name):
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            distribution = entry.dist.name if entry.dist else "an unknown distribution"
            raise HandlerMissing(
                f"load {entry.value!r} of {distribution} for {group} {name!r}: {error}"
            ) from error
    return None
