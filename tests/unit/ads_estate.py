"""Two Services that sidecars without Istio are told of, and what becomes of them, in the words of the route tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from tests.unit.route_process import RouteProcess
from tests.unit.routes_notation import RouteBook

SHOP = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register com.x.User,com.x.Address 10.1.0.1",
    "Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register com.x.Pay 10.1.0.2",
)
MOVE = ("register com.x.User 10.1.0.2", "unregister com.x.User 10.1.0.1; after 5s")
USER, ACCOUNT = "10.96.0.1_20880", "10.96.0.2_20880"


def cluster(name: str) -> str:
    return f"outbound|20880||{name}.shop.svc.cluster.local"


def told(*rows: str) -> RouteBook:
    return RouteProcess(rows).book


def tell(book: RouteBook, *rows: str) -> None:
    for row in rows:
        for statement in row.split(";"):
            book.say(statement.strip())
        book.flush()


def wander(book: RouteBook, dice: random.Random) -> None:
    """Something happens to Services of two namespaces."""
    deeds = [
        "register com.x.User 10.1.0.3", "unregister com.x.User 10.1.0.1; after 5s", "register com.x.User 10.1.0.1",
        "unregister com.x.User 10.1.0.3; after 5s", "register blue/com.x.User 10.1.0.3", "delete shop/account",
        "Service shop/account 10.96.0.7 new; pods shop/account 10.1.0.2", "delete far/third", "after 11m",
        "Service far/third 10.96.0.2; pods far/third 10.1.0.3; register com.x.Third 10.1.0.3",
    ]  # fmt: skip
    for statement in dice.choice(deeds).split(";"):
        try:
            book.say(statement.strip())
        except (AssertionError, KeyError):
            continue  # what is not there can not be taken away
    book.flush()


class Follows(Protocol):
    """An inventory."""

    def follow(self) -> Iterator[object]: ...


Stock = TypeVar("Stock", bound=Follows)
VIEWS = (frozenset[str](), frozenset({"shop"}), frozenset({"far"}), frozenset({"shop", "far"}))
"""What a node may see of the two namespaces."""


def wandering(inventory: Callable[[RouteBook], Stock], seed: int) -> Iterator[Stock]:
    """An inventory, up to date each time that something has happened."""
    dice = random.Random(seed)
    book = told(*SHOP, "Service far/third 10.96.0.3; pods far/third 10.1.0.3")
    stock = inventory(book)
    for _ in range(15):
        wander(book, dice)
        for _ in stock.follow():
            pass
        yield stock
