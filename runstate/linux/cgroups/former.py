"""What a cgroup has before an update, and putting it back.

The kernel tells most of it. It does not tell the exceptions from a default to allow devices, nor
any rules for devices of version 2: these are the rules of the container's saved config.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

from attrs import evolve

from runstate.errors import OperationFailed
from runstate.linux.cgroups.applying import DeviceFilter, DeviceList, Write, perform, write_lines
from runstate.linux.cgroups.devices import reduce_rules
from runstate.linux.cgroups.files import read_all, read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# In the place of a file's name: the value is JSON, the rules for devices as the config has them.
_DEVICES = "devices"

# Files that can only be written to, as cgroup.kill and memory.reclaim.
_UNREADABLE = frozenset({errno.EINVAL, errno.EACCES, errno.EPERM})
_WEIGHTS = ("cpu.shares", "cpu.weight")


def read_former(
    effects: Iterable[Write | DeviceFilter | DeviceList],
    device_rules: Iterable[Mapping[str, Any]],
) -> dict[str, str]:
    """What to write to be where we are before these effects, by path, a line for each write.

    Args:
        effects: What is going to be changed.
        device_rules: Of the container as it is.

    Raises:
        OperationFailed: The kernel refuses to tell.
    """
    found: dict[str, str] = {}
    for effect in effects:
        if isinstance(effect, Write):
            _remember(found, effect)
        else:
            rules = list(device_rules)
            if isinstance(effect, DeviceList):
                rules = _listed(effect.directory, rules)
            found[f"{effect.directory}/{_DEVICES}"] = json.dumps(rules)
    return found


def _remember(found: dict[str, str], write: Write) -> None:
    setting: Write | None = write
    while setting is not None:
        path = f"{setting.directory}/{setting.file}"
        try:
            text = read_all(path).rstrip("\n")
        except FileNotFoundError:
            setting = setting.instead
            continue
        except OSError as error:
            if error.errno in _UNREADABLE:
                return
            raise OperationFailed.from_os_error(f"read {path}", error) from error
        if setting.key:
            text = _entry(text, setting)
        elif setting.file == "memory.oom_control":
            text = text.split()[1]  # after oom_kill_disable; the rest is not for writing
        lines = found[path].split("\n") if path in found else []
        found[path] = "\n".join(dict.fromkeys([*lines, *text.split("\n")]))
        return


def _entry(text: str, write: Write) -> str:
    for line in text.split("\n"):
        words = line.split()
        if words and words[0] == write.key:
            return " ".join(words)
    return write.reset


def _listed(directory: str, saved: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    from runstate.linux.cgroups.device_list import ALLOWS_ALL, read_list  # noqa: PLC0415

    try:
        lines = read_list(directory)
    except OSError as error:
        raise OperationFailed.from_os_error(
            f"read devices.list of cgroup {directory}", error
        ) from error
    if ALLOWS_ALL in lines:
        return saved if saved and reduce_rules(saved)[0] else [{"allow": True}]
    return [{"allow": False}, *map(_rule, lines)]


def _rule(line: str) -> dict[str, Any]:
    kind, numbers, access = line.split(" ")
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    for name, number in zip(("major", "minor"), numbers.split(":"), strict=True):
        if number != "*":
            rule[name] = int(number)
    return rule


def restore_former(values: Mapping[str, str]) -> None:
    """Write back what :func:`read_former` has told; a cgroup that is gone needs nothing.

    Raises:
        OperationFailed: The kernel refuses.
    """
    refused = []
    for path, value in values.items():
        directory, _, file = path.rpartition("/")
        if file == _DEVICES:
            _restore_devices(directory, json.loads(value))
            continue
        if file in _WEIGHTS and values.get(f"{directory}/cpu.idle") == "1":
            continue  # the weight of what is idle is the kernel's choice
        write = Write("", directory, file, value)
        try:
            write_lines(write)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.ENOSPC and not value and file.startswith("cpuset."):
                # Where processes are, version 2 takes no empty list back, which means the
                # parent's.
                write = evolve(write, value=_of_parent(directory, file))
            # Of two limits that are checked against each other the other has to be first.
            refused.append(write)
    perform(refused)


def _of_parent(directory: str, file: str) -> str:
    path = f"{os.path.dirname(directory)}/{file}.effective"
    try:
        return read_value(path)
    except OSError as error:
        raise OperationFailed.from_os_error(f"read {path}", error) from error


def _restore_devices(directory: str, rules: list[Mapping[str, Any]]) -> None:
    if not os.path.isdir(directory):
        return
    if os.path.exists(f"{directory}/devices.list"):
        perform([DeviceList(directory, *reduce_rules(rules))])
    elif rules:
        perform([DeviceFilter(directory, tuple(rules))])
    else:
        from runstate.linux.cgroups import device_filter  # noqa: PLC0415

        device_filter.put(directory, None)
