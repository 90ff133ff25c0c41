"""The survey of an estate: what is said of each interface, what follows for applications, and the page.

Each case of the table is a title, statements in the notation of ``docs/binding.md`` (after ``ESTATE``), who calls what
(``calls com.x.A shop@10.1.0.9``), and after ``=>`` what is said of an interface: ``safe`` or the reasons, ``by`` its
providers' applications, ``from`` its callers as ``application:addresses/outside``, ``half-boarded``, ``held by``.
"""

from __future__ import annotations

import os
import pty
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from soadns.commands.progress import Progress
from soadns.model import Reading
from soadns.onboarding import exports
from soadns.onboarding.survey import Survey, survey
from soadns.publishers.verdicts import REASONS
from soadns.text import surveypage
from tests.unit.registries import Book, callers, estate

ESTATE = """
service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2
register com.x.User 10.1.0.1 10.1.0.2 app=user; after 1m
"""

CASES = """
provided by a Service and called by nobody
    => com.x.User: safe by user

called from inside, and from outside
    calls com.x.User shop@10.1.0.1 shop@192.168.0.1 @192.168.0.2
    => com.x.User: safe by user from ?:1/1 shop:2/1

no Service yet
    register com.x.Old 10.9.0.1 app=old
    => com.x.Old: no-service by old

known to consumers alone
    calls com.x.Gone shop@10.1.0.1
    => com.x.Gone: not-answered from shop:1/0

rules of the interface, and of the application that provides it
    rules com.x.User; rules user
    => com.x.User: rules rules by user

of the other framework, with one reason for one unique id
    service shop/pay 10.96.0.2 port=12200; pods shop/pay 10.1.1.1 port=12200
    register com.x.Pay 10.1.1.1:12200 protocol=bolt app=pay
    register fast/com.x.Pay 10.9.0.1:12200 protocol=bolt app=old
    => com.x.Pay: no-service by old pay

of tri alone
    service shop/fast 10.96.0.2 port=50051; pods shop/fast 10.1.1.1 port=50051
    register com.x.Fast 10.1.1.1:50051 protocol=tri app=fast
    => com.x.Fast: tri by fast

neither framework's is judged once
    service shop/web 10.96.0.3 port=8080; pods shop/web 10.1.2.1 port=8080
    register com.x.Web 10.1.2.1:8080 protocol=rest app=web
    => com.x.Web: other-protocol by web

groups and versions that several Services share are one interface
    service shop/two 10.96.0.4; pods shop/two 10.1.3.1
    register com.x.A 10.1.0.1 10.1.0.2 app=user; register blue/com.x.A:1.0.0 10.1.3.1 app=two
    => com.x.A: split by two user

half-boarded
    register com.x.User 10.9.0.1 app=old
    => com.x.User: safe by old user half-boarded

nobody registers it, and callers outside subscribe: its addresses are ready still
    unregister * 10.1.0.1 10.1.0.2; after 2h; calls com.x.User shop@192.168.0.1
    => com.x.User: no-protocol from shop:1/1 held by endpoints

the same for callers inside alone is nothing to tell
    unregister * 10.1.0.1 10.1.0.2; after 2h; calls com.x.User shop@10.1.0.1
    => com.x.User: no-protocol from shop:1/0

one that is declared
    service shop/user 10.96.0.1 interfaces=com.x.User
    unregister * 10.1.0.1 10.1.0.2; after 2h; calls com.x.User shop@192.168.0.1
    => com.x.User: no-protocol from shop:1/1 held by declaration

one whose pods are gone as well
    unregister * 10.1.0.1 10.1.0.2; pods shop/user none; after 1s; calls com.x.User shop@192.168.0.1
    => com.x.User: no-protocol vanishing from shop:1/1 held by linger

one whose Service is gone
    unregister * 10.1.0.1 10.1.0.2; delete shop/user; after 1s; calls com.x.User shop@192.168.0.1
    => com.x.User: vanishing from shop:1/1 held by recreateGrace

one that the guard holds
    register J{10..39} 10.1.0.1 10.1.0.2 app=user; after 1m; unregister * 10.1.0.1; unregister * 10.1.0.2
    pods shop/user none; after 15m; calls J10 shop@192.168.0.1
    => J10: no-protocol vanishing from shop:1/1 held by guard

one that is provided by nobody's Service is not boarded
    register com.x.Old 10.9.0.1 app=old; after 1s; unregister com.x.Old 10.9.0.1; after 1s
    calls com.x.Old shop@192.168.0.1
    => com.x.Old: no-service from shop:1/1
"""


def cases() -> list[tuple[str, list[str], str]]:
    found = []
    for block in CASES.strip().split("\n\n"):
        title, *lines = [line.strip() for line in block.splitlines()]
        found.append((title, lines[:-1], lines[-1].removeprefix("=> ")))
    return found


def told(item: Mapping[str, Any]) -> str:
    words = [f"{item['interface']}:", *(["safe"] if item["safe"] else [why["reason"] for why in item["why"]])]
    words += ["by", *item["applications"]] if item["applications"] else []
    words += ["from"] if item["callers"] else []
    words += [f"{c['application'] or '?'}:{c['addresses']}/{c['outside']}" for c in item["callers"]]
    words += ["half-boarded"] if item["halfBoarded"] else []
    words += [f"held by {item['heldBy']}"] if item["heldBy"] else []
    return " ".join(words)


async def surveyed(
    statements: list[str], book: Book | None = None, *, limit: int = 100, **query: str
) -> dict[str, Any]:
    readings: dict[str, Reading] = {}
    rest = []
    for statement in ";".join(statements).split(";"):
        word, _, given = statement.strip().partition(" ")
        name, *texts = given.split() or [""]
        before = readings.get(name, Reading())
        if word == "calls":
            readings[name] = Reading(callers(*texts), before.rules)
        elif word == "rules":
            readings[name] = Reading(before.callers, frozenset({f"a router of {name}"}))
        else:
            rest.append(statement)
    if book is None:
        book = Book()
        book.readings = readings
    return await exports.survey(book, estate(ESTATE, *rest).zone, query, limit=limit)


@pytest.mark.parametrize(("title", "statements", "expected"), cases(), ids=[c[0] for c in cases()])
async def test_what_is_said_of_an_interface(title: str, statements: list[str], expected: str) -> None:
    data = await surveyed(statements)
    name = expected.partition(":")[0]
    assert [told(item) for item in data["items"] if item["interface"] == name] == [expected]


async def test_a_reason_of_one_unique_id_names_it() -> None:
    [case] = [statements for title, statements, _ in cases() if title.startswith("of the other framework")]
    [item] = [item for item in (await surveyed(case))["items"] if item["interface"] == "com.x.Pay"]
    assert item["families"] == ["sofa"]
    assert item["why"][0]["detail"].startswith("fast/com.x.Pay: no Service serves it yet")


@pytest.mark.parametrize(("query", "safe"), [({}, [False, False, True]), ({"tri": "1"}, [True, False, True])])
async def test_it_is_judged_as_the_export_judges(query: dict[str, str], safe: list[bool]) -> None:
    notebook, book = (
        estate(
            ESTATE,
            "service shop/fast 10.96.0.2 port=50051; pods shop/fast 10.1.1.1 port=50051",
            "register com.x.Old 10.9.0.1 app=old; register com.x.Fast 10.1.1.1:50051 protocol=tri app=fast",
        ),
        Book(),
    )
    exported = (await exports.page(book, notebook.zone, {"everyone": "1", **query}, limit=100))["items"]
    items = (await exports.survey(book, notebook.zone, query, limit=100))["items"]
    assert [[why["detail"] for why in item["why"]] for item in items] == [row["why"] for row in exported]
    assert [item["safe"] for item in items] == [row["exported"] for row in exported] == safe
    assert [item["protocols"] for item in items] == [[row["protocol"]] for row in exported]


async def test_callers_and_rules_are_read_once_each() -> None:
    book = Book(com_x_User=Reading(), com_x_Empty=Reading())
    data = await surveyed([], book)
    names = ["com.x.Empty", "com.x.User"]
    assert book.asked == [(names, ["callers"]), ([*names, "user"], ["rules"])]
    assert [item["interface"] for item in data["items"]] == [
        "com.x.User"
    ]  # nobody provides or calls the other


async def test_pages_follow_each_other_and_say_how_far_they_are() -> None:
    statements = ["register com.x.B,com.x.C,com.x.D 10.1.0.1 app=user"]
    found, after, looked = [], "", 0
    for expected in (3, 1):
        data = await surveyed(statements, limit=3, after=after)
        assert (data["looked"], data["names"]) == (expected, 4)
        found += [item["interface"] for item in data["items"]]
        looked += data["looked"]
        after = data["next"]
    assert (found, after, looked) == (["com.x.B", "com.x.C", "com.x.D", "com.x.User"], None, 4)


# --------------------------------------------------------------------------- all of it

WHOLE = [
    "register com.x.Role 10.1.0.1 10.1.0.2 app=user; register com.x.Old,com.x.Older 10.9.0.1 app=old",
    "service shop/ledger 10.96.0.9 interfaces=com.x.Ledger",
    "calls com.x.User shop@10.1.0.1 legacy@192.168.0.1; calls com.x.Role shop@10.1.0.1 bill@10.1.0.2",
    "calls com.x.Old bill@10.1.0.2; calls com.x.Ledger legacy@192.168.0.1 @192.168.0.2",
]

PAGE = """\
Survey of rpc.test: 2 of 5 interfaces and 1 of 3 calling applications can board now

Interfaces that can board now: 2
  com.x.Role
  com.x.User

To know before one of these boards (docs/boarding.md)
  dubbo, 2 interfaces: who is connected stays at the old pods after a move until these end; who connects looks the \
name up. End old pods when the caches of DNS and of the JVMs (30 s) have run out

Interfaces that can not board yet: 3
  2 no-service: no Service serves it yet
    com.x.Old: no Service serves it yet: its name answers the providers' own addresses
    com.x.Older: no Service serves it yet: its name answers the providers' own addresses
  1 no-protocol: nobody says its protocol
    com.x.Ledger: no provider is registered, and no port of Service home/shop/ledger is named after a protocol \
(dubbo or tri)

Applications that can board now: 1
  shop  2 interfaces

Applications that can not board as a whole yet: 2
  2 interfaces: they call what is not safe to board
  1 outside: addresses not known to be in a cluster (kubernetes[].networks), from where no ClusterIP is reached
    bill: 1 of 2 interfaces can board; not com.x.Old
    legacy: 1 of 2 interfaces can board; not com.x.Ledger; outside: 192.168.0.1

Who calls whom, and by how many interfaces
  shop       ->  user       2
  (unknown)  ->  (unknown)  1
  bill       ->  old        1
  bill       ->  user       1
  legacy     ->  (unknown)  1
  legacy     ->  user       1

Boarded, but no provider is registered any more while callers outside the cluster subscribe: 1
  com.x.Ledger: 2 addresses of (unknown), legacy; home/shop/ledger is answered by its declaration

Callers of 1 interface do not say their application"""


async def whole() -> tuple[Survey, dict[str, Any]]:
    data = await surveyed(WHOLE)
    return survey(data["items"], data["outside"], data["ruled"]), data


async def test_the_page() -> None:
    found, data = await whole()
    assert "\n".join(surveypage.lines(found, data)) == PAGE


async def test_each_kind_is_cut_short_unless_all_is_wanted() -> None:
    found, data = await whole()
    lines = surveypage.lines(found, data, shown=1)
    assert lines[2:5] == ["Interfaces that can board now: 2", "  com.x.Role", "  and 1 more (--all)"]
    assert "    and 1 more (--all)" in lines
    assert "  and 5 more (--all)" in lines
    assert not [line for line in surveypage.lines(found, data, shown=surveypage.EVERY) if "--all" in line]


async def test_rules_of_an_application_that_calls_keep_it_and_no_interface() -> None:
    data = await surveyed(
        [
            "calls com.x.User shop@10.1.0.1 bill@10.1.0.2; rules shop; calls com.x.User shop@10.1.0.1 bill@10.1.0.2"
        ]
    )
    found = survey(data["items"], data["outside"], data["ruled"])
    assert data["ruled"] == [{"application": "shop", "rules": ["a router of shop"]}]
    assert found.safe == ("com.x.User",)
    assert [(each.name, each.can_board, each.rules) for each in found.applications] == [
        ("bill", True, ()),
        ("shop", False, ("a router of shop",)),
    ]
    page = surveypage.lines(found, data)
    assert "  1 rules: routers or configurators of their own, of which a direct URL knows nothing" in page
    assert "    shop: 1 of 1 interface can board; it has a router of shop" in page


async def test_who_asks_for_any_version_can_not_board_with_it_and_others_can() -> None:
    asking = Reading(callers("shop@10.1.0.1", "bill@10.1.0.2"), asking=frozenset({("shop", "version=*")}))
    data = await surveyed([], Book(com_x_User=asking))
    found = survey(data["items"], data["outside"], data["ruled"])
    assert found.safe == ("com.x.User",)
    assert [(each.name, each.can_board, each.asks) for each in found.applications] == [
        ("bill", True, ()),
        ("shop", False, ("com.x.User",)),
    ]
    assert [caller["asks"] for caller in data["items"][0]["callers"]] == [[], ["version=*"]]
    page = surveypage.lines(found, data)
    assert "  1 asks: for what no direct URL gives (any group or version, more than one provider)" in page
    assert "    shop: 1 of 1 interface can board; it asks too much of com.x.User" in page


async def test_what_is_counted_in_json() -> None:
    found, _ = await whole()
    data = found.plain()
    assert data["counts"] == {
        "interfaces": 5, "safe": 2, "applications": 3, "applicationsCanBoard": 1, "halfBoarded": 0, "silent": 1,
    }  # fmt: skip
    assert data["reasons"] == [
        {"reason": "no-service", "interfaces": 2},
        {"reason": "no-protocol", "interfaces": 1},
    ]
    assert data["applications"][0] == {
        "application": "bill", "canBoard": False, "interfaces": 2, "waitsFor": ["com.x.Old"], "outside": [],
        "rules": [], "asks": [],
    }  # fmt: skip
    assert data["calls"][:2] == [
        {"application": "shop", "calls": "user", "interfaces": 2},
        {"application": None, "calls": None, "interfaces": 1},
    ]
    assert data["silent"] == ["com.x.Ledger"]
    assert [(each["protocol"], each["interfaces"]) for each in data["advice"]] == [("dubbo", 2)]


UNREAD = "/dubbo/com.x.User/consumers: no permission"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            {"callersRead": False},
            "No registry in ZooKeeper is read: nothing is known of callers, routers and",
        ),
        ({"unread": [UNREAD]}, f"  {UNREAD}"),
        (
            {"unread": [UNREAD], "callersUnread": 7},
            "  Callers of 7 interfaces are not known: applications that",
        ),
    ],
)
def test_what_is_not_known_is_said(data: Mapping[str, Any], said: str) -> None:
    whole = {"zone": "rpc.test", "callersRead": True, "unread": [], "callersUnread": 0, **data}
    assert any(line.startswith(said) for line in surveypage.lines(survey([], [], []), whole))


async def test_consumers_that_could_not_be_read_are_counted() -> None:
    data = await surveyed([], Book(com_x_User=Reading(unread=(UNREAD,))))
    assert (data["unread"], data["callersUnread"]) == ([UNREAD], 1)


def test_every_reason_stands_on_the_page() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "boarding.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in text] == []


# --------------------------------------------------------------------------- progress


def test_progress_is_one_line_on_a_terminal_after_a_second() -> None:
    ours, theirs = pty.openpty()
    ticks = count(0.0, 0.6)
    with open(theirs, "w") as terminal:
        progress = Progress(terminal, "interfaces", lambda: next(ticks))
        for done in (1_000, 2_000, 3_000):
            progress(done, 20_000)
        progress.end()
        expected = (
            "\r\x1b[Ksoadns: 2,000 of 20,000 interfaces\r\x1b[Ksoadns: 3,000 of 20,000 interfaces\r\x1b[K"
        )
        shown = ""
        while len(shown) < len(expected):  # one read is given no more than one write
            shown += os.read(ours, 4096).decode()
    os.close(ours)
    assert shown == expected


def test_progress_is_silent_where_nobody_looks(tmp_path: Path) -> None:
    ticks = count(0.0, 10.0)
    with open(tmp_path / "log", "w+") as log:
        progress = Progress(log, "interfaces", lambda: next(ticks))
        progress(1, 2)
        progress.end()
        log.seek(0)
        assert log.read() == ""
