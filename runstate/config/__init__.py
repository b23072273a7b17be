"""The OCI runtime specification's configuration: model, loading, validation, defaults.

::

    config = Config.default(["python3", "-V"])
    config = Config.from_bundle("/run/bundle")
    config = attrs.evolve(config, hostname="box")

The sections' classes are imported when they are first asked for: a command line that reads a
plain configuration never pays for those that it does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.config.section import MODULES, section_class
from runstate.config.spec import Config, Mount, Root

if TYPE_CHECKING:
    from runstate.config.controllers import (
        BlockIO,
        HugepageLimit,
        InterfacePriority,
        Network,
        Rdma,
        ThrottleDevice,
        WeightDevice,
    )
    from runstate.config.hooks import Hook, Hooks
    from runstate.config.linux import Device, IDMapping, Linux, Namespace
    from runstate.config.loading import load, load_process
    from runstate.config.networks import ContainerNetwork, Route
    from runstate.config.process import Capabilities, Process, Rlimit, User
    from runstate.config.resources import CPU, DeviceCgroup, Memory, Pids, Resources
    from runstate.config.seccomp import Seccomp, Syscall, SyscallArg
    from runstate.config.tuning import (
        ConsoleSize,
        ExecCPUAffinity,
        IntelRdt,
        IOPriority,
        MemoryPolicy,
        NetDevice,
        Personality,
        Scheduler,
        TimeOffset,
    )

__all__ = [
    "CPU",
    "BlockIO",
    "Capabilities",
    "Config",
    "ConsoleSize",
    "ContainerNetwork",
    "Device",
    "DeviceCgroup",
    "ExecCPUAffinity",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IDMapping",
    "IOPriority",
    "IntelRdt",
    "InterfacePriority",
    "Linux",
    "Memory",
    "MemoryPolicy",
    "Mount",
    "Namespace",
    "NetDevice",
    "Network",
    "Personality",
    "Pids",
    "Process",
    "Rdma",
    "Resources",
    "Rlimit",
    "Root",
    "Route",
    "Scheduler",
    "Seccomp",
    "Syscall",
    "SyscallArg",
    "ThrottleDevice",
    "TimeOffset",
    "User",
    "WeightDevice",
    "load",
    "load_process",
]


def __getattr__(name: str) -> Any:
    found: Any
    if name in {"load", "load_process"}:
        from runstate.config import loading  # noqa: PLC0415 - imports cattrs

        found = getattr(loading, name)
    elif name in MODULES:
        found = section_class(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
