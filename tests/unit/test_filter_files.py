"""Files of rules, and the filters that name them: what the publisher writes of them, and for how many ports."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from soadns.mesh import filterstatus, filterwriter, happenings
from soadns.mesh.istioreader import ENVOY_FILTERS, VIRTUAL_SERVICES
from soadns.model import ObjectRef
from soadns.reports import filterviews
from soadns.sidecar.envoyfilters import Rendered
from soadns.sidecar.tiers import Wishes
from soadns.text import rendermesh
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import USER, publishing
from tests.unit.route_process import SHOP


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


async def test_files_are_there_before_the_filter_that_names_them() -> None:
    async with publishing(wishes=Wishes(namespaces=("web",), shards=1)) as it:
        await it.until(lambda: len(it.store.writes) >= 2)
        await it.rest()
        assert [write.rpartition("-")[0] for write in it.store.writes] == ["create web/soadns-routes", USER]
        assert len(it.writer.waiting) >= 1
        it.store.writes.clear()
        it.now += 121.0
        await it.rest()
        assert all("-files" in write for write in it.store.writes)
        assert it.store.writes


PAY = "Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay,com.x.Bill 10.1.0.3"


async def test_no_more_files_are_written_than_sidecars_can_watch() -> None:
    wishes = Wishes(namespaces=("web",), shards=1, most=2)
    async with publishing(*SHOP, PAY, wishes=wishes) as it:

        def files() -> list[str]:
            maps = [each for (path, _), each in it.store.objects.items() if path.endswith("/configmaps")]
            return sorted(key.partition(".20880")[0] for each in maps for key in each["data"])

        def filters() -> list[str]:
            found = [name for (path, name) in it.store.objects if path == ENVOY_FILTERS.path("web")]
            return sorted(name.rpartition("-")[0].rpartition("-")[0] for name in found)

        def full() -> list[str]:
            return [
                str(ref)
                for ref, each in sorted(it.writer.renderings.rendered.items())
                for p in each.ports
                if p.full
            ]

        await it.until(lambda: len(files()) == 2)
        await it.later(lambda: len(filters()) == 2)
        assert (files(), filters()) == (
            ["shop.account", "shop.user"],
            ["soadns-shop-account", "soadns-shop-user"],
        )
        assert full() == ["home/shop/pay"]
        row = it.status("shop/pay")["services"][0]
        assert "tier 3 is full in web: 2 ports have files there" in row["ports"][0]["full"]
        shown = "\n".join(rendermesh.mesh({"share": None, "istio": it.status("shop/pay")}))
        assert "web: 2 of at most 2 ports have rules from files; tier 3 is full: 1 more would" in shown
        assert "    tier 3 is full in web: 2 ports" in shown

        it.tell("Service shop/zoo 10.96.0.4; pods shop/zoo 10.1.0.4; register com.x.Pay,com.x.Zoo 10.1.0.4")
        it.tell("unregister com.x.Pay 10.1.0.3; after 5s")  # now it needs rules
        await it.until(lambda: it.writer.renderings.rendered[ObjectRef("home", "shop", "pay")].tier == 2)
        await it.rest()
        assert full() == ["home/shop/pay", "home/shop/zoo"], "who has a file keeps it"
        assert filterstatus.figures(it.writer)["files"] == [
            {"namespace": "web", "ports": 2, "most": 2, "wanting": 2, "outdated": [], "leftOut": []}
        ]
        it.tell("Service shop/account moves=never")
        await it.until(lambda: filters() == ["soadns-shop-user"])
        await it.until(lambda: "shop.pay" in files())
        await it.later(lambda: filters() == ["soadns-shop-pay", "soadns-shop-user"])
        assert full() == ["home/shop/zoo"]


async def test_what_is_not_in_force_yet_gives_way_to_what_needs_rules() -> None:
    async with publishing(SHOP[0], PAY, wishes=Wishes(namespaces=("web",), shards=1, most=1)) as it:
        await it.until(lambda: len(it.writer.renderings.rendered) == 2)
        await it.rest()
        files = {
            ref.name: [p.files for p in each.ports] for ref, each in it.writer.renderings.rendered.items()
        }
        assert files == {"pay": [("web",)], "user": [()]}
        it.tell(SHOP[1])
        it.tell(SHOP[2])
        await it.until(lambda: it.writer.renderings.rendered[ObjectRef("home", "shop", "user")].tier == 3)
        assert it.writer.renderings.rendered[ObjectRef("home", "shop", "pay")].tier == 0


async def test_a_replica_that_takes_over_takes_no_file_away() -> None:
    store, wishes = ObjectStore(), Wishes(namespaces=("web",), shards=1, most=1)
    async with publishing(SHOP[0], PAY, store=store, wishes=wishes) as it:
        await it.later(lambda: any(write.endswith("-files") for write in store.writes))
    async with publishing(PAY, *SHOP, store=store, wishes=wishes) as it:
        await it.until(lambda: len(it.writer.renderings.rendered) == 3)
        await it.rest()
        tiers = {ref.name: each.tier for ref, each in it.writer.renderings.rendered.items()}
        assert tiers == {"account": 0, "pay": 3, "user": 2}


async def test_a_file_that_must_not_be_written_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered = filterviews.rendered

    def with_a_fault(*arguments: Any) -> Rendered | None:
        found = rendered(*arguments)
        if found is None or found.service.name != "user":
            return found
        return replace(found, files=tuple(replace(file, text=file.text[:-5]) for file in found.files))

    monkeypatch.setattr(filterviews, "rendered", with_a_fault)
    async with publishing(wishes=Wishes(namespaces=("web",), shards=1)) as it:
        await it.later(lambda: any(write.endswith("-files") for write in it.store.writes))
        await it.rest()
        [maps] = [each for (path, _), each in it.store.objects.items() if path.endswith("/configmaps")]
        assert [key.partition(".20880")[0] for key in maps["data"]] == ["shop.account"]
        rows = {row["service"]: row["objects"] for row in it.status()["services"]}
        told = {name: [found["refused"] is not None for found in rows[name]] for name in rows}
        assert told == {"home/shop/account": [False], "home/shop/user": [False, True]}
        [named] = [write for write in it.store.writes if write.endswith("-files")]
        assert named.startswith("create web/soadns-shop-account-")


MANY = [
    f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n},com.x.T{n} 10.1.1.{n}"
    for n in range(1, 6)
]
ALL_MOVE = "; ".join(
    f"Service shop/t{n} 10.96.2.{n}; pods shop/t{n} 10.1.2.{n}; register com.x.T{n} 10.1.2.{n}; "
    f"unregister com.x.T{n} 10.1.1.{n}"
    for n in range(1, 6)
)
IN_FILES = Wishes(namespaces=("web",), shards=1, most=5, moves="never")


def rules(store: ObjectStore) -> dict[str, int]:
    """How many rules the file of each Service has."""
    maps = [each for (path, _), each in store.objects.items() if path.endswith("/configmaps")]
    found = {key: json.loads(text) for each in maps for key, text in each["data"].items()}
    return {key.split(".")[1]: len(body["resources"][0]["route_config"]) for key, body in found.items()}


async def test_a_mass_change_of_files_waits_for_somebody() -> None:
    async with publishing(*MANY, wishes=IN_FILES, minimum=3) as it:
        await it.later(lambda: sum(write.endswith("-files") for write in it.store.writes) == 5)
        await it.rest()
        assert rules(it.store) == {f"s{n}": 1 for n in range(1, 6)}, "to make them was no change"
        it.tell(f"{ALL_MOVE}; after 5s")
        await it.until(lambda: it.writer.guard.alarm.held == 5)
        await it.rest()
        assert rules(it.store) == {f"s{n}": 1 for n in range(1, 6)}
        assert "filters-held" in it.log
        assert it.status()["guard"]["held"] == 5
        [first, *_] = it.writer.held
        rendered = it.writer.renderings.of(first.uid)
        assert rendered is not None
        note = happenings.held(rendered, first, "mesh/filters").note
        assert note.startswith("the file of rules web/shop.s1.20880.")
        assert it.writer.release() == 5
        await it.until(lambda: rules(it.store) == {f"s{n}": 2 for n in range(1, 6)})
        await it.rest()
        assert it.writer.guard.alarm.held == 0


async def test_files_are_tried_before_they_are_written() -> None:
    store = ObjectStore()
    store.deny = lambda document: "not in this one" if document["kind"] == "ConfigMap" else ""
    async with publishing(wishes=Wishes(namespaces=("web",), shards=1), store=store) as it:
        await it.wrote(USER)
        assert "configmap web/soadns-routes-0: not in this one" in (it.status()["trouble"] or "")
        assert it.log.count("files-not-written") == 1
        store.deny = lambda _: ""
        await it.later(lambda: bool(rules(store)))
        assert it.status()["trouble"] is None
        tried = [dry for path, dry in store.asked if path.endswith("/soadns-routes-0")]
        assert tried[-2:] == [True, False]


async def test_a_file_that_leads_to_a_cluster_that_does_not_exist_is_not_written() -> None:
    store, host = ObjectStore(), "user.shop.svc.cluster.local"
    route = [{"destination": {"host": "nowhere.shop.svc.cluster.local"}}]
    virtual = {
        "metadata": {"name": "user", "namespace": "shop"},
        "spec": {"hosts": [host], "tcp": [{"route": route}]},
    }
    store.put(VIRTUAL_SERVICES.path("shop"), virtual)
    async with publishing(*SHOP, wishes=IN_FILES, store=store) as it:
        await it.until(lambda: bool(rules(store)))
        await it.rest()
        assert rules(store) == {"account": 1}
        it.tell("Service shop/nowhere 10.96.0.9")
        await it.until(lambda: set(rules(store)) == {"account", "user"})
