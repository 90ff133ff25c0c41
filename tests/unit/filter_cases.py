"""Services as tiers and filters look at them, in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from soadns.model import InterfaceId, ObjectRef, Port, Service
from soadns.routemodel import ANY, Route, Target, Vip
from soadns.sidecar.tiers import PortFacts, Subject, Wishes

UID = "0f3c6a1e-9a55-4d7e-8f9b-1c2d3e4f5a6b"
USER, ACCOUNT = ObjectRef("home", "shop", "user"), ObjectRef("home", "shop", "account")
WISHES = Wishes()


def host(ref: ObjectRef) -> str:
    return f"{ref.name}.{ref.namespace}.svc.cluster.local"


def cluster(ref: ObjectRef, port: int = 20880) -> str:
    return f"outbound|{port}||{host(ref)}"


def to(ref: ObjectRef, port: int = 20880, kind: str = "service") -> Target:
    return Target(kind, ref, host(ref), port)


def providers(interface: str, port: int = 20880) -> Target:
    return Target("providers", None, "", port, InterfaceId(interface))


def own(port: int = 20880) -> Route:
    return Route(ANY, None, None, to(USER, port), "own")


def moved(interface: str, where: Target | None = None) -> Route:
    return Route(interface, None, None, where or to(ACCOUNT), "moved")


def vip(*routes: Route, port: int = 20880, address: str = "10.96.0.1") -> Vip:
    return Vip(address, port, USER, UID, host(USER), (*routes, own(port)))


def service(**changes: object) -> Service:
    found = Service(
        USER, UID, type="ClusterIP", cluster_ips=("10.96.0.1",), ports=(Port(20880, "tcp-dubbo", "20880"),)
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def facts(*routes: Route, failing: Iterable[Route] = (), **changes: object) -> PortFacts:
    """A port at which Dubbo is spoken, by providers that prefer hessian2."""
    found = PortFacts(vip(*routes), "tcp-dubbo", "", ("dubbo",), registered=True, failing=frozenset(failing))
    return replace(found, **changes)  # type: ignore[arg-type]


def subject(*ports: PortFacts, **changes: object) -> Subject:
    return Subject(service(**changes), host(USER), ports or (facts(),))
