"""What has moved is read back from the filters that stand, where every other trace of it is lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soadns.mesh import adoption
from soadns.mesh import mesh as mesh_module
from soadns.mesh.filterplan import Standing
from soadns.mesh.filtersettings import FilterSettings
from soadns.mesh.istioreader import filter_of
from soadns.mesh.mesh import Mesh, Sharing
from soadns.mesh.moveledger import Fact
from soadns.model import InterfaceId, ObjectRef
from soadns.reports.filterviews import Meshing, rendered
from soadns.routemodel import Move
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.tiers import Wishes
from tests.unit.fast_time import fast_time
from tests.unit.notation import ZONE
from tests.unit.publishing_site import FILTERS, ROOT, Leads
from tests.unit.route_process import SHOP, RouteProcess
from tests.unit.routes_notation import RouteBook
from tests.unit.test_shared_moves import ConfigMaps
from tests.unit.waiting import soon

USER, ACCOUNT = ObjectRef("home", "shop", "user"), ObjectRef("home", "shop", "account")
BEFORE = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; "
    "Service shop/account 10.96.0.2; pods shop/account 10.1.0.2"
)
MOVED = (
    BEFORE,
    "register User,Address 10.1.0.1",
    "register User 10.1.0.2; unregister User 10.1.0.1; after 5s",
)
FILES = Wishes(moves="never", namespaces=("web",))


def book(*rows: str) -> RouteBook:
    found = RouteBook()
    for row in rows:
        for statement in row.split(";"):
            found.say(statement.strip())
        found.flush()
    return found


def stands(estate: RouteBook, ref: ObjectRef, wishes: Wishes, manager: str = "soadns") -> tuple[Any, ...]:
    """The filters of a Service as the API server has them, and its files."""
    found = rendered(estate.zone, estate.table, ref, Meshing(wishes, Destinations()))
    assert found is not None
    managers = [{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}}]
    objects = [{**f, "metadata": {**f["metadata"], "managedFields": managers}} for f in found.filters]
    read = {(f["metadata"]["namespace"], f["metadata"]["name"]): filter_of(f) for f in objects}
    standing = {name: each for name, each in read.items() if isinstance(each, Standing)}
    assert standing
    return standing, {file.key: file.text for file in found.files}


def adopted(
    before: tuple[str, ...],
    after: tuple[str, ...],
    *,
    ref: ObjectRef = USER,
    wishes: Wishes | None = None,
    manager: str = "soadns",
    known: frozenset[Fact] = frozenset(),
) -> list[Move]:
    """What one takes over that knows nothing but ``after`` from the filters of one that saw ``before``."""
    standing, files = stands(book(*before), ref, wishes or Wishes(moves="inline"), manager)
    fresh = book(*after)
    found = adoption.moves(
        ZONE, "home", fresh.table, standing, lambda _: files, lambda fact: fact not in known, fresh.now
    )
    fresh.table.adopt(found)
    fresh.flush()
    return found


NOW = (BEFORE, "register Address 10.1.0.1; register User 10.1.0.2")
"""As it looks to who comes after that."""


def names(found: list[Move]) -> list[str]:
    return [f"{move.service.name}→{move.interface}" for move in found]


@pytest.mark.parametrize("wishes", [Wishes(), Wishes(moves="inline"), Wishes(namespaces=("web",))])
def test_what_moved_is_known_again_by_its_rules(wishes: Wishes) -> None:
    [move] = adopted(MOVED, NOW, wishes=wishes)
    assert (move.service, move.interface, move.wires) == (USER, InterfaceId("User"), ("User",))
    assert (move.addresses, [*move.ports]) == (("10.96.0.1",), [("dubbo", 20880)])
    fresh = book(*NOW)
    fresh.table.adopt([move])
    fresh.flush()
    assert [route.interface for route in fresh.table.vips["10.96.0.1", 20880].routes] == ["User", "*"]


def test_a_path_is_what_callers_write() -> None:
    register = "register User 10.1.0.1 path=ctx/User; register Address 10.1.0.1"
    before = (BEFORE, register, "register User 10.1.0.2; unregister User 10.1.0.1; after 5s")
    [move] = adopted(before, (*NOW,))
    assert (move.interface, move.wires) == (InterfaceId("User"), ("User", "ctx/User"))


def test_a_path_that_others_have_now_is_nobodys_move_but_a_name_of_its_own_is() -> None:
    """Whoever believed that the others had moved would lead their calls astray, or none."""
    now = "register Address 10.1.0.1; register User 10.1.0.2 path=api"
    left = (BEFORE, "register User 10.1.0.1 path=api", f"{now}; unregister User 10.1.0.1; after 5s")
    assert names(adopted(left, (BEFORE, now))) == ["user→User"]
    assert adopted(left, (BEFORE, f"{now}; register Pay 10.1.0.2 path=api")) == []
    named = (*NOW, "register Pay 10.1.0.2 path=User")
    assert names(adopted(MOVED, named)) == ["user→User"]


def test_what_nobody_has_now_is_known_by_its_name() -> None:
    [move] = adopted(MOVED, (BEFORE, "register Address 10.1.0.1; register Pay 10.1.0.2"))
    assert (move.interface, move.wires) == (InterfaceId("User"), ("User",))


def test_variants_that_live_there_are_no_moves() -> None:
    split = (BEFORE, "register User:1.0.0,Address 10.1.0.1; register User:2.0.0 10.1.0.2")
    assert adopted(split, split) == []


def test_variants_that_left_together_are_moves_and_so_are_those_apart() -> None:
    third = "Service shop/third 10.96.0.3; pods shop/third 10.1.0.3"
    before = (
        f"{BEFORE}; {third}",
        "register User:1.0.0,User:2.0.0,Address 10.1.0.1; register Pay 10.1.0.2; register Pay 10.1.0.3",
        "register User:1.0.0 10.1.0.2; register User:2.0.0 10.1.0.3",
        "unregister User:1.0.0,User:2.0.0 10.1.0.1; after 5s",
    )
    after = (
        f"{BEFORE}; {third}",
        "register Address 10.1.0.1; register User:1.0.0 10.1.0.2; register User:2.0.0 10.1.0.3",
    )
    assert {move.interface for move in adopted(before, after)} == {
        InterfaceId("User", "", "1.0.0"),
        InterfaceId("User", "", "2.0.0"),
    }


def test_what_is_back_is_no_move() -> None:
    assert adopted(MOVED, (BEFORE, "register User,Address 10.1.0.1; register Pay 10.1.0.2")) == []


def test_another_service_of_the_same_name_has_nothing_of_it() -> None:
    again = (*NOW, "after 60s; Service shop/user 10.96.0.1 new")
    assert adopted(MOVED, again) == []


def test_what_somebody_else_wrote_says_nothing() -> None:
    assert adopted(MOVED, NOW, manager="kubectl-edit") == []


def test_what_was_shared_or_forgotten_is_not_taken_from_there() -> None:
    assert adopted(MOVED, NOW, known=frozenset({Fact(ZONE, USER, InterfaceId("User"))})) == []


def test_a_damaged_file_says_nothing() -> None:
    standing, files = stands(book(*MOVED), USER, FILES)
    for text in ("", "{", json.dumps({"resources": []}), json.dumps({"resources": [5]})):
        damaged = dict.fromkeys(files, text)
        table = book(*NOW).table
        found = adoption.moves(ZONE, "home", table, standing, lambda _, f=damaged: f, lambda _: True, 0.0)
        assert found == []


# --------------------------------------------------------------------------- all of it together


class Held(Leads):
    """A Lease that nobody else wants."""

    holder, trouble = "", ""

    async def run(self) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def mesh(process: RouteProcess, store: ConfigMaps, log: list[str]) -> AsyncIterator[Mesh]:
    """Everything that one replica writes."""
    process.meshing = Meshing(Wishes())
    settings = FilterSettings(
        zone=ZONE, root_namespace=ROOT, try_first="", try_for=300.0, metrics=(), file_delay=1.0,
        domain="cluster.local", share=1.0, minimum=100, write=True,
    )  # fmt: skip
    found = Mesh(
        store, process, Sharing("soadns", 15.0), settings,  # type: ignore[arg-type]
        log=lambda event, **_: log.append(event), now=process.now,
    )  # fmt: skip
    found.begin({}, known=False)
    with fast_time():
        counts = Counter[str]()
        task = asyncio.create_task(found.run(counts))
        try:
            yield found
            assert not task.done(), task.result()
            assert not counts
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_who_comes_next_takes_no_rule_away_when_all_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "Lease", lambda *_, **__: Held())
    store, log = ConfigMaps(), list[str]()

    def filters() -> list[dict[str, Any]]:
        return [each for (path, _), each in store.objects.items() if path == FILTERS]

    async with mesh(RouteProcess(SHOP), store, log):
        await soon(lambda: bool(filters()) and store.facts == 1)
    [before] = filters()
    for key in [key for key in store.objects if key[0].endswith("/configmaps")]:
        del store.objects[key]  # as nobody sees who is not there

    now = ("register com.x.Address 10.1.0.1; register com.x.User 10.1.0.2",)
    fresh = RouteProcess((BEFORE, *now))
    async with mesh(fresh, store, log) as found:
        await soon(lambda: store.facts == 1)
        assert found.filters is not None
        writer = found.filters
        await soon(lambda: writer.book.counts["applied"] == 1)
        routes = fresh.routing.tables[ZONE].vips["10.96.0.1", 20880].routes
        assert [route.interface for route in routes] == ["com.x.User", "*"]
    assert filters() == [before], "it was not written again"
    assert log.count("move-adopted") == 1
