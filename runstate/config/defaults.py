"""Configurations made here: for people, for the command line's ``spec``, for bare processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runstate.config.linux import Linux, Namespace
from runstate.config.problems import refusal, unexpected
from runstate.config.process import Capabilities, Process, Rlimit, User
from runstate.config.resources import DeviceCgroup, Resources
from runstate.config.spec import Config, Mount, Root
from runstate.linux import privileges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runstate.config.default_ids import Mappings
    from runstate.config.seccomp import Seccomp

_TTY = 5

OCI_VERSION = "1.3.0"
"""The version of the specification that this package is written to."""

HOSTNAME = "runstate"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""What root in a default container may do: enough for package managers and daemons."""

SPEC_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")

SPEC_MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)

MASKED_PATHS = (
    *SPEC_MASKED_PATHS,
    # Power readings tell of what others compute (CVE-2020-8694).
    "/sys/devices/virtual/powercap",
)

READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


def default(
    args: Iterable[str],
    *,
    rootfs: str | os.PathLike[str] = "host",
    hostname: str = HOSTNAME,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    readonly: bool = False,
    user: tuple[int, int] = (0, 0),
    network: bool = True,
    rootless: bool | None = None,
    seccomp: bool = True,
    ids: str | None = None,
) -> Config:
    """A whole configuration to run a program in: see :meth:`Config.default`."""
    if rootless is None:
        rootless = privileges.is_rootless()
    mappings = None
    if rootless:
        from runstate.config.default_ids import mapped  # noqa: PLC0415 - root has no need of it

        mappings = mapped(ids)
    uid, gid = user
    # execve(2) takes them from any other user; the bounding set stays, for set-uid programs
    # where noNewPrivileges is taken away.
    held = CAPABILITIES if uid == 0 else ()
    namespaces = ["pid", "ipc", "uts", "mount", "cgroup"]
    if network:
        namespaces.insert(1, "network")
    return Config(
        oci_version=OCI_VERSION,
        root=Root(path="/" if rootfs == "host" else os.fspath(rootfs), readonly=readonly),
        process=Process(
            args=_arguments(args),
            cwd=cwd,
            env=_environment(env),
            user=User(uid=uid, gid=gid),
            terminal=False,
            capabilities=Capabilities(bounding=CAPABILITIES, effective=held, permitted=held),
            rlimits=(Rlimit(type="RLIMIT_NOFILE", soft=1024, hard=1024),),
            no_new_privileges=True,
        ),
        hostname=hostname,
        mounts=_mounts(mappings, own_network=network),
        linux=_linux(namespaces, MASKED_PATHS, mappings, seccomp=seccomp),
    )


def minimal(args: Iterable[str], *, env: Mapping[str, str] | None = None, cwd: str = "/") -> Config:
    """A program and nothing else: see :meth:`Config.minimal`."""
    return Config(
        oci_version=OCI_VERSION,
        process=Process(args=_arguments(args), cwd=cwd, env=_environment(env)),
    )


def spec(rootless: bool = False) -> Config:
    """The template that ``runstate spec`` writes, to be edited into a bundle's config.json.

    The same as other runtimes' ``spec`` writes, so that scripts which edit that find what
    they look for.

    Args:
        rootless: Whether for a caller without root: a user namespace that maps root to the
            caller, the host's network, no cgroup limits.
    """
    capabilities = Capabilities(
        bounding=SPEC_CAPABILITIES,
        effective=SPEC_CAPABILITIES,
        permitted=SPEC_CAPABILITIES,
        ambient=SPEC_CAPABILITIES,
    )
    namespaces = ["pid", "ipc", "uts", "mount"]
    mappings = None
    if rootless:
        from runstate.config.default_ids import mapped  # noqa: PLC0415 - root has no need of it

        mappings = mapped("own")
    else:
        namespaces.insert(1, "network")
    return Config(
        oci_version=OCI_VERSION,
        root=Root(path="rootfs", readonly=True),
        process=Process(
            terminal=True,
            user=User(uid=0, gid=0),
            args=("sh",),
            env=(f"PATH={PATH}", "TERM=xterm"),
            cwd="/",
            capabilities=capabilities,
            rlimits=(Rlimit(type="RLIMIT_NOFILE", soft=1024, hard=1024),),
            no_new_privileges=True,
        ),
        hostname=HOSTNAME,
        mounts=_mounts(mappings, own_network=not rootless),
        linux=_linux(namespaces, SPEC_MASKED_PATHS, mappings),
    )


def _arguments(args: Iterable[str]) -> tuple[str, ...]:
    if isinstance(args, str):
        # A string is an iterable of strings: its letters would make a strange program.
        raise refusal([f"$.process.args: {unexpected(args, 'an array of strings')}"])
    return tuple(args)


def _environment(env: Mapping[str, str] | None) -> tuple[str, ...]:
    variables = {"PATH": PATH, **(env or {})}
    return tuple(f"{name}={value}" for name, value in variables.items())


def _linux(
    namespaces: list[str],
    masked_paths: tuple[str, ...],
    mappings: Mappings | None,
    *,
    seccomp: bool = False,
) -> Linux:
    uids, gids = mappings or ((), ())
    deny_devices = Resources(devices=(DeviceCgroup(allow=False, access="rwm"),))
    return Linux(
        namespaces=tuple(Namespace(type=name) for name in namespaces)
        + ((Namespace(type="user"),) if mappings else ()),
        uid_mappings=uids,
        gid_mappings=gids,
        # Cgroups are root's, where nobody has delegated any; the user namespace alone
        # already denies devices, as mknod(2) fails in it.
        resources=None if mappings else deny_devices,
        masked_paths=masked_paths,
        readonly_paths=READONLY_PATHS,
        seccomp=_seccomp() if seccomp else None,
    )


def _seccomp() -> Seccomp:
    from runstate.config.seccomp_profile import default_seccomp  # noqa: PLC0415 - not all want it

    return default_seccomp(CAPABILITIES)


def _mounts(mappings: Mappings | None, *, own_network: bool) -> tuple[Mount, ...]:
    hidden = ("nosuid", "noexec", "nodev")
    # The tty group cannot own a pty where it is not mapped.
    has_tty = mappings is None or any(
        m.container_id <= _TTY < m.container_id + m.size for m in mappings[1]
    )
    tty_group = (f"gid={_TTY}",) if has_tty else ()
    sys = Mount("/sys", "sysfs", "sysfs", (*hidden, "ro"))
    if mappings and not own_network:
        # A user namespace may mount sysfs only along with a network namespace that it owns.
        sys = Mount("/sys", "none", "/sys", ("rbind", *hidden, "ro"))
    return (
        Mount("/proc", "proc", "proc"),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *tty_group),
        ),
        Mount("/dev/shm", "tmpfs", "shm", (*hidden, "mode=1777", "size=65536k")),  # noqa: S108 - inside
        Mount("/dev/mqueue", "mqueue", "mqueue", hidden),
        sys,
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", (*hidden, "relatime", "ro")),
    )
