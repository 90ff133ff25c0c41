"""``soadns check``: every source and permission of a configuration, tried once, and what is missing.

Clients of what is not configured are not loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from soadns import composition
from soadns.model import Rejected, Trouble
from soadns.settings.config import Config, KubernetesConfig
from soadns.skydns.settings import SkydnsSettings
from soadns.sources.static import StaticSettings, StaticSource
from soadns.sources.zksettings import ZooKeeperSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    source: str
    what: str
    problem: str = ""
    """Empty when it works."""
    note: str = ""
    """What is missed for want of it, though soadns goes on without."""
    cure: str = ""
    """What to apply, as text that can be piped (RBAC as YAML)."""


async def check(config: Config) -> list[Finding]:
    """Try everything at once; nothing is changed anywhere. Raises ConfigError for unreadable secrets."""
    tries: list[Awaitable[list[Finding]]] = []
    for ensemble in config.zookeeper:
        settings = composition.zookeeper_settings(ensemble)
        tries.append(_zookeeper(f"zookeeper/{ensemble.name}", settings))
    tries += [_kube(f"kube/{cluster.name}", cluster) for cluster in config.kubernetes]
    tries += [_mesh(f"kube/{cluster.name}", cluster, config) for cluster in composition.mesh_cluster(config)]
    tries += [_static(StaticSettings(f.name, f.paths, f.cluster)) for f in config.static]
    if config.skydns.endpoints:
        tries.append(_skydns(composition.skydns_settings(config)))
    return [finding for found in await asyncio.gather(*tries) for finding in found]


async def _zookeeper(name: str, settings: ZooKeeperSettings) -> list[Finding]:
    from soadns.sources import zkclient

    return [Finding(name, what, problem) for what, problem in await zkclient.probe(settings)]


async def _kube(name: str, cluster: KubernetesConfig) -> list[Finding]:
    from soadns.sources import kubeaccess

    settings, api = composition.kube_settings(cluster), composition.kube_api(cluster)
    try:
        found = await kubeaccess.probe(settings, api)
    finally:
        await api.close()
    return [Finding(name, each.what, each.problem, each.note, each.cure) for each in found]


async def _mesh(name: str, cluster: KubernetesConfig, config: Config) -> list[Finding]:
    from soadns.mesh import access

    api = composition.kube_api(cluster)
    try:
        found = await access.probe(composition.mesh_wants(config), api)
    finally:
        await api.close()
    return [Finding(name, each.what, each.problem, each.note, each.cure) for each in found]


async def _skydns(settings: SkydnsSettings) -> list[Finding]:
    from soadns.skydns import etcd

    found = await etcd.probe(settings.etcd, settings.prefix, settings.leader_key)
    return [Finding("skydns", what, problem) for what, problem in found]


async def _static(settings: StaticSettings) -> list[Finding]:
    source = StaticSource(settings)
    findings = []
    for event in await asyncio.to_thread(source.poll):
        if isinstance(event, Trouble):
            findings.append(Finding(source.source, "read files", event.reason))
        elif isinstance(event, Rejected):
            findings.append(Finding(source.source, event.where, f"{event.reason}: {event.detail}"))
    if not findings:
        findings = [Finding(source.source, f"read {', '.join(settings.paths)}")]
    if others := source.passed_over:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(others.items()))
        what = f"pass over {others.total()} objects that are not for soadns ({kinds})"
        findings.append(Finding(source.source, what))
    return findings
