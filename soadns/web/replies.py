"""How the API answers: JSON with a final newline, and the zone that a request means."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from aiohttp import web


def reply(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON that people can read as well."""
    return web.json_response(body, status=status, headers=headers, dumps=text_of)


def text_of(data: object) -> str:
    """Its text."""
    return json.dumps(data, ensure_ascii=False) + "\n"


def one_zone(request: web.Request, zones: Collection[str]) -> str:
    """The zone that is asked for, or the only one; ``''`` where that is none."""
    name = request.query.get("zone", "").removesuffix(".").lower()
    if not name and len(zones) == 1:
        [name] = zones
    return name if name in zones else ""


def which_zone(request: web.Request, zones: Collection[str]) -> web.Response:
    """The answer to whoever did not say it."""
    name = request.query.get("zone", "").removesuffix(".").lower()
    text = f"no zone {name} here" if name else "which zone"
    return reply({"error": f"{text}: known are {', '.join(zones)}"}, status=404)
