"""No more ports have filters for all callers than istiod is to carry: what the publisher writes, keeps and says."""

from __future__ import annotations

import pytest

from soadns.mesh import filterstatus, filterwriter
from soadns.mesh.istioreader import ENVOY_FILTERS
from soadns.sidecar.tiers import Wishes
from soadns.text import rendermesh
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import Publishing, publishing


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


def service(name: str, number: int, *interfaces: str) -> str:
    return (
        f"Service shop/{name} 10.96.0.{number}; pods shop/{name} 10.1.0.{number}; "
        f"register {','.join(f'com.x.{each}' for each in interfaces)} 10.1.0.{number}"
    )


PAY, ORDER, STOCK = (
    service("pay", 1, "Pay", "Bill"),
    service("order", 2, "Order"),
    service("stock", 3, "Stock"),
)
ROOM = Wishes(balancing="request", most_filters=2)


def filters(it: Publishing) -> list[str]:
    """The Services that have filters."""
    names = [name for path, name in it.store.objects if path == ENVOY_FILTERS.path("istio-system")]
    return sorted(name.removeprefix("soadns-shop-").rpartition("-")[0] for name in names)


async def test_no_more_filters_are_written_than_there_is_room_for() -> None:
    async with publishing(PAY, STOCK, ORDER, wishes=ROOM) as it:
        await it.until(lambda: len(filters(it)) == 2)
        await it.rest()
        assert filters(it) == ["order", "pay"]
        [row] = it.status("shop/stock")["services"]
        assert row["objects"] == []
        assert row["ports"][0]["crowded"].startswith("there is room for 2 ports with filters")
        shown = "\n".join(rendermesh.mesh({"share": None, "istio": it.status("")}))
        assert "2 of at most 2 ports have filters; 1 more would (sidecar.istio.most)" in shown
        assert "port 20880: tier 0: no further filter is written, though balancing by request" in shown
        assert filterstatus.figures(it.writer)["room"] == {"ports": 2, "most": 2, "wanting": 1}

        it.tell("register com.x.Bill 10.1.0.2")
        it.tell("unregister com.x.Bill 10.1.0.1; after 5s")  # rules, in a filter that is there
        await it.until(lambda: any(each.startswith("change") for each in it.store.writes))
        it.tell("Service shop/order balancing=connection")
        await it.until(lambda: filters(it) == ["pay", "stock"])


async def test_a_replica_that_takes_over_takes_no_filter_away() -> None:
    store = ObjectStore()
    async with publishing(STOCK, ORDER, store=store, wishes=ROOM) as it:
        await it.until(lambda: filters(it) == ["order", "stock"])
    store.writes.clear()
    async with publishing(ORDER, PAY, STOCK, store=store, wishes=ROOM) as it:
        await it.until(lambda: len(it.writer.renderings.rendered) == 3)
        await it.rest()
        assert filters(it) == ["order", "stock"]
        assert [each for each in store.writes if "pay" in each] == []
