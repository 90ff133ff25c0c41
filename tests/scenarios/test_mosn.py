"""MOSN in pods, fed by soadns: unmodified SOFARPC and Dubbo clients call by name through it, and follow what moves.

Where a call arrived is what the provider says of itself. Clients that share a ClusterIP share a connection to it, and
that is looked at: it has the same two ends before and after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.scenarios.stage.clients import Provider
from tests.scenarios.stage.mosns import (
    AWAY_S,
    BY_NAME,
    CLIENTS,
    DEEP,
    DUBBO,
    EFFECT_S,
    FAST,
    GROUPED,
    HOMES,
    ORDER,
    PATIENCE_MS,
    PRIVATE,
    SERVICES,
    SOFA,
    SPLIT,
    UNIQUE,
    UNKNOWN,
    UPPER,
    Mesh,
)
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.sidecars import ADMIN, Mosn
from tests.scenarios.stage.town import Behind, at_once


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The Services are there before the files are exported."""
    found = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        at_once(found.provide, SERVICES)
        found.old_addresses = {home: found.services[home].cluster_ip for home, *_ in HOMES.values()}
        for name, _, _, _, interfaces in SERVICES:
            for interface in interfaces if name not in SPLIT else ():
                found.town.knows(interface, found.services[name])
        at_once(found.accompany, (*CLIENTS, "private-tcp"))
        yield found
    finally:
        found.town.end()


def test_calls_by_name_arrive_and_two_interfaces_share_a_connection(mesh: Mesh) -> None:
    def come(name: str) -> None:
        home, _, a, b = HOMES[name[:4]]
        mesh.town.board(mesh.callers[name], a, by="code")
        mesh.callers[name].refer(a)
        mesh.arrives(name, a, home)
        assert mesh.services[home].cluster_ip in mesh.callers[name].connected(mesh.services[home].port)
        mesh.callers[name].steady(a, every_ms=100, threads=1, name=BY_NAME)
        mesh.by_address(name, home, a)
        mesh.arrives(name, a, home)
        connections = mesh.connections(name, home)
        assert connections
        mesh.by_address(name, home, b)
        mesh.arrives(name, b, home)
        assert mesh.connections(name, home) == connections, f"{name}: {b} has one of its own"

    at_once(come, CLIENTS)


def test_what_moves_is_followed_on_the_same_connection_without_a_failed_call(mesh: Mesh) -> None:
    for name in CLIENTS:
        for interface in HOMES[name[:4]][2:]:
            mesh.callers[name].steady(interface, every_ms=20, threads=1, name=interface)
    before = mesh.all_connections()
    for row in (("account", DUBBO, (ORDER,)), ("till", SOFA, (DEEP,))):
        at, program, interfaces = row
        options: dict[str, object] = {"protocol": "dubbo"} if program == DUBBO else {}
        mesh.pods[at] = mesh.town.register(program, mesh.services[at], *interfaces, **options)

    taken = {home: mesh.town.deregister(mesh.pods[home], b) for home, _, _, b in HOMES.values()}
    assert all(taken.values())

    for name in CLIENTS:
        _, to, _, b = HOMES[name[:4]]
        mesh.answered_by(name, b, to)
    for home, to, _, b in HOMES.values():
        mesh.town.register_again(taken[home])
        mesh.taken[to] = mesh.town.deregister(mesh.pods[to], b)
    for name in CLIENTS:
        home, _, a, b = HOMES[name[:4]]
        mesh.answered_by(name, b, home)
        assert mesh.tally(name, BY_NAME).failed == 0, mesh.tallies
        assert (
            set(mesh.tallies[name, a].by)
            == set(mesh.tallies[name, BY_NAME].by)
            == {mesh.pods[home].home.name}
        )
    assert mesh.all_connections() == before
    mesh.unharmed()


def test_a_canary_and_a_headless_twin_beside_a_service_change_nothing(mesh: Mesh) -> None:
    """The canary's pod provides what had moved there before; the twin has the Service's own pod, and no ClusterIP."""
    mesh.forget_tallies()
    before = mesh.all_connections()
    beside = []
    for home, to, _, _ in HOMES.values():
        port = {
            "name": f"{home}-{mesh.services[home].port}",
            "port": mesh.services[home].port,
            "protocol": "TCP",
        }
        twin = mesh.town.service(f"{home}-twin", port, clusterIP="None")
        canary = mesh.town.service(f"{home}-canary", port)
        twin.endpoint(mesh.pods[home].home.ip)
        canary.endpoint(mesh.pods[to].home.ip)
        mesh.town.register_again(mesh.taken[to])
        beside += [twin, canary]

    time.sleep(4.0)  # soadns believes after half a second what it sees

    for _, to, _, b in HOMES.values():
        mesh.taken[to] = mesh.town.deregister(mesh.pods[to], b)
        assert mesh.taken[to]
    for each in beside:
        each.delete_with_endpoints()
    mesh.unharmed()
    for name in CLIENTS:
        home = mesh.pods[HOMES[name[:4]][0]].home.name
        for line in (*HOMES[name[:4]][2:], BY_NAME):
            assert set(mesh.tallies[name, line].by) == {home}, mesh.tallies
    assert mesh.all_connections() == before


def test_what_changes_while_soadns_is_away_is_made_up_for_and_nobody_notices(mesh: Mesh) -> None:
    mesh.forget_tallies()
    home, to, _, moved = HOMES["sofa"]
    replica = mesh.town.soadns[0]

    mesh.town.kill(replica)
    time.sleep(AWAY_S)
    mesh.move(moved, home, to)
    mesh.town.restart(replica)

    for name in CLIENTS[:2]:
        mesh.answered_by(name, moved, to, within=EFFECT_S)  # MOSN comes back after 1, 2, 4, 8 s
    mesh.unharmed()


@pytest.fixture
def elsewhere(mesh: Mesh) -> Iterator[dict[str, Behind]]:
    """By home: a pod that provides the same, and is no endpoint of the Service.

    It ends with the story: where ZooKeeper is lost, it would register again what it took out.
    """

    def provide(home: str) -> Behind:
        name, _, program, options, interfaces = next(row for row in SERVICES if row[0] == home)
        pod = mesh.town.pod(program, mesh.services[name], *interfaces, **options)
        assert isinstance(pod.server, Provider)
        pod.server.start()
        return pod

    homes = [home for home, *_ in HOMES.values()]
    found = dict(zip(homes, at_once(provide, homes), strict=True))
    yield found
    at_once(lambda pod: pod.server.end(), found.values())


def test_back_to_the_registry_and_to_the_mesh_again(mesh: Mesh, elsewhere: dict[str, Behind]) -> None:
    mesh.forget_tallies()
    before = mesh.all_connections()
    for home in elsewhere:
        mesh.services[home].annotate(traffic="registry")
    for name in CLIENTS:
        home, _, a, _ = HOMES[name[:4]]
        mesh.is_answered_by(name, a, elsewhere[home])
    for home in elsewhere:
        mesh.services[home].annotate(traffic="")
    for name in CLIENTS:
        home, _, a, _ = HOMES[name[:4]]
        mesh.answered_by(name, a, home)
    mesh.unharmed()
    for home, _, a, b in HOMES.values():
        mesh.town.deregister(elsewhere[home], a, b)
    for name in CLIENTS:
        mesh.answered_by(name, BY_NAME, HOMES[name[:4]][0])
    mesh.unharmed()
    assert mesh.all_connections() == before


def comes_to(counter: Callable[[], int], expected: int) -> None:
    """MOSN counts an answer when it was sent."""
    found = eventually(counter, within=20.0, until=expected.__eq__)
    assert found == expected


@pytest.mark.parametrize("name", CLIENTS[2:])
def test_groups_and_versions_in_different_services(mesh: Mesh, name: str) -> None:
    for group, version, where in (
        ("blue", "1.0.0", "blue"),
        ("green", "1.0.0", "green"),
        ("blue", "2.0.0", "next"),
    ):
        assert mesh.calls(name, "blue", GROUPED, group=group, version=version) == mesh.pods[where].home.name
    before = mesh.mosns[name].without_endpoint()
    assert "502|no health upstream" in mesh.calls(name, "blue", GROUPED, group="green", version="2.0.0")
    assert "502|no health upstream" in mesh.calls(name, "blue", GROUPED, version="1.0.0")
    comes_to(mesh.mosns[name].without_endpoint, before + 2)


@pytest.mark.parametrize("name", CLIENTS[:2])
def test_unique_ids_in_different_services(mesh: Mesh, name: str) -> None:
    for unique in ("one", "two"):
        assert mesh.calls(name, "one", UNIQUE, group=unique) == mesh.pods[unique].home.name
    before = mesh.mosns[name].without_endpoint()
    assert "NO_PROCESSOR" in mesh.calls(name, "one", UNIQUE, group="three")
    comes_to(mesh.mosns[name].without_endpoint, before + 1)


@pytest.mark.parametrize("name", CLIENTS)
def test_calls_of_a_service_without_endpoints_are_errors_and_counted(mesh: Mesh, name: str) -> None:
    """It is referred to by now."""
    variants: dict[str, dict[str, str]] = {
        "two": {"group": "two"},
        "green": {"group": "green", "version": "1.0.0"},
    }
    at, interface, said = ("two", UNIQUE, "NO_PROCESSOR") if name.startswith("sofa") else (
        "green", GROUPED, "502|no health upstream"
    )  # fmt: skip
    pod, mosn = mesh.pods[at], mesh.mosns[name]

    def call() -> str:
        return mesh.calls_again(name, interface, **variants[at])

    assert call() == pod.home.name
    before = mosn.without_endpoint()
    mesh.services[at].without(pod.home.ip)
    try:
        found = eventually(call, within=60.0, until=lambda answer: answer != pod.home.name)
        assert said in found
        assert said in call()
        comes_to(mosn.without_endpoint, before + 2)
    finally:
        mesh.services[at].endpoint(pod.home.ip)
    found = eventually(call, within=60.0, until=pod.home.name.__eq__)
    assert found == pod.home.name


def test_another_serialization_and_a_private_protocol_are_passed_on(mesh: Mesh) -> None:
    url = f"dubbo://{mesh.services['fast'].cluster_ip}:20880/{FAST}?prefer.serialization=fastjson2,hessian2"
    caller = mesh.callers["dubbo-3.3.5"]
    caller.refer(FAST, url=url, timeout=PATIENCE_MS, retries=0)
    assert caller.call(FAST) == mesh.pods["fast"].home.name
    private = mesh.callers["private-tcp"]
    private.start()
    mesh.town.board(private, PRIVATE)
    private.refer(PRIVATE)
    assert private.call(PRIVATE) == mesh.pods["tcp"].home.name
    assert mesh.services["tcp"].cluster_ip in private.connected(7000)


def test_mosn_has_what_it_was_told_but_for_what_only_a_new_file_brings(mesh: Mesh) -> None:
    late = {f"{mesh.services[to].cluster_ip}_{mesh.services[to].port}" for _, to, _, _ in HOMES.values()}

    def look(mosn: Mosn) -> set[tuple[str, str]]:
        data = mesh.town.operator.cli_json("mesh", "verify", f"{mosn.address}:{ADMIN}")
        return {(each["kind"], each["name"]) for each in data["differences"]}

    expected = {("listener", place) for place in late}
    for name, mosn in mesh.mosns.items():
        found = eventually(lambda at=mosn: look(at), within=60.0, until=lambda seen: seen == expected)  # type: ignore[misc]
        assert found == expected, name


def test_the_loss_of_zookeeper_and_the_api_server_at_once_costs_no_call(mesh: Mesh) -> None:
    """ZooKeeper's providers register again what was taken out, so that what has moved may come back."""
    mesh.forget_tallies()
    before = mesh.all_connections()
    servers = (mesh.town.api, mesh.town.zookeeper)
    mesh.town.kill(*servers)
    time.sleep(AWAY_S)
    mesh.town.restart(*servers)
    time.sleep(4.0)  # soadns believes after half a second what it sees
    for name in CLIENTS:
        home, to, a, b = HOMES[name[:4]]
        for line, places in {a: {home}, BY_NAME: {home}, b: {home, to}}.items():
            found = mesh.tally(name, line)
            assert not found.failed, f"{name}, {line}: {found}"
            assert set(found.by) <= {mesh.pods[at].home.name for at in places}, f"{name}, {line}: {found}"
    assert mesh.all_connections() == before


def test_a_service_that_is_created_again_has_its_callers_again(mesh: Mesh) -> None:
    mesh.forget_tallies()
    for home in mesh.old_addresses:
        mesh.services[home].delete()
        mesh.services[home].apply()
        assert mesh.services[home].cluster_ip != mesh.old_addresses[home]
    for name in CLIENTS:
        home, _, a, _ = HOMES[name[:4]]
        mesh.answered_by(name, a, home)  # on the connection to the old ClusterIP, which nothing cuts
        mesh.answered_by(name, BY_NAME, home)
        assert set(mesh.tallies[name, a].by) == {mesh.pods[home].home.name}
        mesh.callers[name].process.ask("stop")
    for name in CLIENTS:
        home, _, a, _ = HOMES[name[:4]]
        mesh.town.knows(a, mesh.services[home])
        mesh.by_address(name, home, a)
        mesh.arrives(name, a, home)  # no listener of its own: the file is older


def test_of_a_service_that_is_passed_on_and_created_again_a_new_file_has_to_tell(mesh: Mesh) -> None:
    """The same with its old ClusterIP needs none; ``mesh verify`` says of which MOSN has an old file."""
    service, private = mesh.services["tcp"], mesh.callers["private-tcp"]
    old, port = service.cluster_ip, service.port
    mosn = mesh.mosns["private-tcp"]

    def said() -> set[tuple[str, str]]:
        data = mesh.town.operator.cli_json("mesh", "verify", f"{mosn.address}:{ADMIN}")
        places = {f"{address}_{port}" for address in (old, service.cluster_ip)}
        return {(each["name"], each["what"]) for each in data["differences"] if each["name"] in places}

    assert said() == set()
    service.delete()
    service.apply()
    assert service.cluster_ip != old
    expected = {(f"{old}_{port}", "left over"), (f"{service.cluster_ip}_{port}", "missing")}
    assert eventually(said, within=20.0, until=expected.__eq__) == expected
    mosn.begin_anew(mesh.export(private.app, f"{mosn.address}:{ADMIN}"))
    assert said() == set()


@pytest.mark.parametrize("name", CLIENTS)
def test_calls_that_lead_nowhere_are_errors_and_counted(name: str, mesh: Mesh) -> None:
    """At a ClusterIP that the file does not have calls are led by their interface alone."""
    home, to, _, b = HOMES[name[:4]]
    sofa = name.startswith("sofa")
    for at in (home, UNKNOWN):
        before = mesh.mosns[name].unrouted()
        said = mesh.calls(name, at, UPPER)
        assert ("NO_PROCESSOR" if sofa else "router unavailable") in said, f"{at}: {said}"
        comes_to(mesh.mosns[name].unrouted, before + 1)
    assert mesh.calls(name, UNKNOWN, b) in {mesh.pods[at].home.name for at in (home, to)}
    said = mesh.calls(name, mesh.old_addresses[home], UPPER)  # led to the Service, whose provider refuses it
    assert "cannot find service" in said if sofa else "Fail to decode request" in said, said


def test_a_cluster_ip_that_a_service_without_interfaces_has_by_now_is_called_as_that_one(mesh: Mesh) -> None:
    """Its pod would answer, and so would the pod of who had the ClusterIP before; no interface is bound to it."""
    for home, to, _, _ in HOMES.values():
        port = {
            "name": f"{home}-{mesh.services[home].port}",
            "port": mesh.services[home].port,
            "protocol": "TCP",
        }
        taker = mesh.town.service(f"{home}-taker", port, clusterIP=mesh.old_addresses[home])
        taker.endpoint(mesh.pods[to].home.ip)

    def look(name: str) -> None:
        home, to, _, b = HOMES[name[:4]]
        there = mesh.pods[to].home.name
        got = mesh.calls(
            name, mesh.old_addresses[home], b
        )  # once: SOFARPC takes few references to one interface
        if got != there:
            got = eventually(lambda: mesh.calls_again(name, b), within=60.0, until=lambda said: said == there)
        assert got == there, f"{name}: {got}"

    at_once(look, CLIENTS)
