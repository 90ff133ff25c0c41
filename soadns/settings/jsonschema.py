"""The configuration's keys as a JSON schema, for editors and for Helm. Pure.

It says what a key may be as far as types, words and required keys go; what values may be together, and what a host or a
network looks like, only ``soadns config`` says. So it never refuses what soadns takes.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from soadns.settings.schema import DURATION_PATTERN, Duration, camel
from soadns.settings.values import OneOf

DRAFT = "http://json-schema.org/draft-07/schema#"
"""Which Helm and editors understand alike."""
_SCALARS: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Duration: {"type": ["string", "number"], "pattern": DURATION_PATTERN, "minimum": 0},
}


def json_schema(kind: type) -> dict[str, Any]:
    """The schema of a dataclass of ``setting`` fields: of a whole file, or of a section."""
    hints = get_type_hints(kind)
    properties, required = {}, []
    for item in fields(kind):
        found = _of(hints[item.name], item.metadata["check"])
        properties[camel(item.name)] = {"description": item.metadata["doc"], **found}
        if item.default is MISSING and item.default_factory is MISSING:
            required.append(camel(item.name))
    found = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | ({"required": required} if required else {})


def _of(hint: Any, check: object) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):  # with None, which stands for no value
        [inner] = [each for each in get_args(hint) if each is not type(None)]
        found = _of(inner, check)
        kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
        return found | {"type": [*kinds, "null"]}
    if origin is tuple:
        items = _of(get_args(hint)[0], None)
        one = ["string"] if items["type"] == "string" else []  # a single text is a list of one
        return {"type": ["array", *one] if one else "array", "items": items}
    if is_dataclass(hint) and isinstance(hint, type):
        return json_schema(hint)
    words = {"enum": list(check.words)} if isinstance(check, OneOf) else {}
    return {**_SCALARS[hint], **words}
