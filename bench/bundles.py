"""The bundles that all contenders run: one rootfs, and a config for each program.

The config is what ``runc spec`` writes, without the terminal.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from attrs import frozen

from bench.host import require
from runstate.config.defaults import spec

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAMS = ("cat", "echo", "sh", "sleep", "true")


@frozen
class Bundles:
    """Directories with a config.json each.

    Attributes:
        true: Runs /bin/true.
        echo: Writes one line, and ends.
        sleep: Runs until it is killed.
    """

    true: str
    echo: str
    sleep: str


def make(directory: str) -> Bundles:
    """Make them below a directory."""
    rootfs = f"{directory}/rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        os.makedirs(f"{rootfs}/{name}")
    shutil.copy2(require("busybox"), f"{rootfs}/bin/busybox")
    for name in _PROGRAMS:
        os.symlink("busybox", f"{rootfs}/bin/{name}")
    return Bundles(
        _bundle(directory, rootfs, ["/bin/true"]),
        _bundle(directory, rootfs, ["/bin/echo", "started"]),
        _bundle(directory, rootfs, ["/bin/sleep", "3600"]),
    )


def _bundle(directory: str, rootfs: str, args: Sequence[str]) -> str:
    bundle = f"{directory}/{os.path.basename(args[0])}"
    os.mkdir(bundle)
    config = spec().to_dict()
    config["ociVersion"] = "1.0.2"  # what the oldest of the peers knows
    config["root"]["path"] = rootfs
    config["process"].update(args=list(args), terminal=False)
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    return bundle
