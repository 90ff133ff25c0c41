"""Istio's own objects, as far as filters stand on them: VirtualServices, DestinationRules, EnvoyFilters.

They are read where their CRDs exist; where they do not, there is no Istio, and that is said. Of EnvoyFilters those of
ours are kept whole, of others what tells whether they are in the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soadns.kubeapi import KubeApi, Resource
from soadns.mesh.filterplan import Name, Standing
from soadns.mesh.mirror import Mirror
from soadns.sidecar.envoyfilters import TCP_PROXY, uid_of

GROUP = "networking.istio.io"
VIRTUAL_SERVICES = Resource("VirtualService", "virtualservices", group=GROUP)
DESTINATION_RULES = Resource("DestinationRule", "destinationrules", group=GROUP)
ENVOY_FILTERS = Resource("EnvoyFilter", "envoyfilters", group=GROUP, version="v1alpha3")


@dataclass(frozen=True, slots=True)
class Foreign:
    """An EnvoyFilter of somebody else that does something to the TCP filters of outbound listeners."""

    name: Name
    listeners: frozenset[str]
    """Those that it names."""
    ports: frozenset[int]
    """Ports all of whose listeners it is for."""
    every: bool
    """Whether it is for all listeners."""

    def concerns(self, listeners: Iterable[str]) -> bool:
        """Whether it is for one of these."""
        return self.every or any(
            each in self.listeners or int(each.rpartition("_")[2]) in self.ports for each in listeners
        )


class IstioReader:
    """What stands in a cluster of Istio's.

    :param namespaces: where EnvoyFilters are read.
    :param hear: called when VirtualServices or DestinationRules (True), or EnvoyFilters (False), changed.
    """

    def __init__(self, api: KubeApi, namespaces: Iterable[str], *, hear: Callable[[bool], None]) -> None:
        self.virtual_services = Mirror(api, VIRTUAL_SERVICES, decode=_reduced, hear=lambda _: hear(True))
        self.destination_rules = Mirror(api, DESTINATION_RULES, decode=_reduced, hear=lambda _: hear(True))
        self._filters = {
            namespace: Mirror(
                api, ENVOY_FILTERS, namespace=namespace, decode=filter_of, hear=lambda _: hear(False)
            )
            for namespace in sorted(set(namespaces))
        }

    @property
    def _all(self) -> list[Mirror[Any]]:
        return [self.virtual_services, self.destination_rules, *self._filters.values()]

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in self._all:
                group.create_task(mirror.run())

    @property
    def synced(self) -> bool:
        """Whether everything was read once."""
        return all(mirror.synced for mirror in self._all)

    @property
    def installed(self) -> bool:
        """Whether the cluster has Istio's kinds."""
        return not any(mirror.absent for mirror in self._all)

    @property
    def trouble(self) -> str:
        """What can not be read now; ``''``: all can."""
        return "; ".join(mirror.trouble for mirror in self._all if mirror.trouble)

    def ours(self) -> dict[Name, Standing]:
        """Our EnvoyFilters."""
        return {
            name: each
            for mirror in self._filters.values()
            for name, each in mirror.values.items()
            if isinstance(each, Standing)
        }

    def foreign(self) -> list[Foreign]:
        """Those of others that may be in the way."""
        found = (each for mirror in self._filters.values() for each in mirror.values.values())
        return sorted((each for each in found if isinstance(each, Foreign)), key=lambda each: each.name)


def _reduced(found: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of a VirtualService or DestinationRule."""
    metadata = found["metadata"]
    kept = {key: metadata.get(key) for key in ("name", "namespace", "creationTimestamp")}
    return {"metadata": kept, "spec": found.get("spec") or {}}


def filter_of(found: dict[str, Any]) -> Standing | Foreign | None:
    """An EnvoyFilter; None for one that is neither ours nor about filters of outbound listeners."""
    metadata = found["metadata"]
    name = (str(metadata.get("namespace") or ""), str(metadata["name"]))
    if uid := uid_of(found):
        metadata.pop("managedFields", None)
        version, object_uid = str(metadata.get("resourceVersion") or ""), str(metadata.get("uid") or "")
        return Standing(found, version, object_uid, uid)
    listeners, ports, every = set(), set(), False
    patches = _map(found.get("spec")).get("configPatches")
    for patch in patches if isinstance(patches, list) else ():
        if not _in_the_way(_map(patch)):
            continue
        listener = _map(_map(_map(patch).get("match")).get("listener"))
        if isinstance(text := listener.get("name"), str) and text:
            listeners.add(text)
        elif isinstance(port := listener.get("portNumber"), int) and port:
            ports.add(port)
        else:
            every = True
    if not (listeners or ports or every):
        return None
    return Foreign(name, frozenset(listeners), frozenset(ports), every)


def _in_the_way(patch: Mapping[str, Any]) -> bool:
    """Whether a patch takes the TCP filter of outbound listeners away, or changes it, which a filter of ours undoes."""
    match, operation = _map(patch.get("match")), _map(patch.get("patch")).get("operation")
    if match.get("context", "ANY") not in ("ANY", "SIDECAR_OUTBOUND"):
        return False
    if patch.get("applyTo") in ("LISTENER", "FILTER_CHAIN"):
        return operation == "REMOVE"
    named = _map(_map(_map(match.get("listener")).get("filterChain")).get("filter")).get("name") or TCP_PROXY
    return (
        patch.get("applyTo") == "NETWORK_FILTER"
        and operation in ("REPLACE", "REMOVE", "MERGE")
        and named == TCP_PROXY
    )


def _map(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
