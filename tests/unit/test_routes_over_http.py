"""Routes over HTTP: single answers, and the table with its ETag."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import quote

import pytest

from soadns.commands import routereading
from soadns.reports import routeviews
from soadns.sidecar import mosn
from soadns.text import narrate, renderroutes
from tests.unit.demo_process import DemoProcess
from tests.unit.http_site import ask, site
from tests.unit.route_process import RouteProcess

USER = "address=10.96.0.1&port=20880&interface=com.x.User"

RESOLVED = """
address=10.96.0.1&port=20880&interface=com.x.User                  200 outbound|20880||account.shop.svc.cluster.local
address=10.96.0.1&port=20880&interface=com.x.User&version=0.0.0    200 outbound|20880||account.shop.svc.cluster.local
address=10.96.0.1&port=20880&interface=com.x.Address               200 outbound|20880||user.shop.svc.cluster.local
address=10.96.0.2&port=20880&interface=com.x.User                  200 outbound|20880||account.shop.svc.cluster.local
address=10.96.0.2&port=20880&interface=Nobody                      200 outbound|20880||account.shop.svc.cluster.local
address=10.96.9.9&port=20880&interface=com.x.User                  404 10.96.9.9 is no ClusterIP
address=10.96.0.1&port=80&interface=com.x.User                     404 home/shop/user has 10.96.0.1, but no port 80
address=10.96.0.1&interface=com.x.User                             409 of which call
address=here&port=20880&interface=com.x.User                       409 address=here: not an IP address
address=10.96.0.1&port=0&interface=com.x.User                      409 port=0: not a port
zone=other&address=10.96.0.1&port=20880&interface=com.x.User       404 no zone other here
"""


@pytest.mark.parametrize("line", RESOLVED.strip().splitlines(), ids=lambda line: line.split()[0])
async def test_one_call_is_resolved(line: str) -> None:
    query, expected, said = line.split(maxsplit=2)
    async with site(RouteProcess()) as port:
        status, body = await ask(port, f"GET /v1/resolve?{query}")
    assert status == int(expected)
    assert str(body.get("cluster") or body.get("error")).startswith(said)


async def test_the_table_has_a_tag_and_is_not_sent_again() -> None:
    process = RouteProcess()
    async with site(process) as port:
        tag, body = await table(port)
        assert [vip["service"] for vip in body["vips"]] == ["home/shop/user", "home/shop/account"]
        assert tag == f'"replica.{body["generation"]}"'
        assert await table(port, tag) == (tag, None)
        process.tell("Service shop/third 10.96.0.3; pods shop/third 10.1.0.3; register New 10.1.0.3")
        later, body = await table(port, tag)
        assert later != tag
        assert len(body["vips"]) == 3


async def table(port: int, tag: str = "") -> tuple[str, Any]:
    """ETag and body of all routes; None as body: they are as they were."""

    def exchange() -> tuple[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/v1/routes", headers={"If-None-Match": tag} if tag else {})
            reply = connection.getresponse()
            text = reply.read()
            return reply.headers["ETag"], json.loads(text) if reply.status == 200 else None
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("service=shop/user", ["10.96.0.1"]),
        ("service=home/shop/account", ["10.96.0.2"]),
        ("address=10.96.0.2", ["10.96.0.2"]),
        ("address=10.96.0.2&port=20880", ["10.96.0.2"]),
        ("address=10.96.0.2&port=80", []),
        ("service=shop/user&address=10.96.0.2&port=20880", []),
        ("", ["10.96.0.1", "10.96.0.2"]),
    ],
)
async def test_a_part_of_the_table(query: str, expected: list[str]) -> None:
    async with site(RouteProcess()) as port:
        _, body = await ask(port, f"GET /v1/routes?{query}")
    assert [vip["address"] for vip in body["vips"]] == expected


async def test_clusters_are_told_with_their_endpoints() -> None:
    user, account = (f"outbound|20880||{name}.shop.svc.cluster.local" for name in ("user", "account"))
    async with site(RouteProcess()) as port:
        _, body = await ask(port, "GET /v1/clusters")
        assert [each["name"] for each in body["clusters"]] == [account, user]
        _, body = await ask(port, f"GET /v1/clusters?name={quote(user)}")
        assert body["clusters"] == [{"name": user, "endpoints": [{"address": "10.1.0.1", "port": 20880}]}]
        status, body = await ask(port, "GET /v1/clusters?name=other")
        assert (status, body["error"]) == (404, "no route leads to a cluster other")
        for query in ("clusters=1", "watch=1&clusters=1&address=10.96.0.1"):
            assert (await ask(port, f"GET /v1/routes?{query}"))[0] == 409


async def test_who_does_not_know_everything_tells_no_routes() -> None:
    process = RouteProcess(["zone unsynced"])
    async with site(process) as port:
        paths = (f"/v1/resolve?{USER}", "/v1/routes", "/v1/routes?watch=1", "/v1/clusters", "/v1/moves")
        for path in paths:
            status, body = await ask(port, f"GET {path}")
            assert (status, body["error"].split(":")[0]) == (
                503,
                "rpc.test waits for kube/home, zookeeper/main/dubbo",
            )


async def test_explain_says_what_sidecars_are_told_and_what_becomes_of_other_versions() -> None:
    process = RouteProcess()
    process.tell("register com.x.Split:1 10.1.0.1; register com.x.Split:2 10.1.0.2")
    async with site(process) as port:
        _, told = await ask(port, "GET /v1/explain/com.x.Split:1")
        _, plain = await ask(port, "GET /v1/explain/com.x.Address")
    [zone] = told["zones"]
    assert zone["routes"]["missing"] == "closed"
    assert [(rule["at"], rule["version"], rule["why"]) for rule in zone["routes"]["rules"]] == [
        ("10.96.0.2:20880", "1", "variant"),
        ("10.96.0.2:20880", "2", "own"),
        ("10.96.0.2:20880", None, "missing"),
        ("10.96.0.1:20880", "1", "own"),
        ("10.96.0.1:20880", "2", "variant"),
        ("10.96.0.1:20880", None, "missing"),
    ]
    lines = narrate.explanation(told)
    start = lines.index("  sidecars are told")
    assert [line.split()[1:4] for line in lines[start + 1 : start + 4]] == [
        ["com.x.Split:1", "home/shop/user", "port"],
        ["com.x.Split:2", "home/shop/account", "port"],
        ["com.x.Split", "refused", "a"],
    ]
    assert lines[start + 7] == "    other groups and versions are refused (sidecar.missing: closed)"
    nothing = {"rules": [], "unclear": [], "untold": []}
    assert plain["zones"][0]["routes"] == {"unready": None, "missing": "closed", **nothing}


async def test_explain_and_resolve_say_where_a_path_may_mean_others_and_what_is_told_to_nobody() -> None:
    process = RouteProcess()
    process.tell("register com.x.One,com.x.Two 10.1.0.1 path=api; register com.x.One 10.1.0.1 path=*")
    process.tell("register com.x.One 10.1.0.2 path=api; unregister com.x.One 10.1.0.1; after 5s")
    async with site(process) as port:
        _, told = await ask(port, "GET /v1/explain/com.x.One")
        _, api = await ask(port, "GET /v1/resolve?address=10.96.0.1&port=20880&interface=api")
        _, other = await ask(port, "GET /v1/resolve?address=10.96.0.2&port=20880&interface=api")
    routes = told["zones"][0]["routes"]
    assert routes["unclear"] == [{"wire": "api", "service": "home/shop/user", "others": ["com.x.Two"]}]
    assert routes["untold"] == ["*"]
    assert (api["unclear"], api["service"]) == (["com.x.One", "com.x.Two"], "home/shop/user")
    assert other["unclear"] == []


PORTLESS = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User:1,com.x.Address 10.1.0.1",
    "Service shop/pay 10.96.0.2 port=1,2 interfaces=com.x.User:2 traffic=mesh; pods shop/pay 10.1.0.2",
    "register com.x.User:2 10.1.0.2",
)


@pytest.mark.parametrize("missing", ["closed", "open"])
async def test_a_version_that_no_port_speaks_is_said_to_live_where_it_does(missing: str) -> None:
    process = RouteProcess((f"missing {missing}", *PORTLESS))
    async with site(process) as port:
        _, there = await ask(port, f"GET /v1/resolve?{USER}&version=2")
        _, nobody = await ask(port, f"GET /v1/resolve?{USER}&version=3")
        _, explained = await ask(port, "GET /v1/explain/com.x.User:2")
    assert (there["refused"], there["rule"]["why"], there["rule"]["lives"]) == (
        True,
        "portless",
        "home/shop/pay",
    )
    said = "\n".join(renderroutes.resolved(there))
    assert "it lives at home/shop/pay, where no port speaks this" in said
    assert "nobody" not in said
    assert "sidecar.missing" not in said, "that setting has no say in it"
    assert (nobody["refused"], nobody["rule"]["why"]) == (missing == "closed", "missing")
    assert nobody["rule"]["lives"] is None
    shown = "\n".join(renderroutes.explained(explained["zones"][0]["routes"]))
    assert "it lives at home/shop/pay, where no port speaks this" in shown
    vip = process.routing.tables["rpc.test"].vips["10.96.0.1", 20880]
    assert routereading.vip(routeviews.vip_data(vip, "dubbo")) == vip
    [router] = mosn.router(vip, "dubbo").hosts
    assert [rule.cluster for rule in router.rules if ("version", "2") in [h[:2] for h in rule.headers]] == [
        mosn.REFUSED
    ]


async def test_a_move_is_forgotten_when_somebody_says_so() -> None:
    process = RouteProcess()
    async with site(process) as port:
        _, body = await ask(port, "GET /v1/moves")
        assert [(m["service"], m["interface"], m["to"]) for m in body["moves"]] == [
            ("home/shop/user", "com.x.User", "home/shop/account")
        ]
        said = json.dumps({"service": "shop/user", "interface": "com.x.User"}).encode()
        status, done = await ask(port, "POST /v1/forget", body=said)
        assert (status, len(done["forgotten"])) == (200, 1)
        _, after = await ask(port, f"GET /v1/resolve?{USER}")
        assert after["cluster"] == "outbound|20880||user.shop.svc.cluster.local"
        for wrong in (b"[]", b'{"service": "user"}', b'{"zone": "other", "service": "shop/user"}', b"{"):
            assert (await ask(port, "POST /v1/forget", body=wrong))[0] == 409


# --------------------------------------------------------------------------- the stream


async def test_every_demo_process_tells_routes() -> None:
    async with site(DemoProcess()) as port:
        status, body = await ask(port, "GET /v1/routes")
    assert status == 200
    assert body["vips"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other.1", {tag}', 304),
        ('"other,1",W/{tag} , "x"', 304),
        ("*", 304),
        (" * ", 304),
        ('"other.1"', 200),
        ('W/"other.1", "*"', 200),
        ("", 200),
    ],
)
async def test_who_has_the_table_already_is_told_no_more_than_that(said: str, status: int) -> None:
    """RFC 9110 13.1.2: compared weakly, with any of a list; ``*`` is whatever there is."""
    async with site(RouteProcess()) as port:
        tag, _ = await table(port)

        def exchange() -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", "/v1/routes", headers={"If-None-Match": said.format(tag=tag)})
                reply = connection.getresponse()
                reply.read()
                return reply.status, reply.headers["ETag"]
            finally:
                connection.close()

        assert await asyncio.to_thread(exchange) == (status, tag)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("service=user", 409, "service=user: expected namespace/name"),
        ("service=/user", 409, "service=/user: expected namespace/name"),
        ("service=user&watch=1", 409, "service=user: expected namespace/name"),
        ("service=shop/nobody", 200, ""),
        ("watch=0", 200, ""),
        ("watch=yes", 409, "watch=yes: expected 1 or 0"),
        ("watch=0&clusters=1", 409, "clusters=1 goes with watch=1"),
        ("clusters=0", 200, ""),
    ],
)
async def test_what_is_asked_wrongly_is_refused(query: str, status: int, said: str) -> None:
    async with site(RouteProcess()) as port:
        code, body = await ask(port, f"GET /v1/routes?{query}")
    assert (code, said in body.get("error", "")) == (status, True), body


async def test_a_switch_that_is_off_is_off() -> None:
    async with site(RouteProcess()) as port:
        _, body = await ask(port, f"GET /v1/resolve?{USER}&istio=0")
        assert "istio" not in body
        _, body = await ask(port, "GET /v1/envoyfilters?standing=0")
        assert "standing" not in body
        status, body = await ask(port, "GET /v1/mesh?service=user")
        assert (status, body["error"]) == (409, "service=user: expected namespace/name")


async def test_who_forgets_says_of_which_service() -> None:
    async with site(RouteProcess()) as port:
        status, body = await ask(port, "POST /v1/forget", body=b'{"service": "user"}')
    assert (status, body["error"]) == (
        409,
        'service "user": expected namespace/name, as in {"service": "shop/user", "interface": "com.x.UserService"}',
    )
