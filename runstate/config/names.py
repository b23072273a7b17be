"""The closed sets of names that properties of the configuration take."""

from __future__ import annotations

RLIMITS = frozenset(
    f"RLIMIT_{name}"
    for name in [
        "AS",
        "CORE",
        "CPU",
        "DATA",
        "FSIZE",
        "LOCKS",
        "MEMLOCK",
        "MSGQUEUE",
        "NICE",
        "NOFILE",
        "NPROC",
        "RSS",
        "RTPRIO",
        "RTTIME",
        "SIGPENDING",
        "STACK",
    ]
)
"""Every resource of getrlimit(2)."""

IO_CLASSES = frozenset({"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"})
SCHEDULER_POLICIES = frozenset(
    f"SCHED_{name}" for name in ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"]
)
SCHEDULER_FLAGS = frozenset(
    f"SCHED_FLAG_{name}"
    for name in [
        "RESET_ON_FORK",
        "RECLAIM",
        "DL_OVERRUN",
        "KEEP_POLICY",
        "KEEP_PARAMS",
        "UTIL_CLAMP_MIN",
        "UTIL_CLAMP_MAX",
    ]
)

NAMESPACES = frozenset({"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"})
CLOCKS = frozenset({"monotonic", "boottime"})
DEVICE_TYPES = frozenset({"c", "b", "u", "p"})
DEVICE_RULE_TYPES = frozenset({"a", "b", "c"})
PROPAGATIONS = frozenset(
    # The schema has those of one mount; engines also write the recursive ones.
    {prefix + name for prefix in ("", "r") for name in ("private", "shared", "slave", "unbindable")}
)

IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in [
        "auto_msgmni",
        "msgmax",
        "msgmnb",
        "msgmni",
        "msg_next_id",
        "sem",
        "sem_next_id",
        "shm_next_id",
        "shm_rmid_forced",
        "shmall",
        "shmmax",
        "shmmni",
    ]
)
"""The parameters that each ipc namespace has of its own (ipc_namespaces(7)), with fs.mqueue's."""

SECCOMP_ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in [
        "KILL",
        "KILL_PROCESS",
        "KILL_THREAD",
        "TRAP",
        "ERRNO",
        "TRACE",
        "ALLOW",
        "LOG",
        "NOTIFY",
    ]
)
SECCOMP_ARCHITECTURES = frozenset(
    f"SCMP_ARCH_{name}"
    for name in [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "LOONGARCH64",
        "M68K",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "SH",
        "SHEB",
        "PARISC",
        "PARISC64",
        "RISCV64",
    ]
)
SECCOMP_FLAGS = frozenset(
    f"SECCOMP_FILTER_FLAG_{name}" for name in ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"]
)
SECCOMP_OPERATORS = frozenset(
    f"SCMP_CMP_{name}" for name in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
)
MEMORY_MODES = frozenset(
    f"MPOL_{name}"
    for name in [
        "DEFAULT",
        "BIND",
        "INTERLEAVE",
        "WEIGHTED_INTERLEAVE",
        "PREFERRED",
        "PREFERRED_MANY",
        "LOCAL",
    ]
)
MEMORY_FLAGS = frozenset(
    f"MPOL_F_{name}" for name in ["NUMA_BALANCING", "RELATIVE_NODES", "STATIC_NODES"]
)
PERSONALITIES = frozenset({"LINUX", "LINUX32"})
