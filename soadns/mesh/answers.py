"""What an API server answers, or whatever stands before it: JSON objects, and nothing else is taken for one. Pure."""

from __future__ import annotations

import json
from typing import Any

from soadns import jsondepth


def read(body: bytes) -> dict[str, Any]:
    """A JSON object; what of it lies too deep is null. Raises ValueError for everything else."""
    try:
        found = json.loads(body)
    except RecursionError:
        found = json.loads(jsondepth.cut(body))
    return mapping(found, "the answer")


def mapping(found: object, what: str) -> dict[str, Any]:
    """What must be a JSON object. Raises ValueError."""
    if not isinstance(found, dict):
        raise ValueError(f"{what} is no JSON object")
    return found


def metadata(found: dict[str, Any]) -> dict[str, Any]:
    """What an object, or a list of them, says of itself. Raises ValueError where it does not."""
    return mapping(found.get("metadata"), "metadata")


def version(found: dict[str, Any]) -> str:
    """The resourceVersion that every object and list has. Raises ValueError where there is none."""
    if not isinstance(said := metadata(found).get("resourceVersion"), str) or not said:
        raise ValueError("there is no metadata.resourceVersion")
    return said
