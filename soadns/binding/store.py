"""What one zone has observed, indexed for binding: interfaces, sites, Services, declarations.

``apply`` takes changes of observations and marks the interfaces they touch as dirty; it derives, per
interface, only counts and sets that are kept up to date by single changes, so the work of a change
is proportional to what it touches. Decisions (votes over time, choice, clocks of a name) belong to
``soadns.binding.bind``; this module holds no state of a name.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from soadns.binding.definitions import Definitions
from soadns.binding.indexes import count, place
from soadns.binding.known import Known, identity_of, without
from soadns.binding.networks import within
from soadns.binding.observations import Change
from soadns.binding.overrides import Overrides
from soadns.binding.rosters import Roster, merge_slices
from soadns.binding.services import ServiceIndex, Touched
from soadns.binding.sight import StoreSettings
from soadns.binding.sites import HostPort, Live, Site, SiteMemory, newest
from soadns.model import (
    EndpointSlice,
    InterfaceId,
    Node,
    ObjectRef,
    Override,
    Provider,
    Service,
)


class Store:
    """The indexes of one zone. Not thread-safe; all times are Unix seconds given by the caller."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.interfaces: dict[InterfaceId, Known] = {}
        self.names: dict[str, set[InterfaceId]] = {}
        """Interface name → its variants with live providers (overrides are per name)."""
        self.sites: dict[HostPort, Site] = {}
        self.services = ServiceIndex()
        self._definitions = Definitions()
        self.rosters: dict[ObjectRef, Roster] = {}
        self.slices: dict[ObjectRef, dict[ObjectRef, EndpointSlice]] = {}
        """Service → its EndpointSlices."""
        self.overrides = Overrides()
        self.by_address: dict[str, set[ObjectRef]] = {}
        """Endpoint IP → living Services that have it."""
        self.departed: dict[str, float] = {}
        self.by_application: dict[str, set[InterfaceId]] = {}
        """Application → interfaces it provides."""
        self.dirty: set[InterfaceId] = set()
        self.touched_services: set[ObjectRef] = set()
        """Services whose winners must be looked at again (the engine knows who is bound to them)."""
        self._touched_sites: dict[HostPort, bool] = {}
        self._touched_rosters: set[ObjectRef] = set()
        self._ports_at: dict[str, set[int]] = {}
        self._unsynced: dict[str, set[HostPort]] = {}
        self._out_since: dict[str, float] = {}
        """Sources that are out of sync, and since when."""
        self._quiet: set[str] = set()
        self._first: dict[str, dict[HostPort, bool]] = {}
        """Source on its first pass → the sites it has spoken of so far, to be judged when the pass is over."""
        self._told: set[HostPort] = set()
        """Sites of which a registry spoke in this batch."""
        self._timers: list[tuple[float, str, HostPort]] = []

    # ------------------------------------------------------------------ folding changes

    def apply(self, changes: Sequence[Change], now: float, *, first: frozenset[str] = frozenset()) -> None:
        """Fold a batch of changes.

        ``first`` names sources that have never been in sync: their registrations are not new, only
        new to us, so they need no time to settle. What they read bit by bit was there in one instant, so
        their sites are judged by ``first_pass_over``: once, not with every interface that is read.
        """
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
        self._settle_sites(now)

    def first_pass_over(self, source: str, now: float) -> None:
        """Judge the sites of a source that was read for the first time, or restored."""
        touched = self._first.pop(source, None)
        if touched:
            self._touched_sites.update(touched)
            self._quiet.add(source)
            self._settle_sites(now)

    def _touched(self, source: str, *, quiet: bool) -> dict[HostPort, bool]:
        return self._first.setdefault(source, {}) if quiet else self._touched_sites

    def _provider(self, change: Change, now: float, *, quiet: bool) -> None:
        before, after = change.before, change.after
        touched = self._touched(change.source, quiet=quiet)
        if isinstance(before, Provider):
            self._withdraw(before)
        if isinstance(after, Provider):
            self._register(after, now)
        for provider in (before, after):
            if isinstance(provider, Provider):
                key = self.site_key(provider)
                # Attributes that change under one identity are no new registration.
                moved = not (
                    isinstance(before, Provider)
                    and isinstance(after, Provider)
                    and before.identity == after.identity
                    and before.timestamp == after.timestamp
                )
                touched[key] = touched.get(key, False) or moved
                if (known := self.interfaces.get(provider.interface)) is not None:
                    known.note(provider)

    def _register(self, provider: Provider, now: float) -> None:
        interface = provider.interface
        known = self._know(interface)
        identity = identity_of(provider)
        live = known.live.get(identity)
        if live is None:
            live = known.live[identity] = Live(provider, now)
            live.disabled = self.overrides.take_out(provider)
            count(known.ports, (provider.protocol, provider.port), 1)
            count(known.registries, provider.registry, 1)
            if provider.application:
                count(known.applications, provider.application, 1)
                self.by_application.setdefault(provider.application, set()).add(interface)
            key = self.site_key(provider)
            site = self.sites.get(key)
            if site is None:
                site = self.sites[key] = Site()
                site.ready = self._ready(key)
                self._ports_at.setdefault(key[0], set()).add(key[1])
            site.live.add(live)
            self._told_by(key, site, provider.registry)
        else:
            registrations = (live.provider, *live.older, provider)
            live.provider = newest(registrations)
            live.older = without(registrations, live.provider)
            live.disabled = self.overrides.take_out(live.provider)
        self.dirty.add(interface)

    def _know(self, interface: InterfaceId) -> Known:
        if interface not in self.interfaces:
            self.interfaces[interface] = Known()
            self.names.setdefault(interface.name, set()).add(interface)
        return self.interfaces[interface]

    def _withdraw(self, provider: Provider) -> None:
        known = self.interfaces[provider.interface]
        identity = identity_of(provider)
        live = known.live[identity]
        rest = without((live.provider, *live.older), provider)
        self.dirty.add(provider.interface)
        if rest:
            live.provider = newest(rest)
            live.older = without(rest, live.provider)
            live.disabled = self.overrides.take_out(live.provider)
            return
        del known.live[identity]
        count(known.ports, (provider.protocol, provider.port), -1)
        count(known.registries, provider.registry, -1)
        if provider.application:
            count(known.applications, provider.application, -1)
            if provider.application not in known.applications:
                place(self.by_application, provider.application, provider.interface, add=False)
        key = self.site_key(provider)
        site = self.sites[key]
        site.live.discard(live)
        self._told_by(key, site, provider.registry)
        self._forget_if_empty(provider.interface)

    def _told_by(self, key: HostPort, site: Site, registry: str) -> None:
        """Note which registry spoke last of a site; of several in one instant, by name."""
        site.source = max(site.source, registry) if key in self._told else registry
        self._told.add(key)

    def _forget_if_empty(self, interface: InterfaceId) -> None:
        known = self.interfaces.get(interface)
        if known is not None and known.empty and not known.outside:
            del self.interfaces[interface]
            variants = self.names[interface.name]
            variants.discard(interface)
            if not variants:
                del self.names[interface.name]

    def _override(self, change: Change, *, quiet: bool) -> None:
        touched = self._touched(change.source, quiet=quiet)
        for value, add in ((change.before, False), (change.after, True)):
            if isinstance(value, Override):
                self.overrides.add(value, 1 if add else -1)
        value = change.after or change.before
        assert isinstance(value, Override)
        for interface in self.names.get(value.interface_name, ()):
            self.interfaces[interface].crowd = None
            for live in self.interfaces[interface].live.values():
                disabled = self.overrides.take_out(live.provider)
                if disabled != live.disabled:
                    live.disabled = disabled
                    touched[self.site_key(live.provider)] = True
            self.dirty.add(interface)

    # ------------------------------------------------------------------ Kubernetes

    def sees(self, service: Service) -> bool:
        """Whether the zone's namespaces and selector include the Service."""
        if self.settings.namespaces and service.ref.namespace not in self.settings.namespaces:
            return False
        return not self.settings.selector or set(self.settings.selector) <= set(service.labels)

    def _service(self, change: Change) -> None:
        before = change.before if isinstance(change.before, Service) and self.sees(change.before) else None
        after = change.after if isinstance(change.after, Service) and self.sees(change.after) else None
        if before is None and after is None:
            return
        ref = (before or after).ref  # type: ignore[union-attr]
        if after is not None and (before is None or before.uid != after.uid) and ref in self.rosters:
            # A Service of its own, even where the slices of its predecessor are still there.
            self.rosters[ref].had_ready = self.rosters[ref].ready > 0
        self._spread(self.services.update(ref, before, after))
        self._touched_rosters.add(ref)
        self.touched_services.add(ref)
        self.dirty.update(self.interfaces_of(ref))

    def _spread(self, touched: Touched) -> None:
        self.touched_services |= touched.services
        self.dirty |= touched.interfaces
        for application in touched.applications:
            self.dirty.update(self.by_application.get(application, ()))
        at_nodes = {(ip, port) for ip in touched.hosts for port in self._ports_at.get(ip, ())}
        for key in touched.places | at_nodes:
            if (site := self.sites.get(key)) is not None:
                self.dirty.update(live.provider.interface for live in site.live)

    def _slice(self, change: Change) -> None:
        for value, add in ((change.before, False), (change.after, True)):
            if isinstance(value, EndpointSlice):
                slices = self.slices.setdefault(value.service, {})
                if add:
                    slices[value.ref] = value
                elif slices.get(value.ref) is not None:
                    del slices[value.ref]
                if not slices:
                    del self.slices[value.service]
                self._touched_rosters.add(value.service)

    def _node(self, change: Change) -> None:
        value = change.after or change.before
        assert isinstance(value, Node)
        after = change.after if isinstance(change.after, Node) else None
        self._spread(self.services.node(value.ref, after))

    # ------------------------------------------------------------------ end of a batch

    def _settle_rosters(self, now: float) -> None:
        """Bring rosters up to date with Services and slices, and sites with their endpoints."""
        left: set[str] = set()
        for ref in self._touched_rosters:
            service = self.services.by_ref.get(ref)
            addresses = {}
            if service is not None:
                addresses = {
                    ip: address
                    for ip, address in merge_slices(self.slices.get(ref, {}).values()).items()
                    if self._meaningful(ref.cluster, ip)
                }
            roster = self.rosters.get(ref)
            if roster is None:
                roster = self.rosters[ref] = Roster()
            standing = (roster.had_ready, roster.ready > 0)
            for ip in roster.set_addresses(addresses):
                place(self.by_address, ip, ref, add=ip in addresses)
                if ip in self.by_address:
                    self.departed.pop(ip, None)
                if service is not None and ip not in addresses:
                    left.add(ip)
                for port in self._ports_at.get(ip, ()):
                    self._touched_sites.setdefault((ip, port), False)
                self._tell(ref, roster, ip)
            if service is not None and standing != (roster.had_ready, roster.ready > 0):
                # What speaks for it without its endpoints (1, 3, 4) stands or falls with a ready one.
                self.dirty.update(self.interfaces_of(ref))
            if service is None and ref not in self.slices:
                del self.rosters[ref]
            self.touched_services.add(ref)
            self.dirty.update(roster.providing)
        self._touched_rosters.clear()
        for ip in left - self.by_address.keys():
            self.departed[ip] = now
            heapq.heappush(self._timers, (now + self.settings.departed, "departed", (ip, 0)))

    def _settle_sites(self, now: float) -> None:
        for key, touched in self._touched_sites.items():
            site = self.sites.get(key)
            if site is None:
                continue
            site.ready = self._ready(key)
            quiet, paused = site.source in self._quiet, site.source in self._out_since
            times = self.settings.times_of(site.source)
            taken_over, several = site.stale_until is not None, len(site.apps) > 1
            again = site.review(now, times, touched=touched, paused=paused, first=quiet)
            if taken_over or site.stale_until is not None:
                self.dirty.update(live.provider.interface for live in site.live)
            if several or len(site.apps) > 1:
                for live in site.live:
                    self.interfaces[live.provider.interface].crowd = None
            if touched and quiet:
                site.settled = True
            elif touched:
                heapq.heappush(self._timers, (now + times.settle, "settle", key))
            if again is not None:
                heapq.heappush(self._timers, (again, "site", key))
            self._publish_site(key, site)
        for of_this_batch in (self._touched_sites, self._quiet, self._told):
            of_this_batch.clear()

    def _publish_site(self, key: HostPort, site: Site) -> None:
        """Tell Services and interfaces what the site provides now."""
        ip = key[0]
        for ref in self.by_address.get(ip, ()):
            self._tell(ref, self.rosters[ref], ip)
        outside = ip not in self.by_address and ip not in self.departed
        serving = site.serving if outside else frozenset()
        for interface in site.counted_outside ^ serving:
            known = self._know(interface)
            count(known.outside, ip, 1 if interface in serving else -1)
            self.dirty.add(interface)
            self._forget_if_empty(interface)
        site.counted_outside = serving
        if not site.live and not site.kept:
            del self.sites[key]
            ports = self._ports_at[ip]
            ports.discard(key[1])
            if not ports:
                del self._ports_at[ip]

    def _tell(self, ref: ObjectRef, roster: Roster, ip: str) -> None:
        """Recount one address of one Service."""
        address = roster.addresses.get(ip)
        provided: frozenset[InterfaceId] | None = None
        settled = True
        if address is not None:
            for port in address.ports:
                site = self.sites.get((ip, port))
                if site is not None and site.registered:
                    provided = site.provided if provided is None else provided | site.provided
                    settled = settled and site.settled
        silent = not roster.registered
        touched, whole = roster.tell(ip, provided, settled=settled)
        for interface in touched:
            known = self._know(interface)
            if interface in roster.providing:
                known.rosters.add(ref)
            else:
                known.rosters.discard(ref)
            self.dirty.add(interface)
            self._forget_if_empty(interface)
        if silent != (not roster.registered):  # else nothing votes against what it has by 1, 3 or 4
            self.dirty.update(self.interfaces_of(ref))
        if whole:
            self.dirty.update(i for i, holders in roster.providing.items() if ip not in holders)
            self.touched_services.add(ref)

    # ------------------------------------------------------------------ clocks of sites

    def sync_changed(self, source: str, now: float, *, in_sync: bool) -> None:
        """Say that a registry came into or fell out of sync: no clock of a site runs while it is out."""
        if not in_sync:
            self._out_since.setdefault(source, now)
            return
        for key in self._unsynced.pop(source, ()):
            heapq.heappush(self._timers, (now + self.settings.times.settle, "settle", key))
        since = self._out_since.pop(source, now)
        for key, site in self.sites.items():
            if site.source == source and (due := site.resume(since, now, self.settings.times)) is not None:
                heapq.heappush(self._timers, (due, "site", key))
        self.first_pass_over(source, now)

    def next_clock(self) -> float | None:
        """When ``run_clocks`` has something to do, or None."""
        return self._timers[0][0] if self._timers else None

    def run_clocks(self, now: float) -> None:
        """Let settle, kept, stale and departed clocks that are due take effect."""
        while self._timers and self._timers[0][0] <= now:
            _, kind, key = heapq.heappop(self._timers)
            if kind == "departed":
                self._end_departed(key[0], now)
                continue
            site = self.sites.get(key)
            if site is None:
                continue
            if kind == "settle":
                self._end_settle(key, site, now)
            else:
                self._touched_sites.setdefault(key, False)
        self._settle_sites(now)

    def _end_settle(self, key: HostPort, site: Site, now: float) -> None:
        if site.settled:
            return
        due = site.changed_at + self.settings.times_of(site.source).settle
        if now < due:
            heapq.heappush(self._timers, (due, "settle", key))
        elif site.source in self._out_since:
            self._unsynced.setdefault(site.source, set()).add(key)
        else:
            site.settled = True
            self._touched_sites.setdefault(key, False)

    def _end_departed(self, ip: str, now: float) -> None:
        left = self.departed.get(ip)
        if left is not None and now >= left + self.settings.departed:
            del self.departed[ip]
            for port in self._ports_at.get(ip, ()):
                self._touched_sites.setdefault((ip, port), False)

    def restore(
        self,
        now: float,
        *,
        sites: Iterable[SiteMemory],
        had_ready: Iterable[ObjectRef],
        departed: Iterable[tuple[str, float]],
    ) -> None:
        """Put back what sites and Services remember beyond their observations."""
        # Who took over or shares an address was decided when it happened, and was saved.
        decided = [key for key, each in self.sites.items() if each.forget_applications()]
        self._touched_sites.update(dict.fromkeys(decided, False))
        for saved in sites:
            key = (saved.host, saved.port)
            site = self.sites.get(key)
            if site is None:
                site = self.sites[key] = Site()
                self._ports_at.setdefault(saved.host, set()).add(saved.port)
            site.kept, site.kept_until, site.shared = saved.kept, saved.kept_until, saved.shared
            site.stale_until = saved.stale_until
            if saved.unsettled is not None:
                site.changed_at, site.settled = saved.unsettled, False
                heapq.heappush(self._timers, (saved.unsettled + self.settings.times.settle, "settle", key))
            for interface, identity in saved.stale:
                known = self.interfaces.get(interface)
                if known is not None and (live := known.live.get(identity)) is not None:
                    live.stale = True
            self._touched_sites.setdefault(key, False)
        for ref in had_ready:
            if ref in self.rosters:
                self.rosters[ref].had_ready = True
        for ip, left in departed:
            if ip not in self.by_address:
                self.departed[ip] = left
                heapq.heappush(self._timers, (left + self.settings.departed, "departed", (ip, 0)))
                for port in self._ports_at.get(ip, ()):
                    self._touched_sites.setdefault((ip, port), False)
        self._settle_sites(now)

    # ------------------------------------------------------------------ questions

    def site_key(self, provider: Provider) -> HostPort:
        """Where the provider is; an address outside its registry's networks matches no endpoint."""
        if self._meaningful(provider.registry, provider.host):
            return (provider.host, provider.port)
        return (f"{provider.registry}!{provider.host}", provider.port)

    def _meaningful(self, owner: str, host: str) -> bool:
        networks = self.settings.networks.get(owner)
        return not networks or within(host, networks)

    def _ready(self, key: HostPort) -> bool:
        for ref in self.by_address.get(key[0], ()):
            address = self.rosters[ref].addresses.get(key[0])
            if address is not None and address.ready and key[1] in address.ports:
                return True
        return False

    def interfaces_of(self, ref: ObjectRef) -> Iterable[InterfaceId]:
        """Interfaces for which the Service may hold evidence of any kind."""
        roster = self.rosters.get(ref)
        found = set(roster.providing) if roster is not None else set()
        service = self.services.by_ref.get(ref)
        if service is not None:
            found.update(service.declaration.interfaces if service.declaration is not None else ())
            found.update(self.by_application.get(service.application or "", ()))
        for key in self.services.exposures.of(ref):
            if (site := self.sites.get(key)) is not None:
                found.update(live.provider.interface for live in site.live)
        return found
