"""The nouns of soadns: frozen values that every layer shares.

This module owns no behaviour beyond what a value can say about itself, and imports the standard
library only. Text inside values is already normalised by whoever made them: IP addresses in the
compressed lower-case form of :mod:`ipaddress`, host names in lower case.

Three families live here: what sources *observe* (``Provider``, ``Service``, ``EndpointSlice`` ...),
the *events* by which they say so, and what binding *answers* (``Binding``, ``Unbound``). What follows for sidecars is
in ``routemodel``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

# --------------------------------------------------------------------------- identity


class InterfaceId(NamedTuple):
    """A callable interface: Java name, service group and service version.

    An absent version and Dubbo's ``0.0.0`` are ``''``. For SOFARPC the group is the ``uniqueId`` and the
    version is always ``''`` (its URL's ``version=1.0`` is a constant).
    """

    name: str
    group: str = ""
    version: str = ""

    def __str__(self) -> str:
        """``[group/]name[:version]``, the spelling used in annotations and on the command line."""
        text = f"{self.group}/{self.name}" if self.group else self.name
        return f"{text}:{self.version}" if self.version else text

    @property
    def plain(self) -> bool:
        """Whether the interface has neither group nor version."""
        return not self.group and not self.version


class ObjectRef(NamedTuple):
    """A Kubernetes object: the configured cluster name, the namespace and the object's name."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.name}"


# --------------------------------------------------------------------------- observations


UNKEPT = "..."
"""Name of the setting that counts those which are not kept."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One process that offers one interface over one protocol, as a registry node says.

    The first six fields are its identity; the others are attributes that may change under it.
    """

    registry: str
    """Source id of the registry that holds it, e.g. ``zookeeper/main/dubbo``."""
    interface: InterfaceId
    protocol: str
    """Lower-case RPC protocol: ``dubbo``, ``tri``, ``bolt``, ``rest`` ..."""
    host: str
    """IP address (normal form) or host name (lower case), as the provider registered it."""
    port: int
    application: str = ""
    path: str = ""
    """Path of the URL without leading slash where it differs from the interface name, else ``''``."""
    serialization: tuple[str, ...] = ()
    """Serializations in the provider's order of preference; empty means the protocol's default."""
    enabled: bool = True
    """False for ``enabled=false`` and ``disabled=true``: shown, never evidence."""
    dynamic: bool = True
    """False for Dubbo's nodes that outlive their process (``dynamic=false``).

    SOFARPC's persistent nodes (``createEphemeral=false``) say nothing of it, not even in their URL: they are True.
    """
    tls: bool = False
    token: bool = False
    """Whether calls need a token. The token itself is never kept."""
    settings: tuple[tuple[str, str], ...] = ()
    """Call settings that a direct URL would lose (timeout, retries, per-method values ...), sorted.

    A name that begins with ``default.`` is one that a consumer's own default stands above (Dubbo up to 2.6). Under
    ``UNKEPT`` stands how many are not kept, if there are such.
    """
    timestamp: int = 0
    """Start time the provider claims, in Unix milliseconds; 0 when it says nothing."""
    weight: int = 100
    """Its share of calls beside other providers of the interface; 0: none while there are others."""

    @property
    def identity(self) -> tuple[str, InterfaceId, str, str, int, str]:
        """What makes two registrations the same Provider."""
        return (self.registry, self.interface, self.protocol, self.host, self.port, self.application)


@dataclass(frozen=True, slots=True)
class Override:
    """An ``override://`` node of a registry that switches providers of one interface off.

    ``host`` ``''`` means every host, ``port`` 0 every port, ``application`` ``''`` every application;
    ``group``/``version`` None mean "not restricted".
    """

    registry: str
    interface_name: str
    host: str = ""
    port: int = 0
    application: str = ""
    group: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service. ``target`` is the targetPort as text (number or name)."""

    port: int
    name: str = ""
    target: str = ""
    protocol: str = "TCP"
    node_port: int = 0
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What ``soadns.io/interfaces`` declares: interfaces, or everything of the Service's application."""

    interfaces: tuple[InterfaceId, ...] = ()
    everything: bool = False
    """``*``: every interface of ``soadns.io/application``."""


@dataclass(frozen=True, slots=True)
class TrafficRule:
    """One entry of ``soadns.io/traffic``: a name pattern (``fnmatch``, ``*`` for all) and its mode."""

    pattern: str
    mode: str
    """``mesh``, ``registry`` or ``off``."""


@dataclass(frozen=True, slots=True)
class Service:
    """The fields of a Kubernetes Service that binding uses (core/v1 Service)."""

    ref: ObjectRef
    uid: str
    created: float = 0.0
    """``metadata.creationTimestamp`` in Unix seconds."""
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    """``spec.clusterIPs`` in order; empty for headless and ExternalName."""
    headless: bool = False
    ports: tuple[Port, ...] = ()
    external_ips: tuple[str, ...] = ()
    load_balancer: tuple[str, ...] = ()
    """``status.loadBalancer.ingress[].ip`` (host names are left out: they are no addresses)."""
    external_name: str = ""
    terminating: bool = False
    """``metadata.deletionTimestamp`` is set."""
    labels: tuple[tuple[str, str], ...] = ()
    application: str | None = ""
    """``soadns.io/application``; None when malformed (the last good value is then kept)."""
    declaration: Declaration | None = Declaration()
    """``soadns.io/interfaces``; None when malformed (the last good value is then kept)."""
    traffic: tuple[TrafficRule, ...] | None = ()
    """``soadns.io/traffic``; None when malformed (the last good value is then kept)."""
    balancing: str | None = ""
    """``soadns.io/balancing``: ``connection``, ``request`` or nothing; None when malformed (likewise)."""
    moves: str | None = ""
    """``soadns.io/moves``: ``failing``, ``inline``, ``never`` or nothing; None when malformed (likewise)."""
    problems: tuple[str, ...] = ()
    """What is wrong with its annotations, one sentence each, for ``explain``."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an EndpointSlice."""

    address: str
    ready: bool = True
    terminating: bool = False
    serving: bool = True
    """Whether it would be ready if it were not terminating."""


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A discovery.k8s.io/v1 EndpointSlice of IP addresses (FQDN slices are not kept)."""

    ref: ObjectRef
    service: ObjectRef
    """The Service named by the ``kubernetes.io/service-name`` label, in the slice's namespace."""
    ports: tuple[Port, ...] = ()
    """``port`` holds the number on the pod; ``name`` joins it to the Service's port."""
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """Addresses of a cluster node, where soadns may read Nodes."""

    ref: ObjectRef
    addresses: tuple[str, ...] = ()


class Caller(NamedTuple):
    """A consumer that registered itself. Read when somebody asks, never kept."""

    host: str
    """As it registered it: an IP address in normal form, or a host name."""
    application: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a registry says of one interface name that nobody keeps: read when somebody asks."""

    callers: frozenset[Caller] = frozenset()
    rules: frozenset[str] = frozenset()
    """What governs calls of it, in words: ``a condition router in routers`` ..."""
    tokens: frozenset[str] = frozenset()
    """Those of its providers, where secrets were asked for."""
    unread: tuple[str, ...] = ()
    """What of it could not be read, and why."""
    asking: frozenset[tuple[str, str]] = frozenset()
    """Applications whose consumers ask for what no direct URL gives, and for what: ``version=*`` ..."""
    mapped: bool = False
    """Whether applications are on record as its providers (Dubbo's service name mapping), where that was asked for."""


Observation = Provider | Override | Service | EndpointSlice | Node

# --------------------------------------------------------------------------- events of a source

Key = tuple[str, ...]
"""Key of one observation inside its source.

The first item is its *scope*, the unit that is read as a whole: the interface name for a registry
(``("com.x.A", "providers", digest)``), the kind for Kubernetes (``("Service", namespace, name)``), the
file for static sources.
"""


@dataclass(frozen=True, slots=True)
class Upsert:
    """The source sees this observation, new or changed."""

    source: str
    key: Key
    value: Observation


@dataclass(frozen=True, slots=True)
class Delete:
    """The source has proof that the observation is gone."""

    source: str
    key: Key


@dataclass(frozen=True, slots=True)
class Synced:
    """A complete pass is over: what was not upserted and not deleted still holds, everything older is gone.

    With a scope only that scope was completely read. Without one everything was, except the scopes
    that are in trouble at that moment.
    """

    source: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The source (or one scope of it) can not be read now. What was observed stays, clocks stop."""

    source: str
    reason: str
    """One sentence for people, without secrets."""
    scope: str = ""
    interface: str = ""
    """The name of the interface that the scope holds, if it holds one."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One thing of the source could not be understood; it alone is left out.

    What was observed under ``key`` before stays, as the last good value: a broken edit of an object is no
    proof that the object is gone. A Rejected is withdrawn by an Upsert or a Delete of the same key.
    """

    source: str
    key: Key
    where: str
    """The znode path, file or object, as an operator would type it."""
    reason: str
    """A short slug from a bounded set, used as a metric label (``bad-port``, ``no-host`` ...)."""
    detail: str
    """What is wrong and what to do, for people; at most 300 characters."""


@dataclass(frozen=True, slots=True)
class Identified:
    """The source says what it observes, before it says anything else of it (a cluster: the UID of kube-system).

    What a snapshot kept of another one under the same name is not to be believed.
    """

    source: str
    identity: str


Event = Upsert | Delete | Synced | Trouble | Rejected | Identified

# --------------------------------------------------------------------------- answers


class ServedPort(NamedTuple):
    """A port by which an interface can be dialled at its addresses."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a candidate won, lost or waits."""

    candidate: str
    """The Service's ``cluster/namespace/name``, or ``old world``."""
    verdict: str
    """``winner``, ``conflict``, ``waits``, ``boarding``, ``port mismatch``, ``off``, ``beaten`` ..."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """An interface and what its name answers."""

    interface: InterfaceId
    kind: str
    """``service`` (ClusterIP), ``headless``, ``remote`` or ``providers`` (the old world's addresses)."""
    addresses: tuple[str, ...]
    ports: tuple[ServedPort, ...] = ()
    service: ObjectRef | None = None
    host: str = ""
    """Istio host of the Service, ``name.namespace.svc.<cluster domain>``."""
    evidence: int = 0
    """Strength 1 declared, 2 endpoint, 3 exposed, 4 application; 0 for ``providers``."""
    reasons: tuple[Reason, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Unbound:
    """An interface without an answer, and why."""

    interface: InterfaceId
    reason: str
    """A short slug: ``no-provider``, ``external-name``, ``shadowed``, ``name-too-long`` ..."""
    detail: str = ""
    reasons: tuple[Reason, ...] = field(default=(), compare=False)


Outcome = Binding | Unbound


class RRset(NamedTuple):
    """Records of one name and type as master files spell them (RFC 1035 5.1); the owner name is absolute."""

    owner: str
    ttl: int
    type: str
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """What a zone publishes at one owner name; the nameserver makes RRsets of it.

    A and AAAA come from ``addresses``; SRV ``_<protocol>._tcp.<owner>`` from ``ports`` with the owner
    as target; TXT from ``texts``. ``rotate`` asks for the order of addresses to change between answers.
    ``unsaid`` stands for all of that where it is not known: the name is neither answered nor denied.
    """

    addresses: tuple[str, ...] = ()
    ttl: int = 30
    ports: tuple[ServedPort, ...] = ()
    texts: tuple[str, ...] = ()
    rotate: bool = False
    unsaid: bool = False
