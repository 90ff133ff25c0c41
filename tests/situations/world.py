"""A simulated estate under virtual time: clusters, a registry, processes, and callers of one interface.

Everything below the sources is simulated; from the events on it is the real thing: the real store,
binding, guard, owner names and snapshot. Callers compare what DNS gave them with what the
same callers would have got from the registry directly.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from soadns.binding.answers import Clusters
from soadns.binding.bind import Rules
from soadns.binding.estate import Estate
from soadns.binding.zone import ZoneSettings
from soadns.model import (
    Declaration,
    Delete,
    Endpoint,
    EndpointSlice,
    InterfaceId,
    ObjectRef,
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
PORT = 20880


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

    rules: Rules = field(default_factory=Rules)
    port_of_services: int = PORT

    def __post_init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.processes: dict[str, Process] = {}
        self.services: dict[str, Service] = {}
        self.registered: dict[tuple[str, str, int], Provider] = {}
        """(interface, process name, session) → Provider, as the registry holds it."""
        self.direct_view: dict[tuple[str, str, int], Provider] = {}
        """What direct callers were told last."""
        self.registry_up = True
        self.api_up = True
        self._sent: dict[str, dict[tuple[str, ...], object]] = {REGISTRY: {}, KUBE: {}}
        self._ips = itertools.count(1)
        self._cluster_ips = itertools.count(1)
        self._uids = itertools.count(1)
        self.estate = Estate([self.zone_settings()])
        self.transitions: list[object] = []
        self.soadns_up = True
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
            clock = self.estate.next_clock() if self.soadns_up else None
            clock = None if clock is None else clock - EPOCH
            head = self._agenda[0][0] if self._agenda else None
            times = [t for t in (clock, head) if t is not None and t <= end]
            if not times:
                break
            self.now = max(self.now, min(times))
            while self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            self._sync()
        self.now = end

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

    def stop(self, name: str) -> None:
        """SIGTERM: leaves the registry and the ready endpoints now, its address ten seconds later."""
        process = self.processes[name]
        if not process.alive:
            return
        process.alive = process.serves = process.ready = False
        self.unregister(process)
        session = process.session
        self.at(self.now + TERMINATION, lambda: self._address_goes(process, session))

    def _address_goes(self, process: Process, session: int) -> None:
        if process.session == session:
            process.present = False

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

    def pod(self, name: str, service: str, interfaces: str, **kw: object) -> Process:
        """A pod of a Service, started now; ``interfaces`` is a string of one-letter names."""
        kw.setdefault("application", service.lower() or name)
        kw.setdefault("ip", self.new_ip())
        return self.start(
            Process(name=name, service=service, interfaces=tuple(interfaces), started=self.now, **kw)  # type: ignore[arg-type]
        )

    def pods(self, service: str, count: int, interfaces: str, **kw: object) -> list[str]:
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
        self, service: str, interfaces: str, *, every: float = 25.0, kill: bool = False, **kw: object
    ) -> None:
        """A rolling update: one pod up, and when it is ready one old pod down."""
        for index, name in enumerate(self.of(service)):
            self.at(self.now + index * every, lambda: self.pods(service, 1, interfaces, **kw))
            down = (lambda n=name: self.kill(n, reschedule=True)) if kill else (lambda n=name: self.stop(n))
            ready = float(kw.get("ready_after", READY_AFTER))  # type: ignore[arg-type]
            self.at(self.now + index * every + ready + 1, down)

    def recreate(self, service: str, interfaces: str, *, gap: float, **kw: object) -> None:
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
        from dataclasses import replace

        declaration = Declaration((InterfaceId(interface),))
        self.services[name] = replace(self.services[name], declaration=declaration)

    def traffic(self, name: str, mode: str) -> None:
        from dataclasses import replace

        self.services[name] = replace(self.services[name], traffic=(TrafficRule("*", mode),))

    def delete_service(self, name: str) -> None:
        del self.services[name]

    # ---------------------------------------------------------------- what soadns sees

    def _objects(self) -> dict[tuple[str, ...], object]:
        objects: dict[tuple[str, ...], object] = {}
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
            self.direct_view = dict(self.registered)
        if not self.soadns_up:
            return
        events: list[object] = []
        registry = {(k[0], "providers", f"{k[1]}/{k[2]}"): v for k, v in self.registered.items()}
        if self.registry_up:
            events += self._difference(REGISTRY, registry)
        if self.api_up:
            events += self._difference(KUBE, self._objects())
        if not self.estate.observations.source(REGISTRY).in_sync and self.registry_up:
            events.append(Synced(REGISTRY))
        if not self.estate.observations.source(KUBE).in_sync and self.api_up:
            events.append(Synced(KUBE))
        if events:
            self.estate.fold(events, self.unix)  # type: ignore[arg-type]
        self.transitions += [t for _, t in self.estate.work(self.unix)]

    def _difference(self, source: str, new: dict[tuple[str, ...], object]) -> list[object]:
        old = self._sent[source]
        events: list[object] = [Delete(source, key) for key in old if key not in new]
        events += [Upsert(source, key, value) for key, value in new.items() if old.get(key) != value]  # type: ignore[arg-type]
        self._sent[source] = new
        return events

    def registry_down(self) -> None:
        self.registry_up = False
        if self.soadns_up:
            self.estate.fold([Trouble(REGISTRY, "connection lost")], self.unix)

    def registry_back(self) -> None:
        self.registry_up = True

    def api_down(self) -> None:
        self.api_up = False
        if self.soadns_up:
            self.estate.fold([Trouble(KUBE, "connection lost")], self.unix)

    def api_back(self) -> None:
        self.api_up = True

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
        by_cluster_ip = {s.cluster_ips[0]: n for n, s in self.services.items() if s.cluster_ips}
        shares = []
        for address in addresses:
            if address.startswith("10.96."):
                name = by_cluster_ip.get(address)
                pods = [
                    p
                    for p in self.processes.values()
                    if name and p.service == name.removesuffix("'") and p.ready
                ]
                bad = sum(not (p.serves and interface in p.interfaces) for p in pods)
                shares.append(bad / len(pods) if pods else 1.0)
            else:
                serving = any(
                    p.ip == address and p.alive and p.serves and interface in p.interfaces
                    for p in self.processes.values()
                )
                shares.append(0.0 if serving else 1.0)
        return sum(shares) / len(shares)

    def failing_direct(self, interface: str) -> float:
        """Share of calls that fail for callers that ask the registry."""
        spots = {
            (p.host, p.port) for (i, _, _), p in self.direct_view.items() if i == interface and p.enabled
        }
        if not spots:
            return 1.0
        serving = {
            (p.ip, p.port)
            for p in self.processes.values()
            if p.alive and p.serves and interface in p.interfaces
        }
        return sum(spot not in serving for spot in spots) / len(spots)
