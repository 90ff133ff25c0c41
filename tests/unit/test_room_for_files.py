"""Files of rules where a ConfigMap has no room for all: who has one keeps it, and what finds no room is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from soadns.cli import main
from soadns.mesh import filterstatus, filterwriter
from soadns.mesh.istioreader import ENVOY_FILTERS
from soadns.reports import filterviews
from soadns.reports.filterviews import Meshing
from soadns.sidecar import drdsfiles, filterchecks
from soadns.sidecar.drdsfiles import DrdsFile, shared_out
from soadns.sidecar.tiers import Wishes
from soadns.text import rendermesh
from soadns.yamlfile import load_all
from tests.unit.http_site import site
from tests.unit.notation import ZONE
from tests.unit.publishing_site import Publishing, publishing
from tests.unit.route_process import RouteProcess

SHARED = """
held          | wanted        | stands         | outdated | left out
              | a40 b40       | a40 b40        |          |
              | a60 b60       | a60            |          | b
b40 a40       | b40 a70       | a40 b40        | a        |
c40 b50       | a20 b50 c40   | b50 c40        |          | a
b90           | a20 b90       | b90            |          | a
b90           | a20           | a20            |          |
a40 b40       | a20 b60       | a20 b60        |          |
b40 a40       | b20 a70       | a70 b20        |          |
a30 b30 c30   | a50 b40 c30   | a30 b40 c30    | a        |
a30 b30       | a50 b60 c10   | a50 b30 c10    | b        |
"""
"""A ConfigMap has room for a hundred octets: files by name and size, what stands of them in the end."""


@pytest.mark.parametrize("row", SHARED.strip().splitlines()[1:])
def test_a_file_that_stands_has_its_room_before_another_grows(
    row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drdsfiles, "MOST", 100)

    def files(text: str) -> list[DrdsFile]:
        return [DrdsFile(each[0], "x" * (int(each[1:]) - 1)) for each in text.split()]

    held, wanted, stands, outdated, left_out = (part.strip() for part in row.split("|"))
    found = shared_out(files(wanted), 1, [{file.key: file.text for file in files(held)}])
    [data] = found.data
    assert [f"{key}{len(text) + 1}" for key, text in data.items()] == stands.split()
    assert (list(found.outdated), list(found.left_out)) == (outdated.split(), left_out.split())


def test_a_file_stays_in_the_configmap_in_which_pods_have_it() -> None:
    key = next(f"f{n}.json" for n in range(99) if drdsfiles.shard_of(f"f{n}.json", 8) == 7)
    held: list[dict[str, str]] = [{}, {key: "old"}, {}, {}]
    found = shared_out([DrdsFile(key, "new")], 8, held)
    assert found.data[1] == {key: "new"}, "more ConfigMaps than before"
    assert shared_out([DrdsFile(key, "new")], 8).data[7] == {key: "new"}
    both: list[dict[str, str]] = [{}, {key: "old"}, {}, {}, {}, {}, {}, {key: "old"}]
    assert shared_out([DrdsFile(key, "new")], 8, both).data == [{}] * 7 + [{key: "new"}]


NAMES = [f"com.x.I{number:03}" for number in range(40)]
ROWS = (
    f"Service shop/aaa 10.96.0.1; pods shop/aaa 10.1.0.1; register com.x.Keep,{','.join(NAMES)} 10.1.0.1",
    "Service shop/bbb 10.96.0.2; pods shop/bbb 10.1.0.2; register com.x.B 10.1.0.2",
    "Service shop/new 10.96.0.3; pods shop/new 10.1.0.3; register com.x.N 10.1.0.3",
)


def moves(number: int) -> str:
    """So many interfaces of ``aaa`` are provided by ``new``, so that the file of ``aaa`` has as many rules more."""
    some = ",".join(NAMES[:number])
    return f"register {some} 10.1.0.3; unregister {some} 10.1.0.1; after 5s"


def files(it: Publishing) -> dict[str, int]:
    """Octets of the file of each Service, as they stand."""
    maps = [each for (path, _), each in it.store.objects.items() if path.endswith("/configmaps")]
    return {key.split(".")[1]: len(text) for each in maps for key, text in each["data"].items()}


def filters(it: Publishing) -> list[str]:
    """Services that have a filter which names files."""
    found = sorted(name for path, name in it.store.objects if path == ENVOY_FILTERS.path("web"))
    return [name.split("-")[2] for name in found]


def room(monkeypatch: pytest.MonkeyPatch, it: Publishing, more: int) -> None:
    """From now on there is room for so many octets more."""
    maps = [each for (path, _), each in it.store.objects.items() if path.endswith("/configmaps")]
    octets = sum(len(key) + len(text) for each in maps for key, text in each["data"].items()) + more
    monkeypatch.setattr(drdsfiles, "MOST", octets)
    monkeypatch.setattr(filterchecks, "MOST", octets)


def shown(it: Publishing, service: str = "") -> str:
    return "\n".join(rendermesh.mesh({"share": None, "istio": it.status(service)}))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filterwriter, "TOGETHER_S", 0.005)


WISHES = Wishes(namespaces=("web",), shards=1, moves="never")


async def test_a_file_that_grows_takes_no_other_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing(*ROWS, wishes=WISHES, share=1.0) as it:
        await it.later(lambda: len(filters(it)) == 3)
        before = files(it)
        room(monkeypatch, it, 500)
        it.store.writes.clear()
        it.tell(moves(1))
        await it.until(lambda: files(it)["aaa"] > before["aaa"])
        grown = files(it)
        it.tell(moves(6))
        await it.until(lambda: "files-without-room" in it.log)
        for _ in range(20):
            it.now += 10.0
            await it.rest()
        assert files(it) == grown, "all of them are there, as they were"
        assert filters(it) == ["aaa", "bbb", "new"]
        assert it.log.count("files-without-room") == 1
        [row] = filterstatus.figures(it.writer)["files"]
        assert [name.split(".")[1] for name in row["outdated"]] == ["aaa"]
        assert row["leftOut"] == []
        assert "its rules are outdated, for want of room: raise sidecar.istio.files.shards" in shown(it)
        assert "waits: there is no room for the new rules" in shown(it, "shop/aaa")
        assert "no room" not in shown(it, "shop/bbb").partition("home/shop/bbb")[2]
        assert it.status()["trouble"] is None

        it.tell("Service shop/bbb moves=never; Service shop/new moves=never")
        monkeypatch.setattr(drdsfiles, "MOST", 100_000)
        monkeypatch.setattr(filterchecks, "MOST", 100_000)
        await it.later(lambda: files(it)["aaa"] > grown["aaa"])
        assert filterstatus.figures(it.writer)["files"][0]["outdated"] == []


async def test_no_filter_is_promised_where_its_file_finds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with publishing(*ROWS, wishes=WISHES, share=1.0) as it:
        await it.later(lambda: len(filters(it)) == 3)
        before = files(it)
        room(monkeypatch, it, 100)
        it.tell("Service shop/zoo 10.96.0.4; pods shop/zoo 10.1.0.4; register com.x.Z 10.1.0.4")
        await it.until(lambda: "files-without-room" in it.log)
        for _ in range(20):
            it.now += 10.0
            await it.rest()
        assert (files(it), filters(it)) == (before, ["aaa", "bbb", "new"])
        [row] = filterstatus.figures(it.writer)["files"]
        assert [name.split(".")[1] for name in row["leftOut"]] == ["zoo"]
        assert it.writer.book.counts["refused"] == 1
        assert it.writer.book.counts["missing"] == 0
        assert "there is no such file, for want of room: raise sidecar.istio.files.shards" in shown(it)
        said = shown(it, "shop/zoo")
        assert "REFUSED: there is no room in ConfigMap soadns-routes-0 for its file shop.zoo.20880." in said
        assert "being mounted" not in said
        assert "port 20880: tier 0: " in said
        assert "    there is no room in the ConfigMaps of web for its file: raise" in said
        zone = it.process.estate.zones[ZONE]
        table = it.process.routing.tables[ZONE]
        place = filterviews.of_place(zone, table, ("10.96.0.4", 20880), it.process.meshing)
        assert place is not None
        assert (place["files"], place["full"][:16]) == ([], "there is no room")

        it.tell("Service shop/bbb moves=never")  # which gives its filter back, and then its file
        await it.later(lambda: "bbb" not in files(it))
        await it.later(lambda: "zoo" in filters(it))
        assert "zoo" in files(it)
        assert it.writer.book.counts["refused"] == 0
        assert filterstatus.figures(it.writer)["files"][0]["leftOut"] == []
        assert "port 20880: tier 0, and 3 in web: " in shown(it, "shop/zoo")


async def test_an_export_prints_no_filter_for_whose_file_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = RouteProcess(ROWS[1:])
    process.meshing = Meshing(replace(WISHES, balancing="request"))
    async with site(process) as port:
        words = ["export", "envoyfilters", "--url", f"http://127.0.0.1:{port}"]
        assert await asyncio.to_thread(main, words) == 0
        whole = capsys.readouterr().out
        *_, maps = load_all(whole, where="stdout")
        assert [key.split(".")[1] for key in maps["data"]] == ["bbb", "new"]  # type: ignore[index]
        assert whole.count("kind: EnvoyFilter") == 4

        assert await asyncio.to_thread(main, [*words, "--service", "shop/new"]) == 0
        [*_, alone] = load_all(capsys.readouterr().out, where="stdout")
        assert alone == maps, "whoever applies it is to take no file away"

        monkeypatch.setattr(drdsfiles, "MOST", 700)
        assert await asyncio.to_thread(main, words) == 0
        printed = capsys.readouterr()
        *_, maps = load_all(printed.out, where="stdout")
        assert [key.split(".")[1] for key in maps["data"]] == ["bbb"]  # type: ignore[index]
        assert printed.out.count("kind: EnvoyFilter") == 3
        assert "#   NOT WRITTEN: EnvoyFilter web/soadns-shop-new-" in printed.out
        assert "-files: there is no room in ConfigMap soadns-routes-0 for its file shop.new." in printed.out
        assert "no room in the ConfigMaps for a file, shop.new." in printed.err
