"""The sizes of huge pages that this host has, in the names of the hugetlb controller's files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runstate.linux.cgroups.compiling import Property

_DIRECTORY = "/sys/kernel/mm/hugepages"


def page_sizes() -> list[str]:
    """The sizes, as ``2MB`` and ``1GB``; none where the kernel has no huge pages."""
    try:
        names = os.listdir(_DIRECTORY)
    except FileNotFoundError:
        return []
    kilobytes = sorted(int(name[len("hugepages-") : -len("kB")]) for name in names)
    return [_spell(size) for size in kilobytes]


def _spell(kilobytes: int) -> str:
    # As mem_fmt in mm/hugetlb_cgroup.c.
    if kilobytes >= 1 << 20:
        return f"{kilobytes >> 20}GB"
    return f"{kilobytes >> 10}MB" if kilobytes >= 1 << 10 else f"{kilobytes}KB"


def unknown_sizes(limits: Iterable[Mapping[str, Any]]) -> list[tuple[Property, str]]:
    """The limits for pages of a size that this host does not have."""
    sizes = page_sizes()
    known = ", ".join(sizes) or "none"
    return [
        (
            ("hugepageLimits", index, "pageSize"),
            f"expected a size of this host's huge pages ({known}), got {limit['pageSize']!r}",
        )
        for index, limit in enumerate(limits)
        if limit["pageSize"] not in sizes
    ]
