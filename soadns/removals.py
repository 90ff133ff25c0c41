"""What a new configuration would take away from a running soadns, and which names stand on it. Pure.

Each ``Loss`` is told to the operator and says which names it concerns. Where only the new sources themselves could tell
(whether another kubeconfig means another cluster), it is taken for one. Claims are no loss: without them another
Service has the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import PurePath

from soadns import composition, selectors
from soadns.binding.evidence import DECLARED, ENDPOINT, EXPOSED
from soadns.binding.networks import Network, within
from soadns.binding.observations import same
from soadns.binding.zone import Zone
from soadns.model import Binding, InterfaceId, Service
from soadns.settings.config import Config, KubernetesConfig, StaticConfig, ZoneConfig, ZooKeeperConfig
from soadns.sources.zksettings import identity


@dataclass(frozen=True, slots=True)
class Standing:
    """A name that is answered, and what its answer stands on."""

    zone: Zone
    interface: InterfaceId
    answer: Binding
    service: Service | None
    """The one that answers, if it is known."""

    @property
    def cluster(self) -> str:
        """Of that Service; ``''`` without one."""
        return self.answer.service.cluster if self.answer.service is not None else ""

    @property
    def registries(self) -> set[str]:
        """The sources that provide the interface."""
        known = self.zone.store.interfaces.get(self.interface)
        return set(known.registries) if known is not None else set()

    def provided_within(self, networks: Iterable[Network]) -> bool:
        """Whether any provider is there."""
        known = self.zone.store.interfaces.get(self.interface)
        lives = known.live.values() if known is not None else ()
        return any(within(live.provider.host, networks) for live in lives)


def _nothing(_: Standing) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that is taken away."""

    what: str
    zone: str = ""
    """The origin of the only zone that loses it; empty: all."""
    sources: frozenset[str] = frozenset()
    """Source ids that fall silent."""
    kept: Mapping[str, tuple[PurePath, ...]] = field(default_factory=dict)
    """Source id → the files and folders that it keeps, where it loses others."""
    concerns: Callable[[Standing], bool] = _nothing


# --------------------------------------------------------------------------- what is lost


def losses(old: Config, new: Config) -> list[Loss]:
    """Everything a new configuration takes away: sources, parts of them, zones, and what zones see."""
    return [
        *_zookeeper(old.zookeeper, {z.name: z for z in new.zookeeper}),
        *_kubernetes(old.kubernetes, {k.name: k for k in new.kubernetes}),
        *_static(old.static, {s.name: s for s in new.static}),
        *_zones(old, new),
    ]


def _zookeeper(old: Iterable[ZooKeeperConfig], new: Mapping[str, ZooKeeperConfig]) -> Iterator[Loss]:
    for before in old:
        name, ids = before.name, frozenset(composition.zookeeper_ids(before))
        after = new.get(name)
        if after is None:
            yield Loss(f"ensemble {name}", sources=ids)
            continue
        if not same(identity(before.hosts), identity(after.hosts)):
            yield Loss(f"ensemble {name} at {before.hosts} ({after.hosts} is another)", sources=ids)
        dialects = {root.path: root.dialect for root in after.roots}
        for root in before.roots:
            what, source = f"root {root.path} of {name}", frozenset({f"zookeeper/{name}{root.path}"})
            if root.path not in dialects:
                yield Loss(what, sources=source)
            elif dialects[root.path] != root.dialect:
                yield Loss(f"{what} as {root.dialect}", sources=source)
        if gone := _narrowed(before.networks, after.networks):
            left = tuple(map(ip_network, after.networks))
            yield Loss(f"networks {gone} of {name}", concerns=partial(_outside, ids, left))


def _kubernetes(old: Iterable[KubernetesConfig], new: Mapping[str, KubernetesConfig]) -> Iterator[Loss]:
    for before in old:
        name, what, source = before.name, f"cluster {before.name}", frozenset({f"kube/{before.name}"})
        after = new.get(name)
        if after is None:
            yield Loss(what, sources=source)
            continue
        if (before.kubeconfig, before.context) != (after.kubeconfig, after.context):
            words = f"{after.kubeconfig or 'the service account'} {after.context}".strip()
            yield Loss(f"{what} (by {words} it may be another)", sources=source)
        if gone := _narrowed(before.networks, after.networks):
            left = tuple(map(ip_network, after.networks))
            yield Loss(f"networks {gone} of {what}", concerns=partial(_elsewhere, name, left))
        if before.nodes != "never" and after.nodes == "never":
            yield Loss(f"Nodes of {what}", concerns=partial(_by_nodes, name))
        if before.flat and not after.flat:
            yield Loss(f"pods of {what}, not flat any more", concerns=partial(_remote, name))
        for part in _unseen(what, before, after):
            yield Loss(part, concerns=partial(_out_of_sight, name, after))


def _static(old: Iterable[StaticConfig], new: Mapping[str, StaticConfig]) -> Iterator[Loss]:
    for before in old:
        name, source = before.name, f"static/{before.name}"
        after = new.get(name)
        if after is None or after.cluster != before.cluster:
            as_cluster = f" as cluster {before.cluster}" if after is not None else ""
            yield Loss(f"static source {name}{as_cluster}", sources=frozenset({source}))
            continue
        left = tuple(map(PurePath, after.paths))
        for path in before.paths:
            if not _below(PurePath(path), left):
                yield Loss(f"path {path} of {name}", kept={source: left})


def _zones(old: Config, new: Config) -> Iterator[Loss]:
    zones = {zone.origin: zone for zone in new.zones}
    fed = {zone.name: zone for zone in composition.zone_settings(new)}
    for zone, before in zip(old.zones, composition.zone_settings(old), strict=True):
        origin, what = zone.origin, f"zone {zone.name}"
        after = zones.get(origin)
        if after is None:
            yield Loss(what, zone=origin, concerns=lambda _: True)
            continue
        if gone := (before.sources - fed[origin].sources) & composition.source_ids(new):
            yield Loss(f"sources {', '.join(sorted(gone))} of {what}", zone=origin, sources=gone)
        home, other = before.clusters.home, fed[origin].clusters.home
        if home != other and before.cluster_sources.get(home) in fed[origin].sources:
            yield Loss(
                f"home cluster {home} of {what}", zone=origin, concerns=partial(_without_twin, home, other)
            )
        if zone.unmapped != "nxdomain" and after.unmapped == "nxdomain":
            yield Loss(f"names without a Service in {what}", zone=origin, concerns=_without_service)
        for part in _unseen(what, zone, after):
            yield Loss(part, zone=origin, concerns=partial(_out_of_sight, "", after))


def _unseen(
    what: str, old: ZoneConfig | KubernetesConfig, new: ZoneConfig | KubernetesConfig
) -> Iterator[str]:
    """Services that fall out of sight by narrower namespaces or another selector."""
    before, after = set(old.namespaces), set(new.namespaces)
    if after and not before:
        yield f"namespaces all others of {what}"
    elif after and before - after:
        yield f"namespaces {', '.join(sorted(before - after))} of {what}"
    if new.selector and set(selectors.parse(new.selector)) - set(selectors.parse(old.selector)):
        yield f"Services without {new.selector} in {what}"


def _narrowed(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """The networks that fall out; none were configured means all."""
    if not new:
        return ""
    if not old:
        return "all others"
    kept = [ip_network(text) for text in new]
    return ", ".join(text for text in old if not any(_contains(wide, ip_network(text)) for wide in kept))


def _contains(wide: Network, narrow: Network) -> bool:
    if isinstance(wide, IPv4Network):
        return isinstance(narrow, IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, IPv6Network) and narrow.subnet_of(wide)


def _below(path: PurePath, folders: Iterable[PurePath]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


# --------------------------------------------------------------------------- whom it concerns


def names_concerned(zones: Mapping[str, Zone], taken: Iterable[Loss]) -> set[tuple[str, InterfaceId]]:
    """(zone, interface) of the answered names that stand on what is lost."""
    found: set[tuple[str, InterfaceId]] = set()
    for origin, zone in zones.items():
        mine = [loss for loss in taken if loss.zone in ("", origin)]
        silent = {source for loss in mine for source in loss.sources}
        partly = _held_back(zone, {s: paths for loss in mine for s, paths in loss.kept.items()})
        for standing in standings(zone):
            lost = silent | {s for s, held in partly.items() if standing.interface not in held}
            if _falls(standing, lost, partly) or any(loss.concerns(standing) for loss in mine):
                found.add((origin, standing.interface))
    return found


def standings(zone: Zone) -> Iterator[Standing]:
    """Every name that is answered."""
    for interface, answer in zone.outcomes.items():
        if isinstance(answer, Binding):
            ref = answer.service
            service = zone.store.services.by_ref.get(ref) if ref is not None else None
            yield Standing(zone, interface, answer, service)


def _held_back(zone: Zone, kept: Mapping[str, tuple[PurePath, ...]]) -> dict[str, set[object]]:
    """Of static sources that lose paths: what the others still hold, interfaces and Services."""
    held: dict[str, set[object]] = {}
    for source, paths in kept.items():
        held[source] = found = set()
        for key, value in zone.observations.source(source).values.items():
            if _below(PurePath(key[0]), paths):
                found.add(getattr(value, "interface", None) or getattr(value, "ref", None))
    return held


def _falls(standing: Standing, lost: set[str], partly: Mapping[str, set[object]]) -> bool:
    """Whether the Service that answers, or everybody who provides, is of a source that is lost."""
    if standing.answer.service is not None and standing.answer.kind != "providers":
        source = standing.zone.settings.cluster_sources.get(standing.cluster, "")
        if source in partly:
            return standing.answer.service not in partly[source]
        if source in lost:
            return True
        if standing.answer.evidence == DECLARED:
            return False
    registries = standing.registries or set(standing.zone.sources.get(standing.interface, ()))
    return bool(registries) and registries <= lost


def _outside(ids: frozenset[str], left: tuple[Network, ...], standing: Standing) -> bool:
    by_endpoint = standing.answer.evidence == ENDPOINT and standing.registries <= ids
    return by_endpoint and not standing.provided_within(left)


def _elsewhere(cluster: str, left: tuple[Network, ...], standing: Standing) -> bool:
    by_endpoint = standing.answer.evidence == ENDPOINT and standing.cluster == cluster
    return by_endpoint and not standing.provided_within(left)


def _by_nodes(cluster: str, standing: Standing) -> bool:
    return standing.answer.evidence == EXPOSED and standing.cluster == cluster


def _remote(cluster: str, standing: Standing) -> bool:
    return standing.answer.kind == "remote" and standing.cluster == cluster


def _without_twin(home: str, other: str, standing: Standing) -> bool:
    ref = standing.answer.service
    if ref is None or ref.cluster != home or standing.answer.kind == "providers":
        return False
    return ref._replace(cluster=other) not in standing.zone.store.services.by_ref


def _without_service(standing: Standing) -> bool:
    return standing.answer.kind == "providers"


def _out_of_sight(cluster: str, after: ZoneConfig | KubernetesConfig, standing: Standing) -> bool:
    service = standing.service
    if service is None or (cluster and standing.cluster != cluster) or standing.answer.kind == "providers":
        return False
    if after.namespaces and service.ref.namespace not in after.namespaces:
        return True
    return not selectors.matches(after.selector, dict(service.labels))
