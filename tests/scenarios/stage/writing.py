"""soadns that keeps its filters in the cluster by itself, with the rights that its pages say it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.scenarios.stage.cluster import NAMESPACE
from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.kubernetes import ApiServer
from tests.scenarios.stage.mesh import READS, Mesh
from tests.scenarios.stage.pages import istio_rules, sharing_rules
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import RULES, Service

OWN = "soadns"
"""The namespace of soadns itself."""
LEASE = "6s"
"""Who can not renew it for two thirds of that gives it up: on a machine with much to do nobody is to."""
SHARE = {"moves": True, "namespace": OWN, "lease": LEASE}
WITHIN_S = 60.0
RULES_S = 180.0
"""For a minute after rules of a Service have changed they do not change again. A replica that gets the Lease takes them
to have changed just then."""


def permit(api: ApiServer) -> None:
    """What the pages say that soadns needs to write, and nothing else; pods of ``NAMESPACE`` may mount files."""
    api.create_namespace(OWN)
    rules = istio_rules()
    api.grant([*RULES, *rules["ClusterRole"], *rules["events"]])
    api.grant(rules["Role"], namespace=ROOT)
    api.grant([*rules["Role"], *rules["files"]], namespace=NAMESPACE)
    api.grant(sharing_rules(), namespace=OWN)


class Writing:
    """Both replicas of a mesh from ``begin`` to ``end``: one of them writes. Nothing of soadns's stands before and
    after that."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._replicas = [each.server for each in mesh.town.soadns if isinstance(each.server, Soadns)]
        self._begun = False
        self._before = [each.settings["sidecar"] for each in self._replicas]

    def begin(self) -> None:
        """Permit it and tell both so, unless they write already; returns when one of them has the Lease."""
        if self._begun:
            return
        self._begun = True
        permit(self._mesh.town.api)
        for replica, said in zip(self._replicas, self._before, strict=True):
            istio = {**said["istio"], "mode": "write", "zone": ZONE}
            istio["files"] = {**istio["files"], "delay": "1s"}
            self._configure(replica, {"istio": istio, "share": SHARE})
        assert eventually(lambda: any(map(self._leads, self._replicas)), within=WITHIN_S), self.told()

    def end(self) -> None:
        """Have them as they were, and take back all that they wrote."""
        for replica, said in zip(self._replicas, self._before, strict=True):
            self._configure(replica, said)
        self._mesh.withdraw()
        self._mesh.town.api.grant([*RULES, *READS])

    def _configure(self, replica: Soadns, sidecar: dict[str, Any]) -> None:
        replica.write_config(sidecar=sidecar)
        status, text = replica.cli("reload")
        assert status == 0, text

    def _leads(self, replica: Soadns) -> bool:
        share = json.loads(replica.http("/v1/mesh")[1])["share"]
        return share is not None and bool(share["lease"]["held"])

    # ------------------------------------------------------------------ what stands

    def written(self, service: Service) -> dict[tuple[str, str], str]:
        """The versions of a Service's EnvoyFilters, by namespace and name; soadns alone has written them."""
        found = {}
        for key, each in self._mesh.standing().items():
            if each["metadata"]["annotations"]["soadns.io/service"] == f"{service.namespace}/{service.name}":
                managers = {field["manager"] for field in each["metadata"]["managedFields"]}
                assert managers == {"soadns"}, each
                found[key] = str(each["metadata"]["resourceVersion"])
        return found

    def when_written(self, service: Service, happens: Callable[[], object]) -> None:
        """Do it, and wait until a Service's filters are others by that."""
        before = self.written(service)
        happens()
        found = eventually(
            lambda: self.written(service), within=WITHIN_S, until=lambda found: found != before
        )
        assert found != before, self.told()

    def stands(self, service: Service, *namespaces: str) -> None:
        """Wait until a Service has filters in these namespaces, and nowhere else."""

        def look() -> set[str]:
            return {namespace for namespace, _ in self.written(service)}

        found = eventually(look, within=WITHIN_S, until=lambda found: found == set(namespaces))
        assert found == set(namespaces), self.told()

    def rules_go(self, service: Service) -> None:
        """Wait until a Service's filter for all callers has no more than the rule for everything."""

        def look() -> set[str]:
            [name] = [name for namespace, name in self.written(service) if namespace == ROOT]
            return _interfaces(self._mesh.standing()[ROOT, name])

        found = eventually(look, within=RULES_S, until={"*"}.__eq__)
        assert found == {"*"}, self.told()

    def at_rest(self) -> None:
        """Wait until one of them has the Lease, and finds nothing to write."""

        def look() -> list[tuple[int, str]]:
            return [
                replica.cli("export", "envoyfilters", ZONE, "--diff")
                for replica in self._replicas
                if self._leads(replica)
            ]

        found = eventually(look, within=WITHIN_S, until=[(0, "")].__eq__)
        assert found == [(0, "")], f"{found}\n{self.told()}"

    def told(self) -> str:
        """What a failure shows."""
        return "\n".join(f"{each.process.tail()}\n{each.cli('mesh', 'status')[1]}" for each in self._replicas)


def _interfaces(document: dict[str, Any]) -> set[str]:
    """For which interfaces an EnvoyFilter has rules."""
    return {
        rule["interface"]
        for patch in document["spec"]["configPatches"]
        for rule in patch["patch"]["value"]["typed_config"]["multiple_route_config"]["route_config"]
    }
