"""The publisher of EnvoyFilters over an estate that changes and an API server's store: what it writes, and when."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from soadns import reflector
from soadns.kubeconfig import KubeConfigError
from soadns.mesh import filterwriter, renderings
from soadns.mesh.filterplan import BURST_S
from soadns.mesh.istiod import Rejects
from soadns.mesh.istioreader import DESTINATION_RULES, ENVOY_FILTERS, SIDECARS, VIRTUAL_SERVICES
from soadns.model import ObjectRef
from soadns.reports import filterviews
from soadns.reports.filterviews import Meshing
from soadns.sidecar.envoyfilters import Rendered
from soadns.sidecar.tiers import Wishes
from soadns.text import rendermesh
from tests.unit import test_filter_checks
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import ACCOUNT, FILTERS, REQUEST, ROOT, USER, Publishing, publishing
from tests.unit.route_process import SHOP

pytestmark = pytest.mark.long

FILED = Wishes(balancing="request", namespaces=("shop",))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


async def test_what_is_needed_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing() as it:
        await it.wrote(USER)  # calls of what moved would fail without
        assert it.states() == ["applied"]
        monkeypatch.setattr(renderings, "LATER_S", 0.0)
        it.tell("register com.x.Address 10.1.0.9; unregister com.x.Address 10.1.0.9")
        await it.rest()
        await it.wrote()
        assert it.writer.book.counts == {
            "applied": 1,
            "outdated": 0,
            "missing": 0,
            "unwanted": 0,
            "refused": 0,
        }


async def test_who_has_no_lease_writes_nothing_and_who_gets_it_goes_on() -> None:
    async with publishing() as it:
        it.lease.turn(False)
        await it.until(lambda: it.states() == ["missing"] or bool(it.store.writes))
        it.store.writes.clear()
        it.store.objects.clear()
    async with publishing(wishes=REQUEST) as it:
        it.lease.turn(False)
        await it.rest()
        it.store.writes.clear()
        it.lease.turn(True)
        await it.until(lambda: it.states() == ["applied", "applied"])
    async with publishing(wishes=REQUEST, store=it.store) as successor:
        await successor.until(lambda: successor.writer.book.counts["applied"] == 2)
        it.store.writes.clear()
        await successor.rest()
        await successor.wrote()  # it found them as they should be


async def test_a_lease_that_is_renewed_too_late_once_stops_nothing_for_long() -> None:
    """Nobody is told: it was held when it was looked at before, and is when it is looked at again."""
    async with publishing(SHOP[0]) as it:
        await it.rest()
        it.lease.holds, it.lease.lapsed = False, True
        it.tell("Service shop/user balancing=request")
        await it.until(lambda: it.writer.book.counts["missing"] == 1)
        assert it.store.writes == []
        it.lease.holds, it.lease.lapsed = True, False
        await it.until(lambda: bool(it.store.writes))
        await it.wrote(USER)


@pytest.mark.parametrize("wishes", [REQUEST, FILED], ids=["filters", "files"])
async def test_who_loses_the_lease_while_the_api_server_tries_a_write_does_not_make_it(
    wishes: Wishes,
) -> None:
    """What is new names no version that it replaces: by then it may be newer than what it would be replaced by."""
    async with publishing(SHOP[0], wishes=wishes) as it:
        taken: list[str] = []

        def lost(document: dict[str, Any]) -> str:
            taken.append(document["metadata"]["name"])
            it.lease.turn(False)
            return ""

        it.store.deny = lost
        await it.until(lambda: bool(taken))
        it.store.deny = lambda _: ""
        await it.rest()
        assert it.store.writes == []
        assert not any("refused" in said or "not-written" in said for said in it.log), it.log
        it.lease.turn(True)
        await it.later(lambda: bool(it.store.writes))


async def test_reading_alone_writes_nothing() -> None:
    async with publishing(write=False) as it:
        await it.until(lambda: it.states() == ["missing"] if not it.writer.waits_for else False)
        await it.rest()
        await it.wrote()


async def test_an_annotation_is_obeyed_without_a_change_of_routes() -> None:
    async with publishing(SHOP[0]) as it:
        await it.rest()
        await it.wrote()
        it.tell("Service shop/user balancing=request")
        await it.wrote(USER)
        it.tell("Service shop/user balancing=connection")
        await it.wrote(USER.replace("create", "delete"))


UNBOUND = ("Service shop/user 10.96.0.1; pods shop/user 10.1.0.1", "Service shop/account 10.96.0.2")
"""The Services of ``SHOP`` for who does not know yet what is registered there."""


async def test_a_filter_stays_while_nobody_is_known_at_its_service() -> None:
    """As for who takes over, and does not know all yet that the one before knew."""
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.wrote(USER)
    async with publishing(*UNBOUND, wishes=REQUEST, store=it.store) as successor:
        await successor.until(lambda: successor.states() == ["applied"])
        await successor.rest()
        await successor.wrote()
        successor.tell("Service shop/user balancing=connection")
        await successor.wrote(USER.replace("create", "delete"))


async def test_what_somebody_changes_by_hand_is_put_right_and_foreign_ones_are_left_alone() -> None:
    async with publishing(wishes=REQUEST) as it:
        await it.wrote(ACCOUNT, USER)
        [one, other] = [copy for (path, _), copy in it.store.objects.items() if path == FILTERS]
        it.store.put(FILTERS, {**one, "spec": {"priority": 77}})
        listener = {"name": "10.96.0.1_20880"}
        patch = {
            "applyTo": "NETWORK_FILTER",
            "match": {"listener": listener},
            "patch": {"operation": "REMOVE"},
        }
        theirs = {"metadata": {"name": "theirs", "namespace": ROOT}, "spec": {"configPatches": [patch]}}
        it.store.put(FILTERS, theirs)
        await it.until(lambda: it.store.objects[FILTERS, one["metadata"]["name"]]["spec"] == one["spec"])
        await it.rest()
        assert len(it.store.writes) == 1
        rows = {row["service"]: row["foreign"] for row in it.status()["services"]}
        assert rows == {"home/shop/account": [], "home/shop/user": [f"{ROOT}/theirs"]}
        assert it.store.objects[FILTERS, "theirs"]["spec"] == theirs["spec"]
        assert other["metadata"]["resourceVersion"]


async def test_the_first_change_after_a_quiet_time_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 3600.0)
    async with publishing(f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:]) as it:
        await it.wrote(USER)  # not in an hour
        it.tell("register com.x.Address 10.1.0.2")
        it.tell("unregister com.x.Address 10.1.0.1; after 5s")
        await it.rest()
        await it.wrote()  # what comes after that is written together, in an hour


async def test_what_follows_a_change_of_rules_at_once_is_written_as_well() -> None:
    async with publishing(f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:]) as it:
        await it.wrote(USER)
        it.tell("register com.x.Address 10.1.0.2")
        it.tell("unregister com.x.Address 10.1.0.1; after 5s")
        await it.wrote(USER.replace("create", "change"))
        assert it.states() == ["applied"]


async def test_what_changes_while_all_are_looked_at_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(10, 40)
    ]
    async with publishing(*rows, wishes=REQUEST, share=1.0) as it:
        await it.until(lambda: it.writer.book.counts["applied"] == 30)
        await it.rest()
        held, looked = dict(it.writer.renderings.rendered), []

        def rendered(zone: Any, table: Any, ref: ObjectRef, meshing: Meshing) -> Any:
            looked.append(ref.name)
            if len(looked) == 2:
                it.tell("Service shop/s39 balancing=connection")
            return original(zone, table, ref, meshing)

        original = filterviews.rendered
        monkeypatch.setattr(renderings, "AT_ONCE", 2)
        monkeypatch.setattr(filterviews, "rendered", rendered)
        it.store.writes.clear()
        it.writer.renderings._later |= held.keys()
        it.writer.renderings._looked_later = 0.0
        it.writer._stir()
        await it.until(lambda: bool(it.store.writes) and len(looked) > 30)
        assert looked[:3] == ["s10", "s11", "s39"], "the others can wait"
        assert set(looked) == {f"s{n}" for n in range(10, 40)}
        kept = [ref for ref, each in it.writer.renderings.rendered.items() if held[ref] is each]
        assert len(kept) == 29, "what is the same is the very same"


async def test_rules_change_once_a_minute() -> None:
    async with publishing(f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:]) as it:
        await it.wrote(USER)
        it.now += BURST_S
        it.tell("register com.x.Address 10.1.0.2")
        it.tell("unregister com.x.Address 10.1.0.1; after 5s")
        await it.until(lambda: it.states() == ["outdated"])
        await it.rest()
        await it.wrote()
        [row] = it.status()["services"]
        assert [found["waitsFor"] for found in row["objects"]] == ["its rules changed within the last minute"]
        it.now += 60.0 - BURST_S
        await it.rest()
        await it.wrote(USER.replace("create", "change"))


RULED = (f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:])


async def the_minute_is_over(it: Publishing, taken: float) -> None:
    """Rules change, and are written when a minute is over since somebody may have changed them last."""
    it.tell("register com.x.Address 10.1.0.2")
    it.tell("unregister com.x.Address 10.1.0.1; after 5s")
    await it.until(lambda: it.states() == ["outdated"])
    await it.rest()
    it.now = taken + 60.0 - BURST_S - 1.0
    await it.rest()
    await it.wrote()
    it.now += 1.0
    await it.rest()
    await it.wrote(USER.replace("create", "change"))


async def test_who_gets_the_lease_back_counts_the_minute_from_there() -> None:
    async with publishing(*RULED) as it:
        await it.wrote(USER)
        it.lease.turn(False)
        it.now += 600.0
        it.lease.turn(True)
        await the_minute_is_over(it, it.now)


async def test_who_takes_it_before_all_is_read_does_too() -> None:
    async with publishing(*RULED) as it:
        await it.wrote(USER)
    it.store.absent = {"envoyfilters"}
    async with publishing(*RULED, store=it.store) as successor:
        await successor.until(lambda: bool(successor.writer.waits_for))
        successor.lease.turn(True)
        it.store.absent = set()
        await successor.until(lambda: not successor.writer.waits_for)
        await the_minute_is_over(successor, successor.now)


async def test_the_filter_of_a_service_that_is_created_again_goes_at_once() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, minimum=1, share=0.0) as it:
        await it.wrote(USER)
        it.tell("after 60s; Service shop/user 10.96.0.7 new")
        await it.wrote(USER.replace("create", "delete"), USER)


async def test_rules_at_a_cluster_ip_that_another_service_has_by_now_change_at_once() -> None:
    """A Service that was no Service with a ClusterIP for a while (ExternalName) has another one, and its UID still."""
    rows = (f"{SHOP[0]}; register com.x.Pay 10.1.0.1", *SHOP[1:])
    async with publishing(*rows, minimum=1, share=0.0) as it:
        await it.wrote(USER)
        it.now += BURST_S
        it.tell("Service shop/user 10.96.0.7")
        await it.until(lambda: it.states() == ["outdated"])
        await it.rest()
        await it.wrote()  # nobody is there
        it.tell("Service shop/web 10.96.0.1")
        await it.wrote(USER.replace("create", "change"))
        [document] = it.store.objects.values()
        assert "10.96.0.1_" not in str(document["spec"])


async def test_removals_of_many_wait_for_somebody() -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(5)
    ]
    async with publishing(*rows, wishes=REQUEST, minimum=3) as it:
        await it.wrote(*(f"create {ROOT}/soadns-shop-s{n}" for n in range(5)))
        it.tell("; ".join(f"delete shop/s{n}" for n in range(4)))
        await it.until(lambda: it.writer.guard.alarm.held == 4)
        await it.rest()
        await it.wrote()
        assert "filters-held" in it.log
        assert it.writer.release() == 4
        await it.wrote(*(f"delete {ROOT}/soadns-shop-s{n}" for n in range(4)))


async def test_one_of_many_goes_at_once_when_a_service_without_interfaces_has_its_cluster_ip() -> None:
    rows = [
        f"Service shop/s{n} 10.96.1.{n}; pods shop/s{n} 10.1.1.{n}; register com.x.S{n} 10.1.1.{n}"
        for n in range(5)
    ]
    async with publishing(*rows, wishes=REQUEST, minimum=3) as it:
        await it.wrote(*(f"create {ROOT}/soadns-shop-s{n}" for n in range(5)))
        it.tell("; ".join(f"delete shop/s{n}" for n in range(4)))
        await it.until(lambda: it.writer.guard.alarm.held == 4)
        it.tell("Service shop/web 10.96.1.2")
        await it.wrote(f"delete {ROOT}/soadns-shop-s2")
        it.tell("delete shop/s4; Service shop/other 10.96.1.4")
        await it.wrote(f"delete {ROOT}/soadns-shop-s4")
        assert it.writer.guard.alarm.held == 3


async def test_what_is_refused_is_told_and_keeps_nobody_waiting() -> None:
    store = ObjectStore()
    store.deny = lambda document: "not this one" if "-user-" in document["metadata"]["name"] else ""
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.wrote(ACCOUNT)
        rows = {row["service"]: row["objects"][0]["refused"] for row in it.status()["services"]}
        assert rows == {"home/shop/account": None, "home/shop/user": "HTTP 422: not this one"}
        store.deny = lambda _: ""
        it.now += 31.0
        await it.rest()
        await it.wrote(USER)
        assert it.writer.book.counts["refused"] == 0


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b"null", b"{}", b'{"metadata": 1}', b"\xff", b"[" * 5_000]
)
async def test_an_answer_that_is_no_object_is_told_and_ends_nothing(answer: bytes) -> None:
    """Whatever stands before the API server may say anything."""

    class Before(ObjectStore):
        foreign = True

        async def apply(
            self, path: str, body: Mapping[str, Any], *, manager: str, dry_run: bool = False
        ) -> bytes:
            if self.foreign and not dry_run and "-user-" in path:
                return answer
            return await super().apply(path, body, manager=manager, dry_run=dry_run)

    store = Before()
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.wrote(ACCOUNT)
        await it.until(lambda: it.writer.book.counts["refused"] == 1)
        [said] = [
            row["objects"][0]["refused"]
            for row in it.status()["services"]
            if row["service"] == "home/shop/user"
        ]
        assert "what the API server answered can not be read" in said
        store.foreign = False
        it.now += 31.0
        await it.rest()
        await it.wrote(USER)
        assert it.writer.book.counts["refused"] == 0


async def test_who_can_not_be_asked_is_said_as_it_is() -> None:
    class Nobody(ObjectStore):
        async def apply(self, *_: object, **__: object) -> bytes:
            raise KubeConfigError("/etc/kubeconfig: aws gave no credentials within 30 s")

    async with publishing(wishes=REQUEST, store=Nobody()) as it:
        await it.until(lambda: it.writer.book.counts["refused"] == 2)
        said = {row["objects"][0]["refused"] for row in it.status()["services"]}
        assert said == {"/etc/kubeconfig: aws gave no credentials within 30 s"}


BY_LETTER = [mistake for mistake in test_filter_checks.MISTAKES if re.match("[a-n][0-9]?: ", mistake)]
"""Those that the API server, istiod and Envoy are known to tell late or not at all."""


@pytest.mark.parametrize("mistake", BY_LETTER)
async def test_what_is_rendered_wrong_is_not_written_and_told_and_keeps_nobody_waiting(
    mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renderer with a fault in what it says of one Service."""

    def with_a_fault(*arguments: Any) -> Rendered | None:
        found = rendered(*arguments)
        if found is None or found.service.name != "user" or sound:
            return found
        document = test_filter_checks.good()
        test_filter_checks.MISTAKES[mistake](document)
        return replace(found, filters=(document,))

    rendered, sound = filterviews.rendered, False
    monkeypatch.setattr(filterviews, "rendered", with_a_fault)
    store = ObjectStore()
    subsets = [{"name": name} for name in ("v1", "v2")]
    rule = {"host": "user.shop.svc.cluster.local", "subsets": subsets}
    store.put(DESTINATION_RULES.path("shop"), {"metadata": {"name": "u", "namespace": "shop"}, "spec": rule})
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.wrote(ACCOUNT)
        [row] = it.status("shop/user")["services"]
        [found] = row["objects"]
        assert (found["state"], bool(found["refused"])) == ("missing", True)
        assert "Istio has no cluster" not in found["refused"]
        assert f"REFUSED: {found['refused']}" in "\n".join(
            rendermesh.mesh({"share": None, "istio": it.status()})
        )
        assert it.writer.book.counts["refused"] == 1
        assert it.log.count("filter-refused") == 1, "said once"
        it.tell("Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3")
        await it.wrote(f"create {ROOT}/soadns-shop-pay")
        sound = True
        it.look_at_all()
        await it.wrote(USER)
        assert it.writer.book.counts["refused"] == 0


async def test_what_stands_stays_where_what_is_wanted_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.wrote(USER)
        [before] = [each for (path, _), each in it.store.objects.items() if path == FILTERS]
        rendered = filterviews.rendered

        def with_a_fault(*arguments: Any) -> Rendered | None:
            found = rendered(*arguments)
            assert found is not None
            document = copy.deepcopy(found.filters[0])
            test_filter_checks.MISTAKES["i: a value without a name"](document)
            return replace(found, filters=(document,))

        monkeypatch.setattr(filterviews, "rendered", with_a_fault)
        it.look_at_all()
        await it.until(lambda: bool(it.writer.book.refused))
        await it.rest()
        await it.wrote()
        assert it.states() == ["applied"]
        assert [each for (path, _), each in it.store.objects.items() if path == FILTERS] == [before]


async def test_nothing_is_decided_before_everything_is_known() -> None:
    store = ObjectStore()
    store.absent = {"envoyfilters"}
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.until(lambda: "does not have Istio's kinds" in it.writer.waits_for)
        await it.rest()
        await it.wrote()
        it.process.routing.wait_for_moves("not read yet")
        assert it.status()["waitsFor"] == "not read yet"


@pytest.mark.parametrize(
    "last", [each.plural for each in (VIRTUAL_SERVICES, DESTINATION_RULES, SIDECARS, ENVOY_FILTERS)]
)
async def test_when_istio_is_installed_the_kind_that_is_read_last_is_told_of(
    last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a minute later, when something is looked at in any case."""
    monkeypatch.setattr(reflector, "SELDOM_S", 0.02)
    store = ObjectStore()
    store.absent = {last}
    async with publishing(wishes=REQUEST, store=store) as it:
        await it.until(lambda: "does not have Istio's kinds" in it.writer.waits_for)
        await it.rest()
        store.absent = set()
        await it.until(lambda: it.writer.meshing.destinations.read)


async def test_istios_objects_decide_as_well() -> None:
    store = ObjectStore()
    host = "user.shop.svc.cluster.local"
    rule = {
        "metadata": {"name": "user", "namespace": "shop"},
        "spec": {"host": host, "subsets": [{"name": "v2"}]},
    }
    store.put(DESTINATION_RULES.path("shop"), rule)
    async with publishing(SHOP[0], wishes=REQUEST, store=store) as it:
        await it.wrote(USER)
        route = [{"destination": {"host": host, "subset": "v2"}}]
        virtual = {
            "metadata": {"name": "user", "namespace": "shop"},
            "spec": {"hosts": [host], "tcp": [{"route": route}]},
        }
        store.put(VIRTUAL_SERVICES.path("shop"), virtual)
        await it.wrote(USER.replace("create", "change"))
        [found] = [each for (path, _), each in store.objects.items() if path == FILTERS]
        assert f"outbound|20880|v2|{host}" in str(found["spec"])


async def test_a_first_filter_is_tried_in_one_namespace() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, try_first="canary", try_for=300.0) as it:
        await it.wrote(USER.replace(ROOT, "canary"))
        it.now += 299.0
        await it.rest()
        await it.wrote()
        assert "it is tried there first" in str(it.status())
        it.now += 2.0
        await it.rest()
        await it.wrote(USER, USER.replace(ROOT, "canary").replace("create", "delete"))


async def test_what_sidecars_refuse_stops_the_rest() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, metrics=()) as it:
        await it.wrote(USER)
        it.writer.istiod.rejects = Rejects(1.0, it.now + 5.0)
        it.tell("Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3")
        await it.until(lambda: "missing" in it.states())
        await it.rest()
        await it.wrote()
        waits = [found["waitsFor"] for row in it.status()["services"] for found in row["objects"]]
        assert any("sidecars refused something" in (text or "") for text in waits)
        it.now += 10.0
        it.writer.release()
        await it.wrote(f"create {ROOT}/soadns-shop-pay")


def removal(listener: str = "10.96.0.1_20880", **match: Any) -> dict[str, Any]:
    """The ``spec`` of an EnvoyFilter that takes Istio's filter away."""
    found = {"applyTo": "NETWORK_FILTER", "match": {"listener": {"name": listener}, **match}}
    return {"configPatches": [{**found, "patch": {"operation": "REMOVE"}}]}


async def test_a_filter_of_somebody_else_is_found_in_whatever_namespace_it_is() -> None:
    store = ObjectStore()
    for namespace, spec in (
        ("web", removal()),
        ("app", removal("10.96.0.9_20880")),
        ("gate", {**removal(), "targetRefs": [{"kind": "Gateway", "name": "x"}]}),
        ("inbound", removal(context="SIDECAR_INBOUND")),
    ):
        theirs = {"metadata": {"name": "theirs", "namespace": namespace}, "spec": spec}
        store.put(ENVOY_FILTERS.path(namespace), theirs)
    async with publishing(SHOP[0], wishes=REQUEST, store=store) as it:
        await it.wrote(USER)
        [row] = it.status()["services"]
        assert row["foreign"] == ["web/theirs"], "there it is in the way of callers of that namespace"


async def test_what_was_written_in_other_namespaces_than_ours_is_left_alone() -> None:
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.wrote(USER)
        [document] = [copy.deepcopy(each) for (path, _), each in it.store.objects.items() if path == FILTERS]
        document["metadata"]["namespace"] = "web"
        it.store.put(ENVOY_FILTERS.path("web"), document)
        await it.rest()
        await it.wrote()
        assert it.states() == ["applied"]


async def test_who_hides_what_rules_lead_to_is_told() -> None:
    store = ObjectStore()
    only = {"egress": [{"hosts": ["shop/user.shop.svc.cluster.local"]}]}
    sidecar = {"metadata": {"name": "default", "namespace": "web"}, "spec": only}
    store.put(SIDECARS.path("web"), sidecar)
    async with publishing(store=store) as it:
        await it.wrote(USER)
        [row] = it.status()["services"]
        said = {"host": "account.shop.svc.cluster.local", "from": "namespace web (Sidecar web/default)"}
        assert row["hidden"] == [said]
        shown = "\n".join(rendermesh.mesh({"share": None, "istio": it.status()}))
        assert (
            "  hidden from namespace web (Sidecar web/default): account.shop.svc.cluster.local, where"
            in shown
        )


HOST, ELSEWHERE = "user.shop.svc.cluster.local", "nowhere.shop.svc.cluster.local"


def virtual_service(host: str, port: int) -> dict[str, Any]:
    route = [{"destination": {"host": host, "port": {"number": port}}}]
    return {
        "metadata": {"name": "user", "namespace": "shop"},
        "spec": {"hosts": [HOST], "tcp": [{"route": route}]},
    }


@pytest.mark.parametrize(("host", "port"), [(ELSEWHERE, 20880), (HOST, 20881)])
async def test_a_rule_that_leads_to_a_cluster_that_does_not_exist_is_not_written(
    host: str, port: int
) -> None:
    """Nobody else refuses it, and each call would fail (status 80)."""
    store = ObjectStore()
    store.put(VIRTUAL_SERVICES.path("shop"), virtual_service(host, port))
    async with publishing(SHOP[0], wishes=REQUEST, store=store) as it:
        await it.until(lambda: bool(it.writer.book.refused))
        [why] = it.writer.book.refused.values()
        assert f"Istio has no cluster outbound|{port}||{host}: such calls would fail" in why
        await it.wrote()
        if host == ELSEWHERE:
            it.tell("Service shop/nowhere 10.96.0.9")
        else:
            it.tell("Service shop/user port=20880,20881")
        await it.wrote(USER)
        assert it.writer.book.refused == {}


async def test_a_cluster_that_can_not_be_seen_may_be_there() -> None:
    for host, wishes in (
        ("db.example.com", REQUEST),
        (ELSEWHERE, replace(REQUEST, whole=frozenset({"web"}))),
        (ELSEWHERE.replace("shop", "web"), replace(REQUEST, whole=frozenset({"shop"}))),
    ):
        store = ObjectStore()
        store.put(VIRTUAL_SERVICES.path("shop"), virtual_service(host, 20880))
        async with publishing(SHOP[0], wishes=wishes, store=store) as it:
            await it.wrote(USER)
