"""An etcd in this process, as far as the publisher asks it, that can be made to fail as no real one can be made to.

One member, no history: ``compacted`` refuses to read older revisions. ``before`` and ``after`` are called with the path
of each request, before it is done and before it is answered; what they raise is what the client gets to see.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


class Refusal(Exception):  # noqa: N818 - what etcd says
    """An error of gRPC, as its gateway says it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Hangup(Exception):  # noqa: N818
    """The connection breaks."""


class SmallEtcd:
    """Keys and leases; a context."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, int, int, int]] = {}
        """Key → value, revisions of its creation and last change, lease."""
        self.revision = 1
        self.leases: dict[int, int] = {}
        self.before: Callable[[str, dict[str, Any]], None] = lambda path, body: None
        self.after: Callable[[str, dict[str, Any]], None] = lambda path, body: None
        self.asked: list[str] = []
        app = web.Application()
        app.router.add_post("/v3/{rest:.*}", self._answer)
        self._server = TestServer(app)

    async def __aenter__(self) -> SmallEtcd:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    def put(self, key: str, value: str, lease: int = 0) -> None:
        """As somebody else does."""
        self.revision += 1
        self._put(key, value, lease)

    def delete(self, key: str) -> None:
        self.revision += 1
        del self.keys[key]

    def end(self, lease: int) -> None:
        """A lease is over."""
        self.leases.pop(lease, None)
        self.keys = {key: one for key, one in self.keys.items() if one[3] != lease}

    def held(self, prefix: str) -> dict[str, str]:
        return {key: value for key, (value, *_) in self.keys.items() if key.startswith(prefix)}

    # ------------------------------------------------------------------ requests

    async def _answer(self, request: web.Request) -> web.Response:
        path, body = request.match_info["rest"], await request.json()
        self.asked.append(path)
        try:
            self.before(path, body)
            answer = {
                "kv/range": self._range, "kv/txn": self._transact, "lease/grant": self._grant,
                "lease/keepalive": self._keep_alive, "lease/revoke": self._revoke,
            }[path](body)  # fmt: skip
            self.after(path, body)
        except Refusal as error:
            return web.json_response(
                {"error": str(error), "message": str(error), "code": error.code}, status=400
            )
        except Hangup:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return web.json_response(answer)

    def _header(self) -> dict[str, str]:
        return {"revision": str(self.revision)}

    def _range(self, body: dict[str, Any]) -> dict[str, Any]:
        key, end = _text(body["key"]), _text(body.get("range_end", ""))
        found = sorted(each for each in self.keys if (key <= each < end if end else each == key))
        limit = int(body.get("limit", 0)) or len(found)
        rows = []
        for each in found[:limit]:
            value, created, changed, _ = self.keys[each]
            rows.append(
                {"key": _packed(each), "value": _packed(value), "create_revision": str(created),
                 "mod_revision": str(changed)}
            )  # fmt: skip
        return {"header": self._header(), "kvs": rows, "more": limit < len(found)}

    def _transact(self, body: dict[str, Any]) -> dict[str, Any]:
        branches = (body["compare"], body["success"], body["failure"])
        assert all(len(each) <= 128 for each in branches), "etcdserver: too many operations in txn request"
        held = all(self._compares(each) for each in body["compare"])
        operations = body["success"] if held else body["failure"]
        written = [each for each in operations if "request_range" not in each]
        assert len({str(each) for each in written}) == len(written), "duplicate key given in txn request"
        self.revision += bool(written)
        responses = []
        for operation in operations:
            [(kind, asked)] = operation.items()
            if kind == "request_put":
                self._put(_text(asked["key"]), _text(asked["value"]), int(asked["lease"]))
            elif kind == "request_delete_range":
                self.keys.pop(_text(asked["key"]), None)
            else:
                responses.append({"response_range": self._range(asked)})
        return {"header": self._header(), "succeeded": held, "responses": responses}

    def _compares(self, condition: dict[str, Any]) -> bool:
        _, created, changed, _ = self.keys.get(_text(condition["key"]), ("", 0, 0, 0))
        if condition["target"] == "MOD":
            return changed == int(condition["mod_revision"])
        return created == int(condition["create_revision"])

    def _put(self, key: str, value: str, lease: int) -> None:
        assert not lease or lease in self.leases, "etcdserver: requested lease not found"
        created = self.keys[key][1] if key in self.keys else self.revision
        self.keys[key] = (value, created, self.revision, lease)

    def _grant(self, body: dict[str, Any]) -> dict[str, Any]:
        number = 1_000 + len(self.asked)
        self.leases[number] = int(body["TTL"])
        return {"header": self._header(), "ID": str(number), "TTL": body["TTL"]}

    def _keep_alive(self, body: dict[str, Any]) -> dict[str, Any]:
        # Zero is left out, as the gateway does.
        seconds = self.leases.get(int(body["ID"]))
        return {
            "result": {
                "header": self._header(),
                "ID": body["ID"],
                **({"TTL": str(seconds)} if seconds else {}),
            }
        }

    def _revoke(self, body: dict[str, Any]) -> dict[str, Any]:
        self.end(int(body["ID"]))
        return {"header": self._header()}


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(packed: str) -> str:
    return base64.b64decode(packed).decode()
