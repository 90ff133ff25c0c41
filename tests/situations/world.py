"""A simulated estate under virtual time: clusters, a registry, processes, and callers of one interface.

Everything below the sources is simulated; from the events on it is the real thing: the real store,
binding, guard, owner names and snapshot. Callers compare what DNS gave them with what the
same callers would have got from the registry directly.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from soadns import snapshot
from soadns.binding.answers import Clusters
from soadns.binding.bind import Rules
from soadns.binding.estate import Estate
from soadns.binding.history import Transition
from soadns.binding.zone import ZoneSettings
from soadns.model import (
    Declaration,
    Delete,
    Endpoint,
    EndpointSlice,
    Event,
    InterfaceId,
    ObjectRef,
    Observation,
    Port,
    Provider,
    Service,
    Synced,
    TrafficRule,
    Trouble,
    Upsert,
)

ZONE = "rpc.test"
REGISTRY = "zookeeper/main/dubbo"
KUBE = "kube/home"
EPOCH = 1_000_000.0
"""Virtual time zero in Unix seconds."""

REGISTERS_AFTER = 15.0
READY_AFTER = 18.0
SPACING = 0.05
SESSION = 40.0
TERMINATION = 10.0
"""From SIGTERM to the end of the process: out of the registry and unready at once, it serves on that long."""
PORT = 20880
RECONNECT = {KUBE: 1.0, REGISTRY: 2.0}
"""How long after soadns's start a source begins to be read."""
READING = 0.5
"""How long a complete pass over a source takes."""
IDENTITIES = {KUBE: "cluster-1", REGISTRY: "ensemble-1"}


Registration = tuple[str, str, int]
"""Interface, process name, session."""


@dataclass
class Process:
    """A pod or a VM with one process at ip:port."""

    name: str
    ip: str
    application: str
    interfaces: tuple[str, ...]
    started: float
    service: str = ""
    """Service whose endpoint it is; empty for the old world."""
    port: int = PORT
    dynamic: bool = True
    serves: bool = False
    ready: bool = False
    present: bool = True
    """Whether its address stands in the EndpointSlice."""
    session: int = 0
    alive: bool = True
    spacing: float = SPACING
    registers_after: float = REGISTERS_AFTER
    ready_after: float = READY_AFTER


@dataclass
class World:
    """The simulation: a clock, events to come, and soadns in the middle."""

    late: Mapping[str, float] = field(default_factory=dict)
    """Seconds by which soadns hears of each source's changes later than they happen."""
    rules: Rules = field(default_factory=Rules)
    port_of_services: int = PORT

    def __post_init__(self) -> None:
        self.now = 0.0
        self.version = 0
        """Counts the instants at which anything happened."""
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.processes: dict[str, Process] = {}
        self._by_ip: dict[str, list[Process]] = {}
        self.services: dict[str, Service] = {}
        self.registered: dict[Registration, Provider] = {}
        """(interface, process name, session) → Provider, as the registry holds it."""
        self.direct_view: dict[str, dict[tuple[str, int], tuple[str, int]]] = {}
        """What direct callers were told last: interface → (process, session) → host and port."""
        self._untold: tuple[set[Registration], set[Registration]] = (set(), set())
        """Registrations that came or went, which direct callers, or soadns, do not know yet."""
        self.registry_up = True
        self.api_up = True
        self._sent: dict[str, dict[tuple[str, ...], Observation]] = {REGISTRY: {}, KUBE: {}}
        self._connected = {REGISTRY, KUBE}
        self._told_sync: set[str] = set()
        self._ips = itertools.count(1)
        self._cluster_ips = itertools.count(1)
        self._uids = itertools.count(1)
        self.estate = Estate([self.zone_settings()])
        self.transitions: list[Transition] = []
        self.soadns_up = True
        self._cluster: object = None
        self._sync()

    def zone_settings(self) -> ZoneSettings:
        return ZoneSettings(
            name=ZONE,
            sources=frozenset({REGISTRY, KUBE}),
            cluster_sources={"home": KUBE},
            clusters=Clusters(home="home"),
            rules=self.rules,
        )

    # ---------------------------------------------------------------- time

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), action))

    def run_until(self, end: float) -> None:
        """Run all events and soadns's clocks up to ``end``."""
        while True:
            happens = self.next_happening()
            if happens > end:
                break
            self.now = max(self.now, happens)
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            self.version += 1
            self._sync()
        self.now = end

    def next_happening(self) -> float:
        """When something happens next, in the world or by soadns's clocks; infinity for never."""
        clock = self.estate.next_clock() if self.soadns_up else None
        head = self._agenda[0][0] if self._agenda else math.inf
        return head if clock is None else min(clock - EPOCH, head)

    @property
    def unix(self) -> float:
        return EPOCH + self.now

    # ---------------------------------------------------------------- processes

    def new_ip(self) -> str:
        number = next(self._ips)
        return f"10.1.{number // 250}.{number % 250 + 1}"

    def start(self, process: Process) -> Process:
        """A process starts now; it registers, serves and becomes ready by its own delays."""
        self.processes[process.name] = process
        if process not in self._by_ip.setdefault(process.ip, []):
            self._by_ip[process.ip].append(process)
        process.started = self.now
        process.alive, process.present = True, True
        process.session += 1
        session = process.session

        def serve() -> None:
            if process.alive and process.session == session:
                process.serves = True

        def be_ready() -> None:
            if process.alive and process.session == session:
                process.ready = True

        self.at(self.now + process.registers_after, serve)
        for index, interface in enumerate(process.interfaces):
            self.at(
                self.now + process.registers_after + index * process.spacing,
                lambda i=interface: self.register(process, i, session),
            )
        self.at(self.now + process.ready_after, be_ready)
        return process

    def register(self, process: Process, interface: str, session: int) -> None:
        if not process.alive or process.session != session:
            return
        self._write((interface, process.name, session))
        self.registered[(interface, process.name, session)] = Provider(
            registry=REGISTRY,
            interface=InterfaceId(interface),
            protocol="dubbo",
            host=process.ip,
            port=process.port,
            application=process.application,
            dynamic=process.dynamic,
            timestamp=int(process.started * 1000) + session,
        )

    def unregister(self, process: Process, session: int | None = None) -> None:
        for key in [k for k in self.registered if k[1] == process.name]:
            if session is None or key[2] == session:
                del self.registered[key]
                self._write(key)

    def _write(self, key: Registration) -> None:
        for untold in self._untold:
            untold.add(key)

    def stop(self, name: str) -> None:
        """SIGTERM: leaves the registry and the ready endpoints now; ends, with its address, ten seconds later."""
        process = self.processes[name]
        if not process.alive:
            return
        process.alive = process.ready = False
        self.unregister(process)
        session = process.session
        self.at(self.now + TERMINATION, lambda: self._end(process, session))

    def _end(self, process: Process, session: int) -> None:
        if process.session == session:
            process.present = process.serves = False

    def kill(self, name: str, *, reschedule: bool = False) -> None:
        """kill -9: the session lingers; unready at once."""
        process = self.processes[name]
        process.alive = process.serves = process.ready = False
        session = process.session
        if process.dynamic:
            self.at(self.now + SESSION, lambda: self.unregister(process, session))
        if reschedule:
            process.present = False

    def lose_session(self, name: str, back_after: float, *, spacing: float = SPACING) -> None:
        """The session is lost (registrations gone now), the process lives and registers again."""
        process = self.processes[name]
        self.unregister(process)
        session = process.session
        for index, interface in enumerate(process.interfaces):
            self.at(
                self.now + back_after + index * spacing,
                lambda i=interface: self.register(process, i, session),
            )

    def pod(self, name: str, service: str, interfaces: Iterable[str], **kw: object) -> Process:
        """A pod of a Service, started now; ``interfaces`` is a string of one-letter names."""
        kw.setdefault("application", service.lower() or name)
        kw.setdefault("ip", self.new_ip())
        return self.start(
            Process(name=name, service=service, interfaces=tuple(interfaces), started=self.now, **kw)  # type: ignore[arg-type]
        )

    def pods(self, service: str, count: int, interfaces: Iterable[str], **kw: object) -> list[str]:
        names = [f"{service}-{i}-{next(self._uids)}" for i in range(count)]
        for name in names:
            self.pod(name, service, interfaces, **kw)
        return names

    def vms(self, count: int, interfaces: str, prefix: str = "vm", **kw: object) -> list[str]:
        names = [f"{prefix}-{i}" for i in range(count)]
        for name in names:
            self.pod(name, "", interfaces, application="legacy", **kw)
        return names

    def of(self, service: str) -> list[str]:
        """Living pods of a Service, oldest first."""
        return [p.name for p in self.processes.values() if p.service == service and p.alive]

    def roll(
        self,
        service: str,
        interfaces: Iterable[str],
        *,
        every: float = 25.0,
        kill: bool = False,
        **kw: object,
    ) -> None:
        """A rolling update: one pod up, and when it is ready one old pod down."""
        for index, name in enumerate(self.of(service)):
            self.at(self.now + index * every, lambda: self.pods(service, 1, interfaces, **kw))
            down = (lambda n=name: self.kill(n, reschedule=True)) if kill else (lambda n=name: self.stop(n))
            ready = float(kw.get("ready_after", READY_AFTER))  # type: ignore[arg-type]
            self.at(self.now + index * every + ready + 1, down)

    def recreate(self, service: str, interfaces: Iterable[str], *, gap: float, **kw: object) -> None:
        """Deployment strategy Recreate: all pods end, then as many new ones start after ``gap``."""
        old = self.of(service)
        for name in old:
            self.stop(name)
        self.at(self.now + gap, lambda: self.pods(service, len(old), interfaces, **kw))

    def scale(self, service: str, count: int, interfaces: str) -> None:
        old = self.of(service)
        for name in old[count:]:
            self.stop(name)
        if count > len(old):
            self.pods(service, count - len(old), interfaces)

    # ---------------------------------------------------------------- Services

    def service(
        self, name: str, *, created: float | None = None, namespace: str = "shop", **kw: object
    ) -> Service:
        kw.setdefault("cluster_ips", (f"10.96.0.{next(self._cluster_ips)}",))
        kw.setdefault("ports", (Port(self.port_of_services),))
        service = Service(
            ref=ObjectRef("home", namespace, name.lower()),
            uid=f"uid-{next(self._uids)}",
            created=EPOCH + (self.now if created is None else created),
            **kw,  # type: ignore[arg-type]
        )
        self.services[name] = service
        return service

    def declare(self, name: str, interface: str) -> None:
        declaration = Declaration((InterfaceId(interface),))
        self.services[name] = replace(self.services[name], declaration=declaration)

    def traffic(self, name: str, mode: str) -> None:
        self.services[name] = replace(self.services[name], traffic=(TrafficRule("*", mode),))

    def delete_service(self, name: str) -> None:
        del self.services[name]

    # ---------------------------------------------------------------- what soadns sees

    def _objects(self) -> dict[tuple[str, ...], Observation]:
        objects: dict[tuple[str, ...], Observation] = {}
        for name, service in self.services.items():
            ref = service.ref
            objects[("Service", ref.namespace, ref.name)] = service
            endpoints = tuple(
                Endpoint(p.ip, ready=p.ready)
                for p in self.processes.values()
                if p.service == name.removesuffix("'") and p.present
            )
            objects[("EndpointSlice", ref.namespace, ref.name)] = EndpointSlice(
                ref=ref, service=ref, ports=(Port(self._pod_port(name)),), endpoints=endpoints
            )
        return objects

    def _pod_port(self, name: str) -> int:
        return PORT

    def _sync(self) -> None:
        """Deliver to soadns, and to direct callers, what changed since the last time."""
        if self.registry_up:
            self._tell_direct_callers()
        if not self.soadns_up:
            return
        if self._reachable(REGISTRY):
            self._tell_registrations()
        if self._reachable(KUBE):
            self._tell_objects()
        self.transitions += [t for _, t in self.estate.work(self.unix)]

    def _tell_direct_callers(self) -> None:
        for key in self._untold[0]:
            known = self.direct_view.setdefault(key[0], {})
            if (provider := self.registered.get(key)) is not None:
                known[key[1:]] = (provider.host, provider.port)
            else:
                known.pop(key[1:], None)
        self._untold[0].clear()

    def _tell_registrations(self) -> None:
        untold = self._untold[1]
        if REGISTRY not in self._told_sync:
            untold.update(self.registered)
        objects = {
            (interface, "providers", f"{name}/{session}"): self.registered.get((interface, name, session))
            for interface, name, session in sorted(untold)
        }
        untold.clear()
        self._tell(REGISTRY, objects)

    def _tell_objects(self) -> None:
        # Most happenings do not touch the cluster at all.
        cluster = (
            [(name, id(service)) for name, service in self.services.items()],
            [(p.name, p.service, p.ready, p.present) for p in self.processes.values() if p.service],
        )
        if cluster != self._cluster or KUBE not in self._told_sync:
            self._cluster = cluster
            self._tell(KUBE, {**dict.fromkeys(self._sent[KUBE]), **self._objects()})

    def _reachable(self, source: str) -> bool:
        return source in self._connected and (self.registry_up if source == REGISTRY else self.api_up)

    def _tell(self, source: str, objects: Mapping[tuple[str, ...], Observation | None]) -> None:
        """Send what differs from what was sent; None is gone."""
        sent, events = self._sent[source], list[Event]()
        for key, value in objects.items():
            if value is None and sent.pop(key, None) is not None:
                events.append(Delete(source, key))
            elif value is not None and sent.get(key) != value:
                sent[key] = value
                events.append(Upsert(source, key, value))
        self._send(source, events)
        if source not in self._told_sync:
            self._told_sync.add(source)
            self.at(self.now + READING, lambda: self._read(source))

    def _read(self, source: str) -> None:
        if source in self._told_sync and self._reachable(source):
            self._send(source, [Synced(source)])

    def _send(self, source: str, events: list[Event]) -> None:
        """Hand events to soadns, now or late."""
        if not events or not self.soadns_up:
            return
        late = self.late.get(source, 0.0)
        if late:
            self.at(self.now + late, lambda: self.estate.fold(events, self.unix))
        else:
            self.estate.fold(events, self.unix)

    def registry_down(self) -> None:
        self.registry_up = False
        self._lost(REGISTRY)

    def registry_back(self) -> None:
        self.registry_up = True

    def api_down(self) -> None:
        self.api_up = False
        self._lost(KUBE)

    def api_back(self) -> None:
        self.api_up = True

    def _lost(self, source: str) -> None:
        self._told_sync.discard(source)
        self._send(source, [Trouble(source, "connection lost")])

    # ---------------------------------------------------------------- soadns itself

    def restart(self, pause: float) -> None:
        """soadns ends now and starts again after ``pause``; its workers repeat their last answers meanwhile."""
        taken = snapshot.capture(self.estate, self.unix, identities=IDENTITIES, serials={ZONE: 1})
        data = snapshot.encode(taken)
        self.soadns_up = False
        self.at(self.now + pause, lambda: self._start_soadns(data))

    def _start_soadns(self, data: bytes) -> None:
        fresh = Estate([self.zone_settings()])
        refused = snapshot.restore(fresh, snapshot.decode(data), self.unix, identities=IDENTITIES)
        assert not refused, refused
        self.estate = fresh
        self.soadns_up = True
        self._sent = {REGISTRY: {}, KUBE: {}}
        self._told_sync.clear()
        self._connected.clear()
        for source, seconds in RECONNECT.items():
            self.at(self.now + seconds, lambda s=source: self._connected.add(s))

    # ---------------------------------------------------------------- answers and callers

    def answer(self, interface: str = "B") -> tuple[str, ...]:
        """Addresses that soadns answers now; empty when the name does not exist or has none."""
        outcome = self.estate.zones[ZONE].outcomes.get(InterfaceId(interface))
        return getattr(outcome, "addresses", ())

    def who(self, interface: str = "B") -> str:
        """The Service that answers, ``providers`` or ``nothing``."""
        outcome = self.estate.zones[ZONE].outcomes.get(InterfaceId(interface))
        if outcome is None or not hasattr(outcome, "addresses"):
            return "nothing"
        return "providers" if outcome.service is None else f"{outcome.service.name} {self.answer(interface)}"

    def failing(self, addresses: tuple[str, ...], interface: str) -> float:
        """Share of calls to these addresses that fail now."""
        if not addresses:
            return 1.0
        return sum(self._failing_at(address, interface) for address in addresses) / len(addresses)

    def _failing_at(self, address: str, interface: str) -> float:
        if not address.startswith("10.96."):
            serving = self._by_ip.get(address, ())
            return 0.0 if any(p.serves and interface in p.interfaces for p in serving) else 1.0
        names = {n.removesuffix("'") for n, s in self.services.items() if address in s.cluster_ips}
        pods = [p for p in self.processes.values() if p.service in names and p.ready]
        if not pods:
            return 1.0
        return sum(not (p.serves and interface in p.interfaces) for p in pods) / len(pods)

    def failing_direct(self, interface: str) -> float:
        """Share of calls that fail for callers that ask the registry."""
        spots = set(self.direct_view.get(interface, {}).values())
        if not spots:
            return 1.0
        return sum(not self._serves(spot, interface) for spot in spots) / len(spots)

    def _serves(self, spot: tuple[str, int], interface: str) -> bool:
        return any(
            p.serves and p.port == spot[1] and interface in p.interfaces for p in self._by_ip.get(spot[0], ())
        )
