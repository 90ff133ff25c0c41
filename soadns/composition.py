"""From the configuration to the settings of zones, sources and processes; nothing is opened here.

What is not configured is not loaded: a process without a cluster knows no client of one. What is, is loaded before
anything is served, and never later, when another version of soadns may stand in its place on the disk.

The one place where names of the configuration meet source ids: ``zookeeper/<name><root>``, ``kube/<name>``,
``static/<name>``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from math import ceil
from typing import TYPE_CHECKING

from soadns import pod, selectors
from soadns.addresses import parse_address
from soadns.binding.clusters import Clusters
from soadns.binding.evidence import Claim
from soadns.binding.guard import GuardSettings
from soadns.binding.networks import Network
from soadns.binding.sight import StoreSettings
from soadns.binding.sites import SiteTimes
from soadns.binding.state import Rules
from soadns.binding.zonesettings import ZoneSettings
from soadns.figures import CredentialFigures
from soadns.logs import Log
from soadns.mesh.filtersettings import FilterSettings
from soadns.settings import credentials
from soadns.settings.config import Config, KubernetesConfig, TlsConfig, ZoneConfig, ZooKeeperConfig
from soadns.settings.configfile import ConfigError
from soadns.settings.renewed import Renewed
from soadns.settings.schema import Problem
from soadns.sidecar.tiers import Wishes
from soadns.skydns.settings import EtcdSettings, SkydnsSettings
from soadns.sources import Source
from soadns.sources.static import StaticSettings, StaticSource
from soadns.sources.zksettings import Root, Tls, ZooKeeperSettings, identity
from soadns.transfer.settings import KeyFile, TransferSettings

if TYPE_CHECKING:
    from soadns.kubeapi import KubeApi
    from soadns.mesh.access import Wants
    from soadns.mesh.mesh import Mesh
    from soadns.mesh.renderings import Told
    from soadns.sources.kube import KubeSettings


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


def transfer_settings(config: Config) -> TransferSettings:
    """Who may have zones, and who is told of changes."""
    transfer = config.transfer
    return TransferSettings(
        listen=_addresses(transfer.listen),
        allow=tuple(map(ip_network, transfer.allow)),
        keys=tuple(
            KeyFile(key.name.removesuffix(".").lower(), key.algorithm, key.secret_file)
            for key in transfer.keys
        ),
        notify=_addresses(transfer.notify),
        history=transfer.history,
    )


def skydns_settings(config: Config) -> SkydnsSettings:
    """What is published to which etcd."""
    skydns, tls = config.skydns, config.skydns.tls
    etcd = EtcdSettings(skydns.endpoints, skydns.username, skydns.password_file, tls.ca, tls.cert, tls.key)
    names = [name.removesuffix(".").lower() for name in skydns.zones]
    return SkydnsSettings(
        etcd=etcd,
        prefix=skydns.prefix,
        owner=skydns.owner,
        zones=frozenset(names or (zone.origin for zone in config.zones)),
        clear=skydns.mode == "clear",
        resync=float(skydns.resync),
        lease=ceil(skydns.lease),
        share=config.guard.share,
        minimum=config.guard.minimum,
    )


def _addresses(texts: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple(address for address in map(parse_address, texts) if address is not None)


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
        most=istio.files.most,
        most_filters=istio.most,
        whole=_whole(config.kubernetes),
    )


def _whole(clusters: Iterable[KubernetesConfig]) -> frozenset[str] | None:
    """The namespaces all of whose Services are read in each cluster; None: all."""
    found: frozenset[str] | None = None
    for cluster in clusters:
        if cluster.selector:
            return frozenset()
        if cluster.namespaces:
            here = frozenset(cluster.namespaces)
            found = here if found is None else found & here
    return found


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
    try:
        return _zookeeper_settings(ensemble)
    except credentials.CredentialError as error:
        raise ConfigError(f"zookeeper ({ensemble.name})", [Problem("", str(error))]) from None


def zookeeper_settings_now(
    ensemble: ZooKeeperConfig, figures: CredentialFigures, *, log: Log
) -> Callable[[], ZooKeeperSettings]:
    """What tells the settings of an ensemble at any time: files of secrets may be renewed.

    What can not be read there is ``unusable`` until it can; what can not be read elsewhere raises ConfigError.
    """
    files = [ensemble.auth.credentials_file, ensemble.tls.key_password_file if ensemble.tls.enabled else ""]
    if not any(files):
        first = zookeeper_settings(ensemble)
        return lambda: first
    load, without = partial(_zookeeper_settings, ensemble), _with_secrets(ensemble, "", "")
    read = Renewed(f"zookeeper/{ensemble.name}", files, load, without, figures, log=log)

    def now() -> ZooKeeperSettings:
        found = read()
        return replace(found, unusable=read.problem) if found is without else found

    return now


def _zookeeper_settings(ensemble: ZooKeeperConfig) -> ZooKeeperSettings:
    return _with_secrets(ensemble, credentials.of_auth(ensemble.auth), credentials.of_key(ensemble.tls))


def _with_secrets(ensemble: ZooKeeperConfig, text: str, password: str) -> ZooKeeperSettings:
    auth, tls = ensemble.auth, ensemble.tls
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


def kube_settings(cluster: KubernetesConfig) -> KubeSettings:
    """Settings of a cluster."""
    from soadns.sources.kube import KubeSettings

    return KubeSettings(cluster.name, cluster.namespaces, cluster.selector, cluster.nodes)


def kube_api(cluster: KubernetesConfig) -> KubeApi:
    """The connection to a cluster, not opened."""
    from soadns.kubeapi import KubeApi

    return KubeApi(kubeconfig=cluster.kubeconfig, context=cluster.context)


def sources(config: Config, figures: CredentialFigures, *, log: Log) -> list[Source]:
    """Every configured source, not started. Raises ConfigError for a variable with a secret that is not there."""
    found: list[Source] = []
    if config.zookeeper:
        from soadns.sources.zookeeper import ZooKeeperSource

        found += [ZooKeeperSource(zookeeper_settings_now(z, figures, log=log)) for z in config.zookeeper]
    if config.kubernetes:
        from soadns.sources.kube import KubeSource

        found += [KubeSource(kube_settings(k), kube_api(k)) for k in config.kubernetes]
    found += [StaticSource(StaticSettings(s.name, s.paths, s.cluster)) for s in config.static]
    return found


def mesh_cluster(config: Config) -> list[KubernetesConfig]:
    """The cluster to which is written, or that is read for that; none where there is none."""
    return [k for k in config.kubernetes if config.sidecar.share.cluster in ("", k.name)][:1]


def mesh_wants(config: Config) -> Wants:
    """What soadns is to do with that cluster."""
    from soadns.mesh.access import Wants

    share, istio = config.sidecar.share, config.sidecar.istio
    return Wants(
        namespace=share.namespace or pod.namespace(),
        moves=share.moves,
        events=share.events,
        mode=istio.mode,
        root_namespace=istio.root_namespace,
        try_first=istio.try_first,
        files=istio.files.namespaces,
        shards=istio.files.shards,
        metrics=istio.metrics,
        namespaces=tuple(name for cluster in mesh_cluster(config) for name in cluster.namespaces),
    )


def mesh(config: Config, told: Told, *, log: Log, now: Callable[[], float]) -> Mesh | None:
    """What is written to the cluster, or read for that, not started; None where nothing is."""
    share, istio = config.sidecar.share, config.sidecar.istio
    if not share.moves and istio.mode == "none":
        return None
    from soadns.mesh.mesh import Mesh, Sharing

    [cluster] = mesh_cluster(config)
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
    sharing = None
    if share.moves:
        namespace = share.namespace or pod.namespace()
        sharing = Sharing(namespace, float(share.lease), share.events, cluster.name)
    return Mesh(kube_api(cluster), told, sharing, filters if istio.mode != "none" else None, log=log, now=now)


def fed(config: Config) -> dict[str, str]:
    """What each zone learns from, and which part of that, as one word.

    Where two replicas agree in it, what one has seen is what the other would have.
    """
    how: dict[str, object] = {}
    for ensemble in config.zookeeper:
        for root in ensemble.roots:
            how[f"zookeeper/{ensemble.name}{root.path}"] = root.dialect
    for cluster in config.kubernetes:
        parts = selectors.parse(cluster.selector)
        labels = sorted([part.key, sorted(part.values or ("*",)), part.wanted] for part in parts)
        how[f"kube/{cluster.name}"] = [sorted(cluster.namespaces), labels, cluster.nodes]
    for files in config.static:
        how[f"static/{files.name}"] = [files.cluster, sorted(files.paths)]
    found = {}
    for settings in zone_settings(config):
        sources = {source: how[source] for source in sorted(settings.sources)}
        seen = [sorted(settings.store.namespaces), sorted(settings.store.selector)]
        text = json.dumps([sources, settings.clusters.home, seen])
        found[settings.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def known_identities(config: Config) -> dict[str, str]:
    """Identities of sources that the configuration itself tells; clusters must be asked."""
    return {
        source: identity(ensemble.hosts)
        for ensemble in config.zookeeper
        for source in zookeeper_ids(ensemble)
    }
