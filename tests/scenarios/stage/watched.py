"""Three soadns that a Prometheus scrapes, and all that they need.

``main`` does all that soadns can: it reads ZooKeeper and Services, writes to the cluster what has moved and
EnvoyFilters, keeps the zone in an etcd, asks a real istiod what sidecars refuse, serves ADS and gives its snapshot to
other replicas. ``other`` is another release in another namespace, with files for a registry and a lot that can move at
once. ``lost`` is a replica that is not running yet, and will never reach its ZooKeeper.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from tests.ports import free_port
from tests.scenarios.stage import istiokinds
from tests.scenarios.stage.adsclient import AdsClient
from tests.scenarios.stage.istiod import ROOT, Istiod
from tests.scenarios.stage.kubernetes import Etcd
from tests.scenarios.stage.pages import istio_rules, sharing_rules
from tests.scenarios.stage.places import OUTSIDE
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.prometheus import Prometheus, hurried, rules
from tests.scenarios.stage.soadns import ZONE, Callers, Soadns
from tests.scenarios.stage.stage import RULES, Service, Stage
from tests.scenarios.stage.zookeeper import Registration, dubbo_url

HEADLESS = "soadns-headless"
OWN, OTHER = "soadns", "soadns-other"
"""Namespaces of the releases, as Prometheus knows them."""
SERVICES = 6
FILTERS = SERVICES + 3
"""Places for filters for all callers: a quarter is not for such as need none. One is left for each, and ``DENIED``."""
LONG = ".".join(("x" * 60,) * 3)
"""So that a ConfigMap is soon full."""
MANY = 2600
"""Interfaces: more moves of one Service than a ConfigMap has room for."""
DENIED = "denied"
"""A Service whose filters a policy of the API server forbids; it is not there at first."""


class Watched:
    """All of it, while nothing is broken."""

    def __init__(self, stage: Stage, ends: ExitStack) -> None:
        assert stage.api is not None
        assert stage.zookeeper is not None
        self.stage, self.api, self.zookeeper = stage, stage.api, stage.zookeeper
        self._ends = ends
        self._folder = stage.folder
        self.root, self.web = f"{stage.namespace}-istio", f"{stage.namespace}-web"
        self.apart, self.shares = f"{stage.namespace}-other", f"{stage.namespace}-shares"
        self._permit()
        xds, ready, metrics = [("127.0.0.1", free_port()) for _ in range(3)]
        self._xds = f"127.0.0.1:{xds[1]}"
        self._istiod_metrics = f"http://127.0.0.1:{metrics[1]}/metrics"
        self.istiod = Istiod(self._folder / "istiod", self.api, OUTSIDE, listens=(xds, ready, metrics))
        self._started(self.istiod.process.start, self.istiod.kill)
        self.services: list[Service] = []
        self.pods: list[Registration] = []
        self._shops()
        self.etcd = Etcd(self._folder / "skydns")
        self._started(self.etcd.start, self.etcd.process.kill)
        self._peers, self._ads = free_port(), free_port()
        self.main, self.other, self.lost = self._main(), self._other(), self._lost()
        for each in (self.main, self.other):
            each.start(ready=False)
        istiokinds.deny_filters(self.api, stage.namespace, DENIED, root=self.root)
        self.istiod.process.wait_until(lambda: self.istiod.metric("istiod_uptime_seconds") > 0, within=60.0)
        for each in (self.main, self.other):
            each.wait_ready()
        given = {"job": HEADLESS, "service": HEADLESS, "endpoint": "metrics", "container": "soadns"}
        pods = {self.main: (OWN, "soadns-0"), self.lost: (OWN, "soadns-1"), self.other: (OTHER, "soadns-0")}
        targets = {
            f"127.0.0.1:{each.http_port}": given | {"namespace": namespace, "pod": pod}
            for each, (namespace, pod) in pods.items()
        }  # fmt: skip
        self.prometheus = Prometheus(self._folder / "prometheus", hurried(rules()), targets)

    def _started(self, start: Callable[[], object], end: Callable[[], object]) -> None:
        self._ends.callback(end)
        start()

    def _permit(self) -> None:
        """What the pages say that soadns needs, and nothing else."""
        api, granted = self.api, istio_rules()
        istiokinds.define(api)
        self.stage.at_the_end(lambda: istiokinds.remove_all(api, self.stage.namespace))
        for name in (ROOT, self.root, self.web, self.apart, self.shares):
            api.create_namespace(name)
        api.grant([*RULES, *granted["ClusterRole"], *granted["events"]])
        api.grant(granted["Role"], namespace=self.root)
        api.grant([*granted["Role"], *granted["files"]], namespace=self.web)
        for name in (self.stage.namespace, self.shares):
            api.grant(sharing_rules(), namespace=name)

    def _shops(self) -> None:
        for number in range(SERVICES):
            self._shop(f"shop-{number}")
        self.full = self._apart("full"), self._apart("new-home")
        self._ips = [self.stage.new_ip() for _ in self.full]
        for service, ip in zip(self.full, self._ips, strict=True):
            service.endpoint(ip)
        self._registry = self._folder / "registry"
        self._registry.mkdir()
        self._moves(0)

    def _shop(self, name: str) -> None:
        service = self.stage.service(name)
        pod = self.stage.pod(service)
        pod.registers(f"com.x.{name}")
        self.services.append(service)
        self.pods.append(pod)

    def _apart(self, name: str) -> Service:
        ports = [{"name": "tcp-20880", "port": 20880, "protocol": "TCP"}]
        service = Service(self.api, self.apart, name, {"ports": ports, "selector": {"app": name}})
        self.stage.at_the_end(service.delete_with_endpoints)
        return service

    def _moves(self, gone: int) -> None:
        """The registry of ``other``: so many interfaces have left ``full``."""
        urls = {}
        for number in range(MANY):
            name = f"{LONG}.I{number}"
            urls[name] = [dubbo_url(name, self._ips[number < gone], 20880, "full", timestamp=1)]
        stays = {"com.x.Stays": self._ips[0], "com.x.There": self._ips[1]}
        urls |= {name: [dubbo_url(name, ip, 20880, "full", timestamp=1)] for name, ip in stays.items()}
        beside = self._folder / "providers"
        beside.write_text(json.dumps({"kind": "Providers", "spec": {"dialect": "dubbo", "providers": urls}}))
        beside.rename(self._registry / "providers.json")

    def _main(self) -> Soadns:
        token = self._folder / "token"
        token.write_text("shown by replicas")
        files = {"namespaces": [self.web], "shards": 1, "delay": "1s", "most": SERVICES}
        istio = {
            "mode": "write", "rootNamespace": self.root, "balancing": "request", "files": files,
            "metrics": [self._istiod_metrics], "most": FILTERS,
        }  # fmt: skip
        share = {"moves": True, "events": True, "namespace": self.stage.namespace, "lease": "2s"}
        found = self.stage.soadns_not_started(
            sidecar={"share": share, "istio": istio, "ads": {"listen": f"127.0.0.1:{self._ads}"}},
            guard={"share": 0.2, "minimum": 3},
            skydns={"endpoints": [self.etcd.url], "lease": "2s", "resync": "2s"},
        )
        peers = {"listen": f"127.0.0.1:{self._peers}", "tokenFile": str(token)}
        found.write_config(state={"directory": str(found.folder / "state"), "peers": peers})
        self.secret = self._folder / "transfer"
        self.secret.write_text("c2hvd24gYnkgc2Vjb25kYXJpZXM=")
        key = {"name": "secondaries", "secretFile": str(self.secret)}
        found.write_config(transfer={"listen": [f"127.0.0.1:{free_port()}"], "keys": [key]})
        return _of_one_worker(found)

    def _other(self) -> Soadns:
        kubeconfig = str(self.api.kubeconfig())
        found = Soadns(
            self._folder / "other",
            {
                "zones": [{"name": ZONE, "namespaces": [self.apart]}],
                "static": [{"name": "registry", "paths": [str(self._registry)], "cluster": "files"}],
                "kubernetes": [{"name": "home", "kubeconfig": kubeconfig, "nodes": "never"}],
                "binding": {"linger": "1s", "settle": "200ms"},
                "guard": {"share": 1},
                "sidecar": {"share": {"moves": True, "namespace": self.shares, "lease": "2s"}},
            },
        )
        self._ends.callback(lambda: found.process.running and found.stop())
        return _of_one_worker(found)

    def _lost(self) -> Soadns:
        nobody = {"name": "main", "hosts": f"127.0.0.1:{free_port()}", "roots": [{"path": "/dubbo"}]}
        found = self.stage.soadns_not_started(zookeeper=[nobody])
        found.write_config(
            transfer={"listen": [f"127.0.0.1:{self._ads}"], "allow": ["127.0.0.1/32"]}
        )  # main has it
        return _of_one_worker(found)

    # ------------------------------------------------------------------ all is well

    def settle(self) -> None:
        """Everybody has done what is to be done; a sidecar is connected, questions are asked, and Prometheus looks."""
        sidecar = AdsClient(f"127.0.0.1:{self._ads}")
        self._ends.callback(sidecar.end)
        threading.Thread(target=_listen, args=(sidecar,), daemon=True).start()
        self._ends.enter_context(Callers(self.main, "com.x.shop-0", every=0.005))

        def settled() -> bool:
            return (
                'soadns_mesh_filters{state="missing"} 0.0' in self.main.http("/metrics")[1]
                and self.main.metric("soadns_mesh_lease_held") == 1
                and self.main.metric('soadns_mesh_filters{state="applied"}') >= SERVICES
                and self.main.metric("soadns_snapshots_total") > 0
                and self.main.metric(f'soadns_skydns_keys{{zone="{ZONE}"}}') > SERVICES
                and self.other.metric("soadns_mesh_lease_held") == 1
            )

        assert eventually(settled, within=120.0), self.main.cli("mesh", "status")[1]
        self._started(self.prometheus.start, self.prometheus.process.stop)
        assert eventually(lambda: self.prometheus.value("count(soadns_zone_complete)") == 2, within=60.0)
        self.prometheus.evaluates()
        # Registered, and not understood: an ordinary sight, and no alert.
        self.pods[0].registers_leaf("com.x.Odd", "/dubbo/com.x.Odd/providers", "dubbo%3A%2F%2F%5B")

    def names(self, alert: str) -> list[dict[str, Any]]:
        """The alerts of that name that fire."""
        return [each for each in self.prometheus.firing() if each["labels"]["alertname"] == alert]


def _of_one_worker(soadns: Soadns) -> Soadns:
    soadns.write_config(nameserver={**soadns.settings["nameserver"], "workers": 1})
    return soadns


def _listen(sidecar: AdsClient) -> None:
    with suppress(Exception):  # its end is the end of the story
        for _ in sidecar.responses():
            pass
