"""Log lines: one event a line, ``key=value`` or JSON, to stderr. No secret, no per-query line.

Standard library only. ``log("event", key=value ...)`` is all there is; other packages' records (aiohttp, asyncio)
pass through the same handler.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Protocol

_BARE = re.compile(r"[^\s\"=\\]+")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_logger = logging.getLogger("soadns")


class Log(Protocol):
    """The shape of :func:`log`."""

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None: ...  # noqa: D102


def log(event: str, *, level: str = "info", **fields: object) -> None:
    """Write one event; None fields are left out."""
    number = LEVELS[level]
    if _logger.isEnabledFor(number):
        _logger.log(number, event, extra={"fields": {k: v for k, v in fields.items() if v is not None}})


class _Formatter(logging.Formatter):
    def __init__(self, render: Callable[[dict[str, object]], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage() if record.name == "soadns" else record.name,
        }
        if record.name != "soadns":
            line["message"] = record.getMessage()
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return self._render(line)


def key_value(fields: dict[str, object]) -> str:
    """``key=value`` pairs; values with spaces, quotes or nothing in them are quoted as JSON strings."""
    return " ".join(f"{key}={_text(value)}" for key, value in fields.items())


def _text(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def configure(level: str, format_: str) -> None:
    """Set up logging of this process. ``format_`` is ``keyvalue`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    render = key_value if format_ == "keyvalue" else _json
    handler.setFormatter(_Formatter(render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(LEVELS[level])


def _json(fields: dict[str, object]) -> str:
    # An InterfaceId is a tuple to JSON; to people it is a name.
    plain = {k: v if isinstance(v, str | int | float) else str(v) for k, v in fields.items()}
    return json.dumps(plain, ensure_ascii=False)
