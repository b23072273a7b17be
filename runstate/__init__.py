"""runstate: containers as explicit state machines.

A container here is a finite-state machine: created, running, pausing, paused, stopped. Each
change of state is a guarded transition that calls filesystem, network and exec handlers, and
is journalled, so that it can be undone, repaired after a crash, and looked at afterwards.

>>> import runstate
>>> factory = runstate.Factory()                                          # doctest: +SKIP
>>> with factory.run("job", runstate.Config.default(["sleep", "60"])) as job:  # doctest: +SKIP
...     print(job.exec(["id", "-u"], capture_output=True, text=True).stdout)
"""

from __future__ import annotations

TYPE_CHECKING = False  # the zygote imports this package too, and typing would cost it a megabyte
if TYPE_CHECKING:
    from runstate.config import Config
    from runstate.engine.container import Container
    from runstate.engine.factory import Factory
    from runstate.engine.hooks import TransitionEvent
    from runstate.engine.process import Process
    from runstate.engine.streams import DEVNULL, PIPE, STDOUT
    from runstate.errors import RuntimeStateError
    from runstate.handlers.registry import Backend
    from runstate.linux.cgroups.notification import MemoryEvents, MemoryPressureEvent, OomEvent
    from runstate.states.state import State
    from runstate.states.status import Status

__version__ = "0.1.0"

# The zygote imports this package too, and needs none of these: they are loaded on first use.
_PUBLIC = {
    "Backend": "runstate.handlers.registry",
    "Config": "runstate.config",
    "Container": "runstate.engine.container",
    "DEVNULL": "runstate.engine.streams",
    "Factory": "runstate.engine.factory",
    "MemoryEvents": "runstate.linux.cgroups.notification",
    "MemoryPressureEvent": "runstate.linux.cgroups.notification",
    "OomEvent": "runstate.linux.cgroups.notification",
    "PIPE": "runstate.engine.streams",
    "Process": "runstate.engine.process",
    "RuntimeStateError": "runstate.errors",
    "STDOUT": "runstate.engine.streams",
    "State": "runstate.states.state",
    "Status": "runstate.states.status",
    "TransitionEvent": "runstate.engine.hooks",
}

__all__ = [
    "DEVNULL", "PIPE", "STDOUT", "Backend", "Config", "Container", "Factory",
    "MemoryEvents", "MemoryPressureEvent", "OomEvent", "Process", "RuntimeStateError", "State",
    "Status", "TransitionEvent", "__version__",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'runstate' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the zygote does without

    value: object = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
