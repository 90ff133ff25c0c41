"""From the configuration to the settings of zones, sources and processes; nothing is opened here.

The one place where names of the configuration meet source ids: ``zookeeper/<name><root>``, ``kube/<name>``,
``static/<name>``.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from soadns import credentials, selectors
from soadns.binding.clusters import Clusters
from soadns.binding.evidence import Claim
from soadns.binding.guard import GuardSettings
from soadns.binding.networks import Network
from soadns.binding.sight import StoreSettings
from soadns.binding.sites import SiteTimes
from soadns.binding.state import Rules
from soadns.binding.zonesettings import ZoneSettings
from soadns.config import Config, KubernetesConfig, TlsConfig, ZoneConfig, ZooKeeperConfig
from soadns.configfile import ConfigError
from soadns.kubeapi import KubeApi, pod_namespace
from soadns.logs import Log
from soadns.mesh.filterwriter import FilterSettings
from soadns.mesh.mesh import Mesh, Sharing
from soadns.mesh.renderings import Told
from soadns.schema import Problem
from soadns.sidecar.tiers import Wishes
from soadns.sources import Source
from soadns.sources.kube import KubeSettings, KubeSource
from soadns.sources.static import StaticSettings, StaticSource
from soadns.sources.zkclient import Root, Tls, ZooKeeperSettings, identity
from soadns.sources.zookeeper import ZooKeeperSource


def zone_settings(config: Config) -> list[ZoneSettings]:
    """The settings of every zone."""
    return [_zone(config, zone) for zone in config.zones]


def _zone(config: Config, zone: ZoneConfig) -> ZoneSettings:
    binding = config.binding
    home = zone.cluster or (config.cluster_names[0] if config.cluster_names else "home")
    clusters = {home, *zone.clusters} if zone.cluster or zone.clusters else set(config.cluster_names)
    registries = set(zone.registries or config.registry_names)
    sources, optional, cluster_sources = set(), set(), {}
    networks: dict[str, tuple[Network, ...]] = {}
    for ensemble in config.zookeeper:
        ids = zookeeper_ids(ensemble)
        if ensemble.name in registries:
            sources |= ids
            optional |= set() if ensemble.required else ids
            if ensemble.networks:
                networks |= {source: tuple(ip_network(n) for n in ensemble.networks) for source in ids}
    for cluster in config.kubernetes:
        if cluster.name in clusters:
            source = f"kube/{cluster.name}"
            sources.add(source)
            cluster_sources[cluster.name] = source
            optional |= set() if cluster.required else {source}
            if cluster.networks:
                networks[cluster.name] = tuple(ip_network(n) for n in cluster.networks)
    for files in config.static:
        if files.name in registries or files.cluster in clusters:
            source = f"static/{files.name}"
            sources.add(source)
            optional |= set() if files.required else {source}
            cluster_sources.setdefault(files.cluster, source)
    linger = float(binding.linger)
    release = config.guard.release_after
    immediate = frozenset(f"static/{files.name}" for files in config.static)
    return ZoneSettings(
        name=zone.origin,
        nested=tuple(other.origin for other in config.zones if other.origin.endswith(f".{zone.origin}")),
        sources=frozenset(sources),
        optional=frozenset(optional),
        immediate=immediate,
        cluster_sources=cluster_sources,
        clusters=Clusters(
            home=home,
            domains={c.name: c.domain for c in config.kubernetes},
            flat=frozenset(c.name for c in config.kubernetes if c.flat),
        ),
        claims=tuple(Claim(claim.prefix, claim.namespace) for claim in zone.claims),
        rules=Rules(
            linger=linger,
            recreate_grace=float(binding.recreate_grace),
            unready=float(binding.unready),
            board_share=binding.board_share,
            unmapped=zone.unmapped,
        ),
        guard=GuardSettings(
            share=config.guard.share,
            minimum=config.guard.minimum,
            release_after=None if release is None else float(release),
            linger=linger,
        ),
        store=StoreSettings(
            times=SiteTimes(settle=float(binding.settle), stale=float(binding.stale)),
            networks=networks,
            namespaces=frozenset(zone.namespaces),
            selector=selectors.pairs(zone.selector),
            immediate=immediate,
        ),
        ttl=zone.ttl,
        provider_ttl=zone.provider_ttl,
    )


def wishes(config: Config) -> Wishes:
    """How far Istio's sidecars may be told of routes."""
    istio = config.sidecar.istio
    return Wishes(
        balancing=istio.balancing,
        moves=istio.moves,
        root_namespace=istio.root_namespace,
        namespaces=istio.files.namespaces,
        selector=selectors.pairs(istio.files.labels),
        directory=istio.files.directory,
        shards=istio.files.shards,
    )


def zookeeper_ids(ensemble: ZooKeeperConfig) -> set[str]:
    """Source ids of an ensemble."""
    return {f"zookeeper/{ensemble.name}{root.path}" for root in ensemble.roots}


def source_ids(config: Config) -> set[str]:
    """Source ids of everything configured."""
    ids = {f"kube/{cluster.name}" for cluster in config.kubernetes}
    ids |= {f"static/{files.name}" for files in config.static}
    for ensemble in config.zookeeper:
        ids |= zookeeper_ids(ensemble)
    return ids


def zookeeper_settings(ensemble: ZooKeeperConfig) -> ZooKeeperSettings:
    """Settings of an ensemble, with its secrets read. Raises ConfigError."""
    auth, tls = ensemble.auth, ensemble.tls
    try:
        text, password = credentials.of_auth(auth), credentials.of_key(tls)
    except credentials.CredentialError as error:
        raise ConfigError(f"zookeeper ({ensemble.name})", [Problem("", str(error))]) from None
    return ZooKeeperSettings(
        name=ensemble.name,
        hosts=ensemble.hosts,
        roots=tuple(Root(root.path, root.dialect) for root in ensemble.roots),
        auth=(auth.scheme, text) if text else None,
        tls=_tls(tls, password) if tls.enabled else None,
        read_only=ensemble.read_only,
        max_in_flight=ensemble.max_in_flight,
        session_timeout=float(ensemble.session_timeout),
    )


def _tls(tls: TlsConfig, password: str) -> Tls:
    return Tls(
        ca=tls.ca, cert=tls.cert, key=tls.key, key_password=password, check_hostname=tls.check_hostname
    )


def check_secrets(config: Config, *, where: str) -> None:
    """Read every secret once. Raises ConfigError with all that can not be used; ``where`` is the file."""
    if found := list(credentials.problems(config)):
        raise ConfigError(where, found)


def kube_settings(cluster: KubernetesConfig) -> KubeSettings:
    """Settings of a cluster."""
    return KubeSettings(cluster.name, cluster.namespaces, cluster.selector, cluster.nodes)


def kube_api(cluster: KubernetesConfig) -> KubeApi:
    """The connection to a cluster, not opened."""
    return KubeApi(kubeconfig=cluster.kubeconfig, context=cluster.context)


def sources(config: Config) -> list[Source]:
    """Every configured source, not started. Raises ConfigError for a secret that can not be read."""
    found: list[Source] = [ZooKeeperSource(zookeeper_settings(z)) for z in config.zookeeper]
    found += [KubeSource(kube_settings(k), kube_api(k)) for k in config.kubernetes]
    found += [StaticSource(StaticSettings(s.name, s.paths, s.cluster)) for s in config.static]
    return found


def mesh(config: Config, told: Told, *, log: Log, now: Callable[[], float]) -> Mesh | None:
    """What is written to the cluster, or read for that, not started; None where nothing is."""
    share, istio = config.sidecar.share, config.sidecar.istio
    if not share.moves and istio.mode == "none":
        return None
    [cluster, *_] = [k for k in config.kubernetes if share.cluster in ("", k.name)]
    filters = FilterSettings(
        zone=istio.zone.removesuffix(".").lower() or config.zones[0].origin,
        root_namespace=istio.root_namespace,
        try_first=istio.try_first,
        try_for=float(istio.try_for),
        metrics=istio.metrics,
        file_delay=float(istio.files.delay),
        domain=cluster.domain,
        share=config.guard.share,
        minimum=config.guard.minimum,
        write=istio.mode == "write",
    )
    sharing = Sharing(share.namespace or pod_namespace(), float(share.lease)) if share.moves else None
    return Mesh(kube_api(cluster), told, sharing, filters if istio.mode != "none" else None, log=log, now=now)


def known_identities(config: Config) -> dict[str, str]:
    """Identities of sources that the configuration itself tells; clusters must be asked."""
    return {
        source: identity(ensemble.hosts)
        for ensemble in config.zookeeper
        for source in zookeeper_ids(ensemble)
    }
