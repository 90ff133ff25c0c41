"""The publisher while etcd does what a real one can not be made to do at that very moment; the client's errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soadns.figures import CredentialFigures, SkydnsFigures
from soadns.model import Records
from soadns.nameserver.table import LOADING, READY
from soadns.nameserver.zone import ZoneData
from soadns.skydns.etcd import Etcd, EtcdError
from soadns.skydns.publisher import SkydnsPublisher
from soadns.skydns.settings import EtcdSettings, SkydnsSettings
from tests.unit.small_etcd import Hangup, Refusal, SmallEtcd
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

ORIGIN, KEYS = "rpc.test", "/skydns/test/rpc/"
ONE, OTHER, UNSAID = Records(("10.96.0.1",)), Records(("10.96.0.2",)), Records(unsaid=True)


class Process:
    """A control process with one zone, and the publisher of it; ``within``: zones in that one, not published."""

    def __init__(self, urls: tuple[str, ...], *, within: tuple[str, ...] = (), **changes: Any) -> None:
        self.zone = ZoneData(ORIGIN, nested=within)
        self.zone.start()
        self.zones = {ORIGIN: self.zone} | {name: ZoneData(name) for name in within}
        self.figures, self.renewals = SkydnsFigures(), CredentialFigures()
        self.lines: list[tuple[str, dict[str, Any]]] = []
        settings = {
            "etcd": EtcdSettings(urls), "prefix": "/skydns", "owner": "us", "zones": frozenset({ORIGIN}),
            "clear": False, "resync": 600.0, "lease": 2, "share": 0.2, "minimum": 20,
        }  # fmt: skip
        self.publisher = SkydnsPublisher(
            self, SkydnsSettings(**settings | changes), self.figures, self.renewals, log=self.log
        )

    def now(self) -> float:
        return 1_000.0

    def log(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.lines.append((event, fields))

    def logged(self, event: str) -> int:
        return sum(event == each for each, _ in self.lines)

    def apply(self, **names: Records | None) -> None:
        self.zone.apply(dict(names), serial=self.zone.serial + 1)

    @property
    def caught_up(self) -> bool:
        return self.figures.leads and not self.figures.behind_since and ORIGIN in self.figures.keys


@asynccontextmanager
async def publishing(etcd: SmallEtcd, *, state: int = READY, **changes: Any) -> AsyncIterator[Process]:
    process = Process((etcd.url,), **changes)
    process.apply(Foo=ONE)
    process.zone.set_state(state)
    process.publisher.start()
    try:
        yield process
    finally:
        await process.publisher.stop()


def hosts(etcd: SmallEtcd) -> dict[str, str]:
    """By name the addresses that are published."""
    found: dict[str, str] = {}
    for key, value in etcd.held(KEYS).items():
        path, _, last = key.removeprefix(KEYS).rpartition("/")
        if last.startswith("A"):
            found[path] = " ".join(filter(None, [found.get(path), json.loads(value)["host"]]))
    return found


# --------------------------------------------------------------------------- what is written, and when


async def test_who_ends_by_itself_leaves_the_names_and_lets_another_one_lead_at_once() -> None:
    async with SmallEtcd() as etcd:
        async with publishing(etcd) as first, publishing(etcd) as second:
            await soon(lambda: hosts(etcd) == {"foo": "10.96.0.1"})
            leads = [each for each in (first, second) if each.publisher.leads]
            [leader], [other] = leads, [each for each in (first, second) if each not in leads]
            await leader.publisher.stop()
            assert hosts(etcd) == {"foo": "10.96.0.1"}
            other.apply(Foo=OTHER)
            await soon(lambda: hosts(etcd) == {"foo": "10.96.0.2"})
        assert not etcd.leases
        assert not etcd.held("/skydns/SOADNS/")


async def test_of_a_zone_that_is_not_complete_nothing_is_written() -> None:
    async with SmallEtcd() as etcd, publishing(etcd, state=LOADING) as process:
        etcd.put(f"{KEYS}bar/A10.0.0.9", '{"host":"10.0.0.9","soadns":"us"}')
        before = etcd.held(KEYS)
        await soon(lambda: process.figures.leads and process.figures.behind_since)
        process.apply(Foo=OTHER)
        await soon(lambda: etcd.asked.count("lease/keepalive") > 1)
        assert etcd.held(KEYS) == before
        process.zone.set_state(READY)
        await soon(lambda: hosts(etcd) == {"foo": "10.96.0.2"})


async def test_keys_of_a_name_of_which_nothing_may_be_said_stay() -> None:
    async with SmallEtcd() as etcd, publishing(etcd) as process:
        await soon(lambda: process.caught_up)
        before = etcd.held(KEYS)
        process.apply(Foo=UNSAID, Bar=ONE)
        await soon(lambda: hosts(etcd).get("bar"))
        assert before.items() <= etcd.held(KEYS).items()
        process.apply(Foo=None)
        await soon(lambda: hosts(etcd) == {"bar": "10.96.0.1"})


# --------------------------------------------------------------------------- what can happen meanwhile


async def test_a_write_whose_answer_is_lost_is_looked_at_again() -> None:
    async with SmallEtcd() as etcd, publishing(etcd) as process:
        await soon(lambda: process.caught_up)
        lost = []

        def break_off(path: str, body: dict[str, Any]) -> None:
            if path == "kv/txn" and "request_range" not in body["success"][0] and not lost:
                lost.append(body)
                raise Hangup

        etcd.after = break_off
        process.apply(Foo=OTHER, Bar=ONE)
        await soon(lambda: lost and process.figures.failures == 1)
        await soon(lambda: process.caught_up and not process.figures.trouble)
        assert hosts(etcd) == {"foo": "10.96.0.2", "bar": "10.96.0.1"}


async def test_what_somebody_else_writes_in_between_is_kept() -> None:
    async with SmallEtcd() as etcd, publishing(etcd) as process:
        await soon(lambda: process.caught_up)
        theirs = f"{KEYS}foo/A10.96.0.2", '{"host":"10.96.0.2","soadns":"them"}'

        def be_faster(path: str, body: dict[str, Any]) -> None:
            if path == "kv/txn" and body["success"] and "request_range" not in body["success"][0]:
                etcd.before = lambda path, body: None
                etcd.put(*theirs)

        etcd.before = be_faster
        process.apply(Foo=OTHER)
        await soon(lambda: f"{KEYS}foo/A10.96.0.1" not in etcd.keys and process.caught_up)
        assert etcd.held(KEYS)[theirs[0]] == theirs[1]


async def test_who_was_replaced_writes_nothing() -> None:
    async with SmallEtcd() as etcd, publishing(etcd) as process:
        await soon(lambda: process.caught_up)
        [leader] = etcd.held("/skydns/SOADNS/")

        def take_over(path: str, body: dict[str, Any]) -> None:
            if path == "kv/txn" and body["success"] and "request_range" not in body["success"][0]:
                etcd.before = lambda path, body: None
                etcd.delete(leader)
                etcd.put(leader, "another one")

        etcd.before = take_over
        before = etcd.held(KEYS)
        process.apply(Foo=OTHER)
        await soon(lambda: process.logged("skydns-follows"))
        assert etcd.held(KEYS) == before
        etcd.delete(leader)
        await soon(lambda: hosts(etcd) == {"foo": "10.96.0.2"})
        assert process.logged("skydns-leads") == 2


async def test_who_was_away_for_longer_than_its_lease_compares_all_anew() -> None:
    async with SmallEtcd() as etcd, publishing(etcd) as process:
        await soon(lambda: process.caught_up)
        [(*_, lease)] = [etcd.keys[key] for key in etcd.held("/skydns/SOADNS/")]
        etcd.end(lease)
        etcd.put(
            f"{KEYS}bar/A10.0.0.9", '{"host":"10.0.0.9","soadns":"us"}'
        )  # of another one that led meanwhile
        await soon(lambda: process.logged("skydns-leads") == 2 and hosts(etcd) == {"foo": "10.96.0.1"})


async def test_a_comparison_that_outlives_its_revision_begins_anew() -> None:
    async with SmallEtcd() as etcd:
        for number in range(2_500):  # more than a page
            etcd.put(f"{KEYS}x{number}/A10.0.0.9", '{"host":"10.0.0.9"}')
        refused = []

        def compact(path: str, body: dict[str, Any]) -> None:
            if path == "kv/range" and int(body["revision"]) and not refused:
                refused.append(body)
                raise Refusal(11, "etcdserver: mvcc: required revision has been compacted")

        etcd.before = compact
        async with publishing(etcd) as process:
            await soon(lambda: process.caught_up)
            assert refused
            assert hosts(etcd)["foo"] == "10.96.0.1"
            assert process.figures.foreign == {ORIGIN: 2_500}
            assert not process.figures.failures


async def test_what_fails_is_tried_again_and_said_once() -> None:
    async with SmallEtcd() as etcd:
        failing = []

        def refuse(path: str, body: dict[str, Any]) -> None:
            if path.startswith("kv/") and len(failing) < 4:
                failing.append(path)
                raise Refusal(7, "etcdserver: permission denied")

        async with publishing(etcd) as process:
            await soon(lambda: process.caught_up)
            etcd.before = refuse
            process.apply(Foo=OTHER)
            await soon(lambda: process.figures.trouble)
            await soon(lambda: hosts(etcd) == {"foo": "10.96.0.2"} and not process.figures.trouble)
            assert process.figures.failures == len(failing) == 4
            assert process.logged("skydns-trouble") == 1


# --------------------------------------------------------------------------- the client


def client_of(*urls: str) -> Etcd:
    return Etcd(EtcdSettings(urls), CredentialFigures(), log=lambda *_, **__: None)


async def test_an_endpoint_that_does_not_answer_is_left_for_another_one() -> None:
    async with SmallEtcd() as gone:
        url = gone.url
    async with SmallEtcd() as etcd:
        client = client_of(url, f"{etcd.url}/")
        try:
            for _ in range(3):
                assert (await client.range("/a")).found == []
            etcd.before = lambda path, body: (_ for _ in ()).throw(Refusal(14, "etcdserver: no leader"))
            with pytest.raises(EtcdError, match=r"no leader|Cannot connect"):
                await client.range("/a")
        finally:
            await client.close()


BEGINNING = '{"header":{"revision":"1"}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Expecting value"), ("<html>", "Expecting value"), ("[" * 100_000, "recursion"),
        ("[]", "none of etcd's"), ("{}", "none of etcd's"), ('{"header":{}}', "none of etcd's"),
        ('{"header":{"revision":"x"}}', "none of etcd's"), (BEGINNING + ',"kvs":[{}]}', "none of etcd's"),
        (BEGINNING + ',"kvs":[{"key":"QQ"}]}', "none of etcd's"), (BEGINNING + ',"kvs":[{"key":5}]}', "none of etcd's"),
        ('{"error":{"grpc_code":5,"message":"gone"}}', "gone"), ('{"error":"odd","code":"x"}', "odd"),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
async def test_whatever_is_answered_is_an_answer_or_an_error(body: str, said: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_post("/{rest:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    client = client_of(str(server.make_url("")))
    try:
        with pytest.raises(EtcdError, match=said):
            await client.range("/a")
        for each in (client.transact([], []), client.grant(2), client.keep_alive(1)):
            try:
                await each
            except EtcdError:
                continue
    finally:
        await client.close()
        await server.close()
