"""Who follows some of the routes has what is asked for, whatever happens and however much is told at once."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest

from soadns.reports import routeviews
from soadns.reports.routeviews import Part
from tests.unit.http_site import site
from tests.unit.notation import ZONE
from tests.unit.route_process import RouteProcess
from tests.unit.routes_notation import RouteBook
from tests.unit.test_routes_stream import following

USER = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register User 10.1.0.1"
OTHER = "Service shop/other 10.96.0.1; pods shop/other 10.1.0.2; register Other 10.1.0.2"
PARTS = [
    Part(),
    Part(service="shop/user"),
    Part(service="home/shop/other"),
    Part(service="shop/web"),
    Part(address="10.96.0.1"),
    Part(port=20881),
    Part(service="shop/user", address="10.96.0.1"),
    Part(service="shop/other", port=20880),
    Part(service="shop/other", address="10.96.0.1", port=20881),
]


class Follower:
    """What somebody holds of a part, who takes deltas when he comes to it."""

    def __init__(self, book: RouteBook, part: Part) -> None:
        self.book, self.part = book, part
        self.known = book.routing.generation(ZONE)
        self.held = self.asked()

    def asked(self) -> dict[Any, Any]:
        """What GET says now."""
        found = self.part.found(self.book.table.vips)
        data = routeviews.vips_data(ZONE, self.book.routing, found)
        return {(vip["address"], vip["port"]): vip for vip in data}

    def take(self) -> dict[str, Any]:
        changed = self.book.routing.since(ZONE, self.known)
        assert changed is not None
        delta = routeviews.delta(ZONE, self.book.routing, self.known, changed, self.part)
        for gone in delta["gone"]:
            self.held.pop((gone["address"], gone["port"]), None)
        for vip in delta["vips"]:
            self.held[vip["address"], vip["port"]] = vip
        self.known = delta["generation"]
        return delta


def tell(book: RouteBook, row: str) -> None:
    for statement in row.split(";"):
        book.say(statement.strip())
    book.flush()


def test_who_follows_a_service_is_told_that_its_place_is_anothers() -> None:
    book = RouteBook()
    tell(book, USER)
    followers = {name: Follower(book, Part(service=f"shop/{name}")) for name in ("user", "other", "third")}
    tell(book, f"delete shop/user; {OTHER}")
    place = {"address": "10.96.0.1", "port": 20880}
    told = {name: follower.take() for name, follower in followers.items()}
    assert (told["user"]["vips"], told["user"]["gone"]) == ([], [place])
    assert ([vip["service"] for vip in told["other"]["vips"]], told["other"]["gone"]) == (
        ["home/shop/other"], [],
    )  # fmt: skip
    assert (told["third"]["vips"], told["third"]["gone"]) == ([], []), "it was never told of it"


@pytest.mark.parametrize("seed", range(40))
def test_deltas_end_where_asking_does(seed: int) -> None:
    dice = random.Random(seed)
    book = RouteBook()
    tell(book, USER)
    followers = [Follower(book, part) for part in PARTS]
    deeds = [
        "delete shop/user", "delete shop/other", "delete shop/web", OTHER, USER,
        "Service shop/user 10.96.0.7 new; pods shop/user 10.1.0.1", "Service shop/user 10.96.0.1 new",
        "Service shop/other 10.96.0.2 port=20880,20881 new; pods shop/other 10.1.0.2; register Other 10.1.0.2",
        "Service shop/web 10.96.0.1 port=20880,20881", "Service shop/web 10.96.0.2", "after 11m", "after 5s",
        "pods shop/web 10.1.0.3; register Web 10.1.0.3", "unregister Web 10.1.0.3",
        "register User 10.1.0.2", "unregister User 10.1.0.1; after 5s", "unregister User 10.1.0.2; after 5s",
        "register Other 10.1.0.1 protocol=bolt",
    ]  # fmt: skip
    handed = 0
    for _ in range(30):
        with contextlib.suppress(AssertionError, KeyError):  # what is not there can not be taken away
            tell(book, dice.choice(deeds))
        book.flush()
        for follower in followers:
            if dice.random() < 0.3:
                handed += len(follower.take()["gone"])
                assert follower.held == follower.asked(), follower.part
    for follower in followers:
        follower.take()
        assert follower.held == follower.asked(), follower.part
    assert handed


async def test_the_stream_of_a_service_tells_of_it() -> None:
    process = RouteProcess()
    async with site(process) as port, following(port, "service=shop/user") as follower:
        assert len((await follower.event())[1]["vips"]) == 1
        process.tell(
            "delete shop/user; Service shop/other 10.96.0.1; pods shop/other 10.1.0.2; register Other 10.1.0.2"
        )
        name, delta = await follower.event()
        assert (name, delta["vips"], delta["gone"]) == (
            "delta",
            [],
            [{"address": "10.96.0.1", "port": 20880}],
        )
