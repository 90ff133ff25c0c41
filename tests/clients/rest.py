"""Services over HTTP: ``POST /<interface>/<method>`` with the argument as JSON, answered as JSON.

A call is a connection of its own, as ``urllib`` makes it, so each call looks its host up (``rest_kept.py`` keeps them).
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from program import Call, Desk, main


class Server(ThreadingHTTPServer):
    request_queue_size = 128


def serve(desk: Desk, address: str, port: int) -> Callable[[], None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = (
            True  # head and body go apart, and who keeps a connection would wait between them
        )

        def do_POST(self) -> None:
            argument = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            _, _, rest = self.path.partition("/")
            interface, _, method = rest.partition("/")
            with desk.busy():
                try:
                    self._say(200, desk.answer(interface, method, argument))
                except LookupError as error:
                    self._say(404, str(error))

        def _say(self, status: int, what: Any) -> None:
            body = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = Server((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.shutdown


def connect(interface: str, url: str, timeout: float) -> Call:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(method: str, argument: Any) -> Any:
        body = json.dumps(argument).encode()
        request = urllib.request.Request(f"{url.rstrip('/')}/{interface}/{method}", data=body)
        request.add_header("Content-Type", "application/json")
        try:
            with opener.open(request, timeout=timeout) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"HTTP {error.code}: {error.read().decode()}") from None

    return call


if __name__ == "__main__":
    main(serve, connect)
