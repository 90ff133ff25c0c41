"""Who calls the same pods by a Service's name, with nothing of soadns's between: what calls by interface name are
compared with.

The pods are behind a second Service. Its listener in sidecars is Istio's own whatever filter the first one's has, and
so are its clusters: what one side does to connections and pods, the other one's Envoy does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.scenarios.stage.istiosidecar import Sidecar
from tests.scenarios.stage.mesh import cluster
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.stage import Service
from tests.scenarios.stage.town import Behind, Town

DUBBO_PROXY, TCP_PROXY = "envoy.filters.network.dubbo_proxy", "envoy.filters.network.tcp_proxy"


class Control:
    """The second Service, and a caller in a pod with a sidecar of its own."""

    def __init__(
        self, town: Town, program: str, protocol: str, service: Service, pods: Sequence[Behind]
    ) -> None:
        self.service = town.shop(f"{service.name}-control", protocol)
        # No name leads to it, nothing is written for it: it is as if there were no soadns.
        self.service.annotate(traffic="off", moves="never", balancing="connection")
        self.of = service
        for pod in pods:
            self.service.endpoint(pod.home.ip)
            self.service.refer(pod.home.ip, pod.home.name)
        self.caller = town.caller(program, f"{service.name}-control-caller", sidecar=True)
        self.sidecar = town.sidecar(self.caller)
        assert eventually(lambda: self.listener_name in self.sidecar.listeners(), within=60.0)

    def __str__(self) -> str:
        return "by Service name"

    @property
    def services(self) -> tuple[Service, Service]:
        """The first one and this one: what happens to pods happens to them in both."""
        return self.of, self.service

    @property
    def listener_name(self) -> str:
        """Of Istio's listener for it."""
        return f"{self.service.cluster_ip}_{self.service.port}"

    @property
    def cluster(self) -> str:
        """Istio's name of where its calls go."""
        return cluster(self.service)

    def listener(self) -> str:
        """Istio's listener for it, said of the first Service: the same where that has nothing of soadns's."""
        found = self.sidecar.listener(self.listener_name)
        assert DUBBO_PROXY not in found
        assert TCP_PROXY in found
        named = found.replace(self.service.name, self.of.name)
        return re.sub(rf"(?<!\d){re.escape(self.service.cluster_ip)}(?!\d)", self.of.cluster_ip, named)

    def end(self) -> None:
        """Nothing of it is left."""
        self.caller.end()
        self.service.delete_with_endpoints()


def listener(sidecar: Sidecar, service: Service) -> str:
    """What a sidecar has for a Service."""
    return sidecar.listener(f"{service.cluster_ip}_{service.port}")
