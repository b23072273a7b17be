"""The blkio controller, which is called io in version 2: the config's ``blockIO`` as writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runstate.linux.cgroups.compiling import Compiler

# For each property version 1's file, and version 2's key in io.max.
_THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}
NO_THROTTLES = " ".join(f"{key}=max" for _, key in _THROTTLES.values())
"""What io.max says of a device without any."""


def io_weight(weight: int) -> int:
    """Version 1's blkio.weight (10 to 1000) as version 2's io.weight (1 to 10000), linearly."""
    return 1 + (weight - 10) * 9999 // 990


def compile_block_io(compiler: Compiler, block: Mapping[str, Any]) -> None:
    """Note what to write for these limits."""
    _weights(compiler, block)
    for name, (legacy_file, unified_key) in _THROTTLES.items():
        for index, rule in enumerate(block.get(name) or ()):
            version = compiler.version("blkio", ("blockIO", name, index))
            device, rate = _device(rule), rule["rate"]
            if version == 1:
                compiler.write(
                    "blkio", legacy_file, f"{device} {rate}", key=device, reset=f"{device} 0"
                )
            elif version == 2:
                compiler.write(
                    "blkio", "io.max", f"{device} {unified_key}={rate or 'max'}",
                    key=device, reset=f"{device} {NO_THROTTLES}",
                )  # fmt: skip


def _weights(compiler: Compiler, block: Mapping[str, Any]) -> None:
    weight = block.get("weight")
    version = compiler.version("blkio", ("blockIO", "weight")) if weight else 0
    # Which I/O scheduler gives weights, and so the file's name, is the kernel's choice. BFQ's
    # own has version 1's numbers in both versions.
    if weight and version == 1:
        compiler.write("blkio", "blkio.bfq.weight", weight, instead=("blkio.weight", weight))
    elif weight and version == 2:
        compiler.write("blkio", "io.bfq.weight", weight, instead=("io.weight", io_weight(weight)))
    for index, rule in enumerate(block.get("weightDevice") or ()):
        weight, device = rule.get("weight"), _device(rule)
        version = compiler.version("blkio", ("blockIO", "weightDevice", index)) if weight else 0
        names = ("blkio.bfq.weight_device", "blkio.weight_device")
        if version == 2:
            names = ("io.bfq.weight", "io.weight")
        if version:
            other = weight if version == 1 else io_weight(weight)
            compiler.write(
                "blkio", names[0], f"{device} {weight}", key=device, reset=f"{device} default",
                instead=(names[1], f"{device} {other}"),
            )  # fmt: skip


def _device(rule: Mapping[str, Any]) -> str:
    return f"{rule['major']}:{rule['minor']}"
