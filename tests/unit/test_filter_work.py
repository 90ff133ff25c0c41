"""What a round of the publisher costs: as much as changed, whatever there is beside. Counted, not timed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from soadns.mesh import filterwriter, renderings
from soadns.mesh.istioreader import DESTINATION_RULES, SIDECARS
from soadns.reports import filterviews
from soadns.sidecar import filterchecks, scopes
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import REQUEST, Publishing, publishing

MANY = 120
ROWS = [
    f"Service shop/s{n} 10.96.{n // 200}.{n % 200 + 1}; pods shop/s{n} 10.1.{n // 200}.{n % 200 + 1}; "
    f"register com.x.S{n} 10.1.{n // 200}.{n % 200 + 1}"
    for n in range(MANY)
]


class Watched(dict[Any, Any]):
    """Counts who goes through all of it: a look at one entry is none."""

    work: Counter[str]
    name: str

    def _gone_through(self) -> None:
        self.work[self.name] += len(self)

    def __iter__(self) -> Iterator[Any]:
        self._gone_through()
        return super().__iter__()

    def keys(self) -> Any:
        self._gone_through()
        return super().keys()

    def values(self) -> Any:
        self._gone_through()
        return super().values()

    def items(self) -> Any:
        self._gone_through()
        return super().items()


def watch(it: Publishing, work: Counter[str]) -> None:
    """Have every index with an entry for each Service counted."""
    routing = it.process.routing
    [table] = routing.tables.values()
    owners: list[tuple[Any, str]] = [
        (it.writer.renderings, name)
        for name in ("rendered", "_by_uid", "_by_host", "_by_listener", "_applied")
    ]
    owners += [(it.writer.book, name) for name in ("wanted", "steps", "_names")]
    owners += [(it.writer.reader.ours, name) for name in ("of", "_by_uid", "_by_service", "_by_address")]
    owners += [(table, name) for name in ("vips", "_places")]
    for owner, name in owners:
        found = Watched(getattr(owner, name))
        found.work, found.name = work, f"{type(owner).__name__}.{name}"
        if name == "_applied":
            it.process.meshing = filterviews.replace(it.process.meshing, applied=found)
        setattr(owner, name, found)


def counted(monkeypatch: pytest.MonkeyPatch, work: Counter[str], owner: Any, name: str) -> Callable[..., Any]:
    original = getattr(owner, name)

    def asked(*arguments: Any, **named: Any) -> Any:
        work[name] += 1
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, asked)
    return asked


@contextlib.asynccontextmanager
async def estate(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
    """Many Services with filters that stand, and what is done from now on."""
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)
    work: Counter[str] = Counter()
    async with publishing(*ROWS, wishes=REQUEST, share=1.0, **settings) as it:
        await it.until(lambda: it.writer.book.counts["applied"] == MANY)
        await it.rest()
        watch(it, work)
        counted(monkeypatch, work, filterviews, "rendered")
        counted(monkeypatch, work, filterchecks, "problems")
        it.store.writes.clear()
        yield it, work


async def test_a_round_in_which_nothing_happened_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with estate(monkeypatch) as (it, work):
        rounds = 0

        def count() -> None:
            nonlocal rounds
            rounds += 1

        it.writer.on_round(count)
        await it.rest()
        assert rounds >= 3
        assert not +work, work


async def test_a_change_of_one_service_costs_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with estate(monkeypatch) as (it, work):
        it.tell("Service shop/s7 balancing=connection")
        await it.until(lambda: len(it.store.writes) == 1)
        await it.until(lambda: it.writer.book.counts["applied"] == MANY - 1)
        await it.rest()
        assert it.store.writes[0].startswith("delete istio-system/soadns-shop-s7-")
        assert 0 < work["rendered"] <= 4, "its annotation, and that its filter is gone"
        assert work["problems"] <= 4
        assert sum(work[name] for name in work if "." in name) <= 8, work


async def test_who_hides_what_is_found_once_for_all_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore()
    only = {"egress": [{"hosts": ["shop/s7.shop.svc.cluster.local"]}]}
    for n in range(5):
        sidecar = {"metadata": {"name": f"default-{n}", "namespace": f"web-{n}"}, "spec": only}
        store.put(SIDECARS.path(f"web-{n}"), sidecar)
    async with estate(monkeypatch, store=store) as (it, work):
        counted(monkeypatch, work, scopes, "_scope")
        rows = it.status()["services"]
        assert sum(len(row["hidden"]) for row in rows) == (MANY - 1) * 5
        assert work["_scope"] == 5


async def test_what_providers_say_is_looked_at_where_they_are_and_a_little_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with estate(monkeypatch) as (it, work):
        it.tell("register com.x.S7 10.9.0.1")
        await it.rest()
        assert work["rendered"] == 0, "that happens all the time"
        monkeypatch.setattr(renderings, "LATER_S", 0.0)
        await it.rest()
        await it.until(lambda: work["rendered"] > 0)
        await it.rest()
        assert work["rendered"] == 1
        it.tell("register com.x.S7 10.1.0.8 serialization=fastjson2")
        await it.rest()
        assert work["rendered"] <= 4
        [row] = it.status("shop/s7")["services"]
        assert "providers prefer fastjson2 to hessian2" in row["ports"][0]["harm"]


async def test_istios_objects_of_one_host_cost_the_service_of_that_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ObjectStore()
    async with estate(monkeypatch, store=store) as (it, work):
        host = "s7.shop.svc.cluster.local"
        hashed = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
        for name, of in (("mine", host), ("others", "elsewhere.example.com")):
            rule = {
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"host": of, "trafficPolicy": hashed},
            }
            store.put(DESTINATION_RULES.path("shop"), rule)
            await it.rest()
            assert work["rendered"] == 1, "s7 alone"
        [row] = it.status("shop/s7")["services"]
        assert any("consistentHash" in text for text in row["ports"][0]["lost"])
