"""The notation of the tables in ``docs/istio.md``: that of ``docs/sidecar.md``, with tiers and what Envoy is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from soadns.meshed import ports_of
from soadns.model import Service
from soadns.reports.filterviews import Meshing, rendered
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.envoyfilters import Rendered, applied_of
from soadns.sidecar.filterchecks import problems
from soadns.sidecar.tiers import Applied, PortTier, Wishes
from tests.unit.notation import CLUSTERS
from tests.unit.routes_notation import RouteBook
from tests.unit.tables import host_port

Data = dict[str, Any]


@dataclass
class TierBook(RouteBook):
    """An estate whose Services are looked at as Istio's sidecars are told of them."""

    wishes: Wishes = field(default_factory=Wishes)
    virtual_services: dict[str, Data] = field(default_factory=dict)
    destination_rules: dict[str, Data] = field(default_factory=dict)
    applied: dict[str, Applied] = field(default_factory=dict)

    # ---------------------------------------------------------------- verbs

    def do_istio(self, _: list[str], options: dict[str, str]) -> None:
        """What the configuration says."""
        namespaces = tuple(options.pop("files", "").split(",")) if "files" in options else ()
        most, filters = int(options.pop("most", "16")), int(options.pop("filters", "500"))
        wishes = Wishes(namespaces=namespaces, most=most, most_filters=filters)
        self.wishes = replace(wishes, **options)  # type: ignore[arg-type]

    def do_service(self, words: list[str], options: dict[str, str]) -> None:
        """Also the name and the appProtocol of its ports."""
        super().do_service(list(words), options)
        ref = self.ref(words[0])
        key = ("Service", ref.namespace, ref.name)
        service = self.seen[CLUSTERS[ref.cluster]][key]
        assert isinstance(service, Service)
        said = {"name": "name", "app-protocol": "app_protocol"}
        changes = {attribute: options[word] for word, attribute in said.items() if word in options}
        ports = tuple(replace(port, **changes) for port in service.ports)  # type: ignore[arg-type]
        self.seen[CLUSTERS[ref.cluster]][key] = replace(service, ports=ports)

    def do_virtualservice(self, words: list[str], options: dict[str, str]) -> None:
        """``shop/user to=user:v1:90,user:v2:10`` routes its connections so; ``asks=sourceLabels`` of some callers."""
        ref = self.ref(words[0])
        found = []
        for text in options["to"].split(","):
            host, subset, weight = (*text.split(":"), "", "")[:3]
            found.append({"destination": {"host": host, "subset": subset}, "weight": int(weight or "1")})
        match = [{options["asks"]: {"app": "web"}}] if "asks" in options else []
        metadata = {"namespace": ref.namespace, "name": f"{ref.name}{len(words)}"}
        spec = {"hosts": [ref.name], "tcp": [{"match": match, "route": found}]}
        self.virtual_services[" ".join(words)] = {"metadata": metadata, "spec": spec}

    def do_destinationrule(self, words: list[str], options: dict[str, str]) -> None:
        """``shop/user subsets=v1,v2``, or with ``consistentHash``, ``maxConnections`` or ``outlierDetection``."""
        ref = self.ref(words[0])
        subsets = [{"name": name} for name in options.get("subsets", "").split(",") if name]
        policy: Data = {}
        if "consistentHash" in words:
            policy["loadBalancer"] = {"consistentHash": {"useSourceIp": True}}
        if "maxConnections" in words:
            policy["connectionPool"] = {"tcp": {"maxConnections": 5}}
        if "outlierDetection" in words:
            policy["outlierDetection"] = {"consecutive5xxErrors": 5}
        spec = {"host": ref.name, "subsets": subsets, "trafficPolicy": policy}
        metadata = {"namespace": ref.namespace, "name": ref.name}
        self.destination_rules[words[0]] = {"metadata": metadata, "spec": spec}

    def do_apply(self, _: list[str], __: dict[str, str]) -> None:
        """What is rendered now is in force from now on."""
        self.flush()
        refs = sorted({vip.service for vip in self.table.vips.values()})
        objects = [each for ref in refs if (one := self.rendered(ref)) is not None for each in one.filters]
        self.applied = applied_of(objects, self.wishes.root_namespace)

    # ---------------------------------------------------------------- answers

    def rendered(self, ref: Any) -> Rendered | None:
        ports = ports_of(self.table, "home")
        known = Destinations(self.virtual_services.values(), self.destination_rules.values(), ports=ports)
        found = rendered(self.zone, self.table, ref, Meshing(self.wishes, known, self.applied))
        for each in found.filters if found is not None else ():
            assert problems(each, listeners=found.listeners) == []  # type: ignore[union-attr]
        return found

    def check(self, answer: str, subject: str, number: int) -> str:
        """``10.96.0.1 tier 2``, ``10.96.0.1 because …`` (part of the reason), ``10.96.0.1 rules …``."""
        first, _, rest = answer.partition(" ")
        verb, _, said = rest.partition(" ")
        if (
            verb not in ("tier", "because", "rules", "lost", "harm", "untold", "full", "crowded")
            or not first[0].isdigit()
        ):
            return super().check(answer, subject, number)
        port, rules = self.look(first)
        if verb == "because":
            assert said in port.why, f"line {number}: {first} because {port.why!r}"
            return subject
        if verb in ("full", "crowded") and said != "no":
            assert said in getattr(port, verb), f"line {number}: {first} {verb} {getattr(port, verb)!r}"
            return subject
        found = {
            "full": port.full or "no",
            "crowded": port.crowded or "no",
            "tier": f"{port.tier} and 3 in {', '.join(port.files)}" if port.files else str(port.tier),
            "rules": rules or "none",
            "lost": ", ".join(port.lost[2:]) or "nothing else",
            "harm": port.harm or "none",
            "untold": ", ".join(port.untold) or "none",
        }[verb]
        assert found == said, f"line {number}: {first} {verb} {found!r}, not {said!r}"
        return subject

    def look(self, at: str) -> tuple[PortTier, str]:
        """The tier of a ClusterIP and port, and its rules in Envoy."""
        address, number = host_port(at)
        ref = self.table.services.holder(address)
        found = self.rendered(ref) if ref is not None else None
        assert found is not None, at
        [port] = [each for each in found.ports if each.port == number]
        rules = ""
        for each in (one for one in found.filters if one["spec"]["priority"] == 10):
            for patch in each["spec"]["configPatches"]:
                if patch["match"]["listener"]["name"] == f"{address}_{number}":
                    rules = _rules(patch["patch"]["value"]["typed_config"]["multiple_route_config"])
        return port, rules


def _rules(config: Data) -> str:
    return ", ".join(f"{rule['name']}→{_goes(rule['routes'][0]['route'])}" for rule in config["route_config"])


def _goes(action: Data) -> str:
    if "cluster" in action:
        return _short(action["cluster"])
    shares = action["weighted_clusters"]["clusters"]
    return " or ".join(f"{share['weight']} {_short(share['name'])}" for share in shares)


def _short(cluster: str) -> str:
    if "|" not in cluster:
        return "refused"
    _, port, subset, host = cluster.split("|")
    name, namespace = host.split(".")[:2]
    text = f"{namespace}/{name}" + (f" {subset}" if subset else "")
    return text if port == "20880" else f"{text}:{port}"
