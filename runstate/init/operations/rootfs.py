"""The rootfs: making it a mount, hiding parts of it, and making it the root."""

from __future__ import annotations

import errno
import os
import stat

from runstate.init import kernel
from runstate.init.operations.base import DIRECTORY, OperationError, fd_path

_NULL = os.makedev(1, 3)  # Documentation/admin-guide/devices.txt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runstate.init.operations.base import Init


def set_propagation(_init: Init, path: str, flags: int) -> None:
    """Change how mount events pass between the host and this mount namespace."""
    kernel.mount("none", path, "", flags, "")


def bind_rootfs(init: Init, path: str) -> None:
    """Make the rootfs a mount of its own, as pivot_root(2) needs."""
    tree = kernel.open_tree(kernel.AT_FDCWD, path, kernel.OPEN_TREE_CLONE | kernel.AT_RECURSIVE)
    target = os.open(path, DIRECTORY | os.O_CLOEXEC)
    kernel.move_mount(tree, target)
    os.close(target)
    init.rootfs = tree


def overlay_host(init: Init, mount_point: str, lower: str, options: str, size: str) -> None:
    """The host's root below, an empty tmpfs above, merged at ``mount_point``.

    The tmpfs lives in this mount namespace only, so nothing of it outlives the container.
    """
    kernel.mount("tmpfs", mount_point, "tmpfs", kernel.MS_NODEV, f"mode=755,size={size}")
    upper, work, merged = (f"{mount_point}/{name}" for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        os.mkdir(path, 0o755)
    data = f"lowerdir={lower},upperdir={upper},workdir={work}{options}"
    kernel.mount("overlay", merged, "overlay", 0, data)
    init.rootfs = os.open(merged, DIRECTORY | os.O_CLOEXEC)


def overlay_directories(
    init: Init, mount_point: str, names: list[str], options: str, size: str
) -> None:
    """Like ``overlay_host``, for a user namespace: one overlay for each directory of the root.

    There the mounts that were inherited are locked to each other (mount_namespaces(7)), and
    overlayfs takes no lower layer that other mounts are locked to, as they are to the root.
    """
    kernel.mount("tmpfs", mount_point, "tmpfs", kernel.MS_NODEV, f"mode=755,size={size}")
    upper, work, merged = (f"{mount_point}/{name}" for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        os.mkdir(path, 0o755)
    kernel.mount(merged, merged, "", kernel.MS_BIND, "")
    for name in names:
        mode = os.stat(f"/{name}").st_mode & 0o777  # the upper layer's own root is what is seen
        for path in (upper, work, merged):
            os.mkdir(f"{path}/{name}", mode)
        data = f"lowerdir=/{name},upperdir={upper}/{name},workdir={work}/{name}{options}"
        kernel.mount("overlay", f"{merged}/{name}", "overlay", 0, data)
    init.rootfs = os.open(merged, DIRECTORY | os.O_CLOEXEC)


def mask(init: Init, path: str) -> None:
    """Hide a file behind the host's /dev/null, a directory behind an empty tmpfs."""
    try:
        target = init.inside(path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if stat.S_ISDIR(os.stat(target).st_mode):
            kernel.mount(
                "tmpfs", fd_path(target), "tmpfs", kernel.MS_RDONLY, "nr_blocks=1,nr_inodes=1"
            )
        else:
            tree = kernel.open_tree(kernel.AT_FDCWD, "/dev/null", kernel.OPEN_TREE_CLONE)
            found = os.stat(tree)
            # The host is in sight here, and no container's file; but a host can be one, too.
            if found.st_rdev != _NULL or not stat.S_ISCHR(found.st_mode):
                raise OperationError(errno.ENODEV, "the host's /dev/null is another file")
            kernel.move_mount(tree, target)
            os.close(tree)
    finally:
        os.close(target)


def make_readonly(init: Init, path: str) -> None:
    """Put a read-only view of a path over itself."""
    try:
        target = init.inside(path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        tree = kernel.open_tree(
            target, "", kernel.OPEN_TREE_CLONE | kernel.AT_EMPTY_PATH | kernel.AT_RECURSIVE
        )
        kernel.mount_setattr(tree, attr_set=kernel.MOUNT_ATTR_RDONLY)
        kernel.move_mount(tree, target)
        os.close(tree)
    finally:
        os.close(target)


def pivot_root(init: Init) -> None:
    """Make the rootfs this namespace's root, and drop the host's (pivot_root(2), NOTES)."""
    old = os.open("/", DIRECTORY | os.O_CLOEXEC)
    os.fchdir(init.rootfs)
    kernel.pivot_root(".", ".")
    # For mount(2) "." would be the new root, although the old one is on top of it now.
    os.fchdir(old)
    os.close(old)
    # Nothing that happens to the old root from here on may reach the host.
    kernel.mount("none", ".", "", kernel.MS_SLAVE | kernel.MS_REC, "")
    kernel.umount2(".", kernel.MNT_DETACH)
    os.chdir("/")
    os.close(init.rootfs)
    init.rootfs = -1
    _check_namespace_root(init)


def _check_namespace_root(init: Init) -> None:
    """See that the new root is the root of the whole mount namespace.

    In a chroot, pivot_root(2) moves the process's root alone; whoever joined the namespace later
    (`exec`, nsenter) would be in the host's root. setns(2) goes where they would go.
    """
    root = os.stat("/")
    namespace = os.open("../ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=init.proc)
    try:
        kernel.setns(namespace, kernel.CLONE_NEWNS)
    finally:
        os.close(namespace)
    if not os.path.samestat(root, os.stat("/")):
        raise OperationError(
            errno.EINVAL, "the runtime runs in a chroot; give it a mount namespace instead"
        )


def remount_readonly(init: Init, path: str) -> None:
    """Make the mount at a path read-only, its other attributes as they are."""
    if init.rootfs >= 0:
        fd = init.inside(path, DIRECTORY)
    else:
        fd = os.open(path, DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.mount_setattr(fd, attr_set=kernel.MOUNT_ATTR_RDONLY)
    finally:
        os.close(fd)
