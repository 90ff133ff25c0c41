"""Which ports have filters, and which have their rules from files, where there is room for only so many. Pure.

Istiod holds each filter for all callers against each listener of each sidecar, with every push of listeners, so what it
has to do for one grows with the filters, for all of the mesh. An Envoy watches each file by an inotify instance of its
own and ends when it may have no more; all sidecars of a node share what Linux gives to one user
(``fs.inotify.max_user_instances``). So there are places for so many ports with filters, and in each namespace of
callers for so many with files. Who has one keeps it, for to take it away would cut connections; the others are given to
ports that need rules, and then to the rest, in order of names. They do not depend on who asks, or when.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from soadns.model import ObjectRef
from soadns.sidecar.tiers import ALL, FOR_RULES, Applied, PortTier, Wishes

KEPT_SHARE = 4
"""One in so many places for filters is kept for ports that need rules: without one their calls fail."""
Port = tuple[str, int]
"""UID of a Service, and one of its ports."""
_Claim = tuple[int, str, int, str]
"""0 with rules or 1 without, ``cluster/namespace/name``, port and UID: their order is that of the places."""


@dataclass(frozen=True, slots=True)
class Places:
    """Who has a place, in one zone. Where a namespace of callers is meant, ``ALL`` is all of them, and filters."""

    zone: str
    of: Mapping[str, Mapping[str, frozenset[int]]]
    """UID of a Service → namespace of callers → its ports that have files (filters) there, or may."""
    taken: Mapping[str, int]
    """Namespace of callers → how many ports that are."""
    wanting: Mapping[str, int]
    """Namespace of callers → how many ports find no place there."""


@dataclass(slots=True)
class _Queue:
    """Claims on places of one kind, in their order."""

    order: list[_Claim] = field(default_factory=list)
    of: dict[ObjectRef, list[_Claim]] = field(default_factory=dict)
    ports: set[Port] = field(default_factory=set)

    def put(self, service: ObjectRef, claims: list[_Claim]) -> bool:
        """Those of one Service; returns whether that is something new."""
        before = self.of.pop(service, [])
        if claims:
            self.of[service] = claims
        if claims == before:
            return False
        for claim in before:
            del self.order[bisect_left(self.order, claim)]
            self.ports.discard((claim[3], claim[2]))
        for claim in claims:
            insort(self.order, claim)
            self.ports.add((claim[3], claim[2]))
        return True

    def first(self, held: set[Port], room: int, kept: int) -> set[Port]:
        """The next ports that have no place yet, as far as there is room; the last ``kept`` of it is for rules."""
        fresh = [each for each in self.order if (each[3], each[2]) not in held] if room > 0 else []
        ruled = list(islice((c for c in fresh if c[0] == 0), max(0, room)))
        rest = islice((c for c in fresh if c[0] == 1), max(0, room - kept - len(ruled)))
        return {(uid, port) for _, _, port, uid in (*ruled, *rest)}


class Claims:
    """The ports that would have filters, or files."""

    def __init__(self, zone: str, wishes: Wishes) -> None:
        self._zone = zone
        self._room = {ALL: wishes.most_filters, **dict.fromkeys(wishes.namespaces, wishes.most)}
        self._filters, self._files = _Queue(), _Queue()
        self._held: dict[str, dict[str, frozenset[int]]] = {where: {} for where in self._room}
        """Namespace of callers → UID → ports of what is in force."""
        none = dict.fromkeys(self._room, 0)
        self._places = Places(zone, {}, none, none)
        self._changed = False

    def put(self, service: ObjectRef, uid: str, ports: Iterable[PortTier]) -> None:
        """What the ports of a Service claim now."""
        ports = list(ports)
        files = sorted(_claim(p.claim, service, p.port, uid) for p in ports if p.claim)
        filters = sorted(_claim(p.wants, service, p.port, uid) for p in ports if p.wants)
        self._changed |= self._files.put(service, files)
        self._changed |= self._filters.put(service, filters)

    def forget(self, service: ObjectRef) -> None:
        """It claims nothing."""
        self.put(service, "", ())

    def hold(self, uid: str, applied: Applied) -> None:
        """What is in force of a Service has its places, whoever wants them, until it is gone."""
        for where, held in self._held.items():
            ports = frozenset(applied.ports) if where == ALL else applied.files.get(where, frozenset())
            before = held.pop(uid, frozenset())
            given = self._places.of.get(uid, {}).get(where, frozenset()) if not self._changed else frozenset()
            # Who had a place, and now has what it is for, takes none from anybody.
            self._changed |= not before <= ports <= before | given
            if ports:
                held[uid] = ports

    def shared_out(self) -> Places:
        """Who has a place; the very same places as the last time where nothing changed."""
        if self._changed:
            self._changed = False
            found = self._shared_out()
            self._places = self._places if found == self._places else found
        return self._places

    def _shared_out(self) -> Places:
        of: dict[str, dict[str, frozenset[int]]] = {}
        taken, wanting = {}, {}
        for where, room in self._room.items():
            queue, kept = (self._filters, room // KEPT_SHARE) if where == ALL else (self._files, 0)
            held = {(uid, port) for uid, ports in self._held[where].items() for port in ports}
            fresh = queue.first(held, room - len(held), kept)
            for uid, port in held | fresh:
                each = of.setdefault(uid, {})
                each[where] = each.get(where, frozenset()) | {port}
            taken[where] = len(held) + len(fresh)
            wanting[where] = len(queue.order) - len(held & queue.ports) - len(fresh)
        return Places(self._zone, of, taken, wanting)


def changed(before: Places | None, after: Places) -> set[str]:
    """UIDs of Services that have other places than before."""
    old: Mapping[str, Mapping[str, frozenset[int]]] = before.of if before is not None else {}
    return {uid for uid in old.keys() | after.of.keys() if old.get(uid) != after.of.get(uid)}


def _claim(what: str, service: ObjectRef, port: int, uid: str) -> _Claim:
    return (0 if what == FOR_RULES else 1, str(service), port, uid)
