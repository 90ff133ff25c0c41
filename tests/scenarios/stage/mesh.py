"""A town with Istio: Services of each framework between which interfaces move, and callers with sidecars."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.cluster import NAMESPACE
from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.istiosidecar import Sidecar
from tests.scenarios.stage.kubernetes import collection
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.quarters import TOWN, Quarter
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import RULES, Service
from tests.scenarios.stage.town import Behind, Town, at_once
from tests.scenarios.stage.watch import Line, Watched, rows, watched

BOLT = Quarter("bolt", sofa=True)
OURS = "app.kubernetes.io/managed-by=soadns"
"""The label of what soadns writes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A program that calls."""

    program: str
    protocol: str
    files: bool = False
    """Whether its pod mounts files of rules."""

    def __str__(self) -> str:
        return f"{self.program} with files" if self.files else self.program


CALLERS = (
    Kind("dubbo-2.7.23", "dubbo"), Kind("dubbo-3.3.5", "dubbo"), Kind("dubbo-2.7.23", "dubbo", files=True),
    Kind("dubbo-3.3.5", "dubbo", files=True), Kind("sofarpc-5.6.0", "bolt"), Kind("sofarpc-5.12.0", "bolt"),
)  # fmt: skip
NEVER_LOOKS_UP = "sofarpc-5.6.0"
"""It stays where it is connected; who speaks bolt has no filter that would send its requests elsewhere."""
PROVIDERS = {"dubbo": ("dubbo-3.3.5", TOWN), "bolt": ("sofarpc-5.12.0", BOLT)}
TIMEOUT_MS = 5000
"""Of a call, as its provider says, so that a machine with much to do fails none."""
READS: list[dict[str, Any]] = [
    {"apiGroups": ["networking.istio.io"], "resources": [kind], "verbs": ["list", "watch"]}
    for kind in ("virtualservices", "destinationrules", "sidecars", "envoyfilters")
]
READS += [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]
"""What a replica may do that reads what is said in Istio's words."""
AT_A_TIME = 3
"""So many callers start at a time: a JVM that waits for a core while it connects gives up after three seconds."""
CONFIG_MAPS = tuple(f"soadns-routes-{shard}" for shard in range(4))
STAYS, MOVES, LONELY, STAYS_SHARED, MOVES_SHARED = INTERFACES
SHARED = (STAYS_SHARED, MOVES_SHARED)
"""They are called by the Service's name, so that they have one connection where the framework shares it. The others are
called by names of their own."""

LINES = {
    "stays": STAYS, "moves": MOVES, "stays, by Service name": STAYS_SHARED, "moves, by Service name": MOVES_SHARED,
}  # fmt: skip
"""What all callers call all the time."""


@dataclass
class Estate:
    """One framework's Services. ``user`` has all interfaces; those that move go to ``account`` and come back."""

    quarter: Quarter
    user: Service
    account: Service
    old: Behind
    new: Behind
    at_user: list[str]
    """Znodes of what moves, at ``user``."""
    at_account: list[str]


class Mesh:
    """The estates, and a caller of each program; pods of all callers have sidecars."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.rows: list[dict[str, object]] = []
        """What was seen, for people."""
        self._published: dict[tuple[str, str], dict[str, Any]] = {}
        town.api.grant([*RULES, *READS])
        town.mesh()
        self.estates = dict(zip(PROVIDERS, at_once(self._estate, PROVIDERS), strict=True))
        self.callers = dict(zip(CALLERS, at_once(self._caller, CALLERS, most=AT_A_TIME), strict=True))

    def _estate(self, protocol: str) -> Estate:
        program, quarter = PROVIDERS[protocol]
        said = {"quarter": quarter, "timeout": TIMEOUT_MS}
        user = self.town.shop(f"user-{protocol}", protocol)
        old = self.town.register(program, user, *INTERFACES, **said)
        for interface in INTERFACES:
            self.town.knows(interface, user, quarter=quarter)
        # A pod that leaves the registry altogether while it is ready is believed to have lost its session.
        of_its_own = f"com.example.{protocol}.ByConnections"
        account = self.town.shop(f"account-{protocol}", protocol)
        new = self.town.register(program, account, of_its_own, MOVES, MOVES_SHARED, **said)
        there = self.town.deregister(new, MOVES, MOVES_SHARED, quarter=quarter)
        self.town.knows(of_its_own, account, quarter=quarter)
        if protocol == "bolt":
            self._hold(quarter, dict.fromkeys(INTERFACES, old) | {of_its_own: new})
        self.town.knows(MOVES, user, quarter=quarter)
        return Estate(quarter, user, account, old, new, [], there)

    def _hold(self, quarter: Quarter, registered: Mapping[str, Behind]) -> None:
        """Have interfaces stay in the registry whatever becomes of their pods' sessions, one by one, so that no pod
        leaves altogether. A SOFARPC that makes a new session finds all registered by the old one, with which it goes.
        """
        for interface, pod in registered.items():
            self.town.register_again(self.town.deregister(pod, interface, quarter=quarter))

    def _caller(self, kind: Kind) -> Caller:
        estate = self.estates[kind.protocol]
        caller = self.town.caller(
            kind.program, f"caller-{kind.program.replace('.', '-')}", quarter=estate.quarter, started=False,
            sidecar=True, mounts=CONFIG_MAPS if kind.files else (),
        )  # fmt: skip
        caller.start("-Dsun.net.inetaddr.ttl=1", "-Dconsumer.reconnect.period=1000")
        for interface, url in self.urls(kind.protocol).items():
            caller.direct[interface] = {"directUrl" if kind.protocol == "bolt" else "url": url}
            caller.refer(interface)
        return caller

    def urls(self, protocol: str) -> Mapping[str, str]:
        """What callers are told of each interface: what soadns exports, or the same with the Service's name."""
        estate = self.estates[protocol]
        words = [word for name in INTERFACES for word in ("--interface", name)]
        form = "sofa" if protocol == "bolt" else "resolve"
        text = self.town.exported(*words, "--format", form, quarter=estate.quarter)
        lines = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
        named = {key.partition(":")[0]: url for key, url in lines.items()}
        return {
            name: re.sub("://[^:]+", f"://{host(estate.user)}", url) if name in SHARED else url
            for name, url in named.items()
        }

    def estate_of(self, caller: Caller) -> Estate:
        """The one that a caller calls."""
        [kind] = [kind for kind, other in self.callers.items() if other is caller]
        return self.estates[kind.protocol]

    def sidecar(self, kind: Kind) -> Sidecar:
        """The one of a caller."""
        return self.town.sidecar(self.callers[kind])

    # ------------------------------------------------------------------ what happens

    def move(self, protocol: str) -> None:
        """What moves is registered at ``account`` from now on, and no more at ``user``."""
        estate = self.estates[protocol]
        self.town.register_again(estate.at_account)
        estate.at_user = self.town.deregister(estate.old, MOVES, MOVES_SHARED, quarter=estate.quarter)

    def move_back(self, protocol: str) -> None:
        """And at ``user`` again."""
        estate = self.estates[protocol]
        self.town.register_again(estate.at_user)
        self.town.deregister(estate.new, MOVES, MOVES_SHARED, quarter=estate.quarter)

    def watch(
        self,
        situation: str,
        lines: Iterable[Line],
        happens: Callable[[], object],
        *,
        moved: bool | Collection[Kind] = False,
        at_least: float = 3.0,
        within: float = 15.0,
        cut: Collection[Kind] = (),
        story: str = "",
    ) -> Watched:
        """What becomes of all calls while something happens; ``moved``: whether what moves is at ``account`` then, or
        for which callers; ``story``: to which the rows belong, where there are several.

        By the Service's name SOFARPC's calls stay with the Service all the same. Connections are those to ``user``.
        """
        lines = list(lines)
        followers = [*self.callers] if moved is True else moved or ()
        moved_for = [self.callers[kind] for kind in followers]

        def there(line: Line) -> str:
            estate, bolt = self.estate_of(line.caller), self.estate_of(line.caller).quarter == BOLT
            by_name = line.interface == MOVES and line.caller.kind != NEVER_LOOKS_UP
            follows = by_name or (line.interface == MOVES_SHARED and not bolt)
            return (estate.new if line.caller in moved_for and follows else estate.old).home.name

        places = [(each.user.cluster_ip, each.user.port) for each in self.estates.values()]
        kinds = {caller: str(kind) for kind, caller in self.callers.items()}
        found = watched(
            lines, happens, there=there, places=places, at_least=at_least, within=within,
            cut=[self.callers[kind] for kind in cut],
        )  # fmt: skip
        whose = {"story": story} if story else {}
        self.rows += [{**whose, **row} for row in rows(situation, kinds, found)]
        print(f"{situation}\n{found}")
        return found

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply objects as people do with kubectl."""
        for document in documents:
            self.town.api.apply(document)

    def exported(self, *, read: bool = False) -> dict[str, Any]:
        """What ``soadns export envoyfilters`` prints: of the replica that reads nothing of Istio's, or that does."""
        soadns = self.reader if read else self.town.operator
        done = soadns.verb("export", "envoyfilters", ZONE, "-o", "json")
        assert done.stdout, done.stderr
        said = dict(json.loads(done.stdout))
        assert not [item["problems"] for item in said["items"] if item["problems"]], done.stdout
        return said

    @property
    def reader(self) -> Soadns:
        """The replica that reads Istio's objects."""
        server = self.town.soadns[-1].server
        assert isinstance(server, Soadns)
        return server

    def filters_of(self, service: Service, said: Mapping[str, Any] | None = None) -> set[str]:
        """The names of a Service's EnvoyFilters in what soadns exports, or those that stand."""
        if said is None:
            names = {name for _, name in self._published}
        else:
            names = {each["metadata"]["name"] for item in said["items"] for each in item["filters"]}
        return {name for name in names if name.startswith(f"soadns-{service.namespace}-{service.name}-")}

    def tier(self, service: Service) -> int:
        """The highest tier of a Service's ports for callers without files."""
        for item in self.exported()["items"]:
            if item["service"].endswith(f"/{service.name}"):
                return max(port["tier"] for port in item["ports"])
        return 0

    def standing(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The EnvoyFilters of soadns's that stand, whoever applied them, by namespace and name."""
        found = {}
        for namespace in (ROOT, NAMESPACE):
            where = istio("EnvoyFilter", "", {}, namespace)
            for each in self.town.api.request("GET", f"{collection(where)}?labelSelector={OURS}")["items"]:
                kind = {"apiVersion": where["apiVersion"], "kind": where["kind"]}
                found[_key(each)] = {**each, **kind}
        return found

    def withdraw(self) -> None:
        """Delete them, and then the files of rules; connections by them are cut when this returns."""
        for each in self.standing().values():
            self.town.api.delete(each)
        self.unfiltered()
        self._published = {}
        maps = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": NAMESPACE}}
        for each in self.town.api.request("GET", f"{collection(maps)}?labelSelector={OURS}")["items"]:
            self.town.api.delete({**maps, "metadata": each["metadata"]})

    def unfiltered(self) -> None:
        """Wait until no caller's Envoy has filters of soadns's, and connections by them are cut."""
        late = eventually(
            lambda: [str(kind) for kind in self.callers if self._filtered(kind)],
            within=60.0,
            until=lambda late: not late,
        )
        assert not late, late

    def _filtered(self, kind: Kind) -> bool:
        """Whether a caller's Envoy has filters of soadns's, or cuts connections by them."""
        sidecar = self.sidecar(kind)
        return "dubbo_proxy" in sidecar.get("/config_dump?resource=dynamic_listeners") or sidecar.draining

    def settle(self) -> None:
        """Have what moves registered at ``user`` alone: providers register again all that they provide when ZooKeeper
        was away."""
        self.settle_registry()
        for estate in self.estates.values():
            self.town.knows(MOVES, estate.user, quarter=estate.quarter)

    def settle_registry(self) -> None:
        """The same, whether anybody knows it or not."""
        for estate in self.estates.values():
            taken = self.town.deregister(estate.new, MOVES, MOVES_SHARED, quarter=estate.quarter)
            estate.at_account = taken or estate.at_account

    def publish(self, said: Mapping[str, Any] | None = None) -> None:
        """Apply what soadns exports (or has exported), files of rules first; delete what it exports no more."""
        said = said or self.exported()
        self.apply(*said["configMaps"])
        self.town.mounted(*(key for each in said["configMaps"] for key in each["data"]))
        filters = {_key(each): each for item in said["items"] for each in item["filters"]}
        for key in self._published.keys() - filters.keys():
            self.town.api.delete(self._published.pop(key))
        self.apply(*(each for key, each in filters.items() if each != self._published.get(key)))
        self._published = filters


def _key(document: dict[str, Any]) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]


def host(service: Service) -> str:
    """Its whole name."""
    return f"{service.name}.{service.namespace}.svc.cluster.local"


def cluster(service: Service, subset: str = "") -> str:
    """Istio's name of where its calls go."""
    return f"outbound|{service.port}|{subset}|{host(service)}"


def istio(kind: str, name: str, spec: dict[str, Any], namespace: str = NAMESPACE) -> dict[str, Any]:
    """An object of Istio's traffic management."""
    version = "networking.istio.io/v1alpha3" if kind == "EnvoyFilter" else "networking.istio.io/v1"
    return {
        "apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    }  # fmt: skip
