"""Numbers of strangers are read in one place, and no text breaks who reads it."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from soadns import cli
from soadns.addresses import parse_address
from soadns.mesh import movefiles
from soadns.numerals import port_number, whole_number
from soadns.publishers.callsettings import _number
from soadns.sidecar import standingrules
from soadns.sidecar.envoyfilters import applied_of
from soadns.skydns.records import Layout
from tests.unit.http_site import ask, site
from tests.unit.route_process import RouteProcess
from tests.unit.test_routes_stream import following

LONG = "9" * 5_000
"""More digits than Python's ``int`` reads (4,300)."""
NONE = (LONG, "²", "٨٠", "1_0", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "", "ⅷ", "1\n", "\x00")


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_number(text: str) -> None:
    assert whole_number(text, 65_535) is None
    assert port_number(text) is None
    assert parse_address(f"10.96.0.1:{text}") is None


def test_what_is_one() -> None:
    assert [whole_number(text, 65_535) for text in ("0", "00", "080", "65535", "65536")] == [
        0,
        0,
        80,
        65_535,
        None,
    ]
    assert whole_number("0" * 5_000 + "7", 9) == 7
    assert (port_number("1"), port_number("65535"), port_number("0"), port_number("65536")) == (
        1,
        65_535,
        None,
        None,
    )
    assert parse_address("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize("text", [text for text in NONE if text.strip() == text != ""])
async def test_over_http_it_is_refused_and_not_logged(text: str, caplog: pytest.LogCaptureFixture) -> None:
    async with site(RouteProcess()) as port:
        number = quote(text)
        for path in (
            f"/v1/resolve?address=10.96.0.1&interface=com.x.User&port={number}",
            f"/v1/routes?port={number}",
            f"/v1/routes?watch=1&port={number}",
            f"/v1/mosn?node=web&ads=soadns:{number}",
            f"/v1/mosn?node=web&listen=10.0.0.1:{number}",
        ):
            status, body = await ask(port, f"GET {path}")
            assert 400 <= status < 500, path[:80]
            assert ": not a port" in body["error"] or "PORT" in body["error"], path[:80]
            assert len(body["error"]) < 6_000
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("text", [LONG, "1_0", " 1", "-1", "٣", "18446744073709551616"])
async def test_a_last_event_that_nobody_told_begins_anew(text: str) -> None:
    async with site(RouteProcess()) as port:
        if text == LONG:  # a server takes headers of 8,190 octets
            assert len(f"replica.{text}") < 8_190
        async with asyncio.timeout(10.0), following(port, last=f"replica.{text}") as follower:
            assert (await follower.event())[0] == "state"


LINES = """
resolve 10.96.0.1:NUMBER com.x.User                              | expected ADDRESS:PORT, e.g. 10.96.1.7:20880
lookup x --server 127.0.0.1:NUMBER                               | expected ADDRESS:PORT
list --url http://127.0.0.1:NUMBER                               | expected http://ADDRESS:PORT
demo --http 127.0.0.1:NUMBER                                     | expected ADDRESS:PORT
mesh verify 127.0.0.1:NUMBER                                     | whose admin port?
export envoy /nowhere --ads soadns:NUMBER                        | expected HOST:PORT
"""


@pytest.mark.parametrize("text", [LONG, "²", "1_0", "+1"])
@pytest.mark.parametrize("row", LINES.strip().splitlines())
def test_on_the_command_line_it_is_named(row: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = (cell.strip() for cell in row.split(" | "))
    assert cli.main(arguments.replace("NUMBER", text).split()) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("text", NONE)
def test_filters_of_ours_that_somebody_changed_say_nothing(text: str) -> None:
    """Whoever may write EnvoyFilters may write anything into them."""
    filter_of = {
        "metadata": {
            "namespace": "istio-system",
            "labels": {"app.kubernetes.io/managed-by": "soadns", "soadns.io/service-uid": "u"},
        },
        "spec": {
            "configPatches": [
                {
                    "match": {"listener": {"name": f"10.96.0.1_{text}"}},
                    "patch": {
                        "value": {"typed_config": {"multiple_route_config": {"route_config": [{}, {}]}}}
                    },
                }
            ]
        },
    }
    assert all(not each.ports for each in applied_of([filter_of], "istio-system").values())
    assert list(standingrules.what_left(filter_of, {}, "user.shop.svc.cluster.local")) == []


@pytest.mark.parametrize("text", [LONG, "²", "x", ""])
def test_a_config_map_of_no_shard_is_none_of_ours(text: str) -> None:
    assert movefiles.read({"metadata": {"name": f"{movefiles.PREFIX}{text}"}}) is None


def test_call_settings_that_are_no_numbers_come_first() -> None:
    """Of two that providers ask for the larger one is taken; what is no number is less than any that is."""
    assert [_number(text) for text in ("3000", "-1", "--5", "-", LONG, "²", "")] == [3000, -1, 0, 0, 0, 0, 0]


def test_values_in_etcd_may_be_anything() -> None:
    layout = Layout("/skydns", "soadns")
    for value in ("[" * 100_000, f'{{"port": {LONG}}}', "²", '"'):
        assert not layout.is_ours(value)
