"""From the config's mounts to the operations that make them (config.md, Mounts)."""

from __future__ import annotations

import os
import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runstate.config.validation import namespace_types
from runstate.init import kernel
from runstate.linux import operations
from runstate.linux.mounts import attributes_of, parse_options

if TYPE_CHECKING:
    from runstate.config import Config, Mount
    from runstate.handlers.contract import HandlerContext
    from runstate.linux.mounts import MountOptions
    from runstate.linux.operations import Operation

DESCRIPTOR = "trees"
"""What the socket to the process that opens bind mounts is called among the descriptors."""

# SELinux cannot label these (runc's own rule).
_UNLABELLED = ("proc", "sysfs")
# What only the owner of another namespace may mount (user_namespaces(7)).
_OWNED_BY = {"proc": "pid", "mqueue": "ipc"}
_OF_A_PROCESS = ("/proc/self/", "/proc/thread-self/", "/dev/fd/", "/dev/std")
_SELINUX = "/sys/fs/selinux/enforce"


def target_of(mount: Mount) -> str:
    """Where in the container a mount goes: a clean path from its root on."""
    return _clean(mount.destination)


@lru_cache(maxsize=256)
def _clean(destination: str) -> str:
    # Lexically, as runc cleans it; symlinks in the rootfs are met when the mount is made.
    return posixpath.normpath("/" + destination.lstrip("/"))


def source_of(context: HandlerContext, mount: Mount) -> str:
    """What a bind mount is of; a relative path starts in the bundle."""
    return os.path.join(context.bundle, mount.source or "")


def is_bind(mount: Mount, options: MountOptions) -> bool:
    """Whether a mount is of another path; whatever type it names beside that means nothing."""
    return options.bind or mount.type == "bind"


def maps_ids(mount: Mount, options: MountOptions) -> bool:
    """Whether a mount's ids are mapped: by its own mappings, or by the container's."""
    return bool(options.idmap or mount.uid_mappings)


def needs_host(config: Config) -> bool:
    """Whether there may be bind mounts that init cannot make by itself (``sources``)."""
    return "user" in namespace_types(config) or any(
        mount.uid_mappings or "idmap" in mount.options or "ridmap" in mount.options
        for mount in config.mounts
    )


def check_mounts(context: HandlerContext) -> list[str]:
    """What this host cannot do for a config's mounts."""
    found = []
    linux = context.config.linux
    if linux is not None and linux.mount_label and not os.path.exists(_SELINUX):
        found.append(
            f"$.linux.mountLabel: {linux.mount_label!r}: SELinux is not active on this host"
        )
    types = namespace_types(context.config)
    if "user" in types:
        for index, mount in enumerate(context.config.mounts):
            needed = _OWNED_BY.get(mount.type or "")
            if needed and needed not in types and not parse_options(mount.options).bind:
                found.append(
                    f"$.mounts[{index}].type: in a user namespace {mount.type} needs a namespace of"
                    f' type "{needed}" beside it; bind the host\'s instead'
                )
    if needs_host(context.config):
        from runstate.handlers.fs import sources  # noqa: PLC0415 - few need it

        found += sources.problems(context)
    return found + _missing_sources(context)


def _missing_sources(context: HandlerContext) -> list[str]:
    """The bind mounts of what is not there."""
    linux = context.config.linux
    if linux is None or any(n.type == "mount" and n.path for n in linux.namespaces):
        return []  # in another mount namespace there are other things
    found = []
    for index, mount in enumerate(context.config.mounts):
        binds = mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options
        source = source_of(context, mount) if binds and "remount" not in mount.options else ""
        if not source or source.startswith(_OF_A_PROCESS):
            continue  # what it is depends on who looks, and init will
        try:
            os.stat(source)
        except OSError as error:
            found.append(
                f"$.mounts[{index}].source: {source!r}: {error.strerror}; expected what to bind"
            )
    return found


def prepare_mounts(context: HandlerContext) -> dict[str, Any]:
    """Have opened for init what it cannot open by itself; the objects of the substate."""
    if not needs_host(context.config):
        return {}
    from runstate.handlers.fs import sources  # noqa: PLC0415 - few need it

    found = sources.open_sources(context)
    return {DESCRIPTOR: found} if found else {}


def _prepared(context: HandlerContext) -> tuple[int, ...]:
    """Which mounts were opened for init; in a mere preview, which are sure to be."""
    substate = context.substates.get("fs")
    if substate is not None:
        return tuple(substate.objects.get(DESCRIPTOR, ()))
    return tuple(
        index
        for index, mount in enumerate(context.config.mounts)
        if maps_ids(mount, parse_options(mount.options))
    )


def binds_dev(config: Config) -> bool:
    """Whether the container's /dev is another directory."""
    return any(
        target_of(mount) == "/dev" and is_bind(mount, parse_options(mount.options))
        for mount in config.mounts
    )


def compile_mounts(context: HandlerContext) -> tuple[list[Operation], list[str]]:
    """The operations for all mounts; and those of them to be made read-only at the end.

    What is mounted or made in a tmpfs, or in /dev, needs it to be writable until then.
    """
    compiled: list[Operation] = []
    late: list[str] = []
    prepared = _prepared(context)
    if prepared:
        from runstate.linux.operations.trees import fetch_trees  # noqa: PLC0415 - rare

        paths = [source_of(context, context.config.mounts[index]) for index in prepared]
        compiled.append(fetch_trees(context.descriptor(DESCRIPTOR), prepared, paths))
    for index, mount in enumerate(context.config.mounts):
        options = parse_options(mount.options)
        target = target_of(mount)
        if options.flags & kernel.MS_REMOUNT:
            compiled.append(_change(mount, target, options))
        elif is_bind(mount, options):
            compiled.append(_bind(context, index, target, options, fetched=index in prepared))
        elif mount.type in ("cgroup", "cgroup2"):
            from runstate.handlers.fs.cgroup_mounts import (  # noqa: PLC0415 - not all have one
                compile_cgroup_mount,
            )

            compiled += compile_cgroup_mount(context, mount.type, target, options)
        else:
            flags, _ = _of_new(options)
            if flags & kernel.MS_RDONLY and (mount.type == "tmpfs" or target == "/dev"):
                late.append(target)
                flags &= ~kernel.MS_RDONLY
            compiled.append(_new(context, mount, target, flags, options))
    return compiled, late


def _of_new(options: MountOptions) -> tuple[int, int]:
    """The flags of a new mount: nothing is below it, so what is for all below is for it."""
    set_, clear = options.below
    return (options.flags & ~clear) | set_, options.cleared | clear


def _new(
    context: HandlerContext, mount: Mount, target: str, flags: int, options: MountOptions
) -> Operation:
    fstype = mount.type or ""
    source = mount.source or fstype or "none"
    data = _labelled(context.config, fstype, options.data)
    if fstype == "tmpfs" and (options.copy_up or "mode=" not in data):
        from runstate.linux.operations.tmpfs import mount_tmpfs  # noqa: PLC0415 - few have one

        return mount_tmpfs(
            source, target, flags, data, options.propagation, copy_up=options.copy_up
        )
    if fstype == "sysfs" and _may_lack_sysfs(context.config):
        from runstate.linux.operations.trees import mount_sysfs  # noqa: PLC0415 - few need it

        return mount_sysfs(source, target, flags, data, options.propagation)
    return operations.mount(source, target, fstype, flags, data, options.propagation)


def _labelled(config: Config, fstype: str, data: str) -> str:
    label = config.linux.mount_label if config.linux is not None else None
    if not label or fstype in _UNLABELLED:
        return data
    # In quotes, because a label's categories have commas between them (mount(8), context=).
    context = f'context="{label}"'
    return f"{data},{context}" if data else context


def _may_lack_sysfs(config: Config) -> bool:
    """Whether the user namespace may not be the network namespace's owner."""
    if "user" not in namespace_types(config):
        return False
    namespaces = config.linux.namespaces if config.linux is not None else ()
    return all(n.type != "network" or n.path for n in namespaces) or any(
        n.type == "user" and n.path for n in namespaces
    )


def _change(mount: Mount, target: str, options: MountOptions) -> Operation:
    """``remount``: of the mount alone with ``bind``, else of its file system (mount(2))."""
    if not is_bind(mount, options):
        flags = options.flags
        return operations.mount(
            mount.source or "none", target, mount.type or "", flags, options.data,
            options.propagation,
        )  # fmt: skip
    from runstate.linux.operations.trees import set_attributes  # noqa: PLC0415 - rare

    below = attributes_of(*options.below)
    return set_attributes(target, options.attributes(), below, options.propagation)


def _bind(
    context: HandlerContext, index: int, target: str, options: MountOptions, *, fetched: bool
) -> Operation:
    source = source_of(context, context.config.mounts[index])
    recursive = bool(options.flags & kernel.MS_REC)
    if any(options.below) or fetched:
        from runstate.linux.operations.trees import bind_tree  # noqa: PLC0415 - few have one

        return bind_tree(
            source,
            target,
            mount=index if fetched else None,
            recursive=recursive,
            attributes=options.attributes(),
            below=attributes_of(*options.below),
            propagation=options.propagation,
        )
    attributes, cleared = options.attributes()
    return operations.bind(
        source,
        target,
        recursive=recursive,
        attributes=attributes,
        cleared=cleared,
        propagation=options.propagation,
    )
