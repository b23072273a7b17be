"""Mounts that need more than mount(2): fetched trees, and attributes all the way down.

What init may not open or map the ids of, in a user namespace, a process with the engine's own
rights does for it. It does so in init's mount namespace, where what the kernel has locked (a
``nosuid``, a ``ro`` of the host's) stays locked, and where no mount is the host's peer unless
the configuration says so.

::

    init                                            the process that serves
      |  its mount namespace                          |
      |---------------------------------------------->|  setns, open_tree, mount_setattr
      |  trees, or failed(index, errno, text)         |
      |<----------------------------------------------|  ends
"""

from __future__ import annotations

import errno
import os
from _socket import socket

from runstate.init import kernel, protocol
from runstate.init.operations.base import DIRECTORY, OperationError
from runstate.init.operations.mounts import attach, copy_tree, mount_on, propagate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init

_HIDDEN = (
    kernel.MOUNT_ATTR_RDONLY
    | kernel.MOUNT_ATTR_NOSUID
    | kernel.MOUNT_ATTR_NODEV
    | kernel.MOUNT_ATTR_NOEXEC
)


def fetch_trees(init: Init, index: int, mounts: tuple[int, ...], _paths: list[str]) -> None:
    """Have the trees of these mounts opened, by the process at the other end of a descriptor."""
    sock = socket(fileno=init.extras[index])
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    protocol.send_descriptors(sock, protocol.MEETING, [namespace])
    os.close(namespace)
    answer, trees = protocol.receive_report(sock)
    sock.close()
    failure = protocol.unpack_failure(answer)
    if failure is not None:
        raise OperationError(failure[1], failure[2])
    if len(trees) != len(mounts):
        raise OperationError(errno.ECHILD, "the process that was to open them has ended")
    init.trees = dict(zip(mounts, trees, strict=True))


def serve_trees(
    init: Init, index: int, wanted: list[tuple[str, bool, int, bool]], most: float
) -> None:
    """Open trees for an init, in its mount namespace, and end.

    Args:
        init: This process.
        index: Which descriptor leads to init.
        wanted: Of each tree its path, whether what is mounted below comes along, which of the
            descriptors is the user namespace that its ids are mapped by (or -1), and whether
            those of what is mounted below are mapped, too.
        most: Seconds to wait for init.
    """
    sock = socket(fileno=init.extras[index])
    sock.settimeout(most)
    _, namespaces = protocol.receive_report(sock)
    if not namespaces:
        return  # it ended before it came here
    try:
        kernel.setns(namespaces[0], kernel.CLONE_NEWNS)
        trees = [_open(init, *tree) for tree in wanted]
    except OSError as error:
        sock.send(protocol.pack_failure(0, error.errno or 0, str(error.filename or "")))
    except OperationError as error:
        sock.send(protocol.pack_failure(0, error.errno, error.text))
    else:
        protocol.send_descriptors(sock, protocol.READY, trees)


def _open(init: Init, path: str, recursive: bool, userns: int, deep: bool) -> int:
    tree = copy_tree(path, recursive)
    if userns >= 0:
        try:
            kernel.mount_setattr(
                tree,
                attr_set=kernel.MOUNT_ATTR_IDMAP,
                userns=init.extras[userns],
                recursive=deep,
            )
        except OSError as error:
            why = f"the ids of a mount of {path} cannot be mapped"
            if error.errno in (errno.EINVAL, errno.EPERM):
                why += ": its file system, or one below it, does not do that, or does so already"
            raise OperationError(error.errno or 0, why) from error
    return tree


def bind_tree(
    init: Init,
    source: str | int,
    target: str,
    recursive: bool,
    attributes: tuple[int, int],
    below: tuple[int, int],
    propagation: tuple[int, ...],
    _path: str,
) -> None:
    """A bind mount whose attributes reach what is mounted below it, or whose tree was fetched.

    Args:
        init: This process.
        source: A path of the host's; or which mount of the configuration it is the tree of.
        target: Where, inside the rootfs.
        recursive: Whether what is mounted below the source comes along.
        attributes: MOUNT_ATTR_* to set and to clear, of the topmost mount.
        below: The same, of all mounts of the tree.
        propagation: As ``bind``.
        _path: The source's, for the words of an error.
    """
    tree = init.trees.pop(source) if isinstance(source, int) else copy_tree(source, recursive)
    if any(below):
        kernel.mount_setattr(tree, attr_set=below[0], attr_clr=below[1], recursive=True)
    if any(attributes):
        kernel.mount_setattr(tree, attr_set=attributes[0], attr_clr=attributes[1])
    attach(init, tree, target, propagation)


def set_attributes(
    init: Init,
    target: str,
    attributes: tuple[int, int],
    below: tuple[int, int],
    propagation: tuple[int, ...],
) -> None:
    """Change a mount that is there already (``remount`` together with ``bind``)."""
    fd = init.inside(target, os.O_PATH)
    if any(below):
        kernel.mount_setattr(fd, attr_set=below[0], attr_clr=below[1], recursive=True)
    if any(attributes):
        kernel.mount_setattr(fd, attr_set=attributes[0], attr_clr=attributes[1])
    propagate(fd, propagation)


def mount_sysfs(
    init: Init, source: str, target: str, flags: int, data: str, propagation: tuple[int, ...]
) -> None:
    """A sysfs in a user namespace, or the host's where there can be none.

    Only the user namespace that owns the network namespace may mount one (sysfs(5)). The
    host's is bound with all that is mounted in it, and nothing of it can be written to.
    """
    fd = init.ordinary_directory(target, "sysfs")
    try:
        mount_on(fd, source, "sysfs", flags, data)
    except OperationError as error:
        if error.errno != errno.EPERM:
            raise
        tree = kernel.open_tree(
            kernel.AT_FDCWD, "/sys", kernel.OPEN_TREE_CLONE | kernel.AT_RECURSIVE
        )
        kernel.mount_setattr(tree, attr_set=_HIDDEN, recursive=True)
        kernel.move_mount(tree, fd)
        os.close(tree)
    os.close(fd)
    propagate(init.inside(target, DIRECTORY), propagation)


def set_root_propagation(_init: Init, flags: int, rootfs: str) -> None:
    """Change how mount events pass, and keep those of the rootfs's own mount from the host.

    pivot_root(2) refuses a root whose parent mount is shared; and what is mounted on a shared
    mount is mounted on the host as well.
    """
    kernel.mount("none", "/", "", flags, "")
    while True:
        try:
            kernel.mount("none", rootfs, "", kernel.MS_PRIVATE, "")
        except OSError as error:
            if error.errno != errno.EINVAL or rootfs == "/":
                raise
            rootfs = os.path.dirname(rootfs)  # it is no mount point
        else:
            return
