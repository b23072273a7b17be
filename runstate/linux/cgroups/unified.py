"""The config's ``unified``: files of a version 2 cgroup, and what to write to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runstate.errors import ConfigInvalid
from runstate.linux.cgroups.applying import Write
from runstate.linux.cgroups.block_io import NO_THROTTLES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runstate.linux.cgroups.compiling import Compiler

# What takes back a line for one device, by file; other files keep what they are not told of.
_RESETS = {
    "io.max": NO_THROTTLES,
    "io.weight": "default",
    "io.bfq.weight": "default",
    "io.latency": "target=max",
    "rdma.max": "hca_handle=max hca_object=max",
}
_KEY = re.compile(r"\d+:\d+")


def compile_unified(
    compiler: Compiler, files: Mapping[str, str], former: Collection[str] = ()
) -> None:
    """Note what to write; it is left as it is, a line at a time, and comes last.

    What was converted from other properties to a file that is named here is dropped: the
    file's own setting wins.

    Args:
        compiler: With all other writes in it.
        files: The values by file.
        former: Files that an earlier config of this container has named; new limits that come
            to one of these are refused, as they would do nothing.

    Raises:
        ConfigInvalid: A name that no file of a cgroup has.
    """
    directory = compiler.paths.get("")
    kept = []
    for write in compiler.writes:
        of_unified = isinstance(write, Write) and write.directory == directory and not write.key
        if isinstance(write, Write) and of_unified:
            names = {write.file, write.instead.file if write.instead else write.file}
            if not names.isdisjoint(files):
                continue
            for name in names.intersection(former):
                why = "it was set before, and wins over what other properties come to; change it"
                compiler.refuse(("unified", name), why)
        kept.append(write)
    compiler.writes = kept
    for file, value in files.items():
        if "/" in file or "\0" in file or "." not in file:
            raise ConfigInvalid(
                f"linux.resources.unified: {file!r} is no name of a cgroup version 2 file"
            )
        controller = file.partition(".")[0]
        core = controller == "cgroup"
        available = compiler.available
        if directory is None or not (core or available is None or controller in available):
            needed = "hierarchy" if core else f"controller {controller!r}"
            compiler.refuse(
                ("unified", file),
                f"needs the cgroup {needed} of version 2: this host has none",
            )
            continue
        _write(compiler, "" if core else controller, directory, file, value.rstrip("\n"))


def _write(compiler: Compiler, controller: str, directory: str, file: str, value: str) -> None:
    reset = _RESETS.get(file)
    lines = value.split("\n") if reset else [value]
    for line in lines:
        key = line.partition(" ")[0] if reset else ""
        if file != "rdma.max" and not _KEY.fullmatch(key):
            key = ""
        compiler.writes.append(
            Write(
                controller, directory, file, line, key=key, reset=f"{key} {reset}" if key else ""
            )
        )  # fmt: skip
