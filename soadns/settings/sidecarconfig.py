"""Keys of the section ``sidecar`` of the configuration file, with their defaults and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from soadns.settings import values
from soadns.settings.schema import Duration, setting


@dataclass(frozen=True, slots=True)
class ShareConfig:
    """What replicas share by what stands in the cluster."""

    moves: bool = setting(
        "Share with all replicas what has moved, and write it to the cluster (a Lease and ConfigMaps). Off, nothing "
        "is ever written.",
        default=False,
    )
    cluster: str = setting("The `kubernetes` entry to which it is written; empty: the first one.", default="")
    namespace: str = setting(
        "Its namespace, the same for all replicas; empty: the pod's.",
        default="",
        example="soadns",
        check=values.namespace,
    )
    events: bool = setting(
        "Tell what is wrong with the annotations of a Service, and what happens to its filters, as Kubernetes Events "
        "of it. Off, none is ever written.",
        default=False,
    )
    lease: Duration = setting(
        "After how long without a sign of the replica that writes another one does.",
        default=Duration(15),
        check=values.between(2, 300),
    )


@dataclass(frozen=True, slots=True)
class AdsTlsConfig:
    """TLS of the ADS server."""

    cert: str = setting("PEM file of the certificate chain. Read again when it changes.", default="")
    key: str = setting("PEM file of its key, without a password. Read again when it changes.", default="")
    ca: str = setting(
        "PEM file of the CA of sidecars' certificates; without it anybody may connect. Read again when it changes.",
        default="",
    )


@dataclass(frozen=True, slots=True)
class RouteFilesConfig:
    """Files of rules that pods mount, for Istio's sidecars in them."""

    namespaces: tuple[str, ...] = setting(
        "Namespaces of callers whose pods may mount files of rules; empty: none.",
        default=(),
        example="web",
        check=values.namespaces,
    )
    labels: str = setting(
        "Labels of the pods that mount them.", default="soadns.io/routes=mounted", check=values.some_pairs
    )
    directory: str = setting("Where they mount them.", default="/etc/soadns/routes", check=values.absolute)
    shards: int = setting(
        "ConfigMaps that the files are spread over, each up to 900 KiB. Pods mount all of them.",
        default=4,
        check=values.between(1, 64),
    )
    most: int = setting(
        "Ports whose rules the pods of one namespace have from files; further ones stay at the tier of all callers. "
        "Envoy ends where it may watch no more files: Linux allows 128 to all sidecars of a node together "
        "(`fs.inotify.max_user_instances`), which is enough for six pods with 16 each and for what they watch "
        "besides. Raise it there first.",
        default=16,
        check=values.between(1, 10_000),
    )
    delay: Duration = setting(
        "How long a new file may take until every pod has it; only then a filter names it. Nobody tells when a pod "
        "has it, so this is the longest that a kubelet takes as it is delivered: it looks at a pod every 60 to 90 "
        "seconds, at a ConfigMap that may be 60 seconds old, and half a minute for the rest.",
        default=Duration(180),
        check=values.between(1, 3_600),
    )


@dataclass(frozen=True, slots=True)
class AdsConfig:
    """The ADS server."""

    listen: str = setting(
        "Address; empty: no ADS server. It wants the extra `ads`.",
        default="",
        example="0.0.0.0:15010",
        check=values.address,
    )
    tls: AdsTlsConfig = setting("TLS.", factory=AdsTlsConfig)
    isolation: str = setting(
        "What a sidecar is told: `none` (all), or `namespace`: the Services of the namespace that its certificate "
        "names (`spiffe://<domain>/ns/<namespace>/sa/<account>`), and where their interfaces lead.",
        default="none",
        check=values.one_of("none", "namespace"),
    )
    shared: tuple[str, ...] = setting(
        "With `namespace`: namespaces whose Services all sidecars are told of.", default=()
    )


@dataclass(frozen=True, slots=True)
class IstioConfig:
    """Envoy under Istio."""

    mode: str = setting(
        "`none` (the cluster is not asked for Istio's objects), `read` (they are read, and what would be written is "
        "shown) or `write` (EnvoyFilters are kept in the cluster by one replica).",
        default="none",
        check=values.one_of("none", "read", "write"),
    )
    zone: str = setting("Whose routes are written; needed where there are several zones.", default="")
    try_first: str = setting(
        "A namespace of callers in which the first filter of a Service is written before it is for all; empty: it is "
        "for all at once.",
        default="",
        example="canary",
        check=values.namespace,
    )
    try_for: Duration = setting("For how long.", default=Duration(300), check=values.between(1, 86_400))
    metrics: tuple[str, ...] = setting(
        "URLs of the metrics of all istiods: what sidecars refuse after a write stops the rest.",
        default=(),
        example="http://istiod.istio-system:15014/metrics",
        check=values.urls,
    )
    balancing: str = setting(
        "How calls of a Service without `soadns.io/balancing` are balanced: `connection` (by Istio's own filter) or "
        "`request` (each call by itself, where that is safe).",
        default="connection",
        check=values.one_of("connection", "request"),
    )
    moves: str = setting(
        "For which interfaces that live elsewhere sidecars have rules, where `soadns.io/moves` says nothing: "
        "`failing` (those whose calls would fail without), `inline` (all) or `never`.",
        default="failing",
        check=values.one_of("failing", "inline", "never"),
    )
    root_namespace: str = setting(
        "Istio's root namespace: an EnvoyFilter there is for all sidecars.",
        default="istio-system",
        check=values.label,
    )
    most: int = setting(
        "Ports that have filters for all callers (tiers 1 and 2); further ones stay at tier 0, and the last quarter is "
        "for those that need rules. Istiod holds each filter against each listener of each sidecar with every push.",
        default=500,
        check=values.between(1, 100_000),
    )
    files: RouteFilesConfig = setting("Rules from files.", factory=RouteFilesConfig)


@dataclass(frozen=True, slots=True)
class SidecarConfig:
    """What sidecars are told."""

    missing: str = setting(
        "What becomes of a request whose group or version nobody has, where those of its interface live in several "
        "Services: `closed` (it is refused) or `open` (it goes where the plain name leads).",
        default="closed",
        check=values.one_of("closed", "open"),
    )
    istio: IstioConfig = setting("Envoy under Istio.", factory=IstioConfig)
    ads: AdsConfig = setting("The ADS server, for sidecars without Istio.", factory=AdsConfig)
    share: ShareConfig = setting("What replicas share through the cluster.", factory=ShareConfig)
