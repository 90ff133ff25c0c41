"""One host:port of the registries, and which interfaces it provides *as far as binding may believe*.

A registration is not yet evidence: a process registers one interface after another, a lost session
makes a living process look empty, and a dead process's registrations linger while its address is
given to somebody else. ``Site.review`` turns the raw registrations of one host:port into the set of
interfaces it provides, once per batch, so that the order of events within a batch can not matter.
Of Services it knows only which have its address; ``soadns.binding.rosters`` counts sites per Service.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from soadns.model import InterfaceId, ObjectRef, Provider

NO_INTERFACES: frozenset[InterfaceId] = frozenset()
NO_SERVICES: frozenset[ObjectRef] = frozenset()
NO_APPLICATIONS: frozenset[str] = frozenset()
"""One of each for all sites: every ``frozenset()`` takes 216 octets of its own."""
HostPort = tuple[str, int]
"""Host and port of a process, as registered or as exposed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTimes:
    """Durations in seconds; ``kept``, what a lost session keeps, is no setting but part of the rules."""

    settle: float
    kept: float = 60.0
    stale: float


class SiteMemory(NamedTuple):
    """What a host:port remembers beyond its registrations; times as in ``Site``."""

    host: str
    port: int
    kept: frozenset[InterfaceId]
    kept_until: float | None
    shared: frozenset[str]
    stale: Sequence[tuple[InterfaceId, tuple[str, str, int, str, str]]]
    """Interfaces and the identities of their stale providers (``soadns.binding.known``)."""
    stale_until: float | None
    unsettled: float | None
    """Since when, if what it registers does not count against anything yet."""
    keepers: frozenset[ObjectRef]
    """For which Services it is kept; empty in what was saved before that was known."""


class Live:
    """A Provider that is registered now: the newest of its registrations and how it is judged."""

    __slots__ = ("counted", "disabled", "older", "provider", "since", "stale")

    def __init__(self, provider: Provider, since: float) -> None:
        self.provider = provider
        self.older: tuple[Provider, ...] = ()
        """Further registrations of the same identity (an old session that still lingers)."""
        self.since = since
        """When soadns first saw the identity."""
        self.disabled = False
        """Taken out by an override of the registry."""
        self.stale = False
        """Another application took over its host:port; shown, not used."""
        self.counted = False
        """Whether its port and application count (``soadns.binding.registrations``)."""

    @property
    def usable(self) -> bool:
        """Whether it may be evidence or an answer."""
        return self.provider.enabled and not self.disabled and not self.stale


class Site:
    """Everything registered at one host:port."""

    __slots__ = (
        "apps",
        "changed_at",
        "counted_outside",
        "holders",
        "keepers",
        "kept",
        "kept_until",
        "left",
        "left_by",
        "live",
        "lost",
        "lost_at",
        "present",
        "provided",
        "ready",
        "serving",
        "settled",
        "shared",
        "source",
        "stale_until",
    )

    def __init__(self) -> None:
        self.live: set[Live] = set()
        self.source = ""
        """The registry that last said something of it."""
        self.apps: dict[str, tuple[float, int]] = {}
        """Application → (first seen here, newest timestamp it claims)."""
        self.shared: frozenset[str] = NO_APPLICATIONS
        """Applications known to share this process."""
        self.stale_until: float | None = None
        self.changed_at = 0.0
        self.settled = True
        self.lost: dict[InterfaceId, float] = {}
        """Interfaces that went in the current run of losses."""
        self.lost_at = 0.0
        self.kept: frozenset[InterfaceId] = NO_INTERFACES
        """What a lost session had provided; believed while the address stays ready."""
        self.kept_until: float | None = None
        """None while nothing returned yet."""
        self.ready = False
        """Whether some Service has this address as a ready endpoint."""
        self.holders: tuple[ObjectRef, ...] = ()
        """Living Services that have it as an endpoint."""
        self.keepers: frozenset[ObjectRef] = NO_SERVICES
        """Those that have had it without a break since the losses began: what is kept is theirs."""
        self.left_by: frozenset[ObjectRef] = NO_SERVICES
        """Those that had it last, before all of them left it."""
        self.left: frozenset[InterfaceId] = NO_INTERFACES
        """What has been registered since then: a dead process's, for all that whoever has the address now can say."""
        self.serving: frozenset[InterfaceId] = NO_INTERFACES
        """Interfaces with a usable registration now."""
        self.provided: frozenset[InterfaceId] = NO_INTERFACES
        """``serving`` and what a lost session keeps."""
        self.counted_outside: frozenset[InterfaceId] = NO_INTERFACES
        """Interfaces for which the store counts it as the old world."""
        self.present = False
        """Whether it holds any registration that is not stale."""

    @property
    def registered(self) -> bool:
        """Whether it holds any registration that is believed (kept ones included)."""
        return self.present or bool(self.kept)

    def provided_to(self, ref: ObjectRef) -> frozenset[InterfaceId] | None:
        """What a Service that has the address may believe of it; None where nothing is registered."""
        if self.kept and ref in self.keepers:
            return self.provided
        return self.serving if self.present else None

    def review(
        self,
        now: float,
        times: SiteTimes,
        holders: tuple[ObjectRef, ...] = (),
        *,
        touched: bool,
        paused: bool = False,
        first: bool = False,
    ) -> float | None:
        """Recompute ``provided`` and ``registered``.

        ``holders`` are the Services that have the address now, ``touched`` says that registrations came or
        went in this batch, ``paused`` that the registry is out of sync, so that no clock ends, ``first`` that it
        is being read for the first time. Returns when it must be reviewed again for a clock of its own (Unix
        seconds), or None.
        """
        if first and touched:
            self._forget_applications()
        self._review_applications(now, times, paused=paused)
        serving = frozenset(live.provider.interface for live in self.live if live.usable)
        present = any(not live.stale for live in self.live)
        stayed = self._change_hands(holders)
        self._review_losses(serving, stayed, now, times, touched=touched)
        over = self.kept_until is not None and now >= self.kept_until and not paused
        if self.kept and (over or not self.ready or not self.keepers):
            self.kept, self.kept_until = NO_INTERFACES, None
        if self.kept and present and self.kept_until is None:
            self.kept_until = now + times.kept
        self.serving = serving
        self.provided = serving | self.kept if self.kept else serving
        self.present = present
        if touched:
            self.changed_at, self.settled = now, False
        clocks = [c for c in (self.stale_until, self.kept_until) if c is not None]
        return min(clocks) if clocks and not paused else None

    def forget_applications(self) -> bool:
        """Take back what was made of several applications here; returns whether anything was."""
        if not self.shared and self.stale_until is None:
            return False
        self.shared, self.stale_until = NO_APPLICATIONS, None
        for live in self.live:
            live.stale = False
        return True

    def resume(self, since: float, now: float, times: SiteTimes) -> float | None:
        """Its registry was out of sync from ``since`` to ``now``: that time does not count.

        Returns when the first of its clocks ends, or None.
        """
        if self.kept_until is not None:
            self.kept_until += now - max(since, self.kept_until - times.kept)
        if self.stale_until is not None:
            self.stale_until += now - max(since, self.stale_until - times.stale)
        return min((c for c in (self.stale_until, self.kept_until) if c is not None), default=None)

    def _change_hands(self, holders: tuple[ObjectRef, ...]) -> frozenset[ObjectRef]:
        """Take in which Services have the address now; returns those that had it before as well.

        Where none has, it may be another process's from now on: what was lost before is nobody's.
        """
        before, self.holders = self.holders, holders
        stayed = frozenset(before).intersection(holders) if before else NO_SERVICES
        if before != holders:
            if self.keepers:
                self.keepers = self.keepers.intersection(holders)
            if before and not stayed:
                self.left_by, self.left = frozenset(before), self.provided
            elif self.left and not self.left_by.isdisjoint(holders):
                self.left_by, self.left = NO_SERVICES, NO_INTERFACES
        return stayed

    def _review_losses(
        self,
        serving: frozenset[InterfaceId],
        stayed: frozenset[ObjectRef],
        now: float,
        times: SiteTimes,
        *,
        touched: bool,
    ) -> None:
        if not touched:
            return
        gone = self.provided - serving - self.kept
        if self.left:
            gone -= self.left
            self.left = self.left & serving or NO_INTERFACES
        if not gone:
            return
        if now - self.lost_at > times.settle:
            self.lost.clear()
        if not self.kept and not (self.lost and self.keepers):
            self.lost.clear()
            self.keepers = stayed
        self.lost_at = now
        for interface in gone:
            self.lost[interface] = now
        if not self.live:
            if self.ready and self.keepers and times.kept:
                self.kept = frozenset(self.lost) | self.kept
                self.kept_until = None
            self.lost.clear()

    def _forget_applications(self) -> None:
        """What a first pass reads bit by bit was there before: it is judged anew, as seen in one instant."""
        self.apps, self.shared, self.stale_until = {}, NO_APPLICATIONS, None
        for live in self.live:
            live.stale = False

    def _review_applications(self, now: float, times: SiteTimes, *, paused: bool) -> None:
        """Mark the older application's providers stale when another one takes the host:port over."""
        newest: dict[str, int] = {}
        for live in self.live:
            application = live.provider.application
            if application:
                newest[application] = max(newest.get(application, 0), live.provider.timestamp)
        arrived = [a for a in newest if a not in self.apps]
        before = {a: seen for a, seen in self.apps.items() if a in newest}
        self.apps = {a: (self.apps[a][0] if a in self.apps else now, stamp) for a, stamp in newest.items()}
        if not self.live and not self.kept:
            self.shared = NO_APPLICATIONS
        if arrived and len(newest) > 1 and not set(newest) <= self.shared:
            self._take_over(arrived, before, now, times)
        elif self.stale_until is not None and now >= self.stale_until and not paused:
            # Both kept their sessions for the whole time: they share the process (SOFAArk). A
            # persistent node proves nothing of the kind.
            self.stale_until = None
            for live in self.live:
                live.stale = live.stale and not live.provider.dynamic
            self.shared = frozenset(live.provider.application for live in self.live if not live.stale)
        if len(newest) <= 1 and self.stale_until is not None and not any(live.stale for live in self.live):
            self.stale_until = None

    def _take_over(
        self, arrived: list[str], before: dict[str, tuple[float, int]], now: float, times: SiteTimes
    ) -> None:
        if before:
            older = set(before)
        else:
            # Seen for the first time in one instant: the claimed start times decide; without them
            # nothing tells the applications apart, so they share.
            stamps = {self.apps[a][1] for a in arrived}
            if len(stamps) == 1 or 0 in stamps:
                self.shared = frozenset(arrived)
                return
            older = {a for a in arrived if self.apps[a][1] < max(stamps)}
        for live in self.live:
            if live.provider.application in older - self.shared:
                live.stale = True
        self.stale_until = now + times.stale


def newest(providers: Iterable[Provider]) -> Provider:
    """The registration that supplies the attributes; ties are broken by content, never by order."""
    return max(
        providers,
        key=lambda p: (
            p.timestamp, p.enabled, p.dynamic, p.tls, p.token, p.path, p.settings, p.serialization,
            p.weight,
        ),
    )  # fmt: skip
