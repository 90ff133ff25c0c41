"""What a snapshot brings back into a fresh zone: observations first, then what was decided and remembered. Pure.

Nothing is decided anew by it. A name keeps its winner and its clocks; before everything is known again it is answered
from that.
"""

from __future__ import annotations

from collections.abc import Iterable

from soadns.binding.sites import SiteMemory
from soadns.binding.store import Store
from soadns.model import ObjectRef


def restore_sites(
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
        site.stale_until = saved.stale_until
        if saved.unsettled is not None:
            site.changed_at, site.settled = saved.unsettled, False
            store.clocks.settle(key, saved.unsettled + store.settings.times.settle)
        for interface, identity in saved.stale:
            known = store.interfaces.get(interface)
            if known is not None and (live := known.live.get(identity)) is not None:
                live.stale = True
        store.touch([key])
    for ref in had_ready:
        if ref in store.rosters:
            store.rosters[ref].had_ready = True
    for ip, left in departed:
        if ip not in store.by_address:
            store.depart(ip, left)
            store.touch_at(ip)
    store.settle_sites(now)
