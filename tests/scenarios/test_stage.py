"""A small real world: who calls by name comes through CoreDNS, soadns and a ClusterIP to a pod, whatever he speaks.

The callers here have no framework: one speaks HTTP and looks the name up for every call, one has a protocol of its own
and holds its connections.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.driving import INTERFACES, USER
from tests.scenarios.stage.clients import Caller
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.timeline import (
    API_SERVER,
    CALM,
    COREDNS,
    LOSSES,
    SOADNS,
    ZOOKEEPER,
    Timeline,
    back,
    lost,
)
from tests.scenarios.stage.town import Behind, Town

REST, PRIVATE = "rest", "private-tcp"
KINDS = (REST, PRIVATE)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    world = Town(tmp_path_factory.mktemp("town"))
    try:
        yield world
    finally:
        world.end()


@pytest.mark.parametrize("kind", KINDS)
def test_callers_reach_interfaces_by_name_and_follow_them_to_another_service(kind: str, town: Town) -> None:
    old, new = town.shop(f"old-{kind}", kind), town.shop(f"new-{kind}", kind)
    pods = [town.register(kind, old, *INTERFACES) for _ in range(2)]
    caller = town.caller(kind, "shop")
    town.board(caller, *INTERFACES)
    for interface in INTERFACES:
        town.knows(interface, old)
        caller.refer(interface)
        town.follows(caller, interface, *pods)

    fresh = town.move(new, *pods, interfaces=INTERFACES)

    for interface in INTERFACES:
        town.follows(caller, interface, *fresh)
        town.knows(interface, new)
    town.move(town.shop(f"end-{kind}", kind), *fresh, interfaces=["com.example.shop.Another"])


def test_names_are_found_by_the_resolvers_of_pods(town: Town) -> None:
    service = town.shop("resolvers", REST)
    pod = town.register(REST, service, *INTERFACES)
    for interface in INTERFACES:
        town.knows(interface, service)
    names = [f"{interface.replace('$', '-')}.{ZONE}" for interface in INTERFACES]
    names += [f"{USER.lower()}.{ZONE}", f"{USER.upper()}.{ZONE.upper()}."]
    of_the_cluster = {"resolvers": service.cluster_ip, "kubernetes.default": "10.96.0.1"}
    nobody = f"com.example.shop.Nobody.{ZONE}"
    for libc in ("glibc", "musl"):
        found = town.looks_up(pod.home, *names, *of_the_cluster, nobody, libc=libc)
        assert found.pop(nobody).startswith("error: ")
        assert found == dict.fromkeys(names, service.cluster_ip) | of_the_cluster
    pod.stop()


def rides(town: Town, kind: str) -> tuple[list[Behind], Caller, str]:
    """Two pods that provide an interface, and somebody who calls it by name."""
    service, interface = (
        town.shop(f"faults-{kind}", kind),
        f"com.example.shop.{kind.title().replace('-', '')}Service",
    )
    pods = [town.register(kind, service, interface) for _ in range(2)]
    town.knows(interface, service)
    caller = town.caller(kind, "shop")
    town.board(caller, interface)
    caller.refer(interface)
    return pods, caller, interface


def test_what_faults_cost_callers(town: Town) -> None:
    pods: list[Behind] = []
    riders = {}
    for kind in KINDS:
        behind, caller, interface = rides(town, kind)
        pods += behind
        riders[kind] = caller, interface
    costs = Timeline(town, *pods).run(riders)
    print(costs)
    for kind in KINDS:
        assert costs.calls(kind, CALM)
        assert costs.failed(kind, CALM) == 0, costs
    for what in LOSSES:
        assert costs.failed(PRIVATE, lost(what), back(what)) == 0, costs
    for what in (ZOOKEEPER, API_SERVER):
        assert costs.failed(REST, lost(what), back(what)) == 0, costs
    for what in (SOADNS, COREDNS):  # it looks up for every call
        assert costs.phases[lost(what)][REST].longest_gap_ms > 1_000, costs
        assert costs.phases[back(what)][REST].by, costs
