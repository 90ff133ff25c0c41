"""Objects of one kind, listed and watched, as every client of an API server has to.

All pages, then a watch from there; bookmarks keep its version young; 410 means list again and compare; everything else
is tried again with back-off. What becomes of the objects is for whoever holds them (``Objects``): a list that was read
to its end is proof of what is gone, and nothing else is, but a DELETED event.

Invariant: after a failure that was told (``failed``) all is listed before anything is watched. That an API server has
accepted a watch says nothing of what was missed: it comes line by line, or as a 410 after the headers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from soadns.kubeapi import ApiError, KubeApi, KubeConfigError, Resource

BACKOFF_S = (0.1, 5.0)
SELDOM_S = 30.0
"""Until what is forbidden, or does not exist, is tried again: RBAC and CRDs change rarely, and nobody announces it."""
WATCH_S = (300.0, 600.0)
"""Bounds of a watch's length; random, so that reflectors do not all return at once."""
IDLE_S = 90.0
"""A watch without a byte for so long is dead: the API server sends a bookmark every minute."""
LASTED_S = 5.0
"""A watch that went on for so long and breaks is taken up again once before that is told: load balancers do that."""
Draw = Callable[[float, float], float]
"""A random number between two bounds."""


class Page(NamedTuple):
    """What a page says of its list."""

    version: str
    """The list's resourceVersion."""
    more: str
    """Token of the next page; ``''``: this is the last one."""


class Objects(Protocol):
    """Who holds the objects of one kind."""

    def page(self, body: bytes, *, first: bool) -> Page:
        """Take one page of a list; the ``first`` one begins a new list. Raises ValueError where it can not be read."""

    def listed(self) -> None:
        """The list was read to its end: what was not in it is gone. If it had failed, it can be read again."""

    def line(self, line: bytes) -> str:
        """Take one line of a watch; returns the resourceVersion to go on from, ``''`` where it has none.

        :raises ApiError: that the line holds.
        :raises ValueError: where it can not be read.
        """

    def failed(self, error: ApiError | KubeConfigError | ValueError) -> bool:
        """It can not be read until ``listed``; returns whether that need not be tried again soon. 410 is not told.

        What is forbidden is tried again soon all the same, and ever more seldom.
        """


class Reflector:
    """One kind, in one namespace or in all (``''``).

    :param selector: label selector.
    :param draw: the randomness of pauses and of the length of watches.
    """

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        objects: Objects,
        *,
        namespace: str = "",
        selector: str = "",
        draw: Draw = random.uniform,
    ) -> None:
        self._api = api
        self._resource = resource
        self._objects = objects
        self._namespace = namespace
        self._selector = selector
        self._draw = draw
        self._version = ""
        """resourceVersion to watch from; ``''``: all is to be listed."""
        self._failures = 0
        self._refusals = 0
        """Answers in a row that forbid it."""
        self._unreadable = 0
        """Answers in a row that could not be read."""
        self._accepted: float | None = None
        """When the API server accepted the watch, by the loop's clock."""

    @property
    def what(self) -> str:
        """What it reads, for people."""
        where = f" in namespace {self._namespace}" if self._namespace else ""
        return f"{self._resource.plural}{where}"

    async def run(self) -> None:
        """List and watch until cancelled; run anew after a fault of ours, it begins with a list again."""
        self._version = ""
        while True:
            delay, self._accepted = 0.0, None
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                delay = max(error.retry_after, self._refused(error))
            except KubeConfigError as error:
                self._tell(error)
                delay = self._backoff(BACKOFF_S[1])
            except ValueError as error:
                self._tell(error)
                self._unreadable += 1
                delay = self._backoff(BACKOFF_S[1])
            await asyncio.sleep(delay)

    def _refused(self, error: ApiError) -> float:
        """Note what the API server said; returns how long to wait, in seconds."""
        if error.status == 410:
            self._version = ""
            delay = self._backoff(BACKOFF_S[1])
            return delay if self._failures > 1 else 0.0
        if error.broken and self._lasted():
            return self._backoff(BACKOFF_S[1])
        refused = error.status in (401, 403)
        # One that has just begun forbids all until it knows its roles, after many failures: those do not count here.
        before, self._refusals = self._refusals, self._refusals + 1 if refused else 0
        dispensable = self._tell(error)
        if refused:
            return pause(before, SELDOM_S, self._draw)
        return SELDOM_S * self._draw(0.9, 1.1) if dispensable else self._backoff(BACKOFF_S[1])

    def _tell(self, error: ApiError | KubeConfigError | ValueError) -> bool:
        """It counts as unread from now on, until a list says what was missed."""
        self._version = ""
        return self._objects.failed(error)

    def _lasted(self) -> bool:
        """Whether there is a watch, and has been for a while."""
        accepted = self._accepted
        return accepted is not None and asyncio.get_running_loop().time() - accepted >= LASTED_S

    def _backoff(self, longest: float) -> float:
        delay = pause(max(self._failures, self._unreadable - 1), longest, self._draw)
        self._failures += 1
        return delay

    async def _list(self) -> None:
        more, first = "", True
        while first or more:
            body = await self._api.list_page(
                self._resource, namespace=self._namespace, selector=self._selector, more=more
            )
            version, more = self._objects.page(body, first=first)
            first = False
        self._version = version
        self._objects.listed()

    async def _watch(self) -> None:
        stream = self._api.watch(
            self._resource,
            version=self._version,
            namespace=self._namespace,
            selector=self._selector,
            timeout_s=int(self._draw(*WATCH_S)),
            idle_s=IDLE_S,
        )
        async with aclosing(stream):
            async for line in stream:
                if not line:
                    self._failures = self._refusals = 0
                    self._accepted = asyncio.get_running_loop().time()
                    continue
                self._version = self._objects.line(line) or self._version
                self._unreadable = 0


def pause(failures: int, longest: float, draw: Draw) -> float:
    """Seconds to wait after so many failures before this one."""
    return float(min(longest, BACKOFF_S[0] * 2 ** min(failures, 16)) * draw(0.5, 1.0))
