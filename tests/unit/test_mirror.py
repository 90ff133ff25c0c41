"""Objects of an API server, listed and watched: what it says when it is in trouble, and when it has no such kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soadns import reflector
from soadns.kubeapi import KubeApi, Resource
from soadns.mesh.mirror import Mirror, Name
from tests.unit.scripted_api import Reply, Request, ScriptedApi, bookmark, failure, page, watch
from tests.unit.waiting import soon

THINGS = Resource("Thing", "things", group="soadns.test")
FOREVER = Reply(lines=(), hold=60.0)


def thing(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "resourceVersion": version}}


class Run:
    """One mirror against one script."""

    def __init__(self, *replies: Reply, resource: Resource = THINGS) -> None:
        self._replies = iter(replies)
        self._resource = resource
        self.heard: list[list[str]] = []
        self.asked = 0
        self.requests: list[Request] = []
        self.mirror: Mirror[str]

    def _script(self, _: Request) -> Reply:
        self.asked += 1
        return next(self._replies, FOREVER)

    def _hear(self, names: list[Name]) -> None:
        self.heard.append([name for _, name in names])

    async def until(self, done: Callable[[], bool], folder: Path) -> Run:
        async with ScriptedApi(self._script) as server:
            api = KubeApi(kubeconfig=server.kubeconfig(folder))
            self.mirror = Mirror(
                api,
                self._resource,
                decode=lambda item: str(item["metadata"]["resourceVersion"]),
                hear=self._hear,
            )
            task = asyncio.create_task(self.mirror.run())
            try:
                async with asyncio.timeout(10):
                    while not done():
                        assert not task.done(), task.result()
                        await asyncio.sleep(0.01)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await api.close()
                self.requests = server.requests
        return self

    @property
    def held(self) -> dict[str, str]:
        return {name: value for (_, name), value in self.mirror.values.items()}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_S", (0.0, 0.01))
    monkeypatch.setattr(reflector, "SELDOM_S", 0.01)


async def test_it_lists_all_pages_and_watches_from_there(tmp_path: Path) -> None:
    run = Run(
        page("5", thing("a", "1"), more="more"),
        page("5", thing("b", "2")),
        watch(
            ("ADDED", thing("c", "6")), ("MODIFIED", thing("a", "7")), ("DELETED", thing("b", "8")), hold=60.0
        ),
    )
    await run.until(lambda: len(run.heard) == 6, tmp_path)
    assert run.heard == [["a"], ["b"], [], ["c"], ["a"], ["b"]]
    assert run.held == {"a": "7", "c": "6"}
    assert run.mirror.synced
    assert run.requests[2].query["resourceVersion"] == "5"


async def test_an_empty_list_is_synced_and_bookmarks_are_where_it_goes_on(tmp_path: Path) -> None:
    run = Run(page("5"), watch(bookmark("9")), FOREVER)
    await run.until(lambda: run.asked == 3, tmp_path)
    assert run.heard == [[]]
    assert run.requests[2].query["resourceVersion"] == "9"


async def test_a_version_that_is_too_old_is_listed_again_and_only_what_changed_is_told(
    tmp_path: Path,
) -> None:
    gone = ("ERROR", {"code": 410, "message": "too old"})
    run = Run(
        page("5", thing("a", "1"), thing("b", "2")), watch(gone), page("9", thing("a", "1"), thing("c", "8")), FOREVER
    )  # fmt: skip
    await run.until(lambda: set(run.held) == {"a", "c"} if run.heard else False, tmp_path)
    assert run.heard == [["a", "b"], [], ["c"], ["b"]]


async def test_trouble_is_told_and_what_is_known_stays(tmp_path: Path) -> None:
    run = Run(page("5", thing("a", "1")), failure(403, "things is forbidden"), *[failure(503, "busy")] * 50)
    await run.until(lambda: "busy" in run.mirror.trouble if run.heard else False, tmp_path)
    assert run.mirror.trouble == "things: HTTP 503: busy"
    assert run.held == {"a": "1"}
    assert run.mirror.synced


async def test_it_is_not_synced_before_it_could_read_all(tmp_path: Path) -> None:
    run = Run(page("5", thing("a", "1"), more="more"), *[failure(403, "things is forbidden")] * 500)
    await run.until(lambda: "forbidden" in run.mirror.trouble if run.heard else False, tmp_path)
    assert not run.mirror.synced


async def test_that_a_kind_is_defined_at_last_is_heard_though_there_are_no_objects(tmp_path: Path) -> None:
    run = Run(failure(404, "the server could not find the requested resource"), page("5"), FOREVER)
    await run.until(lambda: bool(run.heard) and not run.mirror.absent, tmp_path)
    assert run.heard == [[], []]


async def test_a_kind_that_nobody_defined_is_absent_until_somebody_does(tmp_path: Path) -> None:
    run = Run(
        failure(404, "the server could not find the requested resource"), page("5", thing("a", "1")), FOREVER
    )
    states = []

    def look() -> bool:
        if run.heard and (not states or states[-1] != run.mirror.absent):
            states.append(run.mirror.absent)
        return bool(run.held) if run.heard else False

    await run.until(look, tmp_path)
    assert states[0] is True
    assert not run.mirror.absent
    assert run.mirror.synced


async def test_a_kind_that_is_taken_away_takes_its_objects_along(tmp_path: Path) -> None:
    run = Run(
        page("5", thing("a", "1")),
        failure(404, "no such resource"),
        *[failure(404, "no such resource")] * 500,
    )
    await run.until(lambda: run.mirror.absent if run.heard else False, tmp_path)
    assert run.held == {}
    assert run.heard[-1] == ["a"]


async def test_what_every_api_server_has_is_not_absent_whatever_stands_before_one_answers(
    tmp_path: Path,
) -> None:
    config_maps = Resource("ConfigMap", "configmaps")
    replies = [failure(404, "no such backend")] * 3
    run = Run(*replies, page("5", thing("a", "1")), *replies, FOREVER, resource=config_maps)
    said = []

    def look() -> bool:
        mirror = run.mirror
        said.append((mirror.synced, mirror.absent, mirror.trouble))
        return run.asked > 6 and bool(mirror.trouble)

    await run.until(look, tmp_path)
    assert {found for found in said if not found[0]} <= {
        (False, False, ""), (False, False, "configmaps: HTTP 404: no such backend")
    }  # fmt: skip
    assert run.heard == [["a"], []]
    assert said[-1] == (True, False, "configmaps: HTTP 404: no such backend")
    assert run.held == {"a": "1"}


def deep(name: str, version: str, levels: int) -> bytes:
    """An object as the API server keeps it: what is nested ten thousand times is the first that it refuses."""
    plain = json.dumps({**thing(name, version), "spec": 0}).encode()
    return plain.replace(
        b'"spec": 0', b'"spec": {"said": "]}\\"[", "more": ' + b"[" * levels + b"]" * levels + b"}"
    )


async def test_an_object_that_is_nested_too_deep_is_kept_with_what_is_not(tmp_path: Path) -> None:
    listed = json.dumps(page("5", thing("a", "1"), thing("c", "2")).body).encode()
    with_deep = listed.replace(b'"items": [', b'"items": [' + deep("b", "3", 9_000) + b", ")
    event = b'{"type": "MODIFIED", "object": ' + deep("a", "7", 9_000) + b"}\n"
    run = Run(Reply(body=with_deep), Reply(lines=(event,), hold=60.0))
    await run.until(lambda: len(run.heard) == 3, tmp_path)
    assert run.heard == [["b", "a", "c"], [], ["a"]]
    assert run.held == {"a": "7", "b": "3", "c": "2"}
    assert not run.mirror.trouble


@pytest.mark.parametrize(
    "body",
    [
        [],
        "said",
        {},
        {"status": "ok"},
        {"metadata": []},
        {"metadata": {"resourceVersion": "9"}, "items": {"a": 1}},
        {"metadata": {"resourceVersion": "9"}, "items": ["a"]},
        {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {}}]},
        {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": ["name"]}]},
        b"<html>",
        b"[" * 5_000,
    ],
)
async def test_an_answer_that_is_no_list_proves_nothing_gone(body: object, tmp_path: Path) -> None:
    gone = ("ERROR", {"code": 410, "message": "too old"})
    run = Run(page("5", thing("a", "1")), watch(gone), *[Reply(body=body)] * 500)
    await run.until(lambda: bool(run.mirror.trouble) if run.heard else False, tmp_path)
    assert run.mirror.trouble.startswith("things: ")
    assert run.held == {"a": "1"}


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": "a"}\n',
        b'{"type": "DELETED", "object": {"metadata": []}}\n',
        b'{"type": "ERROR", "object": {"code": [], "message": "said"}}\n',
        b'{"type": "ERROR", "object": {"code": 1e999}}\n',
    ],
)
async def test_a_line_that_is_none_of_a_watch_is_a_trouble(line: bytes, tmp_path: Path) -> None:
    run = Run(page("5", thing("a", "1")), *[Reply(lines=(line,))] * 500)
    seen = []

    def look() -> bool:
        if run.heard and run.mirror.trouble:
            seen.append(run.mirror.trouble)
        return bool(seen)

    await run.until(look, tmp_path)
    assert seen[0].startswith("things: ")
    assert run.held == {"a": "1"}


@pytest.mark.parametrize(
    ("broken", "heard"), [(1, [["a"], [], ["b"]]), (2, [["a"], [], ["b"]]), (3, [["a"], [], ["b"]])]
)
async def test_what_broke_whoever_hears_it_is_told_again_when_it_runs_again(
    broken: int, heard: list[list[str]], tmp_path: Path
) -> None:
    """The first page, that all was read, or an event."""
    told, watched = list[list[str]](), list[bool]()
    calls = 0

    def hear(names: list[Name]) -> None:
        nonlocal calls
        calls += 1
        if calls == broken:
            raise RuntimeError("a fault of ours")
        told.append([name for _, name in names])

    def script(request: Request) -> Reply:
        if not request.watch:
            return page("6", thing("a", "1"), *([thing("b", "6")] if watched else []))
        watched.append(True)
        return watch(("ADDED", thing("b", "6")), hold=60.0)

    async with ScriptedApi(script) as server:
        api = KubeApi(kubeconfig=server.kubeconfig(tmp_path))
        mirror = Mirror(api, THINGS, decode=lambda _: "", hear=hear)
        with pytest.raises(RuntimeError):
            async with asyncio.timeout(10):
                await mirror.run()
        task = asyncio.create_task(mirror.run())
        try:
            await soon(lambda: told == heard, within=10)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await api.close()
