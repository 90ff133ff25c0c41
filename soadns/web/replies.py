"""How the API reads and answers: JSON, with a final newline, and the zone that a request means."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from aiohttp import web

from soadns.web.operations import Refused


def reply(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON that people can read as well."""
    return web.json_response(body, status=status, headers=headers, dumps=text_of)


def text_of(data: object) -> str:
    """Its text."""
    return json.dumps(data, ensure_ascii=False) + "\n"


def parsed(octets: bytes) -> object:
    """The JSON of a request. Raises Refused, also where a text is no Unicode: no answer could repeat it."""
    try:
        found = json.loads(octets)
        text_of(found).encode()
    except UnicodeEncodeError:
        raise Refused("the body holds half of a surrogate pair: no text is written so") from None
    except (ValueError, RecursionError):
        raise Refused("the body is no JSON") from None
    return found


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
