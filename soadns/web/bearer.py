"""Bearer tokens (RFC 6750) that stand in files."""

from __future__ import annotations

import hmac
from pathlib import Path

from aiohttp import web

from soadns.logs import log

CHALLENGE = {"WWW-Authenticate": "Bearer"}
"""Headers of a 401."""


def bears(request: web.Request, token_file: str) -> bool:
    """Whether a request bears the token of a file. How long it takes does not tell how much of a wrong one is right."""
    try:
        # Read each time: a rotated secret holds at once.
        token = Path(token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        log("bad-token-file", level="error", path=token_file, reason=reason)
        return False
    given = request.headers.get("Authorization", "").encode(
        "utf-8", "surrogateescape"
    )  # as it came over the wire
    return bool(token) and hmac.compare_digest(given, f"Bearer {token}".encode())
