"""A small real world: who calls by name comes through CoreDNS, soadns and a ClusterIP to a pod, whatever he speaks.

Most callers here have no framework: one speaks HTTP and looks the name up for every call, one has a protocol of its own
and holds its connections.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.driving import INTERFACES
from tests.scenarios.stage.soadns import ZONE
from tests.scenarios.stage.town import Town

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
