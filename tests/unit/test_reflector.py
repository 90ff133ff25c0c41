"""What a reflector does when an API server can not be understood, or forgets what it has just listed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from soadns import reflector
from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource
from soadns.reflector import Page, Reflector, pause
from tests.unit.scripted_api import Reply, Request, ScriptedApi, failure, page, watch

THINGS = Resource("Thing", "things", group="soadns.test")
FOREVER = Reply(lines=(), hold=60.0)
GOOD = ("ADDED", {"metadata": {"name": "a", "resourceVersion": "6"}})


class Things:
    """Who holds them, and what was said to him."""

    def __init__(self, at_failure: Callable[[list[str]], None], *, optional: bool = False) -> None:
        """``optional``: they are done without while they can not be read."""
        self._optional = optional
        self.said: list[str] = []
        self._at_failure = at_failure

    def page(self, body: bytes, *, first: bool) -> Page:
        self.said.append("page" if first else "more")
        metadata = json.loads(body)["metadata"]
        return Page(metadata["resourceVersion"], metadata.get("continue", ""))

    def listed(self) -> None:
        self.said.append("listed")

    def line(self, line: bytes) -> str:
        event: dict[str, Any] = json.loads(line)
        self.said.append(event["type"])
        return str(event["object"]["metadata"]["resourceVersion"])

    def failed(self, error: ApiError | KubeConfigError | ValueError) -> bool:
        self.said.append(f"failed {type(error).__name__}")
        self._at_failure(self.said)
        return self._optional


async def reflected(
    done: Callable[[list[str]], bool],
    folder: Path,
    *replies: Reply,
    at_failure: Callable[[list[str]], None] = lambda _: None,
    optional: bool = False,
) -> tuple[Things, list[Request], list[float]]:
    """What was said until ``done``, the requests, and the moments of these."""
    things, moments, left = Things(at_failure, optional=optional), list[float](), iter(replies)

    def script(_: Request) -> Reply:
        moments.append(asyncio.get_running_loop().time())
        return next(left, FOREVER)

    async with ScriptedApi(script) as server:
        api = KubeApi(kubeconfig=server.kubeconfig(folder))
        task = asyncio.create_task(Reflector(api, THINGS, things, draw=lambda _, high: high).run())
        try:
            async with asyncio.timeout(10):
                while not done(things.said):
                    assert not task.done(), task.result()
                    await asyncio.sleep(0.005)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await api.close()
        return things, server.requests, moments


async def test_after_a_line_that_is_not_understood_all_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_S", (0.0, 0.0))
    bad = Reply(lines=(b"<html>\n",))
    things, requests, _ = await reflected(
        lambda said: said.count("ADDED") == 2,
        tmp_path,
        page("5"), bad, page("5"), watch(GOOD), bad, page("8"), bad, page("9"), watch(GOOD),
    )  # fmt: skip
    asked = [request.query["resourceVersion"] if request.watch else "list" for request in requests[:9]]
    assert asked == ["list", "5", "list", "5", "6", "list", "8", "list", "9"]
    assert things.said.count("failed JSONDecodeError") == 3


BROKEN = Reply(lines=({"type": "ADDED", "object": GOOD[1]},), cut=True)
"""A watch of which one event comes before its connection breaks."""


async def test_a_watch_that_breaks_after_a_while_is_taken_up_again_where_it_was_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_S", (0.0, 0.0))
    monkeypatch.setattr(reflector, "LASTED_S", 0.0)
    things, requests, _ = await reflected(
        lambda said: said.count("ADDED") == 3, tmp_path, page("5"), BROKEN, BROKEN, BROKEN
    )
    assert things.said == ["page", "listed"] + ["ADDED"] * 3
    assert [request.query.get("resourceVersion") for request in requests[:4]] == [None, "5", "6", "6"]


@pytest.mark.parametrize("then", [failure(503, "away"), Reply(lines=(), cut=True)])
async def test_a_watch_that_breaks_and_can_not_be_taken_up_or_breaks_at_once_is_told_and_all_is_listed(
    then: Reply, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_S", (0.0, 0.0))
    lasted = Reply(lines=(), hold=0.2, cut=True)
    monkeypatch.setattr(reflector, "LASTED_S", 0.1)
    things, *_ = await reflected(
        lambda said: said.count("listed") == 2, tmp_path, page("5"), lasted, then, page("9")
    )
    assert things.said == ["page", "listed", "failed ApiError", "page", "listed"]


async def test_lists_whose_version_is_gone_at_once_come_at_growing_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_S", (0.01, 5.0))
    replies = [reply for _ in range(5) for reply in (page("5"), failure(410, "too old"))]
    things, _, moments = await reflected(
        lambda said: "ADDED" in said, tmp_path, *replies, page("9"), watch(GOOD)
    )
    assert things.said == ["page", "listed"] * 6 + ["ADDED"], "and that is no trouble"
    pauses = [after - before for before, after in pairwise(moments[1::2])]
    assert [pause >= least for pause, least in zip(pauses[1:5], (0.02, 0.04, 0.08, 0.16), strict=True)] == [
        True
    ] * 4


async def test_what_was_missed_while_credentials_could_not_be_read_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "BACKOFF_S", (0.0, 0.0))
    kubeconfig, kept = tmp_path / "kubeconfig", tmp_path / "kept"

    def at_failure(said: list[str]) -> None:
        """Somebody writes the file when the API server does not take what is in it, and takes his time."""
        if said[-1] == "failed ApiError":
            kubeconfig.rename(kept)
        elif said.count("failed KubeConfigError") == 3:
            kept.rename(kubeconfig)

    things, requests, _ = await reflected(
        lambda said: "ADDED" in said,
        tmp_path,
        page("5"), failure(401, "Unauthorized"), page("5"), watch(GOOD),
        at_failure=at_failure,
    )  # fmt: skip
    assert things.said.count("failed KubeConfigError") == 3
    assert [request.query.get("resourceVersion") for request in requests[:4]] == [None, "5", None, "5"]


@pytest.mark.parametrize("optional", [False, True])
async def test_an_api_server_that_has_just_begun_forbids_for_a_moment_and_is_asked_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optional: bool
) -> None:
    """It does not know its roles yet. Who goes on being refused asks ever more seldom."""
    waited: list[float] = []

    def at_once(failures: int, longest: float, draw: reflector.Draw) -> float:
        waited.append(pause(failures, longest, draw))
        return 0.0

    monkeypatch.setattr(reflector, "pause", at_once)
    away = [] if optional else [failure(503, "away") for _ in range(8)]
    refused = [failure(403, "forbidden") for _ in range(10)]
    things, *_ = await reflected(
        lambda said: said.count("listed") == 3,
        tmp_path,
        page("5"), *away, *refused, page("5"), watch(GOOD), failure(403, "forbidden"), page("6"),
        optional=optional,
    )  # fmt: skip
    assert things.said.count("failed ApiError") == len(away) + 11
    growing = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert waited[: len(away)] == [*growing, 5.0, 5.0][: len(away)]
    assert waited[len(away) :] == [*growing, 6.4, 12.8, 25.6, 30.0, 0.1]
