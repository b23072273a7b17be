"""Whether a configuration makes sense: the specification's rules beyond types.

Every rule is about the configuration alone. Nothing here looks at the host, so that the
answer is the same everywhere; whether the host can do it is for the handlers to find out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.config.memo import remembered
from runstate.config.names import (
    CAPABILITIES,
    IO_CLASSES,
    RLIMITS,
    SCHEDULER_FLAGS,
    SCHEDULER_POLICIES,
)
from runstate.config.problems import MISSING, json_path, unexpected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Any

    from runstate.config.hooks import Hooks
    from runstate.config.process import Capabilities, Process, Rlimit, User
    from runstate.config.spec import Config, Mount
    from runstate.config.tuning import IOPriority, Scheduler

    Path = tuple[str | int, ...]

HOST_NAME_MAX = 64
"""Bytes in a host or domain name (``__NEW_UTS_LEN``, sethostname(2))."""

NO_ID = 2**32 - 1
"""As an unsigned number, the -1 by which system calls mean `leave it`: nobody's id."""

# semver.org's grammar, for the one major version that there is.
_VERSION = re.compile(
    r"1\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII
)
_CPU_LIST = re.compile(r"[0-9, -]*")


@remembered
def validate(config: Config) -> list[str]:
    """All that is wrong with a configuration, each with JSON path, value and expectation.

    ``root`` and namespaces are asked for by :func:`missing_for_linux`: not every backend
    makes a container of them.

    Args:
        config: A configuration as :func:`runstate.config.load` gives it.

    Returns:
        The problems, none when the list is empty.
    """
    problems = list(_general(config))
    if config.process is None:
        problems.append(f"$.process: {MISSING}: create needs the program")
    else:
        problems += _process(("process",), config.process)
    for index, mount in enumerate(config.mounts):
        problems += _mount(("mounts", index), mount)
    if config.hooks is not None:
        problems += _hooks(config.hooks)
    if config.linux is not None:
        from runstate.config.validation_linux import check_linux  # noqa: PLC0415 - see minimal()

        problems += check_linux(config.linux)
    return problems


def validate_process(process: Process) -> list[str]:
    """All that is wrong with a process that stands alone, as `exec` takes one.

    Args:
        process: A process as :func:`runstate.config.load_process` gives it.

    Returns:
        The problems, with paths from the process on; none when the list is empty.
    """
    return list(_process((), process))


@remembered
def missing_for_linux(config: Config) -> list[str]:
    """What a backend that makes Linux containers needs and this configuration lacks.

    Args:
        config: A configuration as :func:`runstate.config.load` gives it.

    Returns:
        The problems, none when the list is empty.
    """
    problems = []
    if config.root is None:
        problems.append(f"$.root: {MISSING}: a container needs a root filesystem")
    if "mount" not in namespace_types(config):
        problems.append(
            '$.linux.namespaces: expected one of type "mount" among them: without it the'
            " container's mounts would be the host's"
        )
    return problems


def namespace_types(config: Config) -> frozenset[str]:
    """The types of the namespaces that the container has to itself or joins."""
    namespaces = config.linux.namespaces if config.linux else ()
    return frozenset(namespace.type for namespace in namespaces)


# --- rules that many properties share -------------------------------------------------------


def expect(path: Path, value: Any, expected: str) -> str:
    """The problem that a value is not what it should be."""
    return f"{json_path(path)}: {unexpected(value, expected)}"


def one_of(path: Path, value: str | None, allowed: Collection[str], what: str) -> Iterator[str]:
    """A name from a closed set; absent is fine."""
    if value is not None and value not in allowed:
        yield expect(path, value, f"{what} ({', '.join(sorted(allowed))})")


def absolute(path: Path, value: str) -> Iterator[str]:
    """A path that starts with a slash."""
    if not value.startswith("/"):
        yield expect(path, value, "an absolute path")


def within(path: Path, value: int | None, low: int, high: int, unit: str = "") -> Iterator[str]:
    """A number in a range; absent is fine."""
    if value is not None and not low <= value <= high:
        yield expect(path, value, f"from {low} to {high}{unit}")


def environment(path: Path, variables: Sequence[str]) -> Iterator[str]:
    """``KEY=value`` strings."""
    for index, variable in enumerate(variables):
        if variable.find("=") < 1:
            yield expect((*path, index), variable, "KEY=value")


# --- the parts of a configuration -----------------------------------------------------------


def _general(config: Config) -> Iterator[str]:
    if not _VERSION.fullmatch(config.oci_version):
        yield expect(("ociVersion",), config.oci_version, "a version 1.x.y of the specification")
    if config.root is not None and not config.root.path:
        yield expect(("root", "path"), config.root.path, "the path of a directory")
    for name, value in (("hostname", config.hostname), ("domainname", config.domainname)):
        if not value:
            continue
        if len(value.encode(errors="surrogateescape")) > HOST_NAME_MAX:
            yield expect((name,), value, f"at most {HOST_NAME_MAX} bytes")
        if "uts" not in namespace_types(config):
            yield expect((name,), value, 'nothing without a namespace of type "uts" to set it in')
    if "" in config.annotations:
        yield expect(("annotations",), "", "keys that are not empty")


def _process(path: Path, process: Process) -> Iterator[str]:
    if not process.args:
        yield expect((*path, "args"), list(process.args), "the program and its arguments")
    elif not process.args[0]:
        yield expect((*path, "args", 0), "", "the program's name or path")
    yield from absolute((*path, "cwd"), process.cwd)
    yield from environment((*path, "env"), process.env)
    yield from within((*path, "oomScoreAdj"), process.oom_score_adj, -1000, 1000)
    if process.user is not None:
        yield from _user((*path, "user"), process.user)
    if process.capabilities is not None:
        yield from _capabilities((*path, "capabilities"), process.capabilities)
    yield from _rlimits((*path, "rlimits"), process.rlimits)
    if process.console_size is not None:
        for name in ("height", "width"):
            value = getattr(process.console_size, name)
            yield from within((*path, "consoleSize", name), value, 0, 2**16 - 1)
    if process.io_priority is not None:
        yield from _io_priority((*path, "ioPriority"), process.io_priority)
    if process.scheduler is not None:
        yield from _scheduler((*path, "scheduler"), process.scheduler)
    if process.exec_cpu_affinity is not None:
        for name in ("initial", "final"):
            cpus = getattr(process.exec_cpu_affinity, name)
            if cpus is not None and not _CPU_LIST.fullmatch(cpus):
                yield expect((*path, "execCPUAffinity", name), cpus, "CPUs as in 0-3,7")


def _user(path: Path, user: User) -> Iterator[str]:
    yield from within((*path, "uid"), user.uid, 0, NO_ID - 1)
    yield from within((*path, "gid"), user.gid, 0, NO_ID - 1)
    if user.umask is not None and user.umask > 0o777:
        yield expect((*path, "umask"), user.umask, f"from 0 to {0o777} (0777)")
    for index, gid in enumerate(user.additional_gids):
        yield from within((*path, "additionalGids", index), gid, 0, NO_ID - 1)


def _capabilities(path: Path, capabilities: Capabilities) -> Iterator[str]:
    for name in ("bounding", "effective", "inheritable", "permitted", "ambient"):
        capability_set: tuple[str, ...] = getattr(capabilities, name)
        if CAPABILITIES.issuperset(capability_set):
            continue
        for index, capability in enumerate(capability_set):
            if capability not in CAPABILITIES:
                yield expect((*path, name, index), capability, "a name of capabilities(7)")
    # capset(2) refuses the whole call with EPERM.
    missing = set(capabilities.effective).difference(capabilities.permitted)
    for index, capability in enumerate(capabilities.effective):
        if capability in missing:
            yield expect((*path, "effective", index), capability, "one that is also in permitted")


def _rlimits(path: Path, rlimits: tuple[Rlimit, ...]) -> Iterator[str]:
    seen = set()
    for index, rlimit in enumerate(rlimits):
        here = (*path, index)
        yield from one_of((*here, "type"), rlimit.type, RLIMITS, "a resource of getrlimit(2)")
        if rlimit.type in seen:
            yield expect((*here, "type"), rlimit.type, "each type once")
        seen.add(rlimit.type)
        if rlimit.soft > rlimit.hard:
            yield expect((*here, "soft"), rlimit.soft, f"at most the hard limit {rlimit.hard}")


def _io_priority(path: Path, priority: IOPriority) -> Iterator[str]:
    yield from one_of((*path, "class"), priority.class_, IO_CLASSES, "a class of ioprio_set(2)")
    yield from within((*path, "priority"), priority.priority, 0, 7)


def _scheduler(path: Path, scheduler: Scheduler) -> Iterator[str]:
    policy = scheduler.policy
    yield from one_of((*path, "policy"), policy, SCHEDULER_POLICIES, "a policy of sched(7)")
    yield from within((*path, "nice"), scheduler.nice, -20, 19)
    for index, flag in enumerate(scheduler.flags):
        yield from one_of((*path, "flags", index), flag, SCHEDULER_FLAGS, "a flag")


def _mount(path: Path, mount: Mount) -> Iterator[str]:
    if not mount.destination:
        yield expect((*path, "destination"), "", "a path in the container")
    binds = mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options
    if binds and not mount.source:
        yield f"{json_path((*path, 'source'))}: {MISSING}: what to bind there"
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        name = "gidMappings" if mount.uid_mappings else "uidMappings"
        yield f"{json_path((*path, name))}: {MISSING}: an idmapped mount maps users and groups"


def _hooks(hooks: Hooks) -> Iterator[str]:
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
