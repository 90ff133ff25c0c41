"""The configuration file: its keys, their defaults (the only home of defaults) and what can not work.

One YAML file becomes one frozen ``Config``; everything wrong with it is reported at once, by path. Secrets
stand in files or the environment, never in this file's values. Conversion into the settings of sources,
zones and processes is ``soadns.composition``'s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from soadns import selectors, yamlfile
from soadns.addresses import parse_address
from soadns.schema import Check, Duration, Problem, convert, plain, reference, setting

DEFAULT_PATH = "/etc/soadns/soadns.yaml"
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")


class ConfigError(Exception):
    """A configuration that can not be used; ``problems`` holds everything that is wrong."""

    def __init__(self, where: str, problems: list[Problem]) -> None:
        self.where = where
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{where}: {len(problems)} problem(s)\n{lines}")


def _one_of(*names: str) -> Check:
    def check(value: str) -> str | None:
        return None if value in names else f"{value!r} is not one of {', '.join(names)}"

    return check


def _between(low: float, high: float) -> Check:
    def check(value: float) -> str | None:
        return None if low <= value <= high else f"{value:g} is not between {low:g} and {high:g}"

    return check


def _address(value: str) -> str | None:
    if value and parse_address(value) is None:
        return f"{value!r} is no address:port"
    return None


def _addresses(values: tuple[str, ...]) -> str | None:
    if not values:
        return _any(values)
    if wrong := next(filter(None, map(_address, values)), None):
        return wrong
    seen = [parse_address(value) for value in values]
    return next((f"{v!r} is named twice" for i, v in enumerate(values) if seen[i] in seen[:i]), None)


def _any(values: tuple[str, ...]) -> str | None:
    return None if values else "at least one is needed"


def _networks(values: tuple[str, ...]) -> str | None:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            return f"{value!r} is no network"
    return None


def _hosts(value: str) -> str | None:
    servers, slash, chroot = value.partition("/")
    if "@" in value:  # which is not repeated: it may be a secret
        return "credentials do not belong here: auth.credentialsFile"
    if not servers.strip():
        return "no host"
    for server in servers.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or int(found["port"] or 1) not in range(1, 65_536):
            return f"{server.strip()!r} is no host or host:port"
    if slash and ("," in chroot or not all(chroot.split("/"))):
        return f"the chroot {'/' + chroot!r} is no path"
    return None


def _name(value: str) -> str | None:
    return None if _NAME.fullmatch(value) else f"{value!r} is no name: letters, digits, '-', '_' and '.'"


def _root(value: str) -> str | None:
    well = value == "/" or (value.startswith("/") and all(value[1:].split("/")))
    return None if well else "must begin with / and name each level"


def _zone_name(value: str) -> str | None:
    labels = value.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(value) > 200:
        return f"{value!r} is no zone name"
    return None


def _selector(value: str) -> str | None:
    return _spelt(selectors.parse, value)


def _pairs(value: str) -> str | None:
    return _spelt(selectors.pairs, value)


def _spelt(read: Callable[[str], object], value: str) -> str | None:
    try:
        read(value)
    except selectors.SelectorError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class ClaimConfig:
    """A name prefix that belongs to one namespace."""

    prefix: str = setting("Pattern of interface names, `*` for any text.", example="com.alipay.pay.*")
    namespace: str = setting("Namespace whose declarations may take such names.", example="pay")


@dataclass(frozen=True, slots=True)
class ZoneConfig:
    """A DNS zone and what feeds it."""

    name: str = setting("The zone's name.", example="rpc.cluster.local", check=_zone_name)
    registries: tuple[str, ...] = setting(
        "Names of `zookeeper` and `static` entries whose providers it sees; empty: all.", default=()
    )
    cluster: str = setting("Its home cluster, whose ClusterIPs it answers; empty: the first one.", default="")
    clusters: tuple[str, ...] = setting(
        "Further clusters, answered by their home twin or load balancer.", default=()
    )
    namespaces: tuple[str, ...] = setting("Namespaces whose Services it sees; empty: all.", default=())
    selector: str = setting("Labels its Services must carry.", default="", example="team=pay", check=_pairs)
    ttl: int = setting(
        "TTL in seconds of answers with a ClusterIP.", default=30, example="30", check=_between(0, 86_400)
    )
    provider_ttl: int = setting(
        "TTL in seconds of answers with provider or pod addresses.", default=5, check=_between(0, 86_400)
    )
    negative_ttl: int = setting("TTL in seconds of negative answers.", default=5, check=_between(0, 3_600))
    unmapped: str = setting(
        "What a name without a Service answers: `providers` (their own addresses) or `nxdomain`.",
        default="providers",
        check=_one_of("providers", "nxdomain"),
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
        check=_root,
    )
    dialect: str = setting("`dubbo` or `sofa`.", default="dubbo", check=_one_of("dubbo", "sofa"))


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Credentials of an ensemble."""

    scheme: str = setting("ZooKeeper's auth scheme.", default="digest")
    credentials_file: str = setting("File that holds `user:password`.", default="", example="/etc/soadns/zk")
    credentials_env: str = setting("Environment variable that holds `user:password`.", default="")


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS towards an ensemble."""

    enabled: bool = setting("Speak TLS.", default=False)
    ca: str = setting("File of CA certificates.", default="")
    cert: str = setting("File of the client certificate.", default="")
    key: str = setting("File of the client key.", default="")
    key_password_file: str = setting("File of the key's password.", default="")
    check_hostname: bool = setting("Check the server's name against its certificate.", default=True)


@dataclass(frozen=True, slots=True)
class ZooKeeperConfig:
    """A ZooKeeper ensemble that holds registries."""

    hosts: str = setting(
        "Connect string, with chroot if there is one.", example="zk1:2181,zk2:2181/chroot", check=_hosts
    )
    name: str = setting("Its name here.", default="main", check=_name)
    roots: tuple[RootConfig, ...] = setting("The registry trees to read.", factory=lambda: (RootConfig(),))
    networks: tuple[str, ...] = setting(
        "Networks in which its providers' addresses may match endpoints; empty: all.",
        default=(),
        example="10.0.0.0/8",
        check=_networks,
    )
    required: bool = setting("Whether zones wait for it before they answer.", default=True)
    auth: AuthConfig = setting("Credentials.", factory=AuthConfig)
    tls: TlsConfig = setting("TLS.", factory=TlsConfig)
    read_only: bool = setting(
        "Accept servers in read-only mode; they take sessions only with their `localSessionsEnabled`.",
        default=False,
    )
    max_in_flight: int = setting("Most reads under way at once.", default=64, check=_between(1, 1_000))
    session_timeout: Duration = setting(
        "Session timeout asked for.", default=Duration(10), check=_between(1, 600)
    )


@dataclass(frozen=True, slots=True)
class KubernetesConfig:
    """A Kubernetes cluster."""

    name: str = setting("Its name here.", default="home", check=_name)
    kubeconfig: str = setting("kubeconfig file; empty: the pod's service account.", default="")
    context: str = setting("Context of the kubeconfig; empty: its current one.", default="")
    domain: str = setting("The cluster's DNS domain, for Istio hosts.", default="cluster.local")
    namespaces: tuple[str, ...] = setting("Namespaces to read; empty: all (needs a ClusterRole).", default=())
    selector: str = setting(
        "Label selector on Services.", default="", example="team in (pay, user)", check=_selector
    )
    nodes: str = setting(
        "Read Nodes (evidence by nodePort): `auto` (if permitted), `always`, `never`.",
        default="auto",
        check=_one_of("auto", "always", "never"),
    )
    networks: tuple[str, ...] = setting(
        "Networks of its pods; empty: all.", default=(), example="10.244.0.0/16", check=_networks
    )
    flat: bool = setting("Its pods can be reached from the home cluster.", default=False)
    required: bool = setting("Whether zones wait for it before they answer.", default=True)


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """Files and folders of manifests and provider URLs."""

    paths: tuple[str, ...] = setting(
        "Files and folders, re-read on change.", example="/etc/soadns/static", check=_any
    )
    name: str = setting("Its name here.", default="static", check=_name)
    cluster: str = setting("Cluster name given to its Services.", default="home", check=_name)
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
        check=_between(0, 1),
    )


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """The brake on mass removals."""

    share: float = setting(
        "Share of a source's names that may vanish together.", default=0.2, check=_between(0, 1)
    )
    minimum: int = setting("Number of names below which nothing is held.", default=20, check=_between(1, 1e9))
    release_after: Duration | None = setting(
        "Let held removals happen after this time; none: never.", default=None
    )


@dataclass(frozen=True, slots=True)
class NameserverConfig:
    """The DNS server."""

    listen: tuple[str, ...] = setting(
        "Addresses for UDP and TCP.", default=("127.0.0.1:5353",), example="0.0.0.0:1053", check=_addresses
    )
    workers: int | None = setting(
        "Worker processes; none: one for each core that the cgroup grants.",
        default=None,
        check=_between(1, 64),
    )
    udp_size: int = setting("Largest UDP reply in octets.", default=1232, check=_between(512, 4_096))
    identity: str = setting("What NSID and id.server answer; empty: nothing.", default="")
    lameduck: Duration = setting(
        "How long to go on answering after SIGTERM, while /readyz says 503.", default=Duration(0)
    )


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP listeners."""

    listen: str = setting(
        "Address of the API, with probes and metrics.", default="127.0.0.1:8053", check=_address
    )
    probes: str = setting(
        "A further address for /livez, /readyz and /metrics only.",
        default="",
        example="0.0.0.0:8054",
        check=_address,
    )
    livez: str = setting(
        "Address of the supervisor's own /livez.", default="", example="0.0.0.0:8055", check=_address
    )
    token_file: str = setting("File of the bearer token that the API asks for.", default="")


@dataclass(frozen=True, slots=True)
class StateConfig:
    """What survives a restart."""

    directory: str = setting(
        "Folder of the snapshot; empty: none outlives the process.", default="", example="/var/lib/soadns"
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Logging."""

    level: str = setting("`debug`, `info`, `warning` or `error`.", default="info",
                     check=_one_of("debug", "info", "warning", "error"))  # fmt: skip
    format: str = setting("`keyvalue` or `json`.", default="keyvalue", check=_one_of("keyvalue", "json"))


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


def load(path: str | Path) -> Config:
    """The configuration of a file. Raises ConfigError."""
    return parse(read(path), where=str(path))


def read(path: str | Path) -> bytes:
    """The text of a configuration file. Raises ConfigError."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"can not be read: {error.strerror}")]) from None


def parse(text: bytes | str, *, where: str) -> Config:
    """The configuration of a file's text. Raises ConfigError."""
    try:
        documents = yamlfile.load_all(text, where=where)
    except yamlfile.YamlError as error:
        raise ConfigError(where, [Problem(f"line {error.line}", error.problem)]) from None
    if len(documents) > 1:
        raise ConfigError(where, [Problem("", "one YAML document is expected")])
    problems: list[Problem] = []
    config = convert(documents[0] if documents else {}, Config, "", problems)
    if config is not None:
        named = {problem.path for problem in problems}
        problems += [problem for problem in checks(config) if problem.path not in named]
    if problems or config is None:
        raise ConfigError(where, problems)
    return config


def checks(config: Config) -> Iterator[Problem]:
    """What each key allows but together can not work."""
    if not (config.zookeeper or config.kubernetes or config.static):
        yield Problem("", "no source: set zookeeper, kubernetes or static", "zookeeper: [{hosts: zk1:2181}]")
    if not config.zones:
        yield Problem("zones", "at least one zone is needed", "zones: [{name: rpc.cluster.local}]")
    for section in ("zones", "zookeeper", "kubernetes", "static"):
        names = [item.name.removesuffix(".").lower() for item in getattr(config, section)]
        for index, item in enumerate(getattr(config, section)):
            if names[index] in names[:index]:
                yield Problem(f"{section}[{index}].name", f"{item.name!r} is used twice")
    ensembles = [ensemble.name.lower() for ensemble in config.zookeeper]
    for index, files in enumerate(config.static):
        if files.name.lower() in ensembles:  # zones[].registries names either
            yield Problem(f"static[{index}].name", f"{files.name!r} is a zookeeper entry already")
    yield from _references(config)
    for index, ensemble in enumerate(config.zookeeper):
        yield from _ensemble(f"zookeeper[{index}]", ensemble)
    listeners = {
        "http.listen": config.http.listen,
        "http.probes": config.http.probes,
        "http.livez": config.http.livez,
    }
    seen: dict[str, str] = {}
    for name, address in listeners.items():
        if address and not address.endswith(":0") and address in seen:
            yield Problem(name, f"{address} is {seen[address]} already")
        seen[address] = name


def _ensemble(where: str, ensemble: ZooKeeperConfig) -> Iterator[Problem]:
    if not ensemble.roots:
        yield Problem(f"{where}.roots", "at least one root is needed", "[{path: /dubbo}]")
    paths = [root.path for root in ensemble.roots]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            yield Problem(f"{where}.roots[{index}].path", f"{path!r} is used twice")
    auth, tls = ensemble.auth, ensemble.tls
    if auth.credentials_file and auth.credentials_env:
        yield Problem(f"{where}.auth", "set credentialsFile or credentialsEnv, not both")
    if auth.credentials_env and auth.credentials_env not in os.environ:
        yield Problem(f"{where}.auth.credentialsEnv", f"{auth.credentials_env} is not in the environment")
    if bool(tls.cert) != bool(tls.key):
        yield Problem(f"{where}.tls", "cert and key belong together")
    if tls.key_password_file and not tls.key:
        yield Problem(f"{where}.tls", "keyPasswordFile is set, but no key")
    if (tls.ca or tls.cert or tls.key) and not tls.enabled:
        # Credentials would go over the wire in the clear.
        yield Problem(f"{where}.tls", "files are named, but enabled is false")


def _references(config: Config) -> Iterator[Problem]:
    for index, zone in enumerate(config.zones):
        path = f"zones[{index}]"
        for name in zone.registries:
            if name not in config.registry_names:
                yield Problem(
                    f"{path}.registries",
                    f"{name!r} is no zookeeper or static entry",
                    _list(config.registry_names),
                )
        named = [("cluster", zone.cluster), *(("clusters", name) for name in zone.clusters)]
        for key, name in named:
            if name and name not in config.cluster_names:
                yield Problem(f"{path}.{key}", f"{name!r} is no cluster", _list(config.cluster_names))


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "(there is none)"


def effective(config: Config) -> dict[str, object]:
    """The configuration as plain data with all defaults. It holds no secret: those stand elsewhere."""
    return plain(config)  # type: ignore[no-any-return]


def reference_page() -> str:
    """The documentation of every key, as Markdown; ``docs/configuration.md`` holds the same text."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for path, kind, default, doc in reference(Config):
        shown = f"`{default}`" if default not in ("", "none", "required") else default
        lines.append(f"| `{path}` | {kind} | {shown} | {doc} |")
    return "\n".join(lines) + "\n"
