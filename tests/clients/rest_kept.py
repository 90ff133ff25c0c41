"""The services of ``rest.py``, called over connections that are kept: one for each thread, as ``http.client`` makes it.

A connection lives for as long as it works; its host is looked up when it is made.
"""

from __future__ import annotations

import http.client
import json
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from program import Call, main
from rest import serve


def connect(interface: str, url: str, timeout: float) -> Call:
    address = urlsplit(url)
    mine = threading.local()

    def call(method: str, argument: Any) -> Any:
        if getattr(mine, "connection", None) is None:
            mine.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)
        body = json.dumps(argument).encode()
        try:
            mine.connection.request(
                "POST", f"/{interface}/{method}", body, {"Content-Type": "application/json"}
            )
            answer = mine.connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            mine.connection.close()
            mine.connection = None
            raise
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"HTTP {answer.status}: {said.decode()}")
        return json.loads(said)

    return call


if __name__ == "__main__":
    main(serve, connect)
