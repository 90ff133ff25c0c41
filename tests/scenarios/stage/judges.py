"""What the API server, istiod and Envoy say of an EnvoyFilter that nobody looked at before, and what its calls find."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.mesh import cluster, istio
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.smallmesh import PORT, SmallMesh
from tests.scenarios.stage.stage import Service

Data = dict[str, Any]
WITHIN_S = 60.0
API_SERVER, ISTIOD, ENVOY, ALL, NOBODY = (
    "API server",
    "istiod",
    "Envoy",
    "Envoy, whatever else comes with it",
    "nobody",
)
"""Who refuses."""
PROXY = "envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy"


class Judgement(NamedTuple):
    """Who refused it, what a call at its listener gets then, and whether that passes a filter of soadns's kind."""

    who: str
    said: str
    filtered: bool


def one_rule(service: Service, prefix: str = "") -> Data:
    """A filter with one rule for everything, as soadns writes it, by somebody else."""
    method = {"name": {"safe_regex": {"regex": ".+"}}}
    route = {"match": {"method": method}, "route": {"cluster": cluster(service)}}
    rule = {"name": "*", "interface": "*", "routes": [route]}
    listener = f"{service.cluster_ip}_{PORT}"
    chain = {"filter": {"name": "envoy.filters.network.tcp_proxy"}}
    settings = {
        "@type": f"type.googleapis.com/{PROXY}", "stat_prefix": prefix or cluster(service),
        "multiple_route_config": {"name": "any", "route_config": [rule]},
    }  # fmt: skip
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "listener": {"name": listener, "filterChain": chain}},
        "patch": {
            "operation": "REPLACE",
            "value": {"name": "envoy.filters.network.dubbo_proxy", "typed_config": settings},
        },
    }
    return istio("EnvoyFilter", f"by-hand-{service.name}", {"priority": 10, "configPatches": [patch]}, ROOT)


class Judges:
    """A Service with a good filter, which a bad one takes the place of; and another one whose filter changes often."""

    def __init__(self, small: SmallMesh) -> None:
        self.small = small
        self.victim = small.shop("victim", "com.x.Victim")
        self.other = small.shop("other", "com.x.Other")
        self._markers = 0
        self.good = one_rule(self.victim)
        small.reaches(small.plain, self.victim, "com.x.Victim", "victim")
        self.settle()

    def settle(self) -> None:
        """The good one stands, and each Envoy has it: none refuses any more what stood before."""
        self.small.api.apply(self.good)
        prefix = self.mark()
        for pod in (self.small.plain, self.small.mounting, self.small.dual):
            assert eventually(lambda pod=pod: pod.requests(prefix) >= 0, within=WITHIN_S), (
                self.small.istiod.said()
            )

    def end(self) -> None:
        """Nothing is left of it."""
        for service in (self.victim, self.other):
            self.small.api.delete(one_rule(service))

    def mark(self) -> str:
        """Change the other Service's filter, well."""
        self._markers += 1
        prefix = f"marker-{self._markers}"
        self.small.api.apply(one_rule(self.other, prefix))
        return prefix

    def arrived(self, prefix: str) -> bool:
        """Whether Envoy has that change."""
        return self.small.plain.requests(prefix) >= 0

    def arrives(self, prefix: str) -> bool:
        """Wait for that: what was applied before it has been there, too."""
        return eventually(lambda: self.arrived(prefix), within=WITHIN_S)

    def judge(self, document: Data) -> Judgement:
        """Apply it; afterwards ``settle``."""
        istiod = self.small.istiod
        since = len(istiod.said().encode())
        try:
            self.small.api.apply(document)
        except AssertionError:
            return self._called(API_SERVER)
        prefix = self.mark()
        assert eventually(lambda: self.arrived(prefix) or self._refusals(since), within=WITHIN_S)
        refusals = self._refusals(since)
        if refusals and not any(f"listener(s) {self.victim.cluster_ip}_{PORT}" in each for each in refusals):
            since = len(istiod.said().encode())
            prefix = self.mark()
            assert eventually(lambda: self._refusals(since), within=WITHIN_S)
            assert not self.arrived(prefix)
            return self._called(ALL)
        # Envoy takes what is good in a response before it says what it refuses; istiod has heard that by the next one.
        assert self.arrives(prefix)
        assert self.arrives(self.mark())
        built = "failed to build envoy filter" not in istiod.said(since)
        return self._called(ENVOY if self._refusals(since) else NOBODY if built else ISTIOD)

    def _refusals(self, since: int) -> list[str]:
        """What the one Envoy that is looked at has refused, in the words of istiod's log from an octet on: others may
        say so late."""
        return re.findall(rf"ACK ERROR {self.small.plain.home.name}\..*", self.small.istiod.said(since))

    def _called(self, who: str) -> Judgement:
        pod, prefix = self.small.plain, cluster(self.victim)
        before = pod.requests(prefix)
        reply = pod.ask(self.victim, "com.x.Victim")
        said = reply.said if not reply.refused else f"status {reply.status}"
        return Judgement(who, said, pod.requests(prefix) > before >= 0)

    def after_a_restart(self) -> list[str]:
        """The Services that have listeners in a sidecar that starts anew."""
        sidecar = self.small.plain.sidecar
        sidecar.kill()
        sidecar.start()
        listeners = sidecar.listeners()
        return [each.name for each in (self.victim, self.other) if f"{each.cluster_ip}_{PORT}" in listeners]
