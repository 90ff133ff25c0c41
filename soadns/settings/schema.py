"""Plain data → frozen dataclasses, with every problem reported at once and its path named. Pure.

A field's type and metadata are its whole description: ``setting`` builds a field with its documentation, example and
checks, ``convert`` reads data by it, ``reference`` prints it. Keys are camelCase in files, snake_case in
code. The configuration itself is ``soadns.settings.config``; nothing here knows what a key means.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Check = Callable[[Any], str | None]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
DURATION_PATTERN = rf"^({_DURATION.pattern})+$"
"""Of a duration that is written as text."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(float):
    """Seconds; in files ``10m``, ``5s``, ``500ms``, ``1h30m`` or a number of seconds."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file."""

    path: str
    message: str
    example: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text} (for example {self.example})" if self.example else text


def setting(
    doc: str, *, default: Any = MISSING, factory: Any = MISSING, example: str = "", check: Check | None = None
) -> Any:
    """A documented field; without default or factory the key is required."""
    metadata = {"doc": doc, "example": example, "check": check}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    if default is not MISSING:
        return field(default=default, metadata=metadata)
    return field(metadata=metadata)


def camel(name: str) -> str:
    """snake_case → camelCase."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def convert(data: object, kind: type[T], path: str, problems: list[Problem]) -> T | None:
    """Read ``data`` as ``kind``; None and at least one problem where that is impossible.

    A part that is wrong has its default, or nothing, in the value: what the others would be together can then
    be looked at as well. A value that came with problems must not be used for anything else.
    """
    return _value(data, kind, path, problems, "")  # type: ignore[no-any-return]


def _value(data: object, kind: Any, path: str, problems: list[Problem], example: str) -> Any:
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _object(data, kind, path, problems)
    if origin in (Union, types.UnionType):
        inner = [a for a in get_args(kind) if a is not type(None)]
        return None if data is None else _value(data, inner[0], path, problems, example)
    if origin is tuple:
        return _list(data, get_args(kind)[0], path, problems, example)
    return _scalar(data, kind, path, problems, example)


def _list(data: object, kind: Any, path: str, problems: list[Problem], example: str) -> Any:
    if isinstance(data, str) and kind is str:
        data = [data]
    if not isinstance(data, list):
        problems.append(Problem(path, f"expected a list, got {_named(data)}", example))
        return None
    items = (_value(item, kind, f"{path}[{i}]", problems, example) for i, item in enumerate(data))
    return tuple(item for item in items if item is not None)


def _scalar(data: object, kind: Any, path: str, problems: list[Problem], example: str) -> Any:
    if kind is Duration:
        seconds = parse_duration(data)
        if seconds is None:
            problems.append(Problem(path, f"{data!r} is no duration", example or "10m, 5s, 500ms"))
        return seconds
    if kind is bool and isinstance(data, bool):
        return data
    if kind is int and isinstance(data, int) and not isinstance(data, bool):
        return data
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        return float(data)
    if kind is str and isinstance(data, str):
        return data
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    problems.append(Problem(path, f"expected {names[kind]}, got {_named(data)}", example))
    return None


def _object(data: object, kind: Any, path: str, problems: list[Problem]) -> Any:
    if data is None:
        data = {}
    if not isinstance(data, dict):
        problems.append(Problem(path, f"expected a mapping of keys, got {_named(data)}"))
        return None
    hints = get_type_hints(kind)
    known = {camel(f.name): f for f in fields(kind)}
    for name in data.keys() - known.keys():
        near = get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; known keys: {', '.join(known)}"
        problems.append(Problem(_join(path, str(name)), f"unknown key{hint}"))
    values: dict[str, Any] = {}
    for name, item in known.items():
        here = _join(path, name)
        example = item.metadata.get("example", "")
        required = item.default is MISSING and item.default_factory is MISSING
        before = len(problems)
        value = None
        if name in data:
            value = _value(data[name], hints[item.name], here, problems, example)
            check = item.metadata.get("check")
            if check is not None and value is not None and (wrong := check(value)) is not None:
                problems.append(Problem(here, wrong, example))
        elif required:
            problems.append(Problem(here, "is required", example))
        parts = value and is_dataclass(_inner(hints[item.name]))  # of which each has its defaults already
        if value is not None and (parts or len(problems) == before):
            values[item.name] = value
        elif required:
            values[item.name] = _NOTHING[get_origin(hints[item.name]) or hints[item.name]]
    return kind(**values)


_NOTHING: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False, tuple: ()}
"""What stands for a required value that is missing or wrong."""


def parse_duration(data: object) -> Duration | None:
    """Seconds of a duration as written in a file, or None."""
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        return Duration(data) if data >= 0 else None
    if not isinstance(data, str) or not data:
        return None
    parts = _DURATION.findall(data)
    if "".join(number + unit for number, unit in parts) != data:
        return None
    return Duration(sum(float(number) * _UNITS[unit] for number, unit in parts))


def print_duration(seconds: float) -> str:
    """The shortest spelling of a duration."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{seconds:g}s" if seconds >= 1 or not seconds else f"{seconds * 1000:g}ms"


def plain(value: Any) -> Any:
    """A dataclass tree as plain data, camelCase, with durations spelled out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {camel(f.name): plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Duration):
        return print_duration(value)
    return value


def reference(kind: Any, path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(path, type, default, documentation) of every key, in order."""
    hints = get_type_hints(kind)
    for item in fields(kind):
        hint, here = hints[item.name], _join(path, camel(item.name))
        inner = _inner(hint)
        if is_dataclass(inner):
            many = get_origin(hint) is tuple
            yield (here, "list" if many else "section", "", item.metadata.get("doc", ""))
            yield from reference(inner, f"{here}[]" if many else here)
        else:
            doc = item.metadata.get("doc", "")
            example = item.metadata.get("example", "")
            yield (here, _type_name(hint), _default(item), f"{doc} Example: `{example}`." if example else doc)


def _inner(hint: Any) -> Any:
    arguments = [a for a in get_args(hint) if a not in (type(None), Ellipsis)]
    return arguments[0] if arguments else hint


def _type_name(hint: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true/false", Duration: "duration"}
    if get_origin(hint) is tuple:
        return f"list of {names[_inner(hint)]}"
    return names[_inner(hint)]


def _default(item: Field[Any]) -> str:
    if item.default_factory is not MISSING:
        value = item.default_factory()
    elif item.default is MISSING:
        return "required"
    else:
        value = item.default
    value = plain(value)
    if value in ("", [], None):
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _named(data: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true/false", type(None): "nothing"}
    return names.get(type(data), "a number")
