"""What sidecars refuse stops the rest until somebody says so, whoever has the Lease by then."""

from __future__ import annotations

from typing import Any

import pytest

from soadns.kubeapi import ApiError
from soadns.mesh import filterwriter
from soadns.mesh.filterplan import Standing
from soadns.mesh.haltnotes import HaltNotes
from soadns.mesh.istiod import Rejects
from soadns.mesh.standing import StandingFilters
from soadns.mesh.trials import Trials
from soadns.sidecar.envoyfilters import REFUSED_SINCE
from soadns.text import rendermesh
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import REQUEST, ROOT, USER, Publishing, publishing
from tests.unit.route_process import SHOP

pytestmark = pytest.mark.long

CANARY = USER.replace(ROOT, "canary")
TRIED: dict[str, Any] = {"wishes": REQUEST, "try_first": "canary", "try_for": 300.0}
PAY = "Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3"
CREATE_PAY = f"create {ROOT}/soadns-shop-pay"
WAITS = "sidecars refused something (soadns release mesh/filters)"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


def refuse(it: Publishing, after: float = 5.0) -> None:
    """Sidecars refuse what was written a while ago."""
    it.now += after
    it.writer.istiod.rejects = Rejects(it.writer.istiod.rejects.total + 1.0, it.now)
    it.writer._stir()


def noted(store: ObjectStore) -> list[str]:
    """The objects that say so."""
    return [
        f"{each['metadata']['namespace']}/{each['metadata']['name'].rpartition('-')[0]}"
        for each in store.objects.values()
        if REFUSED_SINCE in (each["metadata"].get("annotations") or {})
    ]


async def waits(it: Publishing) -> None:
    """Nothing is written, for that reason."""
    await it.rest()
    await it.wrote()
    assert WAITS in [found["waitsFor"] for row in it.status()["services"] for found in row["objects"]]
    shown = "\n".join(rendermesh.mesh({"share": None, "istio": it.status()}))
    assert "halted   sidecars refused something (2027-01-15T08:00:05.000Z): nothing is written until" in shown


async def test_a_trial_that_sidecars_refused_is_for_nobody_else_whoever_has_the_lease_next() -> None:
    async with publishing(SHOP[0], **TRIED) as it:
        await it.wrote(CANARY)
        refuse(it)
        await it.until(lambda: noted(it.store) == ["canary/soadns-shop-user"])
        await it.rest()
        await it.wrote()
        assert it.states() == ["applied"], "what is noted beside it is no difference"
        assert it.log.count("filters-halted") == 1
    async with publishing(SHOP[0], **TRIED, store=it.store) as successor:
        successor.now += 3600.0
        await waits(successor)
        assert successor.log.count("filters-halted") == 1
        successor.now += 300.0
        await waits(successor)
        successor.writer.release()
        await successor.wrote(USER, CANARY.replace("create", "delete"))
        assert noted(it.store) == []
        assert successor.status()["halted"] is None
    async with publishing(SHOP[0], PAY, **TRIED, store=it.store) as third:
        await third.wrote(CREATE_PAY.replace(ROOT, "canary"))


async def test_so_is_everything_else_where_nothing_is_tried() -> None:
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.wrote(USER)
        refuse(it)
        await it.until(lambda: noted(it.store) == [f"{ROOT}/soadns-shop-user"])
    async with publishing(SHOP[0], PAY, wishes=REQUEST, store=it.store) as successor:
        successor.now += 3600.0
        await waits(successor)
        successor.tell("delete shop/user")
        await successor.wrote(USER.replace("create", "delete"))
        await waits(successor)
        successor.writer.release()
        await successor.wrote(CREATE_PAY)


async def test_it_is_noted_elsewhere_when_what_it_was_noted_at_is_gone() -> None:
    async with publishing(SHOP[0], PAY, wishes=REQUEST) as it:
        await it.wrote(CREATE_PAY, USER)
        refuse(it)
        await it.until(lambda: noted(it.store) == [f"{ROOT}/soadns-shop-user"])
        it.tell("delete shop/user")
        await it.until(lambda: noted(it.store) == [f"{ROOT}/soadns-shop-pay"])
        it.store.writes.clear()
        it.writer.release()
        await it.until(lambda: noted(it.store) == [])
        await it.rest()
        assert len(it.store.noted) == 3, it.store.noted


async def test_who_has_no_lease_is_told_of_it_and_of_its_end() -> None:
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.wrote(USER)
        async with publishing(SHOP[0], PAY, wishes=REQUEST, store=it.store) as other:
            other.lease.turn(False)
            refuse(it)
            await other.until(lambda: bool(other.status()["halted"]))
            it.writer.release()
            await other.until(lambda: not other.status()["halted"])
            it.lease.turn(False)
            other.lease.turn(True)
            await other.wrote(CREATE_PAY)


async def test_who_had_the_lease_goes_by_what_another_one_was_told_since() -> None:
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.wrote(USER)
        refuse(it)
        await it.until(lambda: bool(noted(it.store)))
        await it.rest()
        it.lease.turn(False)
        async with publishing(SHOP[0], wishes=REQUEST, store=it.store) as other:
            await other.until(lambda: bool(other.status()["halted"]))
            other.writer.release()
            await other.until(lambda: not noted(it.store))
            await other.rest()
        it.tell(PAY)
        it.lease.turn(True)
        await it.wrote(CREATE_PAY)


async def test_what_could_not_be_noted_is_remembered_and_noted_later() -> None:
    class Forbids(ObjectStore):
        async def apply(self, path: str, body: Any, *, manager: str, dry_run: bool = False) -> bytes:
            if "spec" not in body and forbidden:
                tries.append(path)
                raise ApiError(403, "not this")
            return await super().apply(path, body, manager=manager, dry_run=dry_run)

    forbidden, tries = [True], list[str]()
    async with publishing(SHOP[0], wishes=REQUEST, store=Forbids()) as it:
        await it.wrote(USER)
        refuse(it)
        await it.until(lambda: bool(tries))
        await it.rest()
        assert len(tries) == 1, "not again and again"
        assert it.log.count("halt-not-noted") == 1
        it.lease.turn(False)
        it.tell(PAY)
        it.lease.turn(True)
        await waits(it)
        forbidden.clear()
        await it.later(lambda: bool(noted(it.store)))


async def test_who_takes_the_lease_tries_for_as_long_again() -> None:
    """For it does not know what sidecars refused before."""
    async with publishing(SHOP[0], **TRIED) as it:
        await it.wrote(CANARY)
    async with publishing(SHOP[0], **TRIED, store=it.store) as successor:
        successor.lease.turn(False)
        successor.now += 250.0
        await successor.rest()
        successor.now += 100.0
        await successor.rest()
        assert "missing" in successor.states(), "by what it knows it is for all"
        successor.lease.turn(True)
        await successor.rest()
        await successor.wrote()
        successor.now += 299.0
        await successor.rest()
        await successor.wrote()
        successor.now += 2.0
        await successor.rest()
        await successor.wrote(USER, CANARY.replace("create", "delete"))


async def test_one_that_goes_while_another_is_noted_ends_nothing() -> None:
    one, two, note = ("web", "one"), ("web", "two"), "2026-01-01T00:00:00Z"
    standing = StandingFilters()
    standing.of = {name: Standing({}, "1", f"object-{name[1]}", name[1]) for name in (one, two)}
    standing.notes = {one: note, two: note}

    class Api:
        async def apply(self, *_: object, **__: object) -> bytes:
            standing.of.pop(two, None)
            return b"{}"

    trials = Trials("", ROOT, 300.0)
    trials.forgive(1.0, [note])
    notes = HaltNotes(Api(), standing, trials, log=lambda *_, **__: None, now=lambda: 2.0)  # type: ignore[arg-type]
    await notes.keep(lambda: True)
    assert list(standing.of) == [one]
