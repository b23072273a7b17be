"""The filesystem handler ``bundle``: the rootfs is the config's ``root.path``."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attrs import frozen

from runstate.errors import ConfigInvalid
from runstate.handlers.contract import HandlerContext, Substate
from runstate.handlers.fs.devices import left_out, missing_devices
from runstate.handlers.fs.mounts import check_mounts, prepare_mounts
from runstate.handlers.fs.rootfs import compile_rootfs
from runstate.linux import operations

if TYPE_CHECKING:
    from runstate.linux.operations import Operation


@frozen
class BundleOptions:
    """What is saved.

    Attributes:
        rootfs: The rootfs's absolute path on the host.
    """

    rootfs: str


class BundleFilesystem:
    """Mounts are made in the container's mount namespace, and end with it."""

    options_type = BundleOptions

    def check(self, context: HandlerContext) -> list[str]:
        """Problems that can be seen before anything is made."""
        return [
            *_wrong_root(context),
            *missing_devices(context.config),
            *check_mounts(context),
        ]

    def notices(self, context: HandlerContext) -> list[str]:
        """What the devices do not have, in a user namespace."""
        return left_out(context.config)

    def create(self, context: HandlerContext) -> Substate:
        """Fix the rootfs's path; nothing has to be made on the host."""
        problems = self.check(context)
        if problems:
            raise ConfigInvalid(problems[0], problems)
        prepared = prepare_mounts(context)
        return Substate(BundleOptions(self._rootfs(context)), prepared)

    def run(self, context: HandlerContext) -> Substate:
        """The mounts, for init to make."""
        return Substate(context.substates["fs"].options, operations=self.preview(context))

    def preview(self, context: HandlerContext) -> tuple[Operation, ...]:
        """The operations of ``run``."""
        rootfs = self._rootfs(context)
        return compile_rootfs(context, rootfs, [operations.bind_rootfs(rootfs)])

    def destroy(self, context: HandlerContext) -> Substate:
        """Nothing of ours is on the host; the rootfs is the user's."""
        return context.substates.get("fs", Substate(None))

    @staticmethod
    def _rootfs(context: HandlerContext) -> str:
        root = context.config.root
        path = root.path if root is not None else ""
        # runc, too, wants no symlink in the way: it could change between check and use.
        return os.path.realpath(os.path.join(context.bundle, path))


def _wrong_root(context: HandlerContext) -> list[str]:
    root = context.config.root
    if root is None:
        return ["$.root: required, but missing: a container needs a root filesystem"]
    path = os.path.join(context.bundle, root.path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return [f"$.root.path: {path!r}: {error.strerror}; expected the rootfs's directory"]
    if not stat.S_ISDIR(mode):
        return [f"$.root.path: {path!r} is not a directory"]
    if os.path.realpath(path) == "/":
        return [f"$.root.path: {path!r} is the host's own root; say '/' to have it as a layer"]
    return []
