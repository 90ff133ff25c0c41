"""The routes of all zones, and the clusters that they lead to: tables for sidecars that follow what the zones decide.

After each turn of the control process ``follow`` hands over what was decided in it, so the work is proportional to
that. A zone's routes are told to nobody before the zone knows everything it waits for and every name of it is
advanced: half a table would send requests to the wrong Service. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import overload

from soadns.binding.estate import Estate
from soadns.binding.state import State
from soadns.binding.zone import Decided, Zone
from soadns.changelog import ChangeLog
from soadns.model import Binding, EndpointSlice, InterfaceId, ObjectRef, Service
from soadns.routemodel import Former, Left, Move, Place
from soadns.sidecar.clusters import ClusterTable, Spot
from soadns.sidecar.routes import RouteTable
from soadns.speechtable import SpeechTable

AT_ONCE = 250
"""Names of which one call of ``follow`` tells a table: it runs between the turns of a busy event loop."""


class Routing:
    """The route tables. ``replica`` names this process; ``missing`` is ``closed`` or ``open``."""

    def __init__(self, estate: Estate, missing: str, replica: str) -> None:
        self.replica = replica
        self._estate = estate
        self.tables = {
            name: RouteTable(zone.settings.clusters.home, missing) for name, zone in estate.zones.items()
        }
        self.clusters = {
            name: ClusterTable(zone.settings.clusters.home, ZoneEndpoints(zone))
            for name, zone in estate.zones.items()
        }
        """For sidecars whose clusters are not Istio's."""
        self.former_clusters = {
            name: ClusterTable(zone.settings.clusters.home, ZoneEndpoints(zone))
            for name, zone in estate.zones.items()
        }
        """The same of where places lead that have no routes any more: these are no part of what is told of a zone."""
        self.speech = {name: SpeechTable(zone, self.tables[name]) for name, zone in estate.zones.items()}
        """What is spoken at each place."""
        self.logs: dict[str, ChangeLog[Place | Left]] = {name: ChangeLog() for name in estate.zones}
        """What changed of routes, and who lost a place by that."""
        self.whole_logs: dict[str, ChangeLog[Place | Left | Former | str]] = {
            name: ChangeLog() for name in estate.zones
        }
        """What changed of routes and of clusters, which are known by their names."""
        self._remembered: dict[str, list[tuple[InterfaceId, State]]] = {name: [] for name in estate.zones}
        """By zone: where interfaces were before this process began, as far as the tables are not told yet."""
        self._waiting: dict[str, set[InterfaceId]] = {name: set() for name in estate.zones}
        """By zone: interfaces that were decided upon, likewise."""
        self._whole: set[str] = set()
        """Zones all of whose names were advanced since they know everything."""
        self._unshared = ""
        """Why it is not known what other replicas saw move; ``''`` where it is, or need not be."""
        self._listening: list[Callable[[], None]] = []
        """What to call when moves were noticed or forgotten here."""
        self._moved = 0
        self._deciding: list[Callable[[str, Decided], None]] = []
        """What to call with what a zone decided."""
        self._listeners: dict[int, tuple[Callable[[str], None], bool]] = {}
        """Whom to tell, and whether of clusters as well."""
        self._numbers = count()

    # ------------------------------------------------------------------ what is told

    def begin(self, moves: Mapping[str, Iterable[Move]]) -> None:
        """Take what a snapshot brought back: where each interface was, and what had moved, by zone.

        ``follow`` works it off bit by bit: names are answered before that.
        """
        for name, zone in self._estate.zones.items():
            self.tables[name].adopt(moves.get(name, ()))
            self._remembered[name] = [
                (interface, state) for interface, state in zone.states.items() if state.winner is not None
            ]
            zone.store.changed_services.update(zone.store.services.by_ref)

    @property
    def pending(self) -> bool:
        """Whether ``follow`` has left something for the next call."""
        left = any(self._remembered.values()) or any(self._waiting.values())
        return left or any(speech.pending for speech in self.speech.values())

    def follow(self, now: float) -> None:
        """Take what the zones decided since the last call, or as much of that as is done in some milliseconds."""
        for name, zone in self._estate.zones.items():
            table = self.tables[name]
            decided = zone.take_decided()
            interfaces, services, slices, rosters = decided
            for ref in services:
                self._service(zone, table, ref)
                self.speech[name].look(ref)
            waiting, remembered = self._waiting[name], self._remembered[name]
            waiting.update(interfaces)
            if services or waiting or remembered:
                self._work_off(zone, table)
            for clusters in (self.clusters[name], self.former_clusters[name]):
                clusters.touch(services | slices, interfaces)
            self._flush(name, now)
            if interfaces or services or rosters:
                for hear in self._deciding:
                    hear(name, decided)
            if name in self._whole and not zone.complete:
                # What it stood on turned out to be another cluster's.
                self._whole.discard(name)
                self._tell(name)
        self._tell_moves()

    def _work_off(self, zone: Zone, table: RouteTable) -> None:
        """Tell a table of some names: first where they were, and when that is known of all, where they are."""
        waiting, remembered = self._waiting[zone.settings.name], self._remembered[zone.settings.name]
        room = AT_ONCE
        while remembered and room:
            interface, state = remembered.pop()
            assert state.winner is not None
            host = zone.settings.clusters.host(state.winner)
            before = Binding(interface, "service", state.addresses, state.ports, state.winner, host)
            table.bind(interface, before, _paths(zone, interface))
            room -= 1
        if remembered or room < AT_ONCE:
            return
        while waiting and room:
            interface = waiting.pop()
            outcome = zone.outcomes.get(interface)
            bound = outcome if isinstance(outcome, Binding) else None
            with self.speech[zone.settings.name].watch(interface):
                table.bind(interface, bound, _paths(zone, interface))
            room -= 1
        if not waiting:
            # To take one out of a set means to search the room that it had when there were most.
            waiting.clear()

    @staticmethod
    def _service(zone: Zone, table: RouteTable, ref: ObjectRef) -> None:
        if ref.cluster == zone.settings.clusters.home:
            table.put(ref, zone.store.services.by_ref.get(ref), zone.settings.clusters.host(ref))

    def _flush(self, zone: str, now: float) -> None:
        """Bring routes and clusters up to date, and then say so: no route leads to a cluster that is not there."""
        routes = self.tables[zone].flush(now)
        self.clusters[zone].lead(routes)
        clusters = self.clusters[zone].flush()
        changed = self.speech[zone].flush(routes, told=zone in self._whole).union(routes)
        left, former = self.tables[zone].take_left(), self._former(zone)
        if changed or clusters or former:
            self.whole_logs[zone].note(frozenset({*changed, *left, *clusters, *former}))
        if changed:
            self.logs[zone].note(frozenset({*changed, *left}))
            self._tell(zone)
        elif clusters or former or self.tables[zone].replanned:
            self._tell(zone, routes=False)

    def _former(self, zone: str) -> set[Former]:
        """What changed of places that have no routes any more, and of the clusters to which those lead."""
        places, clusters = self.tables[zone].former.take(), self.former_clusters[zone]
        clusters.lead(places)
        return {Former(at) for at in places} | {Former(name) for name in clusters.flush()}

    def announce(self, zone: str, now: float) -> None:
        """All names of a complete zone are advanced: its routes may be told from now on."""
        if zone not in self._whole and not self.pending:
            self._whole.add(zone)
            self.tables[zone].prune(self.tables[zone].moves)
            self._flush(zone, now)
            self._tell(zone)
            self._tell_moves(at_least=True)

    def unready(self, zone: str) -> str:
        """Why a zone's routes are not told now; ``''`` when they are."""
        known = self._estate.zones[zone]
        if not known.complete:
            return f"{zone} waits for {', '.join(known.awaited) or 'its sources'}: half of its routes would be wrong"
        if zone not in self._whole:
            return f"{zone} is being bound: half of its routes would be wrong"
        return self._unshared

    def whole(self, zone: str) -> bool:
        """Whether everything is known of a zone that decides what has moved, but for what other replicas saw."""
        return zone in self._whole and self._estate.zones[zone].complete and not self.pending

    # ------------------------------------------------------------------ moves

    @property
    def moves(self) -> dict[str, list[Move]]:
        """What has moved, by zone: to be kept over a restart, or shared with other replicas."""
        return {name: list(table.moves) for name, table in self.tables.items() if len(table.moves)}

    def adopt(self, zone: str, moves: Iterable[Move], now: float) -> None:
        """Take over moves that another replica knows; those that do not hold are dropped."""
        table, moves = self.tables[zone], list(moves)
        table.adopt(moves)
        if zone in self._whole:
            known = [table.moves.get(move.service, move.interface) for move in moves]
            table.prune(move for move in known if move is not None)
            self._flush(zone, now)
        self._tell_moves()

    def forget(self, zone: str, service: ObjectRef, interface: InterfaceId | None, now: float) -> list[Move]:
        """Forget moves away from a Service, as an operator says; returns those."""
        found = self.tables[zone].forget(service, interface)
        self._flush(zone, now)
        self._tell_moves()
        return found

    def wait_for_moves(self, reason: str) -> None:
        """Tell no routes until what other replicas saw move is known; ``''``: it is."""
        before, self._unshared = self._unshared, reason
        if bool(before) != bool(reason):
            for zone in self.tables:
                self._tell(zone)

    @property
    def knows_moves(self) -> bool:
        """Whether what other replicas saw move is known, or need not be."""
        return not self._unshared

    def on_moves(self, hear: Callable[[], None]) -> None:
        """Have a function called when moves are noticed or forgotten, and when a zone is whole."""
        self._listening.append(hear)

    def on_decided(self, hear: Callable[[str, Decided], None]) -> None:
        """Have a function called with a zone and what changed of it, routes or not. Who hears keeps nothing of it."""
        self._deciding.append(hear)

    def _tell_moves(self, *, at_least: bool = False) -> None:
        moved = sum(table.moves.generation for table in self.tables.values())
        if at_least or moved != self._moved:
            self._moved = moved
            for hear in self._listening:
                hear()

    # ------------------------------------------------------------------ who listens

    def tag(self, zone: str) -> str:
        """``<replica>.<generation>``: what names the state of a zone's routes."""
        return f"{self.replica}.{self.logs[zone].generation}"

    def generation(self, zone: str, *, clusters: bool = False) -> int:
        """Of a zone's routes, or of these and its clusters: it grows with every change."""
        return (self.whole_logs if clusters else self.logs)[zone].generation

    @overload
    def since(self, zone: str, generation: int) -> frozenset[Place] | None: ...

    @overload
    def since(self, zone: str, generation: int, *, clusters: bool) -> frozenset[Place | str] | None: ...

    def since(
        self, zone: str, generation: int, *, clusters: bool = False
    ) -> frozenset[Place] | frozenset[Place | str] | None:
        """What changed after a generation; None where that is not remembered."""
        changed = self._since(zone, generation, clusters=clusters)
        if changed is None:
            return None
        return frozenset(each for each in changed if not isinstance(each, (Left, Former)))

    def left(self, zone: str, generation: int, *, clusters: bool = False) -> frozenset[Left]:
        """The places that Services lost after a generation, as far as that is remembered; some may have them again."""
        changed = self._since(zone, generation, clusters=clusters) or ()
        return frozenset(each for each in changed if isinstance(each, Left))

    def former(self, zone: str, generation: int) -> frozenset[Place | str]:
        """Places that have no routes any more, and clusters of theirs, of which something changed after a generation.

        Generations are those of routes and clusters. For who tells sidecars that forget nothing by themselves.
        """
        changed = self._since(zone, generation, clusters=True) or ()
        return frozenset(each.what for each in changed if isinstance(each, Former))

    def _since(
        self, zone: str, generation: int, *, clusters: bool
    ) -> frozenset[Place | Left] | frozenset[Place | Left | Former | str] | None:
        return (self.whole_logs if clusters else self.logs)[zone].since(generation)

    def listen(self, hear: Callable[[str], None], *, clusters: bool = False) -> int:
        """Have a function called with the zone whose routes (or clusters) changed; returns what ``leave`` takes."""
        number = next(self._numbers)
        self._listeners[number] = (hear, clusters)
        return number

    def leave(self, number: int) -> None:
        """Call it no longer."""
        self._listeners.pop(number, None)

    def _tell(self, zone: str, *, routes: bool = True) -> None:
        for hear, clusters in list(self._listeners.values()):
            if routes or clusters:
                hear(zone)


class ZoneEndpoints:
    """What a zone knows of Services and providers, as the table of clusters asks for it."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def service(self, ref: ObjectRef) -> Service | None:
        """A Service that the zone sees."""
        return self._zone.store.services.by_ref.get(ref)

    def slices(self, ref: ObjectRef) -> Iterable[EndpointSlice]:
        """Its EndpointSlices."""
        return self._zone.store.endpoints.slices.get(ref, {}).values()

    def reachable(self, cluster: str, address: str) -> bool:
        """Whether pods of a cluster, and this address among them, can be reached from the home cluster."""
        settings = self._zone.settings
        return cluster in settings.clusters.flat and settings.store.meaningful(cluster, address)

    def providers(self, interface: InterfaceId) -> frozenset[Spot]:
        """Those whose addresses its name is answered with, as far as these are not a Service's."""
        outcome = self._zone.outcomes.get(interface)
        if not isinstance(outcome, Binding) or outcome.kind != "providers":
            return frozenset()
        if outcome.service is None:
            return self._zone.states[interface].seen.answered
        known = self._zone.store.interfaces.get(interface)
        return known.usable().spots if known is not None else frozenset()

    def weights(self, interface: InterfaceId) -> Mapping[Spot, int]:
        """The shares of calls that its registered providers have."""
        known = self._zone.store.interfaces.get(interface)
        return known.weights() if known is not None else {}


def _paths(zone: Zone, interface: InterfaceId) -> tuple[str, ...]:
    known = zone.store.interfaces.get(interface)
    return known.wires(interface.name) if known is not None else ()
