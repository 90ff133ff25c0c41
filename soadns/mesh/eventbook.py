"""Kubernetes Events (events.k8s.io/v1): what is to be told, once, and no more often than anybody reads. Pure.

What happens is told as it happens; what is so is told when it begins, and again while it lasts, before the API server
forgets (an hour, by default). The same of the same object is one Event with a ``series``. Nobody's Events crowd out
those of others: each object has a small budget, and all together have one; what finds no room is counted, and told
later if it lasts. Times are Unix seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

CONTROLLER = "soadns.io/soadns"
NORMAL, WARNING = "Normal", "Warning"
MOST_NOTE = 1024
"""Octets of a note, by the API's own rule."""
MOST_INSTANCE = 128
FORGOTTEN_S = 3600.0
"""After so long the API server deletes an Event (``--event-ttl``), and another one begins."""
AGAIN_S = 1500.0
"""How often what lasts is told again."""
EACH = (5.0, 1 / 300)
ALL = (50.0, 1.0)
"""Budgets: how many at once, and how many a second."""
KEPT = 10.0
"""Of all together, what is left to what happens, and to what begins, by what only waits."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an Event is about."""

    kind: str
    namespace: str
    name: str
    uid: str
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class Happening:
    """What is told."""

    regarding: Regarding
    reason: str
    """One word for programs, in camel case."""
    note: str
    """A sentence for people."""
    action: str
    """What soadns did, or did not."""
    kind: str = WARNING


@dataclass(frozen=True, slots=True)
class Entry:
    """One Event: how often, and when."""

    happening: Happening
    count: int
    first: float
    last: float

    @property
    def name(self) -> str:
        """Another one for every Event, the same whenever it is written again."""
        told = self.happening
        text = f"{told.regarding.uid} {told.reason} {told.note} {self.first}"
        return f"{told.regarding.name[:230]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def document(self, instance: str) -> dict[str, Any]:
        """The object; ``instance`` is which process tells it."""
        told = self.happening
        about = told.regarding
        found: dict[str, Any] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": self.name, "namespace": about.namespace},
            "eventTime": _moment(self.first),
            "reportingController": CONTROLLER,
            "reportingInstance": instance[:MOST_INSTANCE],
            "type": told.kind,
            "reason": told.reason,
            "action": told.action,
            "note": _shortened(told.note),
            "regarding": {
                "apiVersion": about.api_version, "kind": about.kind, "namespace": about.namespace, "name": about.name,
                "uid": about.uid,
            },
        }  # fmt: skip
        if self.count > 1:
            found["series"] = {"count": self.count, "lastObservedTime": _moment(self.last)}
        return found


class EventBook:
    """What was told, and what is to be."""

    def __init__(self) -> None:
        self._told: dict[Happening, Entry] = {}
        """The oldest first."""
        self._due: dict[Happening, Entry] = {}
        self._lasting: dict[str, set[Happening]] = {}
        """By who tells them."""
        self._waiting: dict[str, set[Happening]] = {}
        """Those of them that found no room yet, by who tells them."""
        self._all = _Budget(*ALL)
        self._each: dict[str, _Budget] = {}
        """By UID."""
        self.omitted = 0
        """Events for which there was no room."""

    def tell(self, happening: Happening, now: float) -> None:
        """It happened."""
        self._forget(now)
        if not self._admitted(happening, now):
            self.omitted += 1

    def last(self, happenings: Iterable[Happening], now: float, *, by: str = "") -> None:
        """These are so now, and no others that this one tells: what begins is told, and what was told long ago.

        What finds no room counts as omitted once, and is told when there is some, if it is so by then.
        """
        self._forget(now)
        found, before_now = dict.fromkeys(happenings), self._lasting.get(by, set())
        waited, waiting = self._waiting.get(by, set()), set[Happening]()
        for happening in found:
            before = self._told.get(happening)
            waits = happening in before_now and before is None
            due = happening not in before_now or before is None or now - before.last >= AGAIN_S
            if due and not self._admitted(happening, now, beside=KEPT if waits else 0.0):
                waiting.add(happening)
        self.omitted += len(waiting - waited)
        self._lasting[by], self._waiting[by] = set(found), waiting

    def take(self) -> list[Entry]:
        """The Events that are to be written now, the oldest first; they count as written."""
        due, self._due = list(self._due.values()), {}
        return due

    def give_back(self, entries: Iterable[Entry], since: float) -> bool:
        """They could not be written: those from before ``since`` are given up. Returns whether any are left."""
        entries = list(entries)
        fresh = {entry.happening: entry for entry in entries if entry.last >= since}
        self.omitted += len(entries) - len(fresh)
        self._due = fresh | self._due
        return bool(self._due)

    def _admitted(self, happening: Happening, now: float, *, beside: float = 0.0) -> bool:
        """Whether there was room for it, and for so many others of all together."""
        before = self._told.get(happening)
        if before is not None:
            self._put(replace(before, count=before.count + 1, last=now))
            return True
        # All together first: what finds no room there takes none of its object's, and leaves no budget to look at.
        if not self._all.has(now, beside):
            return False
        if not self._each.setdefault(happening.regarding.uid, _Budget(*EACH)).take(now):
            return False
        self._all.take(now)
        self._put(Entry(happening, 1, now, now))
        return True

    def _put(self, entry: Entry) -> None:
        self._told.pop(entry.happening, None)
        self._told[entry.happening] = self._due[entry.happening] = entry

    def _forget(self, now: float) -> None:
        for happening in [*takewhile(lambda each: now - self._told[each].last >= FORGOTTEN_S, self._told)]:
            del self._told[happening]
        for uid in [uid for uid, budget in self._each.items() if budget.full(now)]:
            del self._each[uid]


class _Budget:
    """So many at once, and so many a second after that."""

    def __init__(self, most: float, rate: float) -> None:
        self._most, self._rate = most, rate
        self._left, self._at = most, 0.0

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        if not self.has(now):
            return False
        self._left -= 1.0
        return True

    def has(self, now: float, beside: float = 0.0) -> bool:
        """Whether there is one, and so many others."""
        self._left, self._at = self._now(now), now
        return self._left >= 1.0 + beside

    def full(self, now: float) -> bool:
        """Whether it is as it began."""
        return self._now(now) >= self._most

    def _now(self, now: float) -> float:
        return min(self._most, self._left + max(0.0, now - self._at) * self._rate)


def _shortened(text: str) -> str:
    octets = text.encode()
    return text if len(octets) <= MOST_NOTE else octets[: MOST_NOTE - 3].decode(errors="ignore") + "…"


def _moment(at: float) -> str:
    """``MicroTime`` of meta/v1."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
