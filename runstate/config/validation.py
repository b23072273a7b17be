"""Whether a configuration makes sense: the specification's rules beyond types.

Every rule is about the configuration alone. Nothing here looks at the host, so that the
answer is the same everywhere; whether the host can do it is for the handlers to find out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.config.memo import remembered
from runstate.config.problems import MISSING
from runstate.config.rules import expect, needs_namespace
from runstate.config.validation_mounts import check_mount
from runstate.config.validation_process import check_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runstate.config.process import Process
    from runstate.config.spec import Config

HOST_NAME_MAX = 64
"""Bytes in a host or domain name (``__NEW_UTS_LEN``, sethostname(2))."""

# semver.org's grammar, for the one major version that there is.
_VERSION = re.compile(
    r"1\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII
)


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
        problems += check_process(("process",), config.process)
    for index, mount in enumerate(config.mounts):
        own_ids = "user" in namespace_types(config)
        problems += check_mount(("mounts", index), mount, own_ids=own_ids)
    if config.hooks is not None:
        from runstate.config.validation_hooks import check_hooks  # noqa: PLC0415 - few have any

        problems += check_hooks(config.hooks)
    if config.linux is not None:
        from runstate.config.validation_linux import check_linux  # noqa: PLC0415 - see minimal()

        problems += check_linux(config.linux)
    if config.networks or config.routes:
        from runstate.config.validation_networks import check_networks  # noqa: PLC0415

        problems += check_networks(config)
    return problems


def validate_process(process: Process) -> list[str]:
    """All that is wrong with a process that stands alone, as `exec` takes one.

    Args:
        process: A process as :func:`runstate.config.load_process` gives it.

    Returns:
        The problems, with paths from the process on; none when the list is empty.
    """
    return list(check_process((), process))


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
            yield needs_namespace((name,), value, "uts")
    if "" in config.annotations:
        yield expect(("annotations",), "", "keys that are not empty")
