"""``export envoyfilters --diff`` says what the writer is to write, and nothing where that has nothing to do."""

from __future__ import annotations

import asyncio
import random
import re
from types import SimpleNamespace
from typing import Any

import pytest

from soadns.cli import main
from soadns.inquiries import Inquiries
from soadns.mesh import filterchanges, filterwriter
from soadns.mesh.istioreader import VIRTUAL_SERVICES
from soadns.mesh.mesh import Mesh
from soadns.model import ObjectRef
from soadns.sidecar.tiers import Wishes
from soadns.yamlfile import load_all
from tests.unit.http_site import site
from tests.unit.notation import ZONE
from tests.unit.object_store import ObjectStore
from tests.unit.publishing_site import FILTERS, REQUEST, ROOT, Publishing, publishing
from tests.unit.route_process import SHOP

pytestmark = pytest.mark.long

USER = ObjectRef("home", "shop", "user")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


def changes(it: Publishing, of: ObjectRef | None = None) -> list[tuple[str, str]]:
    """What is to be done, and to which object: names without what is different each time."""
    found = []
    for each in filterchanges.changes(it.writer, of):
        word = "create" if each["before"] is None else "remove" if each["after"] is None else "change"
        found.append((word, f"{each['namespace']}/{each['name']}"))
    return found


def short(found: list[tuple[str, str]]) -> list[str]:
    return [f"{word} {name.rpartition('-')[0]}" for word, name in found]


async def read_by(it: Publishing) -> None:
    """Until a writer that does not lead has looked at everything."""
    await it.until(lambda: not it.writer.waits_for and it.rounds > 0)
    await it.rest()


async def written(it: Publishing) -> None:
    """Until all is as it should be."""
    await read_by(it)
    await it.later(lambda: not changes(it))


async def test_nothing_is_to_be_written_where_the_writer_keeps_what_stands() -> None:
    async with publishing(SHOP[0], wishes=REQUEST) as it:
        await it.until(lambda: len(it.store.writes) == 1)
    it.store.writes.clear()
    unbound = [row.partition("; register")[0] for row in SHOP[:1]]  # all of its interfaces are gone
    async with publishing(*unbound, wishes=REQUEST, store=it.store) as later:
        await read_by(later)
        assert not later.process.routing.tables[ZONE].places_of(USER)
        assert later.states() == ["applied"]
        assert changes(later) == []
        assert it.store.writes == []
        later.lease.turn(False)
        later.tell("Service shop/user balancing=connection")
        await later.until(lambda: bool(changes(later)))
        assert short(changes(later)) == [f"remove {ROOT}/soadns-shop-user"]


async def test_what_may_not_be_written_is_no_removal() -> None:
    store = ObjectStore()
    async with publishing(SHOP[0], store=store, wishes=REQUEST) as it:
        await it.until(lambda: len(store.writes) == 1)
        host = "user.shop.svc.cluster.local"
        route = [{"destination": {"host": "nowhere.shop.svc.cluster.local"}}]
        metadata = {"name": "user", "namespace": "shop"}
        store.put(
            VIRTUAL_SERVICES.path("shop"),
            {"metadata": metadata, "spec": {"hosts": [host], "tcp": [{"route": route}]}},
        )
        await it.until(lambda: bool(it.writer.book.refused))
        await it.rest()
        assert changes(it) == []
        assert len(store.writes) == 1


async def test_what_is_tried_first_is_where_it_is_tried() -> None:
    async with publishing(SHOP[0], wishes=REQUEST, try_first="canary") as it:
        it.lease.turn(False)
        await read_by(it)
        assert short(changes(it)) == ["create canary/soadns-shop-user"]
        it.lease.turn(True)
        await it.until(lambda: len(it.store.writes) == 1)
        await it.rest()
        assert changes(it) == [], "it is tried"


async def test_files_are_told_with_the_configmap_that_holds_them() -> None:
    async with publishing(*SHOP, wishes=Wishes(namespaces=("web",), shards=1)) as it:
        it.lease.turn(False)
        await read_by(it)
        assert sorted(re.sub("-[0-9a-f]{8}", "-N", name) for _, name in changes(it)) == [
            f"{ROOT}/soadns-shop-user-N",
            "web/soadns-routes-0",
            "web/soadns-shop-account-N-files",
            "web/soadns-shop-user-N-files",
        ]
        assert ("create", "web/soadns-routes-0") in changes(it)
        [alone] = [each for each in filterchanges.changes(it.writer, USER) if "routes" in each["name"]]
        assert [key.split(".")[1] for key in alone["after"]["data"]] == ["user"]
        it.lease.turn(True)
        await written(it)
        it.lease.turn(False)
        [path] = [path for path, name in it.store.objects if name == "soadns-routes-0"]
        held = it.store.objects[path, "soadns-routes-0"]
        it.store.put(path, {**held, "data": {**held["data"], "shop.user.x.json": "{}"}})
        await it.until(lambda: changes(it) == [("change", "web/soadns-routes-0")])
        assert changes(it, ObjectRef("home", "shop", "account")) == []
        assert changes(it, USER) == [("change", "web/soadns-routes-0")]


EVENTS = (
    "Service shop/user balancing=request", "Service shop/user balancing=connection", "Service shop/user balancing=",
    "Service shop/user moves=never", "Service shop/user moves=inline", "Service shop/user moves=",
    "Service shop/account balancing=request", "Service shop/account balancing=connection",
    "register com.x.User 10.1.0.1 10.1.0.2; unregister com.x.User 10.1.0.2; after 6s",
    "register com.x.User 10.1.0.1 10.1.0.2; unregister com.x.User 10.1.0.1; after 6s",
    "register com.x.Address 10.1.0.1; unregister * 10.1.0.1; after 30m", "register com.x.Address 10.1.0.1",
    "register com.x.User 10.1.0.2; unregister com.x.User 10.1.0.2; after 30m",
    "register com.x.User 10.1.0.2 serialization=fastjson2", "register com.x.User 10.1.0.2",
    "Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3",
)  # fmt: skip
MESHES: dict[str, dict[str, Any]] = {
    "filters": {"wishes": REQUEST},
    "files": {"wishes": Wishes(namespaces=("web",), shards=2, most=2)},
    "tried": {"wishes": REQUEST, "try_first": "canary", "try_for": 30.0},
    "crowded": {"wishes": Wishes(balancing="request", most_filters=1)},
}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("seed", range(2))
async def test_there_is_a_difference_exactly_where_the_writer_writes(mesh: str, seed: int) -> None:
    """Whatever happens while nobody leads: who leads then writes what was shown, and nothing where nothing was."""
    rng = random.Random(f"{mesh} {seed}")
    seen = set()
    async with publishing(*SHOP, share=1.0, **MESHES[mesh]) as it:
        for _ in range(10):
            it.lease.turn(False)
            for _ in range(rng.randint(1, 2)):
                it.tell(rng.choice(EVENTS))
            await read_by(it)
            shown = filterchanges.changes(it.writer, None)
            it.store.writes.clear()
            it.lease.turn(True)
            await it.rest()
            if not shown:
                assert it.store.writes == []
            await it.later(lambda: not filterchanges.changes(it.writer, None))
            written = {write.split(" ")[1] for write in it.store.writes}
            assert written >= {f"{each['namespace']}/{each['name']}" for each in shown}
            seen.add(bool(shown))
    assert True in seen


class Keeping(Mesh):
    """What is written to the cluster, with nothing but filters."""

    def __init__(self, writer: filterwriter.FilterWriter) -> None:
        self.filters = writer


def asked(it: Publishing) -> Inquiries:
    """What HTTP is answered of the writer."""
    process = it.process
    control: Any = SimpleNamespace(
        estate=process.estate, routing=process.routing, figures=process.figures, sources=[],
        meshing=process.meshing, mesh=Keeping(it.writer),
    )  # fmt: skip
    return Inquiries(control)


async def printed(it: Publishing, line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    it.process.filter_changes = asked(it).filter_changes  # type: ignore[method-assign]
    it.process.standing = asked(it).standing  # type: ignore[method-assign]
    it.process.route_files = asked(it).route_files  # type: ignore[method-assign]
    async with site(it.process) as port:
        words = ["export", "envoyfilters", *line.split(), "--url", f"http://127.0.0.1:{port}"]
        status = await asyncio.to_thread(main, words)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


async def test_the_command_line_shows_it_as_a_diff(capsys: pytest.CaptureFixture[str]) -> None:
    async with publishing(*SHOP, wishes=Wishes(namespaces=("web",), shards=1)) as it:
        await written(it)
        assert await printed(it, "--diff", capsys) == (0, "", "")
        it.lease.turn(False)
        [(path, name)] = [key for key in it.store.objects if key[0] == FILTERS]
        held = it.store.objects[path, name]
        it.store.put(path, {**held, "spec": {**held["spec"], "priority": 77}})
        [(maps, shard)] = [key for key in it.store.objects if key[1] == "soadns-routes-0"]
        held = it.store.objects[maps, shard]
        [key] = [key for key in held["data"] if key.startswith("shop.user.")]
        it.store.put(maps, {**held, "data": {**held["data"], key: "nonsense"}})
        await it.until(lambda: len(changes(it)) == 2)
        status, text, _ = await printed(it, "--diff", capsys)
        assert status == 1
        assert f"--- {ROOT}/{name} in the cluster\n+++ {ROOT}/{name} as it should be\n" in text
        assert "-  priority: 77\n+  priority: 10\n" in text
        assert "--- web/soadns-routes-0 in the cluster\n" in text
        assert f"-  {key}: nonsense\n" in text
        assert "+    - '@type': type.googleapis.com" in text
        assert "+      - interface: com.x.User\n" in text
        status, text, _ = await printed(it, "--diff --service shop/account", capsys)
        assert (status, text) == (0, "")
        status, text, _ = await printed(it, "--diff -o json", capsys)
        assert (status, '"waitsFor": null' in text) == (1, True)
        assert changes(it, ObjectRef("east", "shop", "user")) == []
        status, text, _ = await printed(it, "", capsys)
        [*_, config_map] = load_all(text, where="stdout")
        assert config_map["data"] == {**held["data"], key: config_map["data"][key]}  # type: ignore[index]
        assert "com.x.User" in config_map["data"][key], "as it should be"  # type: ignore[index]


async def test_nobody_knows_it_of_another_zone(capsys: pytest.CaptureFixture[str]) -> None:
    async with publishing(*SHOP) as it:
        await written(it)
        await printed(it, "--diff", capsys)
        assert await asked(it).filter_changes("other.test", None) is None
        assert await asked(it).filter_changes(ZONE, None) == []
        del it.process.filter_changes  # it says that nobody knows
        async with site(it.process) as port:
            words = ["export", "envoyfilters", "--diff", "--url", f"http://127.0.0.1:{port}"]
            assert await asyncio.to_thread(main, words) == 1
    assert "filters are written of another zone" in capsys.readouterr().err


async def test_who_asks_is_answered_by_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing(*SHOP, wishes=Wishes(balancing="request", namespaces=("web",), shards=1)) as it:
        await written(it)
        it.lease.turn(False)
        await read_by(it)
        monkeypatch.setattr(filterwriter, "GATHER_S", 0.2)  # the next look comes later than the question
        it.tell("Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3")
        assert changes(it) == []
        found = await asked(it).filter_changes(ZONE, None)
        assert found is not None
        names = [re.sub("-[0-9a-f]{8}", "", each["name"]) for each in found]
        assert sorted(names) == ["soadns-routes-0", "soadns-shop-pay", "soadns-shop-pay-files"]
        files = await asked(it).route_files(ZONE)
        assert files is not None
        [config_map] = files["configMaps"]
        assert {key.split(".")[1] for key in config_map["data"]} == {"account", "pay", "user"}
