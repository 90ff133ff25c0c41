"""What a snapshot brings back into a fresh zone: observations first, then what was decided and remembered. Pure.

Nothing is decided anew by it. A name keeps its winner and its clocks; before everything is known again it is answered
from that.
"""

from __future__ import annotations

from collections.abc import Iterable

from soadns.binding.history import Transition
from soadns.binding.observations import Change
from soadns.binding.sites import SiteMemory
from soadns.binding.state import State
from soadns.binding.store import Store
from soadns.binding.zone import Zone
from soadns.model import InterfaceId, ObjectRef


def restore_observations(zone: Zone, now: float) -> None:
    """Fold everything that the zone's ``Observations`` got back from a snapshot."""
    zone.scopes_changed()
    for source in sorted(zone.settings.sources):
        state = zone.observations.source(source)
        changes = [Change(source, key, None, value) for key, value in state.values.items()]
        saved = state.paused_at if state.restored and state.paused_at is not None else now
        zone.store.sync_changed(source, saved, in_sync=False)
        zone.store.apply(changes, now, first=frozenset({source}))
        zone.store.first_pass_over(source)
        zone.store.judge(now)


def restore_decisions(
    zone: Zone,
    now: float,
    *,
    states: Iterable[tuple[InterfaceId, State, tuple[str, ...]]],
    held: Iterable[tuple[InterfaceId, float]],
    released: Iterable[InterfaceId],
    sites: Iterable[SiteMemory],
    had_ready: Iterable[ObjectRef],
    departed: Iterable[tuple[str, float]],
    history: Iterable[Transition],
    complete: bool,
) -> None:
    """Put back names' states and what sites and Services remember; observations come first.

    ``complete``: it was, and nothing that it stood upon is missing. What is new since is not waited for.
    """
    _restore_sites(zone.store, now, sites=sites, had_ready=had_ready, departed=departed)
    for interface, state, sources in states:
        if state.winner is not None and state.winner.cluster not in zone.settings.cluster_sources:
            # A cluster that was renamed or taken out: its names are chosen anew, not waited for.
            continue
        # A source that is configured no longer must not stop the clocks of its names.
        present = tuple(source for source in sources if source in zone.settings.sources)
        zone.memory.remember(interface, State(), state, present)
        zone.store.dirty.add(interface)
    zone.guard.held.update(held)
    zone.guard.released.update(released)
    moves = []
    for transition in history:
        zone.history.add(transition)
        if transition.why == "loss":
            moves.append(transition)
    for move in sorted(moves, key=lambda transition: transition.when):
        zone.guard.note_move(move.interface, move.source.split(","), move.when)
    zone.complete = complete
    if not zone.complete:
        zone.answer_as_remembered(now)


def _restore_sites(
    store: Store,
    now: float,
    *,
    sites: Iterable[SiteMemory],
    had_ready: Iterable[ObjectRef],
    departed: Iterable[tuple[str, float]],
) -> None:
    """Put back what sites and Services remember beyond their observations."""
    # Who took over or shares an address was decided when it happened, and was saved.
    store.touch([key for key, site in store.sites.items() if site.forget_applications()])
    for saved in sites:
        key = (saved.host, saved.port)
        site = store.site(key)
        site.kept, site.kept_until, site.shared = saved.kept, saved.kept_until, saved.shared
        site.keepers = saved.keepers or frozenset(store.by_address.get(saved.host, ()))
        site.stale_until = saved.stale_until
        if saved.unsettled is not None:
            site.changed_at, site.settled = saved.unsettled, False
            store.clocks.settle(key, saved.unsettled + store.settings.times.settle)
        for interface, identity in saved.stale:
            known = store.interfaces.get(interface)
            if known is not None and (live := known.live.get(identity)) is not None:
                live.stale = True
                store.registrations.rejudged(live)
        store.touch([key])
    for ref in had_ready:
        if ref in store.rosters:
            store.rosters[ref].had_ready = True
    for ip, left in departed:
        if ip not in store.by_address:
            store.depart(ip, left)
            store.touch_at(ip)
    store.settle_sites(now)
