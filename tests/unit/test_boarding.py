"""What is exported of an estate: whose interfaces, by which names, and who calls from outside; page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from soadns.model import Caller, Reading
from soadns.onboarding import exports
from soadns.onboarding.boarding import Wish
from soadns.web.operations import Refused
from tests.unit.notation import ZONE, Notebook, zone_settings
from tests.unit.registries import Book, callers, estate

CALLS_ON = "?cluster.availablecheck=false&send.reconnect=true"
ESTATE = """
service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2
register com.x.User,com.x.Role,com.x.Outer$Inner 10.1.0.1 10.1.0.2 app=user
service shop/pay 10.96.0.2; pods shop/pay 10.1.1.1; register com.x.Pay 10.1.1.1 app=pay
register com.x.Old 10.9.0.1 app=old; node n1 192.0.2.8
"""


async def exported(
    notebook: Notebook, book: Book | None = None, limit: int = 100, **query: str
) -> dict[str, Any]:
    return await exports.page(book or Book(), notebook.zone, query, limit=limit)


def lines(data: Mapping[str, Any]) -> list[str]:
    """``key host`` of what is exported, ``key: why`` of what is left out."""
    return [
        f"{row['key']} {row['url']}" if row["exported"] else f"{row['key']}: {'; '.join(row['why'])}"
        for row in data["items"]
    ]


OLD = "com.x.Old: no Service serves it yet: its name answers the providers' own addresses"


async def test_everyone_gets_every_interface_by_the_name_that_resolvers_can_send() -> None:
    assert lines(await exported(estate(ESTATE), everyone="1")) == [
        OLD,
        f"com.x.Outer$Inner dubbo://com.x.Outer-Inner.{ZONE}:20880{CALLS_ON}",
        f"com.x.Pay dubbo://com.x.Pay.{ZONE}:20880{CALLS_ON}",
        f"com.x.Role dubbo://com.x.Role.{ZONE}:20880{CALLS_ON}",
        f"com.x.User dubbo://com.x.User.{ZONE}:20880{CALLS_ON}",
    ]


async def test_an_application_gets_what_it_calls_and_what_is_named() -> None:
    shop = frozenset({Caller("10.1.0.9", "shop")})
    book = Book(com_x_User=Reading(shop), com_x_Pay=Reading(frozenset({Caller("10.1.0.9", "other")})))
    assert lines(await exported(estate(ESTATE), book, application="shop")) == [
        f"com.x.User dubbo://com.x.User.{ZONE}:20880{CALLS_ON}"
    ]
    data = await exported(estate(ESTATE), book, application="shop", interface="com.x.Old,com.x.Role")
    assert lines(data) == [
        f"com.x.Old dubbo://com.x.Old.{ZONE}:20880{CALLS_ON}",
        f"com.x.Role dubbo://com.x.Role.{ZONE}:20880{CALLS_ON}",
        f"com.x.User dubbo://com.x.User.{ZONE}:20880{CALLS_ON}",
    ]
    assert [row["why"] != [] for row in data["items"]] == [True, False, False]


async def test_what_an_application_calls_and_nobody_provides_is_told() -> None:
    book = Book(com_x_Gone=Reading(frozenset({Caller("10.1.0.9", "shop")})))
    data = await exported(estate(ESTATE), book, application="shop")
    assert lines(data) == ["com.x.Gone: its name is not answered: nothing is known of it"]


async def test_rules_are_read_of_what_is_wanted_alone_and_tokens_when_asked_for() -> None:
    shop = frozenset({Caller("10.1.0.9", "shop")})
    book = Book(com_x_User=Reading(shop))
    await exported(estate(ESTATE), book, application="shop")
    names = ["com.x.Old", "com.x.Outer$Inner", "com.x.Pay", "com.x.Role", "com.x.User"]
    governing = [
        "com.x.User",
        "shop",
        "user",
    ]  # the applications that call and provide it may have rules, too
    assert book.asked == [(names, ["callers"]), (governing, ["rules"])]
    await exported(estate(ESTATE), book, interface="com.x.User", secrets="1")
    assert book.asked[2:] == [(["com.x.User"], ["callers"]), (governing, ["rules", "tokens"])]


async def test_rules_of_an_interface_and_of_an_application_that_provides_it_count() -> None:
    book = Book(
        com_x_Role=Reading(rules=frozenset({"a configurator (override://)"})),
        pay=Reading(rules=frozenset({"a tag router (pay.tag-router in the configuration centre)"})),
    )
    assert lines(await exported(estate(ESTATE), book, everyone="1"))[2:] == [
        "com.x.Pay: it has a tag router (pay.tag-router in the configuration centre)",
        "com.x.Role: it has a configurator (override://)",
        f"com.x.User dubbo://com.x.User.{ZONE}:20880{CALLS_ON}",
    ]


async def test_rules_of_an_application_that_calls_count_for_its_own_lines_and_for_everyones() -> None:
    rule = "a configurator (shop.configurators in the configuration centre)"
    calling = frozenset({Caller("10.1.0.9", "shop"), Caller("10.1.0.8", "bill")})
    book = Book(com_x_User=Reading(calling), shop=Reading(rules=frozenset({rule})))
    left_out = f"com.x.User: shop, which calls it, has {rule}"
    url = f"com.x.User dubbo://com.x.User.{ZONE}:20880{CALLS_ON}"
    assert lines(await exported(estate(ESTATE), book, application="shop")) == [left_out]
    assert left_out in lines(await exported(estate(ESTATE), book, everyone="1"))
    assert lines(await exported(estate(ESTATE), book, application="bill")) == [url]
    named = await exported(estate(ESTATE), book, interface="com.x.User")
    assert (lines(named), len(named["items"][0]["why"])) == ([url], 1)


async def test_what_has_tri_alone_is_exported_where_it_is_named_or_taken() -> None:
    notebook = estate(
        "service shop/fast 10.96.0.1 port=50051; pods shop/fast 10.1.0.1 port=50051",
        "register com.x.Fast 10.1.0.1:50051 protocol=tri; register com.x.User 10.9.0.1 app=old",
    )
    url = f"com.x.Fast tri://com.x.Fast.{ZONE}:50051{CALLS_ON}"
    left_out, _ = (await exported(notebook, everyone="1"))["items"]
    assert (left_out["exported"], left_out["protocol"], len(left_out["why"])) == (False, "tri", 1)
    assert lines(await exported(notebook, everyone="1", tri="1"))[0] == url
    assert lines(await exported(notebook, interface="com.x.Fast")) == [url]


async def test_pages_follow_each_other_and_end() -> None:
    notebook, found, after = estate(ESTATE), [], ""
    for expected in (2, 2, 1):
        data = await exported(notebook, everyone="1", limit=2, after=after)
        assert (len(data["items"]), data["looked"], data["names"]) == (expected, expected, 5)
        found += [row["key"] for row in data["items"]]
        after = data["next"]
    assert found == ["com.x.Old", "com.x.Outer$Inner", "com.x.Pay", "com.x.Role", "com.x.User"]
    assert after is None


async def test_callers_are_outside_unless_an_endpoint_a_node_or_in_a_pod_network() -> None:
    callers = {
        Caller(host, "a") for host in ("10.1.1.1", "192.0.2.8", "10.1.0.77", "legacy.example", "192.168.0.1")
    }
    book = Book(com_x_User=Reading(frozenset(callers)))
    data = await exported(estate(ESTATE), book, everyone="1")
    assert [row["address"] for row in data["outside"]] == ["10.1.0.77", "192.168.0.1", "legacy.example"]
    settings = zone_settings({})
    pods = replace(settings.store, networks={"home": (ip_network("10.1.0.0/16"),)})
    notebook = estate(ESTATE.replace("; node n1 192.0.2.8", ""), settings=replace(settings, store=pods))
    data = await exported(notebook, book, interface="com.x.User")
    assert [row["address"] for row in data["outside"]] == ["192.0.2.8", "192.168.0.1", "legacy.example"]


async def test_callers_of_what_is_not_exported_need_no_way_to_it() -> None:
    book = Book(com_x_Old=Reading(frozenset({Caller("192.168.0.1", "a")})))
    data = await exported(estate(ESTATE), book, everyone="1")
    assert data["outside"] == []
    data = await exported(estate(ESTATE), book, everyone="1", family="sofa")
    assert (data["items"], data["outside"]) == ([], [])
    data = await exported(estate(ESTATE), book, interface="com.x.Old")
    assert [row["address"] for row in data["outside"]] == ["192.168.0.1"]
    data = await exported(estate(ESTATE), book, names="com.x.Old")
    assert [row["address"] for row in data["outside"]] == ["192.168.0.1"]


async def test_of_an_application_its_own_callers_are_told() -> None:
    book = Book(
        com_x_User=Reading(frozenset({Caller("192.168.0.1", "shop"), Caller("192.168.0.2", "other")}))
    )
    data = await exported(estate(ESTATE), book, application="shop")
    assert data["outside"] == [{"address": "192.168.0.1", "application": "shop"}]


async def test_what_could_not_be_read_is_told() -> None:
    book = Book(com_x_User=Reading(unread=("/dubbo/com.x.User/consumers: no permission",)))
    data = await exported(estate(ESTATE), book, everyone="1")
    assert data["unread"] == ["/dubbo/com.x.User/consumers: no permission"]


# --------------------------------------------------------------------------- names

VARIANTS = """
service shop/one 10.96.0.1; pods shop/one 10.1.0.1
service shop/two 10.96.0.2; pods shop/two 10.1.0.2
register com.x.A 10.1.0.1; register blue/com.x.A:1.0.0 10.1.0.2
register com.x.B:1.0.0,com.x.B:2.0.0 10.1.0.1
"""


async def test_one_line_holds_for_every_group_and_version() -> None:
    assert lines(await exported(estate(VARIANTS), everyone="1")) == [
        "com.x.A: its groups and versions are served by home/shop/one and home/shop/two, and one line leads all to one",
        f"com.x.B dubbo://com.x.B.{ZONE}:20880{CALLS_ON}",
    ]


DIFFERENT_PORTS = """
service shop/one 10.96.0.1 port=20880,20881; pods shop/one 10.1.0.1 10.1.0.2 port=20880,20881
"""


@pytest.mark.parametrize(
    ("registered", "port", "why", "notes"),
    [
        ("register com.x.A 10.1.0.1 10.1.0.2", 20880, [], []),
        # Two protocols, one process with two ports, and a port of the old world that most of all have.
        (
            "register com.x.A 10.1.0.1 10.1.0.2 10.1.0.1:20881 10.1.0.2:20881",
            20880,
            [],
            ["port 20880, by which most providers are registered; also 20881"],
        ),
        (
            "register com.x.A 10.1.0.1:20881 10.1.0.2:20881; register com.x.A 10.9.0.{1..3}; "
            "service shop/one 10.96.0.1 port=20880,20881 traffic=mesh",
            20881,
            [],
            ["port 20881, by which most addresses of its Service provide it; also 20880"],
        ),
        # The protocol of the old world alone, though the Service has a port of that number.
        (
            "register com.x.A 10.1.0.1:20881 10.1.0.2:20881 protocol=rest; register com.x.A 10.9.0.{1..3}; "
            "service shop/one 10.96.0.1 port=20880,20881 traffic=mesh",
            20880,
            ["2 addresses of its Service provide it by another port or protocol than dubbo at 20880"],
            [],
        ),
        # A port that changes pod by pod, and groups that have a port each.
        (
            "register com.x.A 10.1.0.1 10.1.0.2:20881",
            20880,
            ["1 address of its Service provides it by another port or protocol than dubbo at 20880"],
            ["port 20880, by which most providers are registered; also 20881"],
        ),
        (
            "register com.x.A 10.1.0.1 10.1.0.2; register g/com.x.A 10.1.0.1:20881 10.1.0.2:20881",
            20880,
            ["2 addresses of its Service provide it by another port or protocol than dubbo at 20880"],
            [],
        ),
    ],
)
async def test_the_port_is_one_that_all_addresses_of_the_service_have(
    registered: str, port: int, why: list[str], notes: list[str]
) -> None:
    [row] = [
        row
        for row in (await exported(estate(DIFFERENT_PORTS, registered), everyone="1"))["items"]
        if row["key"] == "com.x.A"
    ]
    assert row["url"] == f"dubbo://com.x.A.{ZONE}:{port}{CALLS_ON}"
    assert (row["why"], row["notes"]) == (why, notes)


@pytest.mark.parametrize(
    ("target", "registered", "safe"),
    [
        ("rpc", "register com.x.A 10.1.0.1 10.1.0.2:20881", True),
        ("rpc", "register com.x.A 10.1.0.1; register com.x.A 10.1.0.2:20881 protocol=rest", False),
        ("20881", "register com.x.A 10.1.0.1:20881 10.1.0.2:20881; register com.x.A 10.9.0.1:20880", True),
        ("20881", "register com.x.A 10.1.0.1 10.1.0.2:20881; register com.x.A 10.9.0.1:20880", False),
    ],
)
async def test_a_port_leads_to_its_target_and_to_any_where_that_is_a_name(
    target: str, registered: str, safe: bool
) -> None:
    service = f"service shop/one 10.96.0.1 port=20880 traffic=mesh; service shop/one target={target}"
    notebook = estate(DIFFERENT_PORTS, registered, service)
    [row] = (await exported(notebook, everyone="1"))["items"]
    assert row["url"] == f"dubbo://com.x.A.{ZONE}:20880{CALLS_ON}"
    assert row["exported"] == safe, row["why"]


async def test_a_variant_that_is_named_is_where_the_line_leads() -> None:
    data = await exported(estate(VARIANTS), interface="blue/com.x.A:1.0.0")
    assert lines(data) == [f"com.x.A dubbo://com.x.A--g-blue--v-1-0-0.{ZONE}:20880{CALLS_ON}"]
    assert [row["why"] for row in data["items"]] == [[]]


@pytest.mark.parametrize(
    ("query", "left_out"),
    [
        ({"everyone": "1"}, ["shop, which", "somebody who"]),
        ({"interface": "com.x.Pay", "everyone": "1"}, ["shop, which", "somebody who"]),
        ({"application": "shop"}, ["shop, which"]),
        ({"application": "bill"}, []),
        ({"names": "com.x.Pay", "application": "shop"}, ["shop, which"]),
        ({"names": "com.x.Pay"}, []),
    ],
)
async def test_who_asks_for_any_version_gets_no_line(query: dict[str, str], left_out: list[str]) -> None:
    asking = frozenset({("shop", "version=*"), ("", "group=a,b")})
    book = Book(com_x_Pay=Reading(callers("shop@10.1.0.9", "bill@10.1.0.9", "@10.1.0.8"), asking=asking))
    [row] = [
        row for row in (await exported(estate(ESTATE), book, **query))["items"] if row["key"] == "com.x.Pay"
    ]
    assert sorted(why.partition(" calls it, asks for ")[0] for why in row["why"]) == left_out


@pytest.mark.parametrize("mapped", [True, False])
async def test_of_providers_on_record_by_application_alone_nothing_is_known(mapped: bool) -> None:
    declared = "service shop/new 10.96.0.9 interfaces=com.x.New; pods shop/new 10.1.9.1"
    book = Book(com_x_New=Reading(mapped=mapped), com_x_User=Reading(mapped=mapped))
    notebook = estate(ESTATE, declared)
    new, user = (await exported(notebook, book, interface="com.x.New,com.x.User"))["items"]
    assert ("its providers are on record by application alone" in " ".join(new["why"])) == mapped
    assert not user["why"]  # registered as ever
    assert book.asked[-1] == (["com.x.New"], ["mapped"])
    items = (await exports.survey(book, notebook.zone, {}, limit=100))["items"]
    reasons = {item["interface"]: [why["reason"] for why in item["why"]] for item in items}
    assert ("applications" in reasons["com.x.New"]) == mapped
    assert "applications" not in reasons["com.x.User"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("protocol=tri", ["shop, which calls it, asks for protocol=tri, and its URL is one of dubbo"]),
        ("protocol=tri, dubbo", []),
        ("protocol=dubbo", []),
    ],
)
async def test_who_asks_for_another_protocol_gets_no_line(asked: str, why: list[str]) -> None:
    book = Book(com_x_Pay=Reading(callers("shop@10.1.0.9"), asking=frozenset({("shop", asked)})))
    notebook = estate(ESTATE)
    [row] = (await exported(notebook, book, application="shop"))["items"]
    assert row["why"] == why
    items = (await exports.survey(book, notebook.zone, {}, limit=100))["items"]
    [pay] = [item for item in items if item["interface"] == "com.x.Pay"]
    assert pay["callers"][0]["asks"] == ([asked] if why else [])


async def test_who_calls_every_provider_gets_no_line() -> None:
    asking = frozenset({("shop", "refresh.cluster=broadcast")})
    book = Book(com_x_Pay=Reading(callers("shop@10.1.0.9"), asking=asking))
    why = "shop, which calls it, has refresh.cluster=broadcast, and a name leads to one provider"
    assert lines(await exported(estate(ESTATE), book, application="shop")) == [f"com.x.Pay: {why}"]


async def test_sofarpc_has_a_line_for_each_unique_id() -> None:
    notebook = estate(
        "service shop/pay 10.96.0.1 port=12200; pods shop/pay 10.1.0.1 port=12200",
        "register com.x.Pay,fast/com.x.Pay 10.1.0.1:12200 protocol=bolt; register com.x.User 10.1.0.1 app=user",
    )
    assert lines(await exported(notebook, everyone="1", family="sofa")) == [
        f"com.x.Pay bolt://com.x.Pay.{ZONE}:12200",
        f"fast/com.x.Pay bolt://com.x.Pay--g-fast.{ZONE}:12200",
    ]
    assert lines(await exported(notebook, interface="com.x.Pay", family="dubbo")) == [
        "com.x.Pay: it is an interface of the other framework (--format)"
    ]


@pytest.mark.parametrize(
    ("registered", "why"),
    [
        ("com.x.$Proxy", "com.x.$Proxy has no name without '$', and resolvers send none with it"),
        ("com.x.Outer$Inner,com.x.Outer-Inner", "com.x.Outer-Inner is held by com.x.Outer-Inner"),
        ("com.x.A" + "a" * 64, "its name is too long"),
    ],
)
async def test_what_has_no_name_that_reaches_it_has_no_line(registered: str, why: str) -> None:
    notebook = estate("service shop/one 10.96.0.1; pods shop/one 10.1.0.1", f"register {registered} 10.1.0.1")
    first = (await exported(notebook, everyone="1"))["items"][0]
    assert first["url"] is None
    assert first["why"][0] == why or "a DNS label has at most 63" in first["why"][0]


async def test_capitals_are_kept() -> None:
    notebook = estate("service shop/one 10.96.0.1; pods shop/one 10.1.0.1", "register COM.X.API 10.1.0.1")
    assert lines(await exported(notebook, everyone="1")) == [
        f"COM.X.API dubbo://COM.X.API.{ZONE}:20880{CALLS_ON}"
    ]


# --------------------------------------------------------------------------- wishes


@pytest.mark.parametrize(
    ("query", "said"),
    [({}, "whose interfaces"), ({"family": "hsf", "everyone": "1"}, "known are dubbo, sofa")],
)
async def test_a_wish_that_can_not_be_meant_is_refused(query: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        await exported(estate(), **query)


def test_a_wish_knows_the_names_it_names() -> None:
    wish = exports.wish_of({"interface": "blue/com.x.A:1.0.0,com.x.B"})
    assert isinstance(wish, Wish)
    assert wish.names == {"com.x.A", "com.x.B"}
