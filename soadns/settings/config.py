"""The keys of the configuration, and the only home of their defaults.

One YAML file becomes one frozen ``Config`` (``soadns.settings.configfile`` reads it). Secrets stand in files or the
environment, never in this file's values. Conversion into the settings of sources, zones and processes is
``soadns.composition``'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from soadns.settings import values
from soadns.settings.schema import Duration, setting
from soadns.settings.sidecarconfig import SidecarConfig
from soadns.settings.skydnsconfig import SkydnsConfig
from soadns.settings.stateconfig import StateConfig
from soadns.settings.transferconfig import TransferConfig


@dataclass(frozen=True, slots=True)
class ClaimConfig:
    """A name prefix that belongs to one namespace."""

    prefix: str = setting("Pattern of interface names, `*` for any text.", example="com.alipay.pay.*")
    namespace: str = setting("Namespace whose declarations may take such names.", example="pay")


@dataclass(frozen=True, slots=True)
class ZoneConfig:
    """A DNS zone and what feeds it."""

    name: str = setting("The zone's name.", example="rpc.cluster.local", check=values.zone_name)
    registries: tuple[str, ...] = setting(
        "Names of `zookeeper` and `static` entries whose providers it sees; empty: all.", default=()
    )
    cluster: str = setting("Its home cluster, whose ClusterIPs it answers; empty: the first one.", default="")
    clusters: tuple[str, ...] = setting(
        "Further clusters, answered by their home twin or load balancer.", default=()
    )
    namespaces: tuple[str, ...] = setting("Namespaces whose Services it sees; empty: all.", default=())
    selector: str = setting(
        "Labels its Services must carry.", default="", example="team=pay", check=values.pairs
    )
    ttl: int = setting(
        "TTL in seconds of answers with a ClusterIP.",
        default=30,
        example="30",
        check=values.between(0, 86_400),
    )
    provider_ttl: int = setting(
        "TTL in seconds of answers with provider or pod addresses.",
        default=5,
        check=values.between(0, 86_400),
    )
    negative_ttl: int = setting(
        "TTL in seconds of negative answers.", default=5, check=values.between(0, 3_600)
    )
    unmapped: str = setting(
        "What a name without a Service answers: `providers` (their own addresses) or `nxdomain`.",
        default="providers",
        check=values.one_of("providers", "nxdomain"),
    )
    claims: tuple[ClaimConfig, ...] = setting("Name prefixes that belong to namespaces.", default=())

    @property
    def origin(self) -> str:
        """The name without its case and final dot: what tells zones apart."""
        return self.name.removesuffix(".").lower()


@dataclass(frozen=True, slots=True)
class RootConfig:
    """One registry tree of an ensemble."""

    path: str = setting(
        "The znode that holds the interfaces.",
        default="/dubbo",
        example="/dubbo",
        check=values.root,
    )
    dialect: str = setting("`dubbo` or `sofa`.", default="dubbo", check=values.one_of("dubbo", "sofa"))


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Credentials of an ensemble."""

    scheme: str = setting("ZooKeeper's auth scheme.", default="digest")
    credentials_file: str = setting(
        "File that holds `user:password`. Read again when it changes.", default="", example="/etc/soadns/zk"
    )
    credentials_env: str = setting("Environment variable that holds `user:password`.", default="")


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS towards an ensemble."""

    enabled: bool = setting("Speak TLS.", default=False)
    ca: str = setting("File of CA certificates.", default="")
    cert: str = setting("File of the client certificate.", default="")
    key: str = setting("File of the client key.", default="")
    key_password_file: str = setting("File of the key's password. Read again when it changes.", default="")
    check_hostname: bool = setting("Check the server's name against its certificate.", default=True)


@dataclass(frozen=True, slots=True)
class ZooKeeperConfig:
    """A ZooKeeper ensemble that holds registries."""

    hosts: str = setting(
        "Connect string, with chroot if there is one.", example="zk1:2181,zk2:2181/chroot", check=values.hosts
    )
    name: str = setting("Its name here.", default="main", check=values.name)
    roots: tuple[RootConfig, ...] = setting("The registry trees to read.", factory=lambda: (RootConfig(),))
    networks: tuple[str, ...] = setting(
        "Networks in which its providers' addresses may match endpoints; empty: all.",
        default=(),
        example="10.0.0.0/8",
        check=values.networks,
    )
    required: bool = setting("Whether zones wait for it before they answer.", default=True)
    auth: AuthConfig = setting("Credentials.", factory=AuthConfig)
    tls: TlsConfig = setting("TLS.", factory=TlsConfig)
    read_only: bool = setting(
        "Accept servers in read-only mode; they take sessions only with their `localSessionsEnabled`.",
        default=False,
    )
    max_in_flight: int = setting("Most reads under way at once.", default=64, check=values.between(1, 1_000))
    session_timeout: Duration = setting(
        "Session timeout asked for.", default=Duration(10), check=values.between(1, 600)
    )


@dataclass(frozen=True, slots=True)
class KubernetesConfig:
    """A Kubernetes cluster."""

    name: str = setting("Its name here.", default="home", check=values.name)
    kubeconfig: str = setting("kubeconfig file; empty: the pod's service account.", default="")
    context: str = setting("Context of the kubeconfig; empty: its current one.", default="")
    domain: str = setting("The cluster's DNS domain, for Istio hosts.", default="cluster.local")
    namespaces: tuple[str, ...] = setting("Namespaces to read; empty: all (needs a ClusterRole).", default=())
    selector: str = setting(
        "Label selector on Services.", default="", example="team in (pay, user)", check=values.selector
    )
    nodes: str = setting(
        "Read Nodes (evidence by nodePort): `auto` (if permitted), `always`, `never`.",
        default="auto",
        check=values.one_of("auto", "always", "never"),
    )
    networks: tuple[str, ...] = setting(
        "Networks of its pods; empty: all.", default=(), example="10.244.0.0/16", check=values.networks
    )
    flat: bool = setting("Its pods can be reached from the home cluster.", default=False)
    required: bool = setting("Whether zones wait for it before they answer.", default=True)


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """Files and folders of manifests and provider URLs."""

    paths: tuple[str, ...] = setting(
        "Files and folders, re-read on change.", example="/etc/soadns/static", check=values.some
    )
    name: str = setting("Its name here.", default="static", check=values.name)
    cluster: str = setting("Cluster name given to its Services.", default="home", check=values.name)
    required: bool = setting("Whether zones wait for it before they answer.", default=True)


@dataclass(frozen=True, slots=True)
class BindingConfig:
    """Clocks and shares of binding."""

    linger: Duration = setting("How long a name outlives its evidence.", default=Duration(600))
    settle: Duration = setting(
        "Quiet time before an address counts against an interface.", default=Duration(5)
    )
    recreate_grace: Duration = setting(
        "How long a deleted Service's ClusterIP is answered.", default=Duration(10)
    )
    unready: Duration = setting("How long an empty, unready Service is waited for.", default=Duration(60))
    stale: Duration = setting(
        "How long an older application at a reused address is not used.", default=Duration(60)
    )
    board_share: float = setting(
        "Share of an interface's providers a Service must hold to take it from the old world.",
        default=0.5,
        check=values.between(0, 1),
    )


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """The brake on mass removals."""

    share: float = setting(
        "Share of a source's names that may vanish together.", default=0.2, check=values.between(0, 1)
    )
    minimum: int = setting(
        "Number of names below which nothing is held.", default=20, check=values.between(1, 1e9)
    )
    release_after: Duration | None = setting(
        "Let held removals happen after this time; none: never.", default=None
    )


@dataclass(frozen=True, slots=True)
class DnsOverTlsConfig:
    """DNS over TLS (RFC 7858)."""

    listen: tuple[str, ...] = setting(
        "Addresses; none: no DNS over TLS.", default=(), example="0.0.0.0:8853", check=values.any_addresses
    )
    cert: str = setting("PEM file of the certificate chain. Read again when it changes.", default="")
    key: str = setting("PEM file of its key, without a password. Read again when it changes.", default="")


@dataclass(frozen=True, slots=True)
class NameserverConfig:
    """The DNS server."""

    listen: tuple[str, ...] = setting(
        "Addresses for UDP and TCP.",
        default=("127.0.0.1:5353",),
        example="0.0.0.0:1053",
        check=values.addresses,
    )
    workers: int | None = setting(
        "Worker processes; none: one for each core that the cgroup grants.",
        default=None,
        check=values.between(1, 64),
    )
    udp_size: int = setting("Largest UDP reply in octets.", default=1232, check=values.between(512, 4_096))
    identity: str = setting("What NSID and id.server answer; empty: nothing.", default="")
    lameduck: Duration = setting(
        "How long to go on answering after SIGTERM, while /readyz says 503.", default=Duration(0)
    )
    tls: DnsOverTlsConfig = setting("DNS over TLS.", factory=DnsOverTlsConfig)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP listeners."""

    listen: str = setting(
        "Address of the API, with probes and metrics.", default="127.0.0.1:8053", check=values.address
    )
    probes: str = setting(
        "A further address for /livez, /readyz and /metrics only.",
        default="",
        example="0.0.0.0:8054",
        check=values.address,
    )
    livez: str = setting(
        "Address of the supervisor's own /livez.", default="", example="0.0.0.0:8055", check=values.address
    )
    token_file: str = setting("File of the bearer token that the API asks for.", default="")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Logging."""

    level: str = setting("`debug`, `info`, `warning` or `error`.", default="info",
                     check=values.one_of("debug", "info", "warning", "error"))  # fmt: skip
    format: str = setting(
        "`keyvalue` or `json`.", default="keyvalue", check=values.one_of("keyvalue", "json")
    )


def _default_zones() -> tuple[ZoneConfig, ...]:
    return (ZoneConfig(name="rpc.cluster.local"),)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    zones: tuple[ZoneConfig, ...] = setting("DNS zones.", factory=_default_zones)
    zookeeper: tuple[ZooKeeperConfig, ...] = setting("ZooKeeper ensembles.", default=())
    kubernetes: tuple[KubernetesConfig, ...] = setting("Kubernetes clusters.", default=())
    static: tuple[StaticConfig, ...] = setting("Files as a source.", default=())
    binding: BindingConfig = setting("How names are bound.", factory=BindingConfig)
    guard: GuardConfig = setting("The brake on mass removals.", factory=GuardConfig)
    nameserver: NameserverConfig = setting("The DNS server.", factory=NameserverConfig)
    http: HttpConfig = setting("The HTTP API.", factory=HttpConfig)
    sidecar: SidecarConfig = setting("What sidecars are told.", factory=SidecarConfig)
    transfer: TransferConfig = setting("Zones for other name servers.", factory=TransferConfig)
    skydns: SkydnsConfig = setting("Zones in etcd, for CoreDNS.", factory=SkydnsConfig)
    state: StateConfig = setting("What survives a restart.", factory=StateConfig)
    log: LogConfig = setting("Logging.", factory=LogConfig)

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """Names of all clusters, in order."""
        names = [k.name for k in self.kubernetes] + [s.cluster for s in self.static]
        return tuple(dict.fromkeys(names))

    @property
    def registry_names(self) -> tuple[str, ...]:
        """Names a zone may list as registries."""
        return tuple([z.name for z in self.zookeeper] + [s.name for s in self.static])
