"""Keys of zones that are written no more: which they are, when they go, and who has to say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soadns.model import Records
from soadns.nameserver.zone import ZoneData
from soadns.skydns.records import Layout, names_of
from soadns.skydns.remains import outside
from tests.unit.small_etcd import SmallEtcd
from tests.unit.test_skydns_publisher import ORIGIN, hosts, publishing
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

SOON = {"resync": 0.3}
"""How often it is looked."""
ADDRESS = Records(("10.96.7.7",))


def left(etcd: SmallEtcd, origin: str, count: int, *, owner: str = "us") -> dict[str, str]:
    """What somebody wrote of a zone with so many names; returns the keys."""
    zone, layout = ZoneData(origin), Layout("/skydns", owner)
    zone.start()
    zone.apply({f"com.x.S{number}": ADDRESS for number in range(count)}, serial=zone.serial + 1)
    keys: dict[str, str] = {}
    for name in names_of(zone):
        keys |= layout.wanted(zone, name).values
    for key, value in keys.items():
        etcd.put(key, value)
    return keys


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({}, ["/s/ /s0"]),
        ({"/s/a": True}, ["/s/ /s/a/", "/s/a0 /s0"]),
        ({"/s/a": False}, ["/s/ /s0"]),
        ({"/s/a": True, "/s/a/b": False}, ["/s/ /s/a/", "/s/a/b/ /s/a/b0", "/s/a0 /s0"]),
        ({"/s/a": False, "/s/a/b": True}, ["/s/ /s/a/b/", "/s/a/b0 /s0"]),
        (
            {"/s/a": True, "/s/a/b": False, "/s/a/b/c": True},
            ["/s/ /s/a/", "/s/a/b/ /s/a/b/c/", "/s/a/b/c0 /s/a/b0", "/s/a0 /s0"],
        ),
        ({"/s/a": True, "/s/a-b": True}, ["/s/ /s/a-b/", "/s/a-b0 /s/a/", "/s/a0 /s0"]),
        ({"/s": True}, []),
    ],
)
def test_outside_is_what_has_no_written_zone_for_its_innermost(
    zones: dict[str, bool], expected: list[str]
) -> None:
    assert [" ".join(each) for each in outside("/s", zones)] == expected


async def test_a_small_zone_goes_when_it_was_there_twice_and_nothing_else_does() -> None:
    async with SmallEtcd() as etcd:
        gone = left(etcd, "old.test", 3)
        theirs = left(etcd, "their.test", 3, owner="them")
        etcd.put("/skydns/test/old/x/A9", '{"host":"10.0.0.9"}')
        seen: list[bool] = []

        async with publishing(etcd, **SOON) as process:
            await soon(lambda: process.logged("skydns-left-behind"))
            seen.append(gone.keys() <= etcd.keys.keys())
            await soon(lambda: process.logged("skydns-removed"))
            assert seen == [True], "replicas that are replaced may not agree for a while"
            assert not gone.keys() & etcd.keys.keys()
            assert theirs.items() <= etcd.held("/skydns/").items()
            assert "/skydns/test/old/x/A9" in etcd.keys
            assert hosts(etcd) == {"foo": "10.96.0.1"}
            assert process.publisher.leads
            assert process.figures.writes["old.test", "delete"] == len(gone)
            assert [fields for event, fields in process.lines if event == "skydns-removed"] == [
                {"zone": "old.test", "keys": len(gone)}
            ]


async def test_a_zone_with_many_names_waits_for_an_operator() -> None:
    async with SmallEtcd() as etcd:
        gone, small = left(etcd, "old.test", 20), left(etcd, "small.test", 19)
        async with publishing(etcd, **SOON) as process:
            await soon(lambda: not small.keys() & etcd.keys.keys())
            assert gone.items() <= etcd.held("/skydns/").items()
            await soon(lambda: process.figures.held == {ORIGIN: 0, "old.test": 20})
            assert process.logged("skydns-held")
            assert process.publisher.release() == 20
            await soon(lambda: not gone.keys() & etcd.keys.keys())
            await soon(lambda: process.figures.held == {ORIGIN: 0})
            assert hosts(etcd) == {"foo": "10.96.0.1"}


async def test_what_was_left_of_a_zone_is_hers_again_when_she_is_written_again() -> None:
    async with SmallEtcd() as etcd:
        left(etcd, ORIGIN, 30)
        async with publishing(etcd, zones=frozenset({"other.test"}), **SOON) as process:
            await soon(lambda: process.figures.held == {ORIGIN: 30})
        async with publishing(etcd, **SOON) as process:
            process.apply(**{f"com.x.S{number}": ADDRESS for number in range(30)})
            await soon(lambda: process.caught_up and len(hosts(etcd)) == 31)
            assert process.figures.held == {ORIGIN: 0}


async def test_a_zone_within_another_that_is_not_written_itself_has_left_its_keys() -> None:
    async with SmallEtcd() as etcd:
        inner = left(etcd, f"in.{ORIGIN}", 2)
        async with publishing(etcd, within=(f"in.{ORIGIN}",), **SOON):
            await soon(lambda: not inner.keys() & etcd.keys.keys())
            assert hosts(etcd) == {"foo": "10.96.0.1"}


async def test_keys_of_which_no_zone_is_known_go_likewise() -> None:
    async with SmallEtcd() as etcd:
        stray = "/skydns/test/odd/com/x/A1"
        etcd.put(stray, json.dumps({"host": "10.0.0.1", "soadns": "us"}))
        async with publishing(etcd, **SOON) as process:
            await soon(lambda: ("skydns-removed", {"zone": "unknown", "keys": 1}) in process.lines)
            assert stray not in etcd.keys


async def test_what_is_answered_goes_before_what_keeps_names_apart() -> None:
    async with SmallEtcd() as etcd:
        left(etcd, "old.test", 5)
        order: list[str] = []

        def note(path: str, body: dict[str, Any]) -> None:
            if path == "kv/txn" and body["success"] and "request_delete_range" in body["success"][0]:
                order.append("marks" if not answered(etcd) else "data")

        etcd.before = note
        async with publishing(etcd, clear=True) as process:
            await soon(lambda: process.logged("skydns-cleared"))
        assert order == ["data", "marks"]
        assert not etcd.held("/skydns/test/")


def answered(etcd: SmallEtcd) -> list[str]:
    return [key for key in etcd.held("/skydns/test/") if key.rpartition("/")[2].startswith("A")]
