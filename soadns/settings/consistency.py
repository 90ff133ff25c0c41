"""What each key of the configuration allows but together can not work."""

from __future__ import annotations

import os
from collections.abc import Iterator

from soadns import pod
from soadns.addresses import ANY, parse_address
from soadns.settings.config import Config, ZooKeeperConfig
from soadns.settings.schema import Problem
from soadns.settings.sidecarconfig import AdsConfig
from soadns.settings.skydnsconfig import SkydnsConfig
from soadns.settings.stateconfig import PeersConfig
from soadns.settings.transferconfig import TransferConfig


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
    yield from _transfer(config.transfer)
    yield from _peers(config.state.peers)
    yield from _skydns(config.skydns, tuple(zone.origin for zone in config.zones))
    yield from _listeners(config)


def _listeners(config: Config) -> Iterator[Problem]:
    """No port can be listened on twice, nor by one for all addresses beside one for some."""
    one_each = {
        "sidecar.ads.listen": config.sidecar.ads.listen,
        "http.listen": config.http.listen,
        "http.probes": config.http.probes,
        "http.livez": config.http.livez,
        "state.peers.listen": config.state.peers.listen,
    }
    listeners = [("nameserver.listen", text) for text in config.nameserver.listen]
    listeners += [("nameserver.tls.listen", text) for text in config.nameserver.tls.listen]
    listeners += [("transfer.listen", text) for text in config.transfer.listen]
    listeners += one_each.items()
    seen: list[tuple[str, str, tuple[str, int]]] = []
    for name, text in listeners:
        address = parse_address(text)
        if address is None or not address[1]:
            continue
        for other, earlier, taken in seen:
            if _same_place(address, taken):
                where = other if text == earlier else f"in {earlier} of {other}"
                yield Problem(name, f"{text} is {where} already")
                break
        seen.append((name, text, address))


def _same_place(one: tuple[str, int], other: tuple[str, int]) -> bool:
    families = {":" in host for host, _ in (one, other)}
    everywhere = one[0] in ANY or other[0] in ANY
    return one[1] == other[1] and len(families) == 1 and (one[0] == other[0] or everywhere)


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


def _transfer(transfer: TransferConfig) -> Iterator[Problem]:
    if transfer.listen and not (transfer.allow or transfer.keys):
        yield Problem("transfer.listen", "whole zones for whoever asks: set transfer.allow or transfer.keys")
    if not transfer.listen and transfer != TransferConfig():
        yield Problem("transfer", "there are settings, but no address to listen on")
    names = [key.name.removesuffix(".").lower() for key in transfer.keys]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(f"transfer.keys[{index}].name", f"{name!r} is used twice")


def _peers(peers: PeersConfig) -> Iterator[Problem]:
    if (peers.hosts or peers.listen) and not peers.token_file:
        yield Problem(
            "state.peers.tokenFile", "a snapshot holds the whole estate: replicas prove who they are"
        )
    if not (peers.hosts or peers.listen) and peers != PeersConfig():
        yield Problem(
            "state.peers", "there are settings, but neither hosts to ask nor an address to listen on"
        )
    tls = peers.tls
    if bool(tls.cert) != bool(tls.key):
        yield Problem("state.peers.tls", "cert and key belong together")
    if tls.cert and not peers.listen:
        yield Problem("state.peers.tls.cert", "there is no state.peers.listen to show it at")
    if tls.ca and not peers.hosts:
        yield Problem("state.peers.tls.ca", "there are no state.peers.hosts to ask by TLS")
    if peers.hosts and peers.listen and bool(tls.cert) != bool(tls.ca):
        have, lack = ("cert", "ca") if tls.cert else ("ca", "cert")
        yield Problem("state.peers.tls", f"{have} without {lack}: replicas would not understand each other")


def _skydns(skydns: SkydnsConfig, origins: tuple[str, ...]) -> Iterator[Problem]:
    if not skydns.endpoints and skydns != SkydnsConfig():
        yield Problem("skydns", "there are settings, but no endpoints to write to")
    for index, name in enumerate(skydns.zones):
        if name.removesuffix(".").lower() not in origins:
            yield Problem(f"skydns.zones[{index}]", f"{name!r} is no zone", _list(origins))
    if bool(skydns.username) != bool(skydns.password_file):
        yield Problem("skydns", "username and passwordFile belong together")
    tls = skydns.tls
    if bool(tls.cert) != bool(tls.key):
        yield Problem("skydns.tls", "cert and key belong together")
    clear = [url for url in skydns.endpoints if not url.startswith("https://")]
    if clear and (tls.ca or tls.cert or tls.key):
        # A password would go over the wire in the clear.
        yield Problem("skydns.tls", f"files are named, but {clear[0]} is not https")
    if any("@" in url for url in skydns.endpoints):
        yield Problem("skydns.endpoints", "credentials do not belong here: username and passwordFile")


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
    if share.events and not share.moves:
        yield Problem(
            "sidecar.share.events",
            "it wants sidecar.share.moves: one replica tells, and its Lease says which",
        )
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
    elif istio.mode != "none" and names:
        yield from _one_cluster(config, share.cluster or names[0])
    if share.moves and not share.namespace and not pod.namespace():
        yield Problem("sidecar.share.namespace", "this is no pod: which namespace?", "soadns")


def _one_cluster(config: Config, written: str) -> Iterator[Problem]:
    """Filters name listeners of the zone's home cluster: they must not be written to another one."""
    wanted = config.sidecar.istio.zone.removesuffix(".").lower()
    for zone in config.zones:
        home = zone.cluster or config.cluster_names[0]
        if wanted in ("", zone.origin) and home != written:
            what = f"the home cluster of {zone.origin}, whose routes are written, is {home!r}, and this is {written!r}"
            yield Problem("sidecar.share.cluster", what, home)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "(there is none)"
