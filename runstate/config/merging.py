"""New limits over old ones: what ``update`` means for ``linux.resources``, in its JSON form.

What is not named stays. Engines name everything, and write zero or an empty string for what
they leave alone: these are no values where the runtime takes them for none anyway. Lists of
devices, page sizes and interfaces are merged by what their entries are about; the rules of the
devices controller, whose order matters, are replaced as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Properties for which zero means "leave as it is".
_ZERO_IS_UNSET = frozenset(
    {
        ("memory", "limit"), ("memory", "reservation"), ("memory", "swap"), ("memory", "kernel"),
        ("memory", "kernelTCP"), ("cpu", "shares"), ("cpu", "quota"), ("cpu", "period"),
        ("cpu", "realtimeRuntime"), ("cpu", "realtimePeriod"), ("blockIO", "weight"),
        ("blockIO", "leafWeight"), ("network", "classID"),
    }
)  # fmt: skip

# What entries of a list are about.
_KEYS = (("major", "minor"), ("pageSize",), ("name",))

# The kernel, or version 2, takes these together: whoever changes one has to know the others.
_TOGETHER = {
    "memory": (frozenset({"limit", "swap", "checkBeforeUpdate"}),),
    "cpu": (
        frozenset({"quota", "period", "burst"}),
        frozenset({"shares", "idle"}),
        frozenset({"realtimeRuntime", "realtimePeriod"}),
    ),
}


def merge_resources(saved: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """All limits of a container once new ones are applied.

    Args:
        saved: Its ``linux.resources``.
        new: What ``update`` was given.
    """
    merged = dict(saved)
    for name, value in new.items():
        former = merged.get(name)
        if value is None:
            continue
        if isinstance(value, dict):
            merged[name] = _merge_section(name, former or {}, value)
        elif isinstance(value, list) and name != "devices":
            merged[name] = _merge_list(former or [], value)
        elif value or name not in merged:
            merged[name] = value
    return merged


def completed(saved: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new limits, with the old ones that have to be set along with them."""
    merged = merge_resources(saved, new)
    whole = dict(new)
    for name, groups in _TOGETHER.items():
        section = new.get(name)
        if not section:
            continue
        named = {key for key in section if not _is_unset(name, key, section[key])}
        wanted = named.union(*(group for group in groups if group & named))
        whole[name] = {key: value for key, value in merged[name].items() if key in wanted}
    return whole


def _merge_section(
    name: str, former: Mapping[str, Any], section: Mapping[str, Any]
) -> dict[str, Any]:
    merged = dict(former)
    for key, value in section.items():
        if _is_unset(name, key, value):
            continue
        if isinstance(value, list):
            merged[key] = _merge_list(merged.get(key) or [], value)
        elif isinstance(value, dict):
            merged[key] = {**(merged.get(key) or {}), **value}
        else:
            merged[key] = value
    return merged


def _is_unset(section: str, key: str, value: Any) -> bool:
    return (
        value is None
        or (value == 0 and (section, key) in _ZERO_IS_UNSET)
        or (value == "" and section == "cpu")
    )


def _merge_list(former: list[Any], new: list[Any]) -> list[Any]:
    merged = {_about(entry): entry for entry in former}
    for entry in new:
        about = _about(entry)
        known = merged.get(about)
        merged[about] = {**known, **entry} if isinstance(known, dict) else entry
    return list(merged.values())


def _about(entry: Any) -> Any:
    for keys in _KEYS:
        if isinstance(entry, dict) and all(key in entry for key in keys):
            return tuple(entry[key] for key in keys)
    return repr(entry)
