"""Which directories of an ensemble are read when: never one twice at a time, never more than allowed, nothing late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from soadns.sources import pacing
from soadns.sources.dialects import DIALECTS
from soadns.sources.handover import Handover
from soadns.sources.zkclient import KazooException
from soadns.sources.zkreads import Reads
from soadns.sources.zksettings import Root
from soadns.sources.zktree import Directory, Tree


class Result:
    """As kazoo's: the answer to one question, and who is called when it is there."""

    def __init__(self) -> None:
        self.exception: Exception | None = None
        self.value: list[str] = []
        self._there = False
        self._hear: Callable[[Result], None] = lambda _: None

    def rawlink(self, hear: Callable[[Result], None]) -> None:
        self._hear = hear

    def ready(self) -> bool:
        return self._there

    def come(self) -> None:
        self._there = True
        self._hear(self)


class Client:
    """A connection whose answers come when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Result]] = []
        self.refuses = ""

    def get_children_async(self, path: str, *, watch: Any) -> Result:
        if path == self.refuses:
            raise KazooException
        self.asked.append((path, Result()))
        return self.asked[-1][1]

    def answer(self) -> None:
        """To all that was asked."""
        asked, self.asked = self.asked, []
        for _, result in asked:
            result.come()


class Reading:
    """Reads of some directories, and what became of them."""

    def __init__(self, *paths: str, most: int = 64) -> None:
        self.read: list[str] = []
        self.refused: list[str] = []
        tree = Tree("zookeeper/main/dubbo", Root("/dubbo", "dubbo"), DIALECTS["dubbo"])
        handover = Handover(after=lambda: self.reads.go_on(), failed=self._failed)
        self.reads = Reads(
            most, handover,
            read=lambda directory, _: self.read.append(directory.path),
            refused=lambda directory, why: self.refused.append(f"{directory.path} {why}"),
            flush=lambda: None,
        )  # fmt: skip
        handover.start(asyncio.get_running_loop())
        self.reads.directories = {path: Directory(tree, path, "child", "providers") for path in paths}
        self.client = Client()
        self.reads.begin(self.client)

    @staticmethod
    def _failed(fault: Exception) -> None:
        raise fault

    def ask(self, *paths: str) -> list[str]:
        """Have these read; returns what is asked of the server now and has no answer."""
        for path in paths:
            self.reads.changed(path)
        self.reads.go_on()
        return [path for path, _ in self.client.asked]

    async def answered(self) -> list[str]:
        """Let all answers come; returns what was read then, and asks on."""
        self.client.answer()
        await asyncio.sleep(0.01)
        self.reads.go_on()
        read, self.read = self.read, []
        return read


async def test_a_directory_that_changes_while_it_is_read_is_not_read_beside_that() -> None:
    it = Reading("/a", "/b")
    assert it.ask("/a", "/a", "/b", "/other") == ["/a", "/b"]
    assert it.ask("/a", "/a") == ["/a", "/b"]
    assert it.reads.directories["/a"].again, "whoever takes the answer asks again"
    assert await it.answered() == ["/a", "/b"]
    assert it.reads.count == 2


@pytest.mark.parametrize("many", [3, 20])
async def test_no_more_are_under_way_than_allowed_and_all_are_read_in_turn(many: int) -> None:
    paths = [f"/{number:02}" for number in range(many)]
    it = Reading(*paths, most=2)
    read = []
    assert len(it.ask(*paths)) == 2
    while it.client.asked:
        assert len(it.client.asked) <= 2
        read += await it.answered()
    assert read == paths


async def test_what_a_lost_connection_still_says_is_void_and_nothing_is_read_before_the_next_begins() -> None:
    it = Reading("/a", "/b")
    it.ask("/a")
    late = it.reads.bound(lambda: it.read.append("late"))
    asked, it.client.asked = it.client.asked, []
    it.reads.end()
    assert it.ask("/a", "/b") == []
    asked[0][1].come()
    late()
    await asyncio.sleep(0.01)
    assert it.read == []
    it.reads.begin(it.client)
    assert it.ask("/a", "/b") == ["/a", "/b"]
    assert await it.answered() == ["/a", "/b"]


async def test_a_read_that_can_not_begin_holds_no_place() -> None:
    it = Reading("/a", "/b", most=1)
    it.client.refuses = "/a"
    assert it.ask("/a", "/b") == ["/b"]
    assert it.refused == ["/a can not be read: KazooException"]


async def test_a_large_directory_rests_after_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PACE_PER_LEAF_S", 0.05 / 200)
    it = Reading("/a")
    it.ask("/a")
    it.client.asked[0][1].value = ["leaf"] * 200
    assert await it.answered() == ["/a"]
    assert it.ask("/a") == []
    async with asyncio.timeout(3):
        while not it.client.asked:
            await asyncio.sleep(0.01)
            assert it.reads.directories["/a"].queued or it.client.asked
