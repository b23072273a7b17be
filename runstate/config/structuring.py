"""From JSON's values to the configuration's classes, strictly, with every problem at once.

cattrs generates one structuring function for each class, on the class's first use; what it
calls for each property is made here from the property's annotation, which stays the string
that it is in the source (see :mod:`runstate.config.section`). Nothing is coerced: ``"5"`` is
not a number, ``true`` is not 1, ``5.0`` is not an integer. null stands for absent, as it
does for the Go programs that write these files, and so is refused only where a value is
required.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from weakref import WeakValueDictionary

from cattrs import ClassValidationError, Converter
from cattrs.errors import AttributeValidationNote
from cattrs.gen import make_dict_structure_fn_from_attrs, override

from runstate.config.problems import MISSING, json_path, refusal, unexpected
from runstate.config.section import MODULES, Section, json_name, known_fields, section_class
from runstate.config.spec import Config

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[Any, Any], Any]

INTEGERS = {
    "Int32": (-(2**31), 2**31 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt16": (0, 2**16 - 1),
    "UInt32": (0, 2**32 - 1),
    "UInt64": (0, 2**64 - 1),
    # The schema's are 9 bits; podman writes all of st_mode, the file's type too.
    "FileMode": (0, 0o177777),
}
"""The ranges of the schema's integers, by their names in :mod:`runstate.config.section`."""

DEPTH_LIMIT = 64
"""How deep properties that the model does not know may nest."""

_S = TypeVar("_S", bound=Section)


class _Misfit(Exception):
    """Problems in a value, as pairs of the path within it and the words."""

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__()
        self.problems = problems

    def within(self, part: str | int) -> list[tuple[tuple[str | int, ...], str]]:
        return [((part, *path), words) for path, words in self.problems]


def _misfit(value: Any, expected: str) -> NoReturn:
    raise _Misfit([((), unexpected(value, expected))])


# --- one value ----------------------------------------------------------------------------


def _text(value: Any, _: Any) -> str:
    if type(value) is not str:
        if not isinstance(value, str):
            _misfit(value, "a string")
        value = str.__str__(value)  # a plain one: JSON has no enumerations
    if "\0" in value:
        _misfit(value, "a string without NUL bytes (the kernel's strings end there)")
    if not value.isascii():
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            _misfit(value, "a string that is valid Unicode")
    return cast("str", value)


def _boolean(value: Any, _: Any) -> bool:
    if value is not True and value is not False:
        _misfit(value, "true or false")
    return value


def _integer_hook(name: str) -> Hook:
    low, high = INTEGERS[name]

    def integer(value: Any, _: Any) -> int:
        if type(value) is not int:
            if not isinstance(value, int) or isinstance(value, bool):
                _misfit(value, "an integer")
            value = int.__int__(value)
        if not low <= value <= high:
            _misfit(value, f"an integer from {low} to {high}")
        return cast("int", value)

    return integer


def _plain(value: Any, _: Any = None, depth: int = 0) -> Any:
    """A copy of a value that the model does not know."""
    if value is None or value is True or value is False or type(value) is int:
        return value
    if isinstance(value, str):
        return _text(value, None)
    if isinstance(value, float):
        if value - value != 0:  # NaN or an infinity
            _misfit(value, "a number that JSON has")
        return value
    if not isinstance(value, (dict, list, tuple)):
        _misfit(value, "what JSON can hold")
    if depth >= DEPTH_LIMIT:  # what contains itself gets here as well
        _misfit(value, f"at most {DEPTH_LIMIT} levels of nesting")
    problems: list[tuple[tuple[str | int, ...], str]] = []
    named = isinstance(value, dict)
    copy: Any = {} if named else [None] * len(value)
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in entries:
        try:
            if named:
                _text(key, None)
            # Asking here spares a call for most of what there can be.
            copy[key] = item if type(item) in _AS_THEY_ARE else _plain(item, None, depth + 1)
        except _Misfit as misfit:
            problems += misfit.within(key if isinstance(key, (str, int)) else repr(type(key)))
    if problems:
        raise _Misfit(problems)
    return copy


_AS_THEY_ARE = frozenset({int, bool, type(None)})


# --- many values --------------------------------------------------------------------------


def _items(values: list[Any] | tuple[Any, ...], hook: Hook) -> tuple[Any, ...]:
    problems = []
    result = []
    for index, value in enumerate(values):
        try:
            result.append(hook(value, None))
        except _Misfit as misfit:
            problems += misfit.within(index)
    if problems:
        raise _Misfit(problems)
    return tuple(result)


def _mapping(values: dict[Any, Any], hook: Hook) -> dict[str, Any]:
    problems = []
    result = {}
    for key, value in values.items():
        try:
            result[_text(key, None)] = hook(value, None)
        except _Misfit as misfit:
            problems += misfit.within(key if isinstance(key, str) else repr(type(key)))
    if problems:
        raise _Misfit(problems)
    return result


def _array_hook(item: Hook, expected: str) -> Hook:
    def array(values: Any, _: Any) -> tuple[Any, ...]:
        if values is None:
            return ()
        if not isinstance(values, (list, tuple)):
            _misfit(values, expected)
        return _items(values, item)

    return array


def _strings(values: Any, _: Any) -> tuple[str, ...]:
    """An array of strings: all of them looked at as one where nothing is wrong."""
    if isinstance(values, (list, tuple)):
        try:
            whole = "".join(values)
        except TypeError:
            whole = "\0"
        if whole.isascii() and "\0" not in whole:
            return tuple(values)
    return cast("tuple[str, ...]", _each_string(values, None))


_each_string = _array_hook(_text, "an array of strings")


def _mapping_hook(item: Hook) -> Hook:
    def mapping(values: Any, _: Any) -> dict[str, Any]:
        if values is None:
            return {}
        if not isinstance(values, dict):
            _misfit(values, "an object")
        return _mapping(values, item)

    return mapping


# --- the hook of an annotation ------------------------------------------------------------

_hooks: dict[str, Hook] = {"str": _text, "bool": _boolean, "Any": _plain}


def _hook_for(annotation: str) -> Hook:
    """What structures a property with this annotation, written as the sections' are."""
    found = _hooks.get(annotation)
    if found is None:
        found = _hooks[annotation] = _make_hook(annotation)
    return found


def _make_hook(annotation: str) -> Hook:
    if annotation.endswith(" | None"):
        inner = _hook_for(annotation.removesuffix(" | None"))
        return lambda value, _: None if value is None else inner(value, None)
    if annotation.startswith("tuple["):
        of = annotation.removeprefix("tuple[").removesuffix(", ...]")
        if of == "str":
            return _strings
        kind = "integers" if of in INTEGERS else "objects"
        return _array_hook(_hook_for(of), f"an array of {kind}")
    if annotation.startswith("dict[str, "):
        return _mapping_hook(_hook_for(annotation.removeprefix("dict[str, ").removesuffix("]")))
    if annotation in INTEGERS:
        return _integer_hook(annotation)
    return _section_reference(annotation)


def _section_reference(name: str) -> Hook:
    """Structures a section whose class need not be imported before its first use."""
    if name not in MODULES:
        raise LookupError(f"no section, and no type of JSON, is called {name}")
    hook: Hook | None = None

    def structure_section(value: Any, _: Any) -> Any:
        nonlocal hook
        if hook is None:
            hook = _converter.get_structure_hook(section_class(name))
        return hook(value, None)

    return structure_section


# --- sections -----------------------------------------------------------------------------


def _structure_hook(cls: type[Section]) -> Hook:
    """The structuring function of a class: what cattrs generates, and unknown properties."""
    fields = known_fields(cls)
    overrides: dict[str, Any] = {
        a.name: override(rename=json_name(a.name), struct_hook=_hook_for(cast("str", a.type)))
        for a in fields
    }
    generated = cast(
        "Hook",
        make_dict_structure_fn_from_attrs(
            fields, cls, _converter, _cattrs_use_linecache=False, **overrides
        ),
    )
    known = frozenset(json_name(a.name) for a in fields)

    def structure_section(value: Any, _: Any) -> Section:
        if not isinstance(value, dict):
            _misfit(value, "an object")
        problems: list[tuple[tuple[str | int, ...], str]] = []
        extra = {}
        if not value.keys() <= known:
            try:
                extra = _mapping({k: value[k] for k in value if k not in known}, _plain)
            except _Misfit as misfit:
                problems = misfit.problems
        try:
            section = cast("Section", generated(value, cls))
        except ClassValidationError as group:
            raise _Misfit(_flatten(group) + problems) from None
        if problems:
            raise _Misfit(problems)
        if extra:
            section.extra.update(extra)
            _report_unknown(cls, extra)
        return section

    return structure_section


def _flatten(group: ClassValidationError) -> list[tuple[tuple[str | int, ...], str]]:
    """The problems of a section's properties, out of what cattrs collected."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for error in group.exceptions:
        notes = getattr(error, "__notes__", ())
        field = next((n.name for n in notes if isinstance(n, AttributeValidationNote)), None)
        if field is None or not isinstance(error, (_Misfit, KeyError)):
            raise error  # not about the value: a fault of ours, or no stack left
        if isinstance(error, _Misfit):
            problems += error.within(json_name(field))
        else:
            problems.append(((json_name(field),), MISSING))
    return problems


def _report_unknown(cls: type[Section], extra: dict[str, Any]) -> None:
    import logging  # noqa: PLC0415 - few configurations need it

    logging.getLogger("runstate.config").debug(
        "%s: unknown properties, kept in `extra` and otherwise ignored: %s",
        cls.__name__,
        ", ".join(map(ascii, extra)),
    )


_converter = Converter(detailed_validation=True)
_converter.register_structure_hook_factory(
    lambda cls: isinstance(cls, type) and issubclass(cls, Section), _structure_hook
)

# The configurations whose types are right, by id; an entry goes with its configuration.
_checked: WeakValueDictionary[int, Config] = WeakValueDictionary()


def is_checked(config: Config) -> bool:
    """Whether the types in a configuration are known to be right."""
    return _checked.get(id(config)) is config


def set_checked(config: Config) -> None:
    """Remember that the types in a configuration are right, as long as it lives."""
    _checked[id(config)] = config


def structure(cls: type[_S], data: Any, subject: str = "", *, rules: bool = False) -> _S:
    """The section that a JSON form describes.

    Args:
        cls: The section's class.
        data: What :func:`json.loads` gives.
        subject: Whose problems they will be, to start the error's message with.
        rules: Whether an error shall also tell which rules are broken; only a configuration
            and a process have some.

    Raises:
        ConfigInvalid: With all problems.
    """
    subject = subject or f"the {'configuration' if cls is Config else cls.__name__}"
    data = _as_dict(data)
    section, problems = try_to_structure(cls, data)
    if section is None:
        if rules and isinstance(data, dict):
            from runstate.config import reporting  # noqa: PLC0415 - something is wrong

            rest_of = reporting.rest_of if cls is Config else reporting.rest_of_process
            _, problems = rest_of(data, problems)
        raise refusal(problems, subject)
    if isinstance(section, Config):
        set_checked(section)
    return section


def try_to_structure(cls: type[_S], data: Any) -> tuple[_S | None, list[str]]:
    """The section that a JSON form describes, or else all its problems."""
    try:
        return cast("_S", _converter.get_structure_hook(cls)(data, cls)), []
    except _Misfit as misfit:
        return None, [f"{json_path(path)}: {words}" for path, words in misfit.problems]
    except RecursionError:
        return None, ["$: nested too deeply for the stack that is left"]


def _as_dict(data: Any) -> Any:
    return dict(data) if not isinstance(data, dict) and isinstance(data, Mapping) else data
