"""The file of a snapshot beside an estate, as the saver keeps it: a whole, and behind it each thing that changed.

Whoever begins with it gets what a whole snapshot of that moment would give: that is looked at each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soadns.binding.estate import Estate
from soadns.persistence import changes, snapshot, snapshotfile
from soadns.persistence.changes import Changes
from soadns.persistence.snapshot import KINDS, Snapshot, Touched
from soadns.sidecar.moves import Moves


class SavedFile:
    """``data`` is what the file holds."""

    def __init__(
        self,
        *,
        identities: dict[str, str] | None = None,
        serials: dict[str, int] | None = None,
    ) -> None:
        self.identities, self._serials = identities or {}, serials or {}
        self.moves: Mapping[str, Moves] = {}
        """Of the estate that is saved, by zone, where there are any."""
        self.data = b""
        self.wholes = 0
        """How often everything was written."""

    def save(self, estate: Estate, now: float) -> bytes:
        """Save what changed, or everything where that can not be told; returns what was written."""
        touched = changes.take(estate, self.moves)
        taken = self._capture(estate, now, touched)
        if touched is None:
            self.data = b""
            self.wholes += 1
            written = snapshotfile.encode(taken)
        else:
            written = snapshotfile.encode_changes(Changes(touched, taken))
        self.data += written
        return written

    def read(self, estate: Estate, now: float) -> Snapshot:
        """What a successor begins with: the same as if everything were saved now."""
        self.save(estate, now)
        found, whole = snapshotfile.decode(self.data), self._capture(estate, now, None)
        assert plain(found) == plain(snapshotfile.decode(snapshotfile.encode(whole)))
        return found

    def _capture(self, estate: Estate, now: float, touched: Touched | None) -> Snapshot:
        taken = snapshot.capture(
            estate, now, identities=self.identities, serials=self._serials, fed={}, only=touched
        )
        if touched is None:
            taken.moves.update({name: list(each) for name, each in self.moves.items() if len(each)})
        else:
            taken.moves.update(changes.moved(self.moves, touched))
        return taken


def plain(found: Snapshot) -> dict[str, Any]:
    """All of a snapshot in no order: that is of no account but between what happened to one name."""
    sources = {
        source.name: (
            source.identity, source.pauses, source.paused_at, source.unreadable,
            {kind: dict(getattr(source, kind)) for kind, _ in KINDS},
        )
        for source in found.sources
    }  # fmt: skip
    zones = {}
    for zone in found.zones:
        history: dict[Any, list[Any]] = {}
        for transition in zone.history:
            history.setdefault(transition.interface, []).append(transition)
        zones[zone.name] = (
            zone.serial, zone.complete, zone.fed, {i: (state, of) for i, state, of in zone.states}, dict(zone.held),
            set(zone.released), {(site.host, site.port): _sorted(site) for site in zone.sites}, set(zone.had_ready),
            dict(zone.departed), history,
        )  # fmt: skip
    moves = {name: {(m.service, m.interface): m for m in each} for name, each in found.moves.items()}
    return {
        "saved": found.saved, "ready": found.ready, "shared": found.shared, "untold": found.untold,
        "sources": sources, "zones": zones, "moves": moves,
    }  # fmt: skip


def _sorted(site: snapshot.SavedSite) -> tuple[Any, ...]:
    return (
        site.kept, site.kept_until, site.shared, sorted(site.stale), site.stale_until, site.unsettled, site.keepers,
    )  # fmt: skip
