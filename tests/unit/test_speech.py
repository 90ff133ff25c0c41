"""What is spoken at the places of a zone, as it changes: only Dubbo with hessian2 can be looked into."""

from __future__ import annotations

import pytest

from soadns import speech, speechtable
from tests.unit.notation import ZONE
from tests.unit.routes_notation import RouteBook

USER = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register A,B 10.1.0.1"
ACCOUNT = "Service shop/account 10.96.0.2; pods shop/account 10.1.0.2"
CASES = {
    "Dubbo": (USER, "dubbo"),
    "another protocol": (f"{USER}; register C 10.1.0.1 protocol=bolt", "other"),
    "SOFARPC alone": (f"{USER} protocol=bolt", "bolt"),
    "another serialization": (f"{USER}; register C 10.1.0.1 serialization=fastjson2,hessian2", "other"),
    "hessian2 first": (f"{USER}; register C 10.1.0.1 serialization=hessian2,fastjson2", "dubbo"),
    "another serialization where an interface went": (
        f"{USER} | {ACCOUNT}; register B 10.1.0.2 serialization=fastjson2; unregister B 10.1.0.1; after 5s", "other",
    ),
    "nobody registers anything": (
        "Service shop/user 10.96.0.1 interfaces=A traffic=mesh; pods shop/user 10.1.0.1", "other",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_spoken_at_a_place(case: str) -> None:
    rows, word = CASES[case]
    book = RouteBook()
    for row in rows.split("|"):
        tell(book, row)
    assert book.routing.speech[ZONE].at(("10.96.0.1", 20880)) == word


def test_another_serialization_is_a_change_of_the_routes() -> None:
    book, at = RouteBook(), ("10.96.0.1", 20880)
    tell(book, USER)
    before = book.routing.generation(ZONE)
    tell(book, "register B 10.1.0.1 serialization=fastjson2 timestamp=7")
    assert book.routing.since(ZONE, before) == {at}
    assert book.routing.speech[ZONE].at(at) == "other"
    tell(book, "unregister B 10.1.0.1 timestamp=7")
    assert book.routing.speech[ZONE].at(at) == "dubbo"
    generation = book.routing.generation(ZONE)
    tell(book, "register D 10.1.0.1")
    assert book.routing.generation(ZONE) == generation, "one interface more of the same is no change"
    tell(book, "delete shop/user; after 10s")
    assert book.routing.speech[ZONE].at(at) == "other"


def test_a_provider_more_of_the_same_costs_a_look_at_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    book = RouteBook()
    tell(book, "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2")
    tell(book, "register I{1..30} 10.1.0.1 10.1.0.2 timestamp=1")
    asked: list[object] = []

    def by_hessian(*arguments: object) -> bool:
        asked.append(arguments)
        return speech.by_hessian(*arguments)  # type: ignore[arg-type]

    def spoken(*arguments: object) -> str:
        raise AssertionError("nothing else is spoken")

    monkeypatch.setattr(speechtable, "by_hessian", by_hessian)
    monkeypatch.setattr(speechtable, "spoken", spoken)
    tell(book, "register I7 10.1.0.2 timestamp=2")
    assert len(asked) == 1


def tell(book: RouteBook, row: str) -> None:
    for statement in row.split(";"):
        book.say(statement.strip())
    book.flush()
