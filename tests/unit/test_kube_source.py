"""The Kubernetes source and what API servers do to it: pages, bookmarks, 410, 429, 5xx, silence, rotated tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from soadns import reflector
from soadns.kubeapi import KubeApi
from soadns.model import Delete, Event, Identified, Rejected, Service, Synced, Trouble, Upsert
from soadns.sources.kube import KubeSettings, KubeSource
from tests.unit.fast_time import fast_time
from tests.unit.scripted_api import Reply, Request, ScriptedApi, bookmark, failure, page, service, watch

EMPTY = page("1")
FOREVER = Reply(lines=(), hold=60.0)


def said(events: list[Event]) -> list[str]:
    """Events as an operator would note them."""
    lines = []
    for event in events:
        match event:
            case Upsert(value=Service() as value):
                lines.append(f"+ {value.ref.name}")
            case Delete():
                lines.append(f"- {event.key[-1]}")
            case Synced():
                lines.append(f"synced {event.scope}".strip())
            case Trouble():
                lines.append(
                    f"trouble {event.scope}: {event.reason}" if event.scope else f"trouble {event.reason}"
                )
            case Rejected():
                lines.append(f"rejected {event.key[-1]}: {event.reason}")
            case Identified():
                lines.append(f"is {event.identity}")
            case _:
                lines.append(type(event).__name__)
    return lines


class Run:
    """One source against one script, until ``done`` says so."""

    def __init__(
        self, services: Callable[[Request], Iterator[Reply] | Reply], *, nodes: str = "never"
    ) -> None:
        self.events: list[Event] = []
        self._services = services
        self._nodes = nodes
        self.identity: Callable[[Request], Reply] = lambda _: failure(403, "namespaces is forbidden")
        self.asked_for_nodes: Callable[[Request], Reply] = lambda _: failure(403, "nodes is forbidden")
        self.api: ScriptedApi
        self.moments: list[float] = []

    def _script(self, request: Request) -> Reply:
        if request.path.endswith("/namespaces/kube-system"):
            return self.identity(request)
        if request.path.endswith("/services"):
            self.moments.append(asyncio.get_running_loop().time())
            reply = self._services(request)
            return reply if isinstance(reply, Reply) else next(reply)
        if request.path.endswith("/nodes"):
            return self.asked_for_nodes(request)
        return FOREVER if request.watch else EMPTY

    async def until(self, done: Callable[[list[str]], bool], folder: Path, **user: str) -> list[str]:
        with fast_time():
            return await self._until(done, folder, **user)

    async def _until(self, done: Callable[[list[str]], bool], folder: Path, **user: str) -> list[str]:
        async with ScriptedApi(self._script) as self.api:
            kubeconfig = self.api.kubeconfig(folder, **user)
            settings = KubeSettings("home", (), "", self._nodes)
            source = KubeSource(settings, KubeApi(kubeconfig=kubeconfig), uniform=lambda low, high: high)
            task = asyncio.create_task(source.run(self.events.extend))
            try:
                async with asyncio.timeout(10):
                    while not done(said(self.events)):
                        assert not task.done(), task.result()
                        await asyncio.sleep(0.01)
            except TimeoutError:
                pytest.fail(f"after 10 s only: {said(self.events)}")
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return said(self.events)


def in_turn(*replies: Reply) -> Callable[[Request], Reply]:
    """These replies one after the other, then a watch that stays silent."""
    left = iter(replies)
    return lambda _request: next(left, FOREVER)


async def test_a_list_comes_in_pages_and_a_watch_goes_on_from_its_version(tmp_path: Path) -> None:
    run = Run(
        in_turn(
            page("7", service("a", "1"), more="token-1"),
            page("7", service("b", "2")),
            watch(("ADDED", service("c", "8")), ("DELETED", service("a", "9"))),
        )
    )
    lines = await run.until(lambda lines: "- a" in lines, tmp_path)
    assert lines == ["+ a", "+ b", "synced", "+ c", "- a"]
    first, second, third, *_ = [r for r in run.api.requests if r.path.endswith("/services")]
    assert (first.query["limit"], second.query["continue"]) == ("500", "token-1")
    assert (third.watch, third.query["resourceVersion"], third.query["allowWatchBookmarks"]) == (
        True,
        "7",
        "true",
    )


KUBE_SYSTEM = Reply(body={"metadata": {"name": "kube-system", "uid": "uid-of-this-cluster"}})


async def test_a_cluster_says_who_it_is_before_anything_it_holds(tmp_path: Path) -> None:
    run = Run(in_turn(page("7", service("a", "1"))))
    run.identity = in_turn(failure(503, "starting"), failure(500, "etcd is away"), KUBE_SYSTEM)
    lines = await run.until(lambda lines: "synced" in lines, tmp_path)
    assert lines == [
        "trouble namespace kube-system: HTTP 503: starting",
        "trouble namespace kube-system: HTTP 500: etcd is away",
        "is uid-of-this-cluster",
        "+ a",
        "synced",
    ]


async def test_a_cluster_that_may_not_be_asked_who_it_is_is_read_all_the_same(tmp_path: Path) -> None:
    run = Run(in_turn(page("7", service("a", "1"))))
    run.identity = in_turn(failure(403, "namespaces is forbidden"))
    assert await run.until(lambda lines: "synced" in lines, tmp_path) == ["+ a", "synced"]


async def test_a_bookmark_is_where_the_next_watch_begins(tmp_path: Path) -> None:
    run = Run(
        in_turn(page("7", service("a", "1")), watch(bookmark("40")), watch(("ADDED", service("b", "41"))))
    )
    await run.until(lambda lines: "+ b" in lines, tmp_path)
    watches = [
        r.query["resourceVersion"] for r in run.api.requests if r.path.endswith("/services") and r.watch
    ]
    assert watches[:2] == ["7", "40"]


@pytest.mark.parametrize(
    "gone", [failure(410, "too old"), watch(("ERROR", {"code": 410, "message": "too old"}))]
)
async def test_410_lists_again_and_compares_without_falling_out_of_sync(gone: Reply, tmp_path: Path) -> None:
    listed_again = page("90", service("b", "2"), service("c", "80"))
    replies = in_turn(page("7", service("a", "1"), service("b", "2")), gone, listed_again)

    def reply(request: Request) -> Reply:
        if request.watch and "synced" not in said(run.events):  # EndpointSlices are still being listed
            return Reply(lines=())
        return replies(request)

    run = Run(reply)
    lines = await run.until(lambda lines: "- a" in lines, tmp_path)
    assert lines == ["+ a", "+ b", "synced", "+ c", "- a"]  # b is as it was: no event


MISSED = {
    "events that wait": watch(("ADDED", service("c", "80")), ("DELETED", service("a", "81")), hold=60.0),
    "a history that is forgotten": watch(("ERROR", {"code": 410, "message": "too old"})),
    "no word yet": FOREVER,
}


@pytest.mark.parametrize("missed", MISSED)
@pytest.mark.parametrize("outage", [failure(503, "away"), Reply(lines=(), cut=True)])
async def test_after_an_outage_it_is_in_sync_when_all_was_read_and_not_when_a_watch_is_accepted(
    outage: Reply, missed: str, tmp_path: Path
) -> None:
    before, after = page("7", service("a", "1")), page("90", service("c", "80"))
    away = False

    def reply(request: Request) -> Reply:
        nonlocal away
        if not request.watch:
            return after if away else before
        if "synced" not in said(run.events):  # EndpointSlices are still being listed
            return Reply(lines=())
        first, away = not away, True
        return outage if first else MISSED[missed]

    run = Run(reply)
    lines = await run.until(lambda lines: lines.count("synced") == 2, tmp_path)
    assert lines[:2] == ["+ a", "synced"]
    assert lines[2].startswith("trouble ")
    assert lines[3:6] == ["+ c", "- a", "synced"]


async def test_after_a_fault_of_ours_it_comes_into_sync_again(tmp_path: Path) -> None:
    """Whoever runs sources says that one failed, and runs the same again."""
    events: list[Event] = []
    unheard: list[Event] = []

    def emit(new: Sequence[Event]) -> None:
        if "+ b" in said(list(new)) and not unheard:
            unheard.extend(new)
            raise RuntimeError("a fault of ours")
        events.extend(new)

    requests = in_turn(page("7", service("a", "1")), watch(("ADDED", service("b", "8")), hold=60.0))

    def script(request: Request) -> Reply:
        if not request.path.endswith("/services"):
            return FOREVER if request.watch else EMPTY
        if unheard and not request.watch:
            return page("9", service("a", "1"), service("b", "8"))
        return requests(request)

    async with ScriptedApi(script) as api, asyncio.timeout(10):
        source = KubeSource(
            KubeSettings("home", (), "", "never"), KubeApi(kubeconfig=api.kubeconfig(tmp_path))
        )
        with pytest.raises(ExceptionGroup):
            await source.run(emit)
        events.append(Trouble(source.source, "internal error"))
        again = asyncio.create_task(source.run(emit))
        while said(events)[-1] != "synced":
            assert not again.done(), again.result()
            await asyncio.sleep(0.01)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
    lines = said(events)
    assert lines[-4:] == ["trouble internal error", "+ a", "+ b", "synced"], (
        "what was not heard is said again"
    )


async def test_a_list_that_breaks_off_deletes_nothing(tmp_path: Path) -> None:
    run = Run(
        in_turn(
            page("7", service("a", "1"), service("b", "2")),
            failure(410, "too old"),
            page("90", service("b", "2"), more="token"),
            failure(500, "etcd is away"),
            page("91", service("a", "1"), service("b", "2")),
        )
    )
    lines = await run.until(lambda lines: lines.count("synced") == 2, tmp_path)
    assert not [line for line in lines if line.startswith("-")]
    assert "trouble services: HTTP 500: etcd is away" in lines


async def test_what_went_while_a_list_broke_off_is_deleted_by_the_next(tmp_path: Path) -> None:
    run = Run(
        in_turn(
            page("7", service("a", "1"), more="token"),
            failure(410, "the token is too old"),
            page("90", service("b", "2")),
        )
    )
    lines = await run.until(lambda lines: "synced" in lines, tmp_path)
    assert lines == ["+ a", "+ b", "- a", "synced"]


async def test_429_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    run = Run(in_turn(failure(429, "too many requests", Retry_After="1"), page("7", service("a", "1"))))
    lines = await run.until(lambda lines: "synced" in lines, tmp_path)
    assert lines[0] == "trouble services: HTTP 429: too many requests"
    assert run.moments[1] - run.moments[0] >= 1.0


async def test_errors_are_retried_with_growing_pauses(tmp_path: Path) -> None:
    run = Run(in_turn(*[failure(503, "not yet")] * 4, page("7", service("a", "1"))))
    await run.until(lambda lines: "synced" in lines, tmp_path)
    pauses = [after - before for before, after in zip(run.moments, run.moments[1:], strict=False)]
    assert pauses[0] >= 0.1
    assert pauses[3] >= 0.8


async def test_forbidden_is_trouble_and_no_proof(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        if not request.watch:
            return page("7", service("a", "1"))
        if "synced" not in said(run.events):  # EndpointSlices are still being listed
            return Reply(lines=())
        return failure(403, 'services is forbidden: User "x" cannot watch')

    run = Run(reply)
    lines = await run.until(lambda lines: len(lines) == 3, tmp_path)
    assert lines == [
        "+ a",
        "synced",
        'trouble services: forbidden: services is forbidden: User "x" cannot watch',
    ]


async def test_nodes_that_may_not_be_read_are_done_without(tmp_path: Path) -> None:
    run = Run(in_turn(page("7", service("a", "1"))), nodes="auto")
    lines = await run.until(lambda lines: "synced" in lines, tmp_path)
    assert (
        "trouble Node: nodes: forbidden: nodes is forbidden (evidence by nodePort is not available)" in lines
    )


async def test_nodes_that_may_be_read_at_last_are_no_trouble_any_more(tmp_path: Path) -> None:
    run = Run(in_turn(page("7", service("a", "1"))), nodes="auto")
    run.asked_for_nodes = in_turn(*[failure(403, "nodes is forbidden")] * 2, page("8"))
    lines = await run.until(lambda lines: "synced Node" in lines, tmp_path)
    assert lines.index("synced Node") > lines.index(
        "trouble Node: nodes: forbidden: nodes is forbidden (evidence by nodePort is not available)"
    )


async def test_a_silent_watch_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "IDLE_S", 0.3)
    first = in_turn(page("7", service("a", "1")), Reply(lines=(), hold=30.0))
    asked = 0

    def services(request: Request) -> Reply:
        nonlocal asked
        asked += 1
        return first(request) if asked <= 2 else page("8", service("a", "1"), service("b", "8"))

    lines = await Run(services).until(lambda lines: "+ b" in lines, tmp_path)
    assert any(line.startswith("trouble") and "services: no answer in time" in line for line in lines)


async def test_a_bad_object_is_rejected_alone(tmp_path: Path) -> None:
    bad = service("bad", "2") | {"spec": {"clusterIPs": ["10.96.0.300"], "ports": []}}
    odd = service("odd", "3") | {"spec": "text"}
    run = Run(in_turn(page("7", service("a", "1"), bad, odd), watch(("MODIFIED", service("bad", "8")))))
    lines = await run.until(lambda lines: "+ bad" in lines, tmp_path)
    # EndpointSlices are listed beside it, so where "synced" stands is open.
    told = [line for line in lines if line != "synced"]
    assert told == ["+ a", "rejected bad: bad-address", "rejected odd: bad-object", "+ bad"]


async def test_a_line_that_is_no_event_costs_the_watch_and_nothing_else(tmp_path: Path) -> None:
    run = Run(
        in_turn(
            page("7", service("a", "1")),
            Reply(lines=(b"<html>\n",)),
            page("7", service("a", "1")),
            watch(("ADDED", service("b", "8"))),
        )
    )
    lines = await run.until(lambda lines: "+ b" in lines, tmp_path)
    assert "- a" not in lines
    assert any(line.startswith("trouble no watch event of Service") for line in lines)


async def test_a_rotated_token_is_read_again_after_a_401(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    def services(request: Request) -> Reply:
        if request.headers.get("authorization") != "Bearer new":
            token.write_text("new")
            return failure(401, "Unauthorized")
        return FOREVER if request.watch else page("7", service("a", "1"))

    run = Run(services)
    lines = await run.until(lambda lines: "synced" in lines, tmp_path, tokenFile=str(token))
    assert lines[0] == "trouble services: the API server refused the credentials"


async def test_no_token_is_ever_part_of_a_trouble(tmp_path: Path) -> None:
    run = Run(in_turn(failure(401, "Unauthorized"), page("7")))
    lines = await run.until(lambda lines: "synced" in lines, tmp_path, token="s3cr3t")
    assert not any("s3cr3t" in line for line in lines)
