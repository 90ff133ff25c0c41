"""What one zone has observed, indexed for binding: interfaces, sites, Services, declarations.

``apply`` takes changes of observations and marks the interfaces they touch as dirty; it derives, per
interface, only counts and sets that are kept up to date by single changes, so the work of a change
is proportional to what it touches. What registries say is in ``registrations``, Services are in ``services``, their
addresses in ``endpoints``, and what the passing of time changes is in ``siteclocks``; here they meet, by the addresses
at which providers and endpoints are. Decisions (votes over time, choice, clocks of a name) belong to
``soadns.binding.bind``; this module holds no state of a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soadns.binding.definitions import Definitions
from soadns.binding.endpoints import Endpoints
from soadns.binding.firstpasses import FirstPasses
from soadns.binding.observations import Change
from soadns.binding.registrations import Registrations
from soadns.binding.rosters import Roster
from soadns.binding.services import ServiceIndex, Touched
from soadns.binding.sight import StoreSettings
from soadns.binding.siteclocks import SiteClocks
from soadns.binding.sites import HostPort, Site
from soadns.indexes import count
from soadns.marks import Marks
from soadns.model import (
    EndpointSlice,
    InterfaceId,
    Node,
    ObjectRef,
    Override,
    Provider,
    Service,
)

ALL = 1 << 62
"""A limit that is none."""


class Store:
    """The indexes of one zone. Not thread-safe; all times are Unix seconds given by the caller."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.registrations = Registrations()
        self.interfaces = self.registrations.interfaces
        self.sites: dict[HostPort, Site] = {}
        self.judged: Marks[HostPort] = Marks()
        """Sites that may remember something else than what is saved."""
        self.rated: Marks[ObjectRef] = Marks()
        """Services that may have had a ready endpoint since that was saved, or be others."""
        self.clocks = SiteClocks(settings, self.sites, self.judged)
        self.services = ServiceIndex()
        self._definitions = Definitions()
        self.endpoints = Endpoints(settings)
        self.rosters = self.endpoints.rosters
        self.by_address = self.endpoints.by_address
        self.departed: dict[str, float] = {}
        """Address → when it left the endpoints of living Services; it is nobody's for a while."""
        self.dirty: set[InterfaceId] = set()
        self.touched_services: set[ObjectRef] = set()
        """Services whose winners must be looked at again (the engine knows who is bound to them)."""
        self.changed_services: set[ObjectRef] = set()
        """Services that came, went or changed, until somebody takes them away."""
        self.changed_slices: set[ObjectRef] = set()
        """Services whose EndpointSlices did, likewise."""
        self.changed_rosters: set[ObjectRef] = set()
        """Services at whose endpoints other providers may be, likewise."""
        self._touched_sites: dict[HostPort, bool] = {}
        """Sites to be judged when the batch is over; whether registrations came or went there."""
        self._touched_rosters: set[ObjectRef] = set()
        self._ports_at: dict[str, set[int]] = {}
        self._whole: dict[ObjectRef, set[str]] = {}
        """Services → addresses that count for or against every interface since this batch."""
        self._first_passes = FirstPasses()
        self._told: set[HostPort] = set()
        """Sites of which a registry spoke in this batch."""

    # ------------------------------------------------------------------ folding changes

    def apply(self, changes: Sequence[Change], now: float, *, first: frozenset[str] = frozenset()) -> None:
        """Fold a batch of changes.

        ``first`` names sources that have never been in sync: their registrations are not new, only
        new to us, so they need no time to settle. Their sites are judged when ``first_pass_over`` was said: once, not
        with every interface that is read.
        """
        self.judge(now)
        for change in changes:
            match change.after or change.before:
                case Provider():
                    self._provider(change, now, quiet=change.source in first)
                case Service():
                    self._service(self._definitions.counting(change))
                case EndpointSlice():
                    self._slice(self._definitions.counting(change))
                case Override():
                    self._override(change, quiet=change.source in first)
                case Node():
                    self._node(self._definitions.counting(change))
        self._settle_rosters(now)
        self.settle_sites(now)

    def first_pass_over(self, source: str) -> None:
        """A source was read for the first time, or restored: its sites are to be judged."""
        self._first_passes.over(source)

    @property
    def unjudged(self) -> bool:
        """Whether sites of a first pass are to be judged: ``apply`` would do that first, all at once."""
        return bool(self._first_passes)

    def judge(self, now: float, limit: int = ALL) -> bool:
        """Judge so many sites of first passes that are over; returns whether that were all."""
        while self._first_passes and limit > 0:
            source, sites = self._first_passes.take(limit)
            for key, touched in sites:
                self._review(key, now, touched=touched, first=source)
            limit -= len(sites)
        self._note_whole()
        return not self._first_passes

    def _touched(self, source: str, *, quiet: bool) -> dict[HostPort, bool]:
        return self._first_passes.touched(source) if quiet else self._touched_sites

    def _provider(self, change: Change, now: float, *, quiet: bool) -> None:
        before, after = change.before, change.after
        touched = self._touched(change.source, quiet=quiet)
        if isinstance(before, Provider):
            self._withdraw(before)
        if isinstance(after, Provider):
            self._register(after, now)
        for provider in (before, after):
            if isinstance(provider, Provider):
                key = self.settings.site_key(provider)
                # Attributes that change under one identity are no new registration.
                moved = not (
                    isinstance(before, Provider)
                    and isinstance(after, Provider)
                    and before.identity == after.identity
                    and before.timestamp == after.timestamp
                )
                touched[key] = touched.get(key, False) or moved
                self.registrations.note(provider)

    def _register(self, provider: Provider, now: float) -> None:
        self.dirty.add(provider.interface)
        live = self.registrations.register(provider, now)
        if live is not None:
            key = self.settings.site_key(provider)
            site = self.site(key)
            site.live.add(live)
            self._told_by(key, site, provider.registry)

    def _withdraw(self, provider: Provider) -> None:
        self.dirty.add(provider.interface)
        live = self.registrations.withdraw(provider)
        if live is not None:
            key = self.settings.site_key(provider)
            site = self.sites[key]
            site.live.discard(live)
            self._told_by(key, site, provider.registry)

    def site(self, key: HostPort) -> Site:
        """The site at a host:port, from now on if there was none."""
        site = self.sites.get(key)
        if site is None:
            site = self.sites[key] = Site()
            site.ready = self.endpoints.ready(key)
            self._ports_at.setdefault(key[0], set()).add(key[1])
        return site

    def _told_by(self, key: HostPort, site: Site, registry: str) -> None:
        """Note which registry spoke last of a site; of several in one instant, by name."""
        site.source = max(site.source, registry) if key in self._told else registry
        self._told.add(key)

    def _override(self, change: Change, *, quiet: bool) -> None:
        touched = self._touched(change.source, quiet=quiet)
        before, after = (v if isinstance(v, Override) else None for v in (change.before, change.after))
        for provider in self.registrations.override(before, after):
            touched[self.settings.site_key(provider)] = True
        for value in (before, after):
            if value is not None:
                self.dirty.update(self.registrations.names.get(value.interface_name, ()))

    # ------------------------------------------------------------------ Kubernetes

    def _service(self, change: Change) -> None:
        before = (
            change.before
            if isinstance(change.before, Service) and self.settings.sees(change.before)
            else None
        )
        after = (
            change.after if isinstance(change.after, Service) and self.settings.sees(change.after) else None
        )
        if before is None and after is None:
            return
        ref = (before or after).ref  # type: ignore[union-attr]
        if after is not None and (before is None or before.uid != after.uid) and ref in self.rosters:
            # A Service of its own, even where the slices of its predecessor are still there.
            self.rosters[ref].had_ready = self.rosters[ref].ready > 0
        self._spread(self.services.update(ref, before, after))
        self._touched_rosters.add(ref)
        self.touched_services.add(ref)
        self.changed_services.add(ref)
        self.dirty.update(self.interfaces_of(ref))

    def _spread(self, touched: Touched) -> None:
        self.touched_services |= touched.services
        self.dirty |= touched.interfaces
        for application in touched.applications:
            self.dirty.update(self.registrations.by_application.get(application, ()))
        at_nodes = {(ip, port) for ip in touched.hosts for port in self._ports_at.get(ip, ())}
        for key in touched.places | at_nodes:
            if (site := self.sites.get(key)) is not None:
                self.dirty.update(live.provider.interface for live in site.live)

    def _slice(self, change: Change) -> None:
        before, after = (v if isinstance(v, EndpointSlice) else None for v in (change.before, change.after))
        changed = self.endpoints.slice(before, after)
        self._touched_rosters |= changed
        self.changed_slices |= changed

    def _node(self, change: Change) -> None:
        value = change.after or change.before
        assert isinstance(value, Node)
        after = change.after if isinstance(change.after, Node) else None
        self._spread(self.services.node(value.ref, after))

    # ------------------------------------------------------------------ end of a batch

    def _settle_rosters(self, now: float) -> None:
        """Bring rosters up to date with Services and slices, and sites with their endpoints."""
        left: set[str] = set()
        self.rated.update(self._touched_rosters)
        for ref in self._touched_rosters:
            lives = ref in self.services.by_ref
            roster, changed, rated = self.endpoints.refresh(ref, lives=lives)
            for ip in changed:
                if ip in self.by_address:
                    self.departed.pop(ip, None)
                if lives and ip not in roster.addresses:
                    left.add(ip)
                self.touch_at(ip)
                self._tell(ref, roster, ip)
            if lives and rated:
                # What speaks for it without its endpoints (1, 3, 4) stands or falls with a ready one.
                self.dirty.update(self.interfaces_of(ref))
            if not lives:
                self.endpoints.forget(ref)
            self.touched_services.add(ref)
            self.dirty.update(roster.providing)
        self._touched_rosters.clear()
        for ip in left - self.by_address.keys():
            self.depart(ip, now)

    def settle_sites(self, now: float) -> None:
        """Judge the sites that were touched, and count what they provide."""
        for key, touched in self._touched_sites.items():
            self._review(key, now, touched=touched)
        self._touched_sites.clear()
        self._told.clear()
        self._note_whole()

    def _review(self, key: HostPort, now: float, *, touched: bool, first: str | None = None) -> None:
        """Judge one site; ``first`` is the source whose first pass it belongs to."""
        self.judged.add(key)
        site = self.sites.get(key)
        if site is None:
            return
        site.ready = self.endpoints.ready(key)
        quiet, paused = site.source == first, self.clocks.paused(site.source)
        times = self.settings.times_of(site.source)
        taken_over, several = site.stale_until is not None, len(site.apps) > 1
        holders = tuple(self.by_address.get(key[0], ()))
        again = site.review(now, times, holders, touched=touched, paused=paused, first=quiet)
        if taken_over or site.stale_until is not None:
            self.dirty.update(live.provider.interface for live in site.live)
        if several or len(site.apps) > 1:
            for live in site.live:
                self.interfaces[live.provider.interface].crowd = None
                self.registrations.rejudged(live)
        if touched and quiet:
            site.settled = True
        elif touched:
            self.clocks.settle(key, now + times.settle)
        if again is not None:
            self.clocks.review(key, again)
        self._publish_site(key, site)

    def _publish_site(self, key: HostPort, site: Site) -> None:
        """Tell Services and interfaces what the site provides now."""
        ip = key[0]
        for ref in self.by_address.get(ip, ()):
            self._tell(ref, self.rosters[ref], ip)
        outside = ip not in self.by_address and ip not in self.departed
        serving = site.serving if outside else frozenset()
        for interface in site.counted_outside ^ serving:
            known = self.registrations.know(interface)
            count(known.outside, ip, 1 if interface in serving else -1)
            self.dirty.add(interface)
            self.registrations.forget_if_empty(interface)
        site.counted_outside = serving
        if not site.live and not site.kept:
            del self.sites[key]
            ports = self._ports_at[ip]
            ports.discard(key[1])
            if not ports:
                del self._ports_at[ip]

    def _tell(self, ref: ObjectRef, roster: Roster, ip: str) -> None:
        """Recount one address of one Service."""
        self.changed_rosters.add(ref)
        address = roster.addresses.get(ip)
        provided: frozenset[InterfaceId] | None = None
        settled = True
        if address is not None:
            for port in address.ports:
                site = self.sites.get((ip, port))
                found = site.provided_to(ref) if site is not None else None
                if site is not None and found is not None:
                    provided = found if provided is None else provided | found
                    settled = settled and site.settled
        silent = not roster.registered
        touched, whole = roster.tell(ip, provided, settled=settled)
        for interface in touched:
            known = self.registrations.know(interface)
            if interface in roster.providing:
                known.rosters.add(ref)
            else:
                known.rosters.discard(ref)
            self.dirty.add(interface)
            self.registrations.forget_if_empty(interface)
        if silent != (not roster.registered):  # else nothing votes against what it has by 1, 3 or 4
            self.dirty.update(self.interfaces_of(ref))
        if whole:
            self._whole.setdefault(ref, set()).add(ip)

    def _note_whole(self) -> None:
        """Mark what some of the addresses that count for or against every interface do not provide."""
        for ref, ips in self._whole.items():
            self.touched_services.add(ref)
            if (roster := self.rosters.get(ref)) is not None:
                self.dirty.update(i for i, holders in roster.providing.items() if not ips <= holders)
        self._whole.clear()

    # ------------------------------------------------------------------ the passing of time

    def sync_changed(self, source: str, now: float, *, in_sync: bool) -> None:
        """Say that a registry came into or fell out of sync: no clock of a site runs while it is out."""
        if in_sync:
            self.clocks.go_on(source, now)
            self.first_pass_over(source)
        else:
            self.clocks.stop(source, now)

    def run_clocks(self, now: float, limit: int = ALL) -> bool:
        """Let settle, kept, stale and departed clocks that are due take effect; returns whether those were all."""
        due = self.clocks.due(now, limit)
        for ip in due.hosts:
            left = self.departed.get(ip)
            if left is not None and now >= left + self.settings.departed:
                del self.departed[ip]
                self.touch_at(ip)
        self.touch(due.sites)
        self.settle_sites(now)
        at = self.clocks.next()
        return at is None or at > now

    def depart(self, ip: str, when: float) -> None:
        """An address left the endpoints of living Services then."""
        self.departed[ip] = when
        self.clocks.leave(ip, when + self.settings.departed)

    def touch(self, keys: Iterable[HostPort]) -> None:
        """Judge sites when the batch is over, though nothing came or went there."""
        for key in keys:
            self._touched_sites.setdefault(key, False)

    def touch_at(self, ip: str) -> None:
        """Judge all sites of an address when the batch is over."""
        self.touch((ip, port) for port in self._ports_at.get(ip, ()))

    # ------------------------------------------------------------------ questions

    def interfaces_of(self, ref: ObjectRef) -> Iterable[InterfaceId]:
        """Interfaces for which the Service may hold evidence of any kind."""
        roster = self.rosters.get(ref)
        found = set(roster.providing) if roster is not None else set()
        service = self.services.by_ref.get(ref)
        if service is not None:
            found.update(service.declaration.interfaces if service.declaration is not None else ())
            found.update(self.registrations.by_application.get(service.application or "", ()))
        for key in self.services.exposures.of(ref):
            if (site := self.sites.get(key)) is not None:
                found.update(live.provider.interface for live in site.live)
        return found
