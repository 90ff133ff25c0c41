"""How a file does that applications have: each line beside what would be exported now, and who still asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from soadns.commands import boarded
from soadns.commands.client import NAMES, _lists
from soadns.model import Caller, Reading
from soadns.onboarding import exports
from soadns.publishers.properties import Line
from tests.unit.notation import ZONE
from tests.unit.registries import Book, callers, estate

ESTATE = """
service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2
register com.x.User,com.x.Role 10.1.0.1 10.1.0.2 app=user
register com.x.Old 10.9.0.1 app=old
service shop/web 10.96.0.3; pods shop/web 10.1.0.9
"""
CALLS_ON = "?cluster.availablecheck=false&send.reconnect=true"
AT = f"dubbo://com.x.User.{ZONE}:20880"
USER = f"{AT}{CALLS_ON}"
RULED = Reading(rules=frozenset({"a configurator (override://)"}))


async def found(
    *lines: Line, statements: str = "", book: Book | None = None, application: str = "shop"
) -> list[boarded.Boarded]:
    query = {"names": ",".join(line.key for line in lines), "tri": "1"}
    query |= {"application": application} if application else {}
    page = await exports.page(book or Book(), estate(ESTATE, statements).zone, query, limit=100)
    return boarded.boarded(lines, [page], application)


def said(rows: list[boarded.Boarded]) -> list[str]:
    return [text for row in rows for text in (*row.problems, *(f"({note})" for note in row.notes))]


LINES: list[tuple[str, Line, str, Mapping[str, Reading], list[str]]] = [
    ("a line as it would be exported", Line("com.x.User", USER), "", {}, []),
    (
        "who has boarded all of it but one",
        Line("com.x.User", USER),
        "",
        {"com_x_User": Reading(callers("shop@10.1.0.9", "shop@192.168.0.1", "other@10.1.0.2"))},
        [
            "shop asks the registry for it at 10.1.0.9",
            "(shop asks the registry for it from outside the cluster, at 192.168.0.1)",
        ],
    ),
    (
        "rules came",
        Line("com.x.User", USER),
        "",
        {"com_x_User": RULED},
        ["not safe to board now: it has a configurator (override://)"],
    ),
    (
        "what was named stays named",
        Line("com.x.User", USER, named=True),
        "",
        {"com_x_User": RULED},
        ["(not safe to board, but named: it has a configurator (override://))"],
    ),
    (
        "tri looks up once",
        Line("com.x.Fast", f"tri://com.x.Fast.{ZONE}:50051{CALLS_ON}"),
        "service shop/fast 10.96.0.4 port=50051; pods shop/fast 10.1.0.7 port=50051; "
        "register com.x.Fast 10.1.0.7:50051 protocol=tri",
        {},
        ["(callers by tri that started before … call where its name led then: restart them)"],
    ),
    (
        "another port",
        Line("com.x.User", f"dubbo://com.x.User.{ZONE}:20881?retries=0"),
        "",
        {},
        [
            f"the file leads to dubbo://com.x.User.{ZONE}:20881, but it is at {AT} now: export it again",
        ],
    ),
    (
        "other settings",
        Line("com.x.User", f"{USER}?retries=0"),
        "",
        {},
        [f"(export it again, to have what its providers say now: {USER})"],
    ),
    (
        "no pod is ready",
        Line("com.x.User", USER),
        "pods shop/user 10.1.0.1- 10.1.0.2-",
        {},
        ["no endpoint address of home/shop/user is ready"],
    ),
    (
        "registered by nobody any more",
        Line("com.x.User", USER),
        "after 10s; unregister com.x.User,com.x.Role 10.1.0.1 10.1.0.2",
        {},
        [
            "not safe to board now: no provider is registered, and no port of Service home/shop/user is named after a "
            "protocol (dubbo or tri)",
            "(no provider is registered: whoever takes it back finds nobody)",
        ],
    ),
    (
        "unknown",
        Line("com.x.Never", f"dubbo://com.x.Never.{ZONE}:20880"),
        "",
        {},
        [
            "not safe to board now: its name is not answered: nothing is known of it",
            "(no provider is registered: whoever takes it back finds nobody)",
        ],
    ),
    (
        "the old world's",
        Line("com.x.Old", f"dubbo://com.x.Old.{ZONE}:20880{CALLS_ON}"),
        "",
        {},
        [
            "not safe to board now: no Service serves it yet: its name answers the providers' own addresses",
        ],
    ),
]


@pytest.mark.parametrize(
    ("line", "statements", "readings", "expected"),
    [row[1:] for row in LINES],
    ids=[row[0] for row in LINES],
)
async def test_what_is_said_of_a_line(
    line: Line, statements: str, readings: Mapping[str, Reading], expected: list[str]
) -> None:
    rows = said(await found(line, statements=statements, book=Book(**readings)))
    assert [re.sub(r"20\d\d-[\d-]+T[\d:.]+Z", "…", text) for text in rows] == expected


async def test_a_token_is_compared_and_not_shown() -> None:
    book = Book(com_x_User=Reading(tokens=frozenset({"s3cr3t"})))
    notebook = estate(ESTATE)
    for name, expected in (
        ("s3cr3t", []),
        ("0ld", ["its token is not the one that its providers want now: "]),
    ):
        query = {"names": "com.x.User", "secrets": "1"}
        page = await exports.page(book, notebook.zone, query, limit=9)
        [row] = boarded.boarded([Line("com.x.User", f"{USER}?retries=0&token={name}")], [page], "")
        assert [text[:52] for text in row.problems] == [text[:52] for text in expected]
        shown = f"{row.plain()} {boarded.page([row], [], callers_read=True)}"
        assert "***" in shown
        assert not {"s3cr3t", "0ld"} & set(
            shown.replace("=", " ").replace("'", " ").replace("&", " ").split()
        )


async def test_without_an_application_nobody_is_expected_to_have_boarded() -> None:
    book = Book(com_x_User=Reading(callers("shop@10.1.0.9")))
    [row] = await found(Line("com.x.User", USER), book=book, application="")
    assert not row.problems
    assert row.standing["subscribers"] == [{"address": "10.1.0.9", "application": "shop"}]


async def test_rules_of_the_application_that_has_the_file_count_and_no_others() -> None:
    rule = "a configurator (shop.configurators in the configuration centre)"
    book = Book(com_x_User=Reading(callers("shop@10.1.0.9")), shop=Reading(rules=frozenset({rule})))
    of_anybody = await found(Line("com.x.User", USER), book=book, application="")
    assert said(of_anybody) == []
    assert said(await found(Line("com.x.User", USER), book=book, application="pay")) == []
    assert said(await found(Line("com.x.User", USER), book=book, application="shop"))[0] == (
        f"not safe to board now: shop, which calls it, has {rule}"
    )


async def test_what_was_left_out_is_not_looked_at_and_what_no_url_is_for_is_told() -> None:
    lines = [Line("com.x.User", ""), Line("com.x.Rest", "rest://com.x.Rest:80")]
    assert boarded.by_family(lines) == {}
    assert said(boarded.boarded(lines, [], "shop")) == ["no URL that soadns writes: nothing is known of it"]


def test_a_file_may_hold_lines_of_both_frameworks() -> None:
    lines = [Line("com.x.A", "tri://a:1"), Line("u/com.x.B", "bolt://b:2"), Line("com.x.C", "dubbo://c:3")]
    assert boarded.by_family(lines) == {"dubbo": ["com.x.A", "com.x.C"], "sofa": ["u/com.x.B"]}


async def test_of_a_unique_id_its_own_line_is_made() -> None:
    zone = estate(
        "service shop/pay 10.96.0.2; pods shop/pay 10.1.1.1; "
        "register u/com.x.Pay,com.x.Pay 10.1.1.1 protocol=bolt"
    ).zone
    data = await exports.page(Book(), zone, {"names": "u/com.x.Pay,com.x.User", "family": "sofa"}, limit=9)
    assert [row["key"] for row in data["items"]] == ["u/com.x.Pay", "com.x.User"]


PAGE = """\
2 interfaces called by name: 1 to look at
INTERFACE   SERVICE         ANSWER     READY   PROVIDERS  BY REGISTRY
com.x.User  home/shop/user  10.96.0.1  2 of 2  2          0
com.x.Role  home/shop/user  10.96.0.1  2 of 2  2          7

To look at
  com.x.Role: shop asks the registry for it at 10.1.0.0, 10.1.0.1, 10.1.0.2, 10.1.0.3, 10.1.0.4 and 1 more

To know
  com.x.Role: shop asks the registry for it from outside the cluster, at 192.168.0.1

Could not be read, so who goes by the registry is not known
  /dubbo/com.x.User/consumers: no\\npermission"""


async def test_the_page() -> None:
    pods = "pods shop/web " + " ".join(f"10.1.0.{n}" for n in range(10))
    asking = frozenset(Caller(f"10.1.0.{n}", "shop") for n in range(6)) | callers("shop@192.168.0.1")
    lines = [Line("com.x.User", USER), Line("com.x.Role", USER.replace("User", "Role"))]
    rows = await found(*lines, statements=pods, book=Book(com_x_Role=Reading(asking)))
    unread = ["/dubbo/com.x.User/consumers: no\npermission"]
    assert "\n".join(boarded.page(rows, unread, callers_read=True)) == PAGE


async def test_where_nobody_can_be_asked_who_calls_the_page_says_so() -> None:
    rows = await found(Line("com.x.User", USER))
    first, *_, row, _, last = boarded.page(rows, [], callers_read=False)
    assert first == "1 interface called by name: all well"
    assert row.endswith("?")
    assert last.startswith("No registry in ZooKeeper is read")


# --------------------------------------------------------------------------- asking


async def test_names_are_looked_at_alone_whoever_calls_them() -> None:
    book = Book(com_x_Role=Reading(callers("shop@10.1.0.9")))
    query: dict[str, Any] = {"application": "shop", "names": "com.x.User"}
    data = await exports.page(book, estate(ESTATE).zone, query, limit=100)
    assert [row["key"] for row in data["items"]] == ["com.x.User"]
    assert book.asked == [(["com.x.User"], ["callers"]), (["com.x.User", "shop", "user"], ["rules"])]


def test_names_are_asked_for_in_request_lines_that_a_server_takes() -> None:
    names = [f"com.example.a.package.of.some.length.Interface{n}$Inner" for n in range(500)]
    lists = _lists(names)
    assert ",".join(lists).split(",") == names
    assert all(len(text.replace("$", "%24").replace(",", "%2C")) <= NAMES for text in lists)
    assert len(lists) < 12
    assert _lists([]) == []
    assert _lists(["x" * 2 * NAMES, "y"]) == ["x" * 2 * NAMES, "y"]
