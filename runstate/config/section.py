"""What the classes of the configuration share: names, JSON form, equality, representation.

A section is one object of ``config.json``. Its fields have Python names (``cgroups_path``);
its JSON form has the specification's (``cgroupsPath``). An optional scalar or object that is
absent is None. An optional array or map that is absent is empty: the Go types that every
engine writes with cannot tell the two apart, and neither does this model, so ``[]`` and
``{}`` there, like ``null`` anywhere optional, are dumped as absent.

One class costs half a millisecond to define, and a command line has ten. So sections live in
modules of what is used together, nothing here imports them, and annotations stay strings,
which the loader reads as they are: evaluating them would import every module. Equality and
representation are written once, here, rather than generated for each class.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import NOTHING, Attribute, field, fields, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

# The schema's integers; the loader enforces their ranges (structuring.INTEGERS).
Int32: TypeAlias = int
Int64: TypeAlias = int
UInt16: TypeAlias = int
UInt32: TypeAlias = int
UInt64: TypeAlias = int
FileMode: TypeAlias = int

MODULES = {
    "Config": "spec",
    "Mount": "spec",
    "Root": "spec",
    "Capabilities": "process",
    "Process": "process",
    "Rlimit": "process",
    "User": "process",
    "Device": "linux",
    "IDMapping": "linux",
    "Linux": "linux",
    "Namespace": "linux",
    "CPU": "resources",
    "DeviceCgroup": "resources",
    "Memory": "resources",
    "Pids": "resources",
    "Resources": "resources",
    "BlockIO": "controllers",
    "HugepageLimit": "controllers",
    "InterfacePriority": "controllers",
    "Network": "controllers",
    "Rdma": "controllers",
    "ThrottleDevice": "controllers",
    "WeightDevice": "controllers",
    "Hook": "hooks",
    "Hooks": "hooks",
    "ContainerNetwork": "networks",
    "Route": "networks",
    "Seccomp": "seccomp",
    "Syscall": "seccomp",
    "SyscallArg": "seccomp",
    "ConsoleSize": "tuning",
    "ExecCPUAffinity": "tuning",
    "IOPriority": "tuning",
    "IntelRdt": "tuning",
    "MemoryPolicy": "tuning",
    "NetDevice": "tuning",
    "Personality": "tuning",
    "Scheduler": "tuning",
    "TimeOffset": "tuning",
}
"""The module of each section's class."""

_UPPER_CASE = {"cpu": "CPU", "id": "ID", "io": "IO", "iops": "IOPS", "oom": "OOM", "tcp": "TCP"}
_SCALARS = frozenset({str, int, bool})


def section_class(name: str) -> type[Section]:
    """The class of this name, importing its module on first use.

    Raises:
        KeyError: No section has this name.
    """
    from importlib import import_module  # noqa: PLC0415 - not needed once it is imported

    module = import_module(f"runstate.config.{MODULES[name]}")
    found: type[Section] = getattr(module, name)
    return found


def json_name(field: str) -> str:
    """The specification's name of a field: ``cgroups_path`` is ``cgroupsPath``."""
    first, *rest = field.rstrip("_").split("_")
    return first + "".join(_UPPER_CASE.get(word) or word.capitalize() for word in rest)


def elements(value: Iterable[Any]) -> tuple[Any, ...]:
    """Let an array be given as any list and be kept as a tuple.

    Whatever is neither is kept as it is, for the loader to name with its path: making a
    tuple of a string would hide the mistake in its letters.
    """
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]


@frozen(eq=False, repr=False)
class Section:
    """One object of the configuration: an immutable value, equal by its properties.

    Not hashable: a section holds maps.

    Attributes:
        extra: The properties that the model does not know, as they were read. The
            specification (config.md, Extensibility) forbids to refuse them; they are dumped
            again where they were.
    """

    extra: dict[str, Any] = field(factory=dict, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, made of new dicts and lists; what is absent is left out."""
        found = layout(type(self))
        result = {}
        for (_, key, omit_empty), value in zip(found.properties, found.values(self), strict=False):
            if value is None or (omit_empty and not value):
                continue
            result[key] = value if type(value) in _SCALARS else _json_form(value)
        for key, value in self.extra.items():
            result.setdefault(key, _json_form(value))
        return result

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The section that this JSON form describes.

        Raises:
            ConfigInvalid: With all problems: wrong types, numbers out of range, what is missing.
        """
        from runstate.config.structuring import structure  # noqa: PLC0415 - imports cattrs

        return structure(cls, data)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The section that this JSON text (UTF-8 where it is bytes) describes.

        Raises:
            ConfigInvalid: The text is not JSON, with line and column; or as `from_dict` does.
        """
        from runstate.config.loading import parse  # noqa: PLC0415 - imports cattrs

        return cls.from_dict(parse(text))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Section):
            return NotImplemented
        values = layout(type(self)).values
        return values(self) == values(other) and self.extra == other.extra

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        found = layout(type(self))
        shown = [
            f"{name}={value!r}"
            for (name, _, omit_empty), value in zip(
                found.properties, found.values(self), strict=False
            )
            if not (value is None or (omit_empty and not value))
        ]
        if self.extra:
            shown.append(f"extra={self.extra!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def known_fields(cls: type[Section]) -> list[Attribute[Any]]:
    """The fields that are properties of the specification: all but ``extra``."""
    return [a for a in fields(cls) if a.name != "extra"]


class _Layout:
    """How a class is walked.

    Attributes:
        properties: For each field but ``extra``: its name, its JSON name, and whether it is
            an array or map for which empty means absent.
        values: Reads these fields' values all at once.
    """

    __slots__ = ("properties", "values")

    def __init__(self, cls: type[Section]) -> None:
        known = known_fields(cls)
        self.properties = tuple(
            (a.name, json_name(a.name), a.default is not None and a.default is not NOTHING)
            for a in known
        )
        names = [a.name for a in known]
        read = attrgetter(*names)
        # attrgetter gives a bare value, not a tuple of one, for a single name.
        self.values: Callable[[Section], tuple[Any, ...]] = (
            read if len(names) > 1 else lambda section: (read(section),)
        )


_layouts: dict[type, _Layout] = {}


def layout(cls: type[Section]) -> _Layout:
    """The layout of a class, worked out on its first use."""
    found = _layouts.get(cls)
    if found is None:
        found = _layouts[cls] = _Layout(cls)
    return found


def _json_form(value: Any) -> Any:
    if isinstance(value, Section):
        return value.to_dict()
    if isinstance(value, (tuple, list)):
        return [item if type(item) in _SCALARS else _json_form(item) for item in value]
    if isinstance(value, dict):
        return {key: _json_form(item) for key, item in value.items()}
    return value
