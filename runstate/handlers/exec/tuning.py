"""From what few configurations have to operations: scheduling, labels, kernel parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstate.linux.cpu_lists import parse_list
from runstate.linux.operations import labels, sysctl, tuning
from runstate.linux.sysctls import sysctl_path

if TYPE_CHECKING:
    from runstate.config.linux import Linux
    from runstate.linux.operations import Operation

_WITHOUT_PRIORITY = "IOPRIO_CLASS_IDLE"


def compile_tuning(process: Any, linux: Linux | None) -> list[Operation]:
    """Scheduling, priorities and memory, while the process may still do what it likes."""
    plan: list[Operation] = []
    scheduler, io = process.scheduler, process.io_priority
    if scheduler is not None:
        times = (scheduler.runtime or 0, scheduler.deadline or 0, scheduler.period or 0)
        plan.append(
            tuning.set_scheduler(
                scheduler.policy,
                scheduler.flags,
                scheduler.nice or 0,
                scheduler.priority or 0,
                times,
            )
        )
    if io is not None:
        # The kernel has no levels in this class.
        priority = 0 if io.class_ == _WITHOUT_PRIORITY else io.priority or 0
        plan.append(tuning.set_io_priority(io.class_, priority))
    if linux is not None and linux.memory_policy is not None and linux.memory_policy.mode:
        policy = linux.memory_policy
        plan.append(
            tuning.set_memory_policy(
                policy.mode or "", policy.flags, parse_list(policy.nodes or "")
            )
        )
    if linux is not None and linux.personality is not None and linux.personality.domain:
        plan.append(tuning.set_personality(linux.personality.domain))
    return plan


def compile_labels(process: Any) -> list[Operation]:
    """What the security modules are told for the exec."""
    plan = []
    if process.apparmor_profile:
        plan.append(labels.set_apparmor_profile(process.apparmor_profile))
    if process.selinux_label:
        plan.append(labels.set_selinux_label(process.selinux_label))
    return plan


def label_keys(label: str) -> Operation:
    """The label of keys that are made from here on."""
    return labels.label_keys(label)


def compile_sysctls(linux: Linux) -> list[Operation]:
    """The kernel parameters of the container's namespaces, in the configuration's order."""
    return [sysctl.set_sysctl(sysctl_path(name), value) for name, value in linux.sysctl.items()]


def compile_affinity(process: Any) -> tuple[list[Operation], list[Operation]]:
    """The CPUs of a further process: before it is in the container's cgroup, and once it is."""
    affinity = process.exec_cpu_affinity
    if affinity is None:
        return [], []
    initial, final = parse_list(affinity.initial or ""), parse_list(affinity.final or "")
    return (
        [tuning.set_affinity(initial)] if initial else [],
        [tuning.set_affinity(final)] if final or initial else [],
    )
