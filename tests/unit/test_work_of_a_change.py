"""What one change costs soadns itself: as much in an estate of any size. Counted, not timed.

Everything that the control process does with it: what is seen is folded and bound, names are compiled and go to the
workers, routes and clusters follow, MOSNs and Envoys are told, with and without the right to see everything, and it
is saved.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import soadns
from soadns.ads.peers import view
from soadns.ads.push import SHARED_AFTER_S
from soadns.nameserver.zone import ZoneData
from soadns.reports.routeviews import Part, delta
from tests.unit.ads_peer import Mosn
from tests.unit.ads_peer import inventory as of_mosns
from tests.unit.journals import publisher
from tests.unit.notation import ZONE
from tests.unit.route_process import RouteProcess
from tests.unit.tables import seconds
from tests.unit.test_ads_envoys import Envoy
from tests.unit.test_ads_envoys import inventory as of_envoys

pytestmark = pytest.mark.long

SMALL, LARGE = 20, 200
INTERFACES = 3
OURS = str(Path(soadns.__file__).parent)
TOLERANCE = 1.02
"""Of all that is called: a heap is deeper, a set is rebuilt."""
LOOKED_THROUGH = 1.2
"""The same of what goes through a collection from its beginning to its end, item by item."""

CHANGES = {
    "an endpoint more": "pods shop/s7 10.1.0.8 10.2.0.1",
    "an endpoint that is not ready": "pods shop/s7 10.1.0.8-",
    "an interface moves": "register com.x.S7I0 10.1.0.10; unregister com.x.S7I0 10.1.0.8",
    "an annotation": "Service shop/s7 traffic=mesh",
    "a Service declares what another one has": "Service shop/s8 interfaces=com.x.S7I0",
    "an interface more": "register com.x.New 10.1.0.8",
    "a provider that is no Service's": "register com.x.S7I0 10.9.0.1",
    "a Service more": "Service shop/new 10.96.9.9; pods shop/new 10.9.9.9; register com.x.New 10.9.9.9",
    "a Service is created again": "Service shop/s7 10.96.9.9 new",
    "a Service less": "delete shop/s7; pods shop/s7 gone",
    "nothing but time": "after 10s",
}

SHARED_CHANGES = {
    "an interface moves": "register com.x.S7I0 10.1.0.10 path=api; unregister com.x.S7I0 10.1.0.8",
    "an interface more": "register com.x.New 10.1.0.8 path=api",
    "an interface less": "unregister com.x.S7I0 10.1.0.8",
    "an interface has a path of its own": "register com.x.S7I0 10.1.0.8 path=own",
    "a Service more": "Service shop/new 10.96.9.9; pods shop/new 10.9.9.9; register com.x.New 10.9.9.9 path=api",
    "a Service is created again": "Service shop/s7 10.96.9.9 new",
    "a Service less": "delete shop/s7; pods shop/s7 gone",
}
"""The same where callers of all interfaces write one path."""


class Steps(Counter[str]):
    """Lines of soadns that are executed while the context lasts, by function; each time that a loop comes to one."""

    def __enter__(self) -> Steps:
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, _event: str, _: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(OURS):
            return None
        name = f"{code.co_filename.rpartition('soadns/')[2]} {code.co_qualname}"

        def executed(_frame: FrameType, event: str, _: object) -> Any:
            self[name] += event == "line"
            return executed

        return executed


class Published(dict[str, Any]):
    """Records by owner name; ``fresh`` are those that came since somebody took them."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: dict[str, Any] = {}

    def __setitem__(self, owner: str, records: Any) -> None:
        super().__setitem__(owner, records)
        self.fresh[owner] = records


class Site:
    """A control process over so many Services, and who listens to it."""

    def __init__(self, services: int, path: str = "") -> None:
        rows = []
        for n in range(services):
            names = ",".join(f"com.x.S{n}I{i}" for i in range(INTERFACES))
            pod = f"10.1.{n // 200}.{n % 200 + 1}"
            # Whoever sees the first of these namespaces sees as much at both sizes.
            ref = f"shop/s{n}" if n < SMALL else f"n{n % 7}/s{n}"
            rows += [f"Service {ref} 10.96.{n // 200}.{n % 200 + 1}", f"pods {ref} {pod}"]
            rows += [f"register {names} {pod}{path}"]
        process = RouteProcess(["; ".join(rows), "after 1m"])
        self.book = process.book
        self.names, self.workers = ZoneData(ZONE), publisher()
        delta = self.names.start()
        delta.merge(self.names.apply(self.book.published, serial=1))
        self.workers.publish(delta)
        self.published = self.book.published = Published()
        mosns, envoys = of_mosns(self.book), of_envoys(self.book)
        for inventory in (mosns, envoys):
            for _ in inventory.follow():
                pass
        shop = view("shop", "namespace", ())
        self.mosns = [Mosn(mosns), Mosn(mosns, shop)]
        self.envoys = [Envoy(envoys), Envoy(envoys, shop)]
        self.told = 0
        self.spread()

    def spread(self) -> None:
        """Workers and sidecars are told, and it is saved."""
        self.workers.publish(self.names.apply(self.published.fresh, serial=1))
        self.published.fresh.clear()
        for mosn in self.mosns:
            # What they all share comes later, and is put together as a whole.
            mosn.now += 0.6 * SHARED_AFTER_S
            mosn.take()
        for envoy in self.envoys:
            for _ in envoy.stock.follow():
                pass
            envoy.take()
        routing = self.book.routing
        changed = routing.since(ZONE, self.told, clusters=True)
        self.told = routing.generation(ZONE, clusters=True)
        if changed is not None:
            delta(ZONE, routing, self.told, changed, Part(), clusters=True)
        self.book.saved.save(self.book.estate, self.book.now)

    async def happens(self, row: str) -> tuple[Steps, int]:
        """A change; what it takes from the moment when sources speak of it, and the octets that are saved."""
        for _ in range(100):
            await asyncio.sleep(0)  # the whole table is written
        book, saved = self.book, len(self.book.saved.data)
        statements = [each for each in row.split("; ") if not each.startswith("after ")]
        for statement in statements:
            book.say(statement)
        events = book.news()
        with Steps() as steps:
            book.hear(events)
            if not statements:
                book.wait(seconds(row.removeprefix("after ")))
            self.spread()
        return steps, len(book.saved.data) - saved


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_costs_the_same_beside_ten_times_as_many_services(what: str) -> None:
    await compare(CHANGES[what])


@pytest.mark.parametrize("what", SHARED_CHANGES)
async def test_a_change_costs_the_same_beside_ten_times_as_many_who_share_its_wire_name(what: str) -> None:
    await compare(SHARED_CHANGES[what], " path=api")


async def compare(change: str, path: str = "") -> None:
    """What it costs in both estates."""
    small, saved = await Site(SMALL, path).happens(change)
    large, also = await Site(LARGE, path).happens(change)
    assert small.total() > 100
    more = {name: (small[name], n) for name, n in large.items() if n > LOOKED_THROUGH * small[name] + 5}
    assert not more
    assert large.total() <= TOLERANCE * small.total() + 20
    assert also == saved
