"""Which of procfs's files something else may be mounted on."""

from __future__ import annotations

EMULATED = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime",
        "sys/crypto/fips_enabled", "sys/kernel/ns_last_pid",
    )
)  # fmt: skip
"""Those that lxcfs emulates, and others that tell nothing but numbers; runc allows the same."""
