"""The configuration itself: ``config.json`` of a bundle (OCI runtime spec 1.3, config.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from runstate.config.section import Section, elements

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from runstate.config.hooks import Hooks
    from runstate.config.linux import IDMapping, Linux
    from runstate.config.networks import ContainerNetwork, Route
    from runstate.config.process import Process


@frozen(eq=False, repr=False)
class Root(Section):
    """The root filesystem.

    Attributes:
        path: The directory, absolute or relative to the bundle. In runstate ``/`` is the
            host's own root as the read-only lower layer of an overlay, never `/` itself.
        readonly: Whether the container sees it read-only.
    """

    path: str
    readonly: bool | None = None


@frozen(eq=False, repr=False)
class Mount(Section):
    """A mount, made after the root filesystem's, in their order.

    Attributes:
        destination: Where, in the container; a relative path is taken from its root.
        type: The filesystem's type; a bind mount may say ``bind`` or nothing.
        source: A device, a path of the host (relative to the bundle), or a mere name.
        options: As mount(8) takes them.
        uid_mappings: Of an idmapped mount.
        gid_mappings: Of an idmapped mount.
    """

    destination: str
    type: str | None = None
    source: str | None = None
    options: tuple[str, ...] = field(default=(), converter=elements)
    uid_mappings: tuple[IDMapping, ...] = field(default=(), converter=elements)
    gid_mappings: tuple[IDMapping, ...] = field(default=(), converter=elements)


@frozen(eq=False, repr=False)
class Config(Section):
    """A container's configuration.

    Make one with :meth:`default`, read one with :meth:`from_bundle`, change one with
    :func:`attrs.evolve`.

    Attributes:
        oci_version: The version of the specification that it is written to.
        root: The root filesystem.
        process: The program.
        hostname: The name in the uts namespace, at most 64 bytes.
        domainname: The NIS domain's name there, likewise.
        mounts: In the order in which they are made.
        hooks: OCI hooks.
        annotations: Anything, for others to read.
        linux: What is particular to Linux.
        solaris: Another platform's, as plain JSON; so are the following.
        windows: As above.
        vm: As above.
        zos: As above.
        freebsd: As above.
        networks: Interfaces to make for the container. Not of the specification: other runtimes
            ignore it, as all properties that they do not know; so is the following.
        routes: Routes of the container, beside those of its addresses and gateways.
    """

    oci_version: str
    root: Root | None = None
    process: Process | None = None
    hostname: str | None = None
    domainname: str | None = None
    mounts: tuple[Mount, ...] = field(default=(), converter=elements)
    hooks: Hooks | None = None
    annotations: dict[str, str] = field(factory=dict)
    linux: Linux | None = None
    solaris: Any = None
    windows: Any = None
    vm: Any = None
    zos: Any = None
    freebsd: Any = None
    networks: tuple[ContainerNetwork, ...] = field(default=(), converter=elements)
    routes: tuple[Route, ...] = field(default=(), converter=elements)

    @classmethod
    def from_bundle(cls, path: str | os.PathLike[str]) -> Config:
        """The configuration of a bundle: the ``config.json`` in this directory.

        Raises:
            ConfigInvalid: There is no such directory or file, it cannot be read, it is not
                JSON (with line and column), or not a configuration (with all problems).
        """
        from runstate.config.loading import load  # noqa: PLC0415 - imports cattrs

        return load(path)

    @classmethod
    def default(
        cls,
        args: Iterable[str] = ("sh",),
        *,
        rootfs: str | os.PathLike[str] = "host",
        hostname: str = "runstate",
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        readonly: bool = False,
        user: tuple[int, int] = (0, 0),
        network: bool = True,
        rootless: bool | None = None,
        seccomp: bool = True,
        ids: str | None = None,
    ) -> Config:
        """A whole configuration, isolated and with few rights, to run a program in.

        Args:
            args: The program and its arguments.
            rootfs: The root filesystem's directory. ``"host"`` is the host's own, read-only
                below a layer that takes all writes and is thrown away.
            hostname: The container's name for itself.
            env: Environment variables; a PATH is added where they have none.
            cwd: The working directory, in the container.
            readonly: Whether the root filesystem is read-only.
            user: User and group id, in the container. Any user but 0 starts without
                capabilities.
            network: Whether the container gets a network namespace of its own; otherwise it
                shares the host's network.
            rootless: Whether to use a user namespace that maps root to the caller, as a
                caller without root must. None asks who the caller is.
            seccomp: Whether system calls that containers have no business with are denied; which
                they are, and why, is in `runstate/config/system_calls.py`.
            ids: What a user namespace maps beside root: ``"own"`` nothing, so that there is no
                other user in the container; ``"range"`` all that /etc/subuid and /etc/subgid
                grant the caller, which package managers need. None takes the range where there
                is one.

        Raises:
            ConfigInvalid: The range is asked for, and there is none.
        """
        from runstate.config.defaults import default  # noqa: PLC0415 - imports every section

        return default(
            args,
            rootfs=rootfs,
            hostname=hostname,
            env=env,
            cwd=cwd,
            readonly=readonly,
            user=user,
            network=network,
            rootless=rootless,
            seccomp=seccomp,
            ids=ids,
        )

    @classmethod
    def minimal(
        cls, args: Iterable[str], *, env: Mapping[str, str] | None = None, cwd: str = "/"
    ) -> Config:
        """A configuration with a program and nothing else: no isolation at all.

        For backends that make no container of Linux, such as ``process``.

        Args:
            args: The program and its arguments.
            env: Environment variables; a PATH is added where they have none.
            cwd: The working directory.
        """
        from runstate.config.defaults import minimal  # noqa: PLC0415 - with `default`

        return minimal(args, env=env, cwd=cwd)
