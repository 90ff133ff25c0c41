"""A small real world: who calls by name comes through CoreDNS, soadns and a ClusterIP to a pod, whatever he speaks.

Most callers here have no framework: one speaks HTTP and looks the name up for every call, one has a protocol of its own
and holds its connections.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.driving import INTERFACES
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
DUBBO = "dubbo-3.3.5"
BOARDED = INTERFACES[:3]


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
    interfaces = of_their_own(kind.partition("-")[0])
    pods = town.deploy(kind, old, *interfaces)
    caller = town.caller(kind, "shop")
    town.board(caller, *interfaces)
    for interface in interfaces:
        town.knows(interface, old)
        caller.refer(interface)
        town.follows(caller, interface, *pods)

    fresh = town.move(new, *pods, interfaces=interfaces)

    for interface in interfaces:
        town.follows(caller, interface, *fresh)
        town.knows(interface, new)


def test_names_are_found_by_the_resolvers_of_pods(town: Town) -> None:
    service = town.shop("resolvers", REST)
    interfaces = of_their_own("resolvers")
    pod = town.register(REST, service, *interfaces)
    for interface in interfaces:
        town.knows(interface, service)
    names = [f"{interface.replace('$', '-')}.{ZONE}" for interface in interfaces]
    names += [f"{interfaces[0].lower()}.{ZONE}", f"{interfaces[0].upper()}.{ZONE.upper()}."]
    of_the_cluster = {"resolvers": service.cluster_ip, "kubernetes.default": "10.96.0.1"}
    nobody = f"com.example.shop.Nobody.{ZONE}"
    for libc in ("glibc", "musl"):
        found = town.looks_up(pod.home, *names, *of_the_cluster, nobody, libc=libc)
        assert found.pop(nobody).startswith("error: ")
        assert found == dict.fromkeys(names, service.cluster_ip) | of_the_cluster


def of_their_own(word: str) -> list[str]:
    """Interfaces that no other test has: a plain one, a nested one, one in capitals, one in a deep package."""
    return [interface.replace(".example.", f".{word}.") for interface in INTERFACES]


def rides(town: Town, kind: str) -> tuple[list[Behind], Caller, str]:
    """Two pods that provide an interface, and somebody who calls it by name."""
    service, interface = (
        town.shop(f"faults-{kind}", kind),
        f"com.example.shop.{kind.title().replace('-', '')}Service",
    )
    pods = town.deploy(kind, service, interface)
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


def test_an_unmodified_application_is_boarded_as_operators_do_it(town: Town) -> None:
    service = town.shop("boarded", "dubbo")
    pod = town.register(DUBBO, service, *BOARDED)
    caller = town.caller(DUBBO, "boarding")
    for interface in BOARDED:
        town.knows(interface, service)
        caller.refer(interface)
        assert caller.call(interface) == pod.home.name
    assert caller.connected(service.port) == {pod.home.ip}
    for by in ("file", "home", "property", "configuration centre"):
        if by == "file":
            lines = town.board(caller)  # all that it calls at this moment
        else:
            caller = town.caller(DUBBO, f"boarding-{by.partition(' ')[0]}")
            lines = town.board(caller, *BOARDED, by=by)
        assert len(lines) == len(BOARDED), lines
        for interface in BOARDED:
            caller.refer(interface)
            assert caller.call(interface) == pod.home.name
        assert caller.connected(service.port) == {service.cluster_ip}, by
        caller.end()
    pod.stop()


def test_what_faults_cost_a_caller_with_the_registry_and_without_soadns(town: Town) -> None:
    interface = "com.example.shop.UPPERCASEService"
    town.kill(*town.soadns)
    try:
        pods = town.deploy(DUBBO, town.shop("direct", "dubbo"), interface)
        caller = town.caller(DUBBO, "direct")
        caller.refer(interface)
        losses = (COREDNS, ZOOKEEPER, API_SERVER)
        costs = Timeline(town, *pods, losses=losses).run({DUBBO: (caller, interface)})
    finally:
        town.restart(*town.soadns)
    print(costs)
    assert costs.calls(DUBBO, CALM)
    assert costs.failed(DUBBO, CALM) == 0, costs
    for what in losses:
        assert costs.failed(DUBBO, lost(what), back(what)) == 0, costs
