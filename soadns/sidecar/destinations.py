"""Where Istio sends the TCP connections of a host and port: what VirtualServices and DestinationRules say. Pure.

A filter of ours replaces Istio's, and with it the ``tcp`` routes of VirtualServices. So they are read, and written as
weighted or subset clusters; those that can not be (they ask who calls, or for an address) are a refusal: such a port
keeps Istio's own filter. Objects are taken as the API server has them (networking.istio.io/v1): whatever is not of the
expected shape is no rule.

Source: istio ``pilot/pkg/networking/core/tls.go`` (``buildSidecarOutboundTCPFilterChainOpts``),
``networkfilter.go``, ``route/route.go`` (``GetDestinationCluster``), ``pilot/pkg/model/service.go``
(``BuildSubsetKey``), ``virtualservice.go`` (``ResolveShortnameToFQDN``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from soadns.sidecar.dubboproxy import Weighted

MESH = "mesh"
"""The gateway that stands for all sidecars."""
_WHO_CALLS = ("sourceLabels", "sourceNamespace", "sourceSubnet", "destinationSubnets")
"""What a ``tcp`` match may ask that a filter of all callers, with one chain, can not."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Where the requests for a host and port go."""

    clusters: tuple[Weighted, ...] = ()
    refusal: str = ""
    """Why a filter of ours can not say it; then ``clusters`` is what there would be without VirtualServices."""
    lost: tuple[str, ...] = ()
    """What of the host's DestinationRules such a filter does not do."""
    asked: tuple[str, ...] = field(default=(), compare=False)
    """The hosts that it stands on."""


class _Object(NamedTuple):
    created: str
    name: str
    namespace: str
    spec: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Destinations:
    """The VirtualServices and DestinationRules of a cluster.

    ``ports`` says the TCP ports of a host's Service, () where it is not known; ``read`` is whether the objects were
    read at all.
    """

    def __init__(
        self,
        virtual_services: Iterable[Mapping[str, Any]] = (),
        destination_rules: Iterable[Mapping[str, Any]] = (),
        *,
        domain: str = "cluster.local",
        ports: Callable[[str], tuple[int, ...]] = lambda _: (),
        read: bool = True,
    ) -> None:
        self.read = read
        self._domain = domain
        self._ports = ports
        self._virtual: dict[str, list[_Object]] = {}
        """Host, or wildcard, in full → VirtualServices of it."""
        self._rules: dict[str, list[_Object]] = {}
        for found in sorted(filter(None, map(_object, virtual_services)), key=_age):
            if not _for_sidecars(found.spec):
                continue
            for host in {self._full(text, found.namespace) for text in _texts(found.spec.get("hosts"))}:
                self._virtual.setdefault(host, []).append(found)
        for found in sorted(filter(None, map(_object, destination_rules)), key=_age):
            if isinstance(text := found.spec.get("host"), str):
                self._rules.setdefault(self._full(text, found.namespace), []).append(found)

    def leads(self, host: str, port: int) -> Lead:
        """Where connections to a host's port go."""
        own = (Weighted(istio_cluster(host, port), 1),)
        split, refusal = self._split(host, port)
        destinations = split or [_Destination(host, port, "", 1)]
        asked = tuple(dict.fromkeys([host, *(each.host for each in destinations)]))
        if refusal:
            return Lead(own, refusal, asked=asked)
        clusters: dict[str, int] = {}
        lost: dict[str, None] = {}
        for to, number, subset, weight in destinations:
            policy = self._policies(to, number, subset)
            if refusal := policy.refusal or (
                "" if policy.subset else f"no DestinationRule has subset {subset} of {to}"
            ):
                return Lead(own, refusal, asked=asked)
            lost |= dict.fromkeys(policy.lost)
            name = istio_cluster(to, number, subset)
            clusters[name] = clusters.get(name, 0) + weight
        weighted = tuple(Weighted(name, weight) for name, weight in clusters.items())
        return Lead(weighted, "", tuple(lost), asked)

    def subsets(self, host: str) -> set[str]:
        """The subsets that DestinationRules define of a host."""
        named = (
            each.get("name")
            for rule in self._of(self._rules, host)
            for each in _maps(rule.spec.get("subsets"))
        )
        return {name for name in named if isinstance(name, str)}

    def differences(self, other: Destinations) -> set[str]:
        """Hosts, and wildcards of such, of which the other one says something else."""
        return {
            host
            for mine, theirs in ((self._virtual, other._virtual), (self._rules, other._rules))
            for host in mine.keys() | theirs.keys()
            if mine.get(host) != theirs.get(host)
        }

    # ------------------------------------------------------------------ VirtualServices

    def _split(self, host: str, port: int) -> tuple[list[_Destination], str]:
        """The destinations that a VirtualService names, and why that can not be said; nothing, where none does."""
        found = [each for each in self._of(self._virtual, host) if _speaks_of(each.spec, port)]
        if not found:
            return [], ""
        if len(found) > 1:
            return [], f"several VirtualServices route its connections ({', '.join(map(str, found))})"
        [one] = found
        what = f"VirtualService {one}"
        if _texts(one.spec.get("exportTo")) not in ([], ["*"]):
            return [], f"{what} holds for some namespaces only (exportTo)"
        if any(
            _matches(match, port) for tls in _maps(one.spec.get("tls")) for match in _maps(tls.get("match"))
        ):
            return [], f"{what} has tls routes, each with a filter chain of its own"
        for route in _maps(one.spec.get("tcp")):
            matches = [match for match in _maps(route.get("match")) if _matches(match, port)]
            if matches or not route.get("match"):
                if asked := sorted({key for match in matches for key in _WHO_CALLS if match.get(key)}):
                    return [], f"{what} asks for {', '.join(asked)}, which a filter of all callers can not"
                return self._destinations(route, one, port)
        return [], ""

    def _destinations(
        self, route: Mapping[str, Any], one: _Object, port: int
    ) -> tuple[list[_Destination], str]:
        found = []
        named = _maps(route.get("route"))
        for each in named:
            to = each.get("destination")
            if not isinstance(to, Mapping) or not isinstance(to.get("host"), str) or not to["host"]:
                return [], f"VirtualService {one} has a route without a destination"
            weight = each.get("weight", 0)
            weight = 1 if len(named) == 1 else weight if isinstance(weight, int) else 0
            if weight > 0:
                host = self._full(to["host"], one.namespace)
                subset = to.get("subset")
                number = self._port(host, to.get("port"), port)
                found.append(_Destination(host, number, subset if isinstance(subset, str) else "", weight))
        return (found, "") if found else ([], f"VirtualService {one} sends its connections nowhere")

    def _port(self, host: str, port: object, listener: int) -> int:
        """The destination's port: what it says, the only one of its Service, or the one that is called."""
        number = port.get("number") if isinstance(port, Mapping) else None
        if isinstance(number, int):
            return number
        ports = self._ports(host)
        return ports[0] if len(ports) == 1 else listener

    # ------------------------------------------------------------------ DestinationRules

    def _policies(self, host: str, port: int, subset: str) -> _Policy:
        """What DestinationRules say of a host, port and subset that concerns what is lost, and whether it exists."""
        refusal, known = "", not subset
        lost: dict[str, None] = {}
        for rule in self._of(self._rules, host):
            policies = [rule.spec.get("trafficPolicy")]
            for each in _maps(rule.spec.get("subsets")):
                if subset and each.get("name") == subset:
                    known = True
                    if _texts(rule.spec.get("exportTo")) not in ([], ["*"]):
                        refusal = (
                            f"DestinationRule {rule} has subset {subset} for some namespaces only (exportTo)"
                        )
                    policies.append(each.get("trafficPolicy"))
            for policy in _with_ports(policies, port):
                if policy.get("tunnel"):
                    refusal = f"DestinationRule {rule} sends its connections through a tunnel"
                lost |= dict.fromkeys(f"{what} (DestinationRule {rule})" for what in _lost(policy))
        return _Policy(refusal, tuple(lost), known)

    # ------------------------------------------------------------------ hosts

    def _full(self, host: str, namespace: str) -> str:
        """A host in full: one without a dot is a Service's name in the object's namespace."""
        return host if "." in host or host == "*" else f"{host}.{namespace}.svc.{self._domain}"

    @staticmethod
    def _of(objects: Mapping[str, list[_Object]], host: str) -> list[_Object]:
        """Those of a host, by its name or a wildcard, each once, the oldest first."""
        labels = host.split(".")
        names = [host, *("*." + ".".join(labels[start:]) for start in range(1, len(labels))), "*"]
        return sorted(
            {str(each): each for name in names for each in objects.get(name, ())}.values(), key=_age
        )


class _Destination(NamedTuple):
    host: str
    port: int
    subset: str
    weight: int


class _Policy(NamedTuple):
    refusal: str
    lost: tuple[str, ...]
    subset: bool


def istio_cluster(host: str, port: int, subset: str = "") -> str:
    """Istio's cluster of a host, port and subset."""
    return f"outbound|{port}|{subset}|{host}"


def _age(found: _Object) -> tuple[str, ...]:
    return found[:3]


def _object(raw: Mapping[str, Any]) -> _Object | None:
    metadata, spec = raw.get("metadata"), raw.get("spec")
    if not isinstance(metadata, Mapping) or not isinstance(spec, Mapping):
        return None
    created, name, namespace = (
        word if isinstance(word := metadata.get(key), str) else ""
        for key in ("creationTimestamp", "name", "namespace")
    )
    return _Object(created, name, namespace, spec)


def _for_sidecars(spec: Mapping[str, Any]) -> bool:
    gateways = _texts(spec.get("gateways"))
    return not gateways or MESH in gateways


def _speaks_of(spec: Mapping[str, Any], port: int) -> bool:
    """Whether it has a route for connections to the port."""
    for route in (*_maps(spec.get("tcp")), *_maps(spec.get("tls"))):
        matches = _maps(route.get("match"))
        if not matches or any(_matches(match, port) for match in matches):
            return True
    return False


def _matches(match: Mapping[str, Any], port: int) -> bool:
    gateways = _texts(match.get("gateways"))
    return match.get("port") in (None, 0, port) and (not gateways or MESH in gateways)


def _with_ports(policies: Iterable[object], port: int) -> Iterable[Mapping[str, Any]]:
    """Traffic policies, and what they say of one port."""
    for policy in policies:
        if isinstance(policy, Mapping):
            yield policy
            for each in _maps(policy.get("portLevelSettings")):
                of = each.get("port")
                if isinstance(of, Mapping) and of.get("number") == port:
                    yield each


def _lost(policy: Mapping[str, Any]) -> Iterable[str]:
    balancer = policy.get("loadBalancer")
    if isinstance(balancer, Mapping) and balancer.get("consistentHash"):
        yield "consistentHash"
    pool = policy.get("connectionPool")
    tcp = pool.get("tcp") if isinstance(pool, Mapping) else None
    if isinstance(tcp, Mapping):
        yield from (key for key in ("idleTimeout", "maxConnectionDuration") if tcp.get(key))
    http = pool.get("http") if isinstance(pool, Mapping) else None
    bounded = isinstance(http, Mapping) and http.get("http1MaxPendingRequests")
    if isinstance(tcp, Mapping) and tcp.get("maxConnections") and not bounded:
        yield "refusal by maxConnections: calls wait where http1MaxPendingRequests is not set"
    if policy.get(
        "outlierDetection"
    ):  # envoy: dubbo_proxy's Router::onMessageEncoded tells it of answers as well
        yield "outlierDetection by connections alone: exceptions that applications throw are failures, too"


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


NOT_READ = Destinations(read=False)
"""Where nobody reads these objects."""
