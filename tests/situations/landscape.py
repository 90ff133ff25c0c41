"""A simulated landscape: clusters, a registry, and processes that start, register, serve and end.

Everything that soadns would observe, and what a call to an address would meet, at one instant of virtual time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from soadns.model import (
    Declaration,
    Endpoint,
    EndpointSlice,
    InterfaceId,
    ObjectRef,
    Observation,
    Port,
    Provider,
    Service,
)

REGISTRY = "zookeeper/main/dubbo"
EPOCH = 1_000_000.0
"""Virtual time zero in Unix seconds."""

REGISTERS_AFTER = 15.0
READY_AFTER = 18.0
SPACING = 0.05
SESSION = 40.0
TERMINATION = 10.0
"""From SIGTERM to the end of the process: out of the registry and unready at once, it serves on that long."""
PORT = 20880
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


class Landscape:
    """A clock, what is to happen, and everything there is."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.processes: dict[str, Process] = {}
        self._by_ip: dict[str, list[Process]] = {}
        self.services: dict[str, Service] = {}
        self.registered: dict[Registration, Provider] = {}
        """As the registry holds it."""
        self.untold: tuple[set[Registration], set[Registration]] = (set(), set())
        """Registrations that came or went, of which direct callers, or soadns, have not heard yet."""
        self._ips = itertools.count(1)
        self._cluster_ips = itertools.count(1)
        self._uids = itertools.count(1)

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), action))

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
        for untold in self.untold:
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
            Process(name=name, service=service, interfaces=tuple(interfaces), started=self.now, **kw)
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
            ready = float(kw.get("ready_after", READY_AFTER))
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
        kw.setdefault("ports", (Port(PORT),))
        service = Service(
            ref=ObjectRef("home", namespace, name.lower()),
            uid=f"uid-{next(self._uids)}",
            created=EPOCH + (self.now if created is None else created),
            **kw,
        )
        self.services[name] = service
        return service

    def declare(self, name: str, interface: str) -> None:
        declaration = Declaration((InterfaceId(interface),))
        self.services[name] = replace(self.services[name], declaration=declaration)

    def delete_service(self, name: str) -> None:
        del self.services[name]

    def objects(self) -> dict[tuple[str, ...], Observation]:
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
                ref=ref, service=ref, ports=(Port(PORT),), endpoints=endpoints
            )
        return objects

    # ---------------------------------------------------------------- what a call meets

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

    def serves(self, spot: tuple[str, int], interface: str) -> bool:
        return any(
            p.serves and p.port == spot[1] and interface in p.interfaces for p in self._by_ip.get(spot[0], ())
        )
