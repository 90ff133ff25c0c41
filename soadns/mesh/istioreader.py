"""Istio's own objects, as far as filters stand on them: VirtualServices, DestinationRules, Sidecars, EnvoyFilters.

They are read where their CRDs exist; where they do not, there is no Istio, and that is said. EnvoyFilters are read in
all namespaces: one in a namespace of callers is in the way there, whoever wrote it. Those of ours are kept whole, of
others what tells whether they are in the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soadns.kubeapi import KubeApi, Resource
from soadns.mesh.filterplan import Name, Standing
from soadns.mesh.mirror import Mirror
from soadns.mesh.standing import StandingFilters
from soadns.sidecar.envoyfilters import TCP_PROXY, uid_of

MANAGER = "soadns"
"""As which fields of objects are ours."""
GROUP = "networking.istio.io"
VIRTUAL_SERVICES = Resource("VirtualService", "virtualservices", group=GROUP)
DESTINATION_RULES = Resource("DestinationRule", "destinationrules", group=GROUP)
SIDECARS = Resource("Sidecar", "sidecars", group=GROUP)
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

    :param namespaces: where EnvoyFilters are ours to write; those of our making elsewhere are left alone.
    :param hear: called when VirtualServices or DestinationRules (True), or anything else (False), changed.
    """

    def __init__(self, api: KubeApi, namespaces: Iterable[str], *, hear: Callable[[bool], None]) -> None:
        self.virtual_services = Mirror(api, VIRTUAL_SERVICES, decode=_reduced, hear=lambda _: hear(True))
        self.destination_rules = Mirror(api, DESTINATION_RULES, decode=_reduced, hear=lambda _: hear(True))
        self.sidecars = Mirror(api, SIDECARS, decode=_reduced, hear=lambda _: hear(False))
        self._filters = Mirror(api, ENVOY_FILTERS, decode=filter_of, hear=self._read)
        self._namespaces = frozenset(namespaces)
        self._tell = hear
        self.ours = StandingFilters()
        """Our EnvoyFilters."""
        self.foreign: dict[Name, Foreign] = {}
        """Those of others that may be in the way."""
        self.foreign_generation = 0
        """How often these changed."""

    def _read(self, names: list[Name]) -> None:
        for name in names:
            found = self._filters.values.get(name)
            standing = isinstance(found, Standing) and name[0] in self._namespaces
            self.ours.put(name, found if isinstance(found, Standing) and standing else None)
            before = self.foreign.pop(name, None)
            if isinstance(found, Foreign):
                self.foreign[name] = found
            self.foreign_generation += before != self.foreign.get(name)
        self._tell(False)

    @property
    def _all(self) -> list[Mirror[Any]]:
        return [self.virtual_services, self.destination_rules, self.sidecars, self._filters]

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

    def in_the_way(self, listeners: Collection[str]) -> list[Name]:
        """EnvoyFilters of others on these listeners, in order."""
        return sorted(name for name, each in self.foreign.items() if each.concerns(listeners))


def _reduced(found: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of anything but an EnvoyFilter."""
    metadata = found["metadata"]
    kept = {key: metadata.get(key) for key in ("name", "namespace", "creationTimestamp")}
    return {"metadata": kept, "spec": found.get("spec") or {}}


def filter_of(found: dict[str, Any]) -> Standing | Foreign | None:
    """An EnvoyFilter; None for one that is neither ours nor about filters of outbound listeners."""
    metadata = found["metadata"]
    name = (str(metadata.get("namespace") or ""), str(metadata["name"]))
    if uid := uid_of(found):
        managers = metadata.pop("managedFields", None)
        version, object_uid = str(metadata.get("resourceVersion") or ""), str(metadata.get("uid") or "")
        return Standing(found, version, object_uid, uid, _by_us_alone(managers))
    listeners, ports, every = set(), set(), False
    spec = _map(found.get("spec"))
    patches = spec.get("configPatches") if not spec.get("targetRefs") else ()  # else sidecars ignore it
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


def _by_us_alone(managers: object) -> bool:
    """Whether nobody else has a hand in what is in ``spec``."""
    found = map(_map, managers if isinstance(managers, list) else ())
    owners = {each.get("manager") for each in found if "f:spec" in _map(each.get("fieldsV1"))}
    return owners == {MANAGER}


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
