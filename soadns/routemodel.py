"""What sidecars are told, as frozen values: at each ClusterIP and port, rules that lead a request to where it belongs.

Pure, and without behaviour beyond what a value can say about itself, as ``model``. The rules are made in
``soadns.sidecar``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from soadns.model import InterfaceId, ObjectRef, ServedPort

ANY = "*"
"""The interface of the route for everything else."""
Place = tuple[str, int]
"""ClusterIP and Service port: what a sidecar has a listener for."""


class Left(NamedTuple):
    """A place that a Service had, and has no more: it is nobody's, or another one's."""

    place: Place
    service: ObjectRef


class Former(NamedTuple):
    """Something changed of who has a place that had routes once, or of a cluster to which such places lead."""

    what: Place | str


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests of one rule go."""

    kind: str
    """``service`` (it has a ClusterIP), ``headless`` (its pods), ``remote`` (another cluster's) or ``providers``."""
    service: ObjectRef | None
    host: str
    """Istio host; ``''`` for providers."""
    port: int
    """Port of the Service, or of the providers."""
    interface: InterfaceId | None = None
    """Of ``providers``: whose."""

    @property
    def cluster(self) -> str:
        """Istio's cluster; ``''`` where Istio has none that balances (headless Services, providers)."""
        return f"outbound|{self.port}||{self.host}" if self.kind in ("service", "remote") else ""


@dataclass(frozen=True, slots=True)
class Route:
    """One rule at one ClusterIP and port. ``None`` as group or version: it is not compared; ``''``: none is given."""

    interface: str
    """The wire name, or ``*``."""
    group: str | None
    version: str | None
    target: Target | None
    """None: the request is refused."""
    why: str
    """``own`` (the Service itself), ``moved``, ``variant`` (a group or version that lives elsewhere), ``providers``
    (the old world has it), ``missing`` (a group or version that nobody has) or ``portless`` (one that lives where no
    port speaks it: it is refused, for whoever else answered would be another implementation)."""
    lives: ObjectRef | None = None
    """Of ``portless``: the Service that has it; None: the providers that the registry names."""

    def matches(self, interface: str, group: str, version: str) -> bool:
        """Whether it is the rule for a request, unless an earlier one is."""
        return (
            self.interface in (ANY, interface)
            and self.group in (None, group)
            and self.version in (None, version)
        )


@dataclass(frozen=True, slots=True)
class Vip:
    """What a sidecar is told of one ClusterIP and port. The last route is ``*``; the first that matches counts."""

    address: str
    port: int
    service: ObjectRef
    uid: str
    host: str
    """Istio host of the Service."""
    routes: tuple[Route, ...]

    @property
    def place(self) -> Place:
        """Its key."""
        return (self.address, self.port)

    def route(self, interface: str, group: str, version: str) -> Route:
        """The rule for a request as the wire has it: ``''`` is no group, and so is no version, or Dubbo's 0.0.0."""
        version = "" if version == "0.0.0" else version
        return next(route for route in self.routes if route.matches(interface, group, version))


@dataclass(frozen=True, slots=True)
class Move:
    """An interface that left a Service."""

    service: ObjectRef
    """The Service that it left: its callers may go on sending it there."""
    interface: InterfaceId
    addresses: tuple[str, ...]
    """The Service's ClusterIPs then. Without any of them it is another Service to callers."""
    ports: tuple[ServedPort, ...] = ()
    """By which it was called there; empty where that is not known."""
    wires: tuple[str, ...] = ()
    """What its callers write as the interface: its name, or the paths that its providers had."""
    since: float = 0.0
    """When it left, in Unix seconds; for people alone."""
