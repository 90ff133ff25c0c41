"""What each key of the configuration allows but together can not work."""

from __future__ import annotations

import os
from collections.abc import Iterator

from soadns.config import Config, ZooKeeperConfig
from soadns.kubeapi import pod_namespace
from soadns.schema import Problem
from soadns.sidecarconfig import AdsConfig


def problems(config: Config) -> Iterator[Problem]:
    """Everything of that kind, by path."""
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
    yield from _share(config)
    for index, ensemble in enumerate(config.zookeeper):
        yield from _ensemble(f"zookeeper[{index}]", ensemble)
    tls = config.nameserver.tls
    if tls.listen and not (tls.cert and tls.key):
        yield Problem("nameserver.tls", "listen wants a cert and its key")
    if (tls.cert or tls.key) and not tls.listen:
        yield Problem("nameserver.tls", "files are named, but no address to listen on")
    yield from _ads(config.sidecar.ads)
    listeners = {
        "sidecar.ads.listen": config.sidecar.ads.listen,
        "http.listen": config.http.listen,
        "http.probes": config.http.probes,
        "http.livez": config.http.livez,
    }
    seen: dict[str, str] = {}
    for name, address in listeners.items():
        if address and not address.endswith(":0") and address in seen:
            yield Problem(name, f"{address} is {seen[address]} already")
        seen[address] = name


def _ads(ads: AdsConfig) -> Iterator[Problem]:
    if bool(ads.tls.cert) != bool(ads.tls.key):
        yield Problem("sidecar.ads.tls", "cert and key belong together")
    if ads.tls.ca and not ads.tls.cert:
        yield Problem("sidecar.ads.tls", "ca is set, but no cert: without TLS nobody shows a certificate")
    if ads.isolation != "none" and not ads.tls.ca:
        yield Problem("sidecar.ads.isolation", "a namespace is what a certificate says: it wants tls.ca")
    if ads.shared and ads.isolation == "none":
        yield Problem("sidecar.ads.shared", "without isolation everybody is told everything")
    if not ads.listen and ads != AdsConfig():
        yield Problem("sidecar.ads", "there are settings, but no address to listen on")


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


def _share(config: Config) -> Iterator[Problem]:
    share, names = config.sidecar.share, tuple(cluster.name for cluster in config.kubernetes)
    if share.cluster and share.cluster not in names:
        yield Problem("sidecar.share.cluster", f"{share.cluster!r} is no kubernetes entry", _list(names))
    if share.moves and not names:
        yield Problem("sidecar.share.moves", "there is no kubernetes entry to which they could be written")
    istio, zones = config.sidecar.istio, tuple(zone.origin for zone in config.zones)
    if istio.mode == "write" and not share.moves:
        yield Problem(
            "sidecar.istio.mode", "write wants sidecar.share.moves: all replicas must know what moved"
        )
    if istio.mode != "none" and not names:
        yield Problem("sidecar.istio.mode", "there is no kubernetes entry to read from")
    if istio.zone and istio.zone.removesuffix(".").lower() not in zones:
        yield Problem("sidecar.istio.zone", f"{istio.zone!r} is no zone", _list(zones))
    if istio.mode != "none" and not istio.zone and len(zones) > 1:
        yield Problem("sidecar.istio.zone", "there are several zones: whose routes?", _list(zones))
    if share.moves and not share.namespace and not pod_namespace():
        yield Problem("sidecar.share.namespace", "this is no pod: which namespace?", "soadns")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "(there is none)"
