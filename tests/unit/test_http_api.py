"""Who may ask the HTTP API, and what comes back when something is wrong: asked over real connections."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from soadns.binding.estate import Estate
from soadns.model import Trouble
from soadns.web.api import at_home
from tests.unit.demo_process import DemoProcess
from tests.unit.http_site import ask, site

AT_HOME = """
peer        own address  Host                  may ask
127.0.0.1   127.0.0.1    127.0.0.1:8053        yes
127.0.0.1   127.0.0.1    localhost:8053        yes
127.0.0.1   127.0.0.1    LOCALHOST             yes
127.0.0.1   127.0.0.1    -                     yes
::1         ::1          [::1]:8053            yes
10.0.0.9    10.0.0.1     10.0.0.1:8053         no
127.0.0.6   10.0.0.1     10.0.0.1:8053         no
10.0.0.9    127.0.0.1    127.0.0.1:8053        no
127.0.0.1   127.0.0.1    rebound.example:8053  no
127.0.0.1   127.0.0.1    [::1                  no
-           127.0.0.1    127.0.0.1             no
"""
"""127.0.0.6 is whom a sidecar forwards for; a page's name that suddenly leads here is DNS rebinding."""


@pytest.mark.parametrize("row", AT_HOME.strip().splitlines()[1:])
def test_without_a_token_only_this_host_may_ask_for_this_host(row: str) -> None:
    peer, own, host, may = row.split()
    assert at_home(peer.strip("-"), own, host.strip("-")) is (may == "yes")


async def test_a_page_of_somebody_else_can_neither_read_nor_change_anything() -> None:
    async with site() as port:
        assert (await ask(port, "GET /v1/sources"))[0] == 200
        status, body = await ask(port, "GET /v1/sources", Host="rebound.example")
        assert status == 401
        assert "needs a loopback connection" in body["error"]
        assert (await ask(port, "POST /v1/release", Origin="http://evil.example"))[0] == 401
        assert (await ask(port, "GET /readyz", Host="soadns.example"))[0] == 200


TOKENS = {"right": 200, "wrong": 401, "": 401, "b\udcffd": 401, "rïght": 401}


@pytest.mark.parametrize("given", TOKENS)
async def test_with_a_token_file_only_its_token_may_ask(tmp_path: Path, given: str) -> None:
    (tmp_path / "token").write_text("right\n")
    async with site(token_file=str(tmp_path / "token")) as port:
        status, body = await ask(port, "GET /v1/sources", Authorization=f"Bearer {given}")
    assert status == TOKENS[given]
    assert body.get("error") == (None if status == 200 else "needs the bearer token of http.tokenFile")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
async def test_a_token_file_without_a_token_lets_nobody_in(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    async with site(token_file=str(tmp_path / "token")) as port:
        assert (await ask(port, "GET /v1/sources", Authorization="Bearer "))[0] == 401


async def test_a_token_that_was_changed_holds_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with site(token_file=str(token)) as port:
        assert (await ask(port, "GET /v1/sources", Authorization="Bearer old"))[0] == 200
        token.write_text("new")
        assert (await ask(port, "GET /v1/sources", Authorization="Bearer old"))[0] == 401
        assert (await ask(port, "GET /v1/sources", Authorization="Bearer new"))[0] == 200


async def test_the_listener_for_probes_has_no_api() -> None:
    async with site(probes_only=True) as port:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await ask(port, f"GET {path}"))[0] == 200
        lines = ("GET /", "GET /v1/interfaces", "GET /v1/explain/a.B", "GET /v1/zonefile", "POST /v1/release")
        for line in lines:
            assert (await ask(port, line))[0] == 404


async def test_who_asks_the_listener_for_probes_is_told_what_it_has() -> None:
    async with site(probes_only=True) as port:
        status, body = await ask(port, "GET /v1/interfaces")
    assert (status, body["error"]) == (404, "no such path /v1/interfaces; there are /livez /readyz /metrics")


async def test_readiness_says_which_sources_are_waited_for() -> None:
    process = DemoProcess()
    process.estate = Estate(process.settings)
    process.ready = False
    process.estate.fold([Trouble("static/demo", "/x: no such file")], process.now())
    async with site(process) as port:
        assert await ask(port, "GET /readyz") == (
            503,
            "zone rpc.cluster.local: waits for static/demo\nnever synced: static/demo: /x: no such file\n",
        )
        page = (await ask(port, "GET /v1/interfaces"))[1]
    assert page["waiting"] == [
        {"zone": "rpc.cluster.local", "sources": [{"source": "static/demo", "trouble": "/x: no such file"}]}
    ]


WRONG = """
GET /v1/interfaces?zone=x.test | 409 | no zone x.test; known are rpc.cluster.local
GET /v1/explain/a.B?zone=x     | 409 | no zone x; known are rpc.cluster.local
GET /v1/interfaces/a.B?zone=x. | 409 | no zone x; known are rpc.cluster.local
GET /nope                      | 404 | no such path /nope; there are /livez /readyz
GET /v1/release                | 405 | Method Not Allowed
DELETE /v1/reload              | 405 | Method Not Allowed
GET /v1/interfaces?limit=many  | 409 | limit=many: not a number
GET /v1/interfaces?flag=red    | 409 | flag=red: known are
GET /v1/mesh?service=user      | 409 | service=user: expected namespace/name
GET /v1/directurls?secrets=yes | 409 | secrets=yes: expected 1 or 0
GET /v1/resolve?zone=nope      | 404 | no zone nope here: known are rpc.cluster.local
GET /v1/clusters?zone=nope     | 404 | no zone nope here
GET /v1/moves?zone=nope        | 404 | no zone nope here
GET /v1/envoyfilters?zone=nope | 404 | no zone nope here
GET /v1/survey?zone=nope       | 404 | no zone nope here
GET /v1/zonefile?zone=nope.    | 404 | no zone nope here: known are rpc.cluster.local
"""


@pytest.mark.parametrize("row", WRONG.strip().splitlines())
async def test_what_is_wrong_with_a_request_is_said_as_json(row: str) -> None:
    line, status, text = (cell.strip() for cell in row.split(" | "))
    async with site() as port:
        got, body = await ask(port, line)
    assert got == int(status)
    assert text in body["error"]


@pytest.mark.parametrize("body", [b"[", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"source": 1}'])
async def test_a_body_that_can_not_be_understood_is_refused(body: bytes) -> None:
    async with site() as port:
        status, answer = await ask(port, "POST /v1/release", body=body)
    assert status == 409
    assert answer["error"]


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with site() as port:
        status, answer = await ask(port, "POST /v1/release", body=b" " * 1_100_000)
    assert status == 413
    assert "1048576" in answer["error"]


async def test_only_changes_are_logged_as_changes(caplog: pytest.LogCaptureFixture) -> None:
    async with site() as port:
        with caplog.at_level(logging.INFO):
            await ask(port, "HEAD /livez")
            await ask(port, "POST /v1/release", body=b'{"source": 1}')
            await ask(port, "POST /v1/release", body=b'{"source": "static/demo"}')
    assert [record.getMessage() for record in caplog.records if "http" in record.getMessage()] == [
        "refused-over-http",
        "changed-over-http",
    ]
