"""Clusters on their own: which endpoints a Service's port leads to, what a change costs, and that none is missed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.model import Endpoint, EndpointSlice, InterfaceId, ObjectRef, Port, Service
from soadns.routemodel import ANY, Place, Route, Target, Vip
from soadns.sidecar.clusters import Cluster, ClusterTable, Spot, cluster_name, of_providers, of_slices

USER, AWAY, POD = ObjectRef("home", "shop", "user"), ObjectRef("east", "shop", "pay"), "10.1.0.1"
PORTS = (Port(20880, "dubbo", "20880"), Port(80, "http", "web"), Port(53, "dns", "53", "UDP"))
A, BLUE = InterfaceId("A"), InterfaceId("A", "blue", "1")


def service(ref: ObjectRef, *ips: str, **more: object) -> Service:
    return replace(Service(ref, "1", 1.0, cluster_ips=ips, ports=PORTS), **more)  # type: ignore[arg-type]


def piece(
    ref: ObjectRef, *endpoints: Endpoint, name: str = "1", ports: tuple[Port, ...] = (Port(20880, "dubbo"),)
) -> EndpointSlice:
    return EndpointSlice(ref._replace(name=f"{ref.name}-{name}"), ref, ports, endpoints)


def goes(ref: ObjectRef | None, port: int = 20880, kind: str = "service") -> Target:
    if ref is None:
        return Target("providers", None, "", port, A)
    return Target(kind, ref, f"{ref.name}.{ref.namespace}.svc.cluster.local", port)


def test_names_are_those_of_istio_where_it_has_some() -> None:
    assert cluster_name(goes(USER)) == "outbound|20880||user.shop.svc.cluster.local"
    assert cluster_name(goes(AWAY, kind="remote")) == "outbound|20880||pay.shop.svc.cluster.local"
    assert cluster_name(goes(USER, kind="headless")) == "headless|20880||user.shop.svc.cluster.local"
    assert cluster_name(Target("providers", None, "", 12200, BLUE)) == "providers|12200||blue/A:1"


READY, UNREADY = Endpoint(POD), Endpoint("10.1.0.2", ready=False)
ENDING = Endpoint("10.1.0.3", ready=False, terminating=True)
ENDED = Endpoint("10.1.0.4", ready=False, terminating=True, serving=False)
NAMED = [
    piece(USER, Endpoint(POD), ports=(Port(8080, "http"),)),
    piece(USER, Endpoint("10.1.0.2"), name="2", ports=(Port(9090, "http"), Port(20880, "dubbo"))),
]


@pytest.mark.parametrize(
    ("pieces", "port", "found"),
    [
        pytest.param([piece(USER, READY, UNREADY, ENDING, ENDED)], 20880, {(POD, 20880)}, id="ready ones"),
        pytest.param([piece(USER, UNREADY, ENDING, ENDED)], 20880, {("10.1.0.3", 20880)}, id="what still serves"),
        pytest.param([piece(USER, UNREADY, ENDED)], 20880, set(), id="none"),
        pytest.param(
            [piece(USER, ENDING), piece(USER, READY, name="2")], 20880, {(POD, 20880)}, id="ready in another slice"
        ),
        pytest.param(NAMED, 80, {(POD, 8080), ("10.1.0.2", 9090)}, id="a targetPort that is a name"),
        pytest.param(NAMED, 20880, {("10.1.0.2", 20880)}, id="only pods that have the port"),
        pytest.param([piece(USER, READY, ports=(Port(0, "dubbo"),))], 20880, set(), id="a port without a number"),
        pytest.param([piece(USER, READY, ports=(Port(53, "dns", protocol="UDP"),))], 53, set(), id="UDP"),
        pytest.param([piece(USER, READY)], 7, set(), id="no such port"),
        pytest.param([], 20880, set(), id="no slice"),
    ],
)  # fmt: skip
def test_endpoints_are_those_to_which_kube_proxy_sends(
    pieces: list[EndpointSlice], port: int, found: set[tuple[str, int]]
) -> None:
    assert of_slices(pieces, service(USER, "10.96.0.1"), port) == found


def test_who_calls_a_headless_service_dials_its_pods() -> None:
    pods = [piece(USER, READY, ports=(Port(20881, "dubbo"),))]
    assert of_slices(pods, service(USER), 20881, pods=True) == {(POD, 20881)}
    assert of_slices(pods, service(USER), 20880, pods=True) == {(POD, 20881)}
    assert of_slices(pods, service(USER), 20881) == set()


def test_providers_of_a_port_are_those_of_its_protocol_at_their_own_ports() -> None:
    spots: list[Spot] = [
        ("dubbo", "192.0.2.1", 20880), ("dubbo", "192.0.2.2", 20880), ("dubbo", "192.0.2.3", 20999),
        ("bolt", "192.0.2.1", 12200),
    ]  # fmt: skip
    assert of_providers(spots, 20880) == set(spots[:3])
    assert of_providers(spots, 12200) == set(spots[3:])
    assert of_providers(spots, 20999) == set()


# --------------------------------------------------------------------------- a small world


@dataclass
class World:
    """What ``Known`` is asked."""

    services: dict[ObjectRef, Service] = field(default_factory=dict)
    pieces: dict[ObjectRef, tuple[EndpointSlice, ...]] = field(default_factory=dict)
    spots: dict[InterfaceId, frozenset[Spot]] = field(default_factory=dict)
    shares: dict[Spot, int] = field(default_factory=dict)
    flat: bool = False
    asked: list[object] = field(default_factory=list)

    def service(self, ref: ObjectRef) -> Service | None:
        return self.services.get(ref)

    def slices(self, ref: ObjectRef) -> Iterable[EndpointSlice]:
        self.asked.append(ref)
        return self.pieces.get(ref, ())

    def reachable(self, cluster: str, address: str) -> bool:
        return self.flat

    def providers(self, interface: InterfaceId) -> frozenset[Spot]:
        self.asked.append(interface)
        return self.spots.get(interface, frozenset())

    def weights(self, interface: InterfaceId) -> dict[Spot, int]:
        return self.shares


def vip(at: Place, *targets: Target | None) -> Vip:
    routes = [Route(f"I{number}", None, None, target, "moved") for number, target in enumerate(targets[1:])]
    return Vip(*at, USER, "1", "user.shop", (*routes, Route(ANY, None, None, targets[0], "own")))


def endpoints(world: World, target: Target) -> tuple[tuple[str, int], ...]:
    table = ClusterTable("home", world)
    table.lead({("10.96.0.1", 1): vip(("10.96.0.1", 1), target)})
    [cluster] = table.flush().values()
    assert cluster is not None
    return cluster.endpoints


def test_another_clusters_service_is_reached_as_its_names_are_answered() -> None:
    remote, twin = goes(AWAY, kind="remote"), AWAY._replace(cluster="home")
    world = World({AWAY: service(AWAY, "10.97.0.1")}, {AWAY: (piece(AWAY, Endpoint("10.2.0.1")),)})
    assert endpoints(world, remote) == ()
    world.flat = True
    assert endpoints(world, remote) == (("10.2.0.1", 20880),)
    world.services[AWAY] = service(AWAY, load_balancer=("198.51.100.1",), external_ips=("198.51.100.2",))
    assert endpoints(world, remote) == (("198.51.100.1", 20880), ("198.51.100.2", 20880))
    world.services[twin] = service(twin, "10.96.0.7")
    world.pieces[twin] = (piece(twin, Endpoint("10.1.0.7")),)
    assert endpoints(world, remote) == (("10.1.0.7", 20880),)


def test_no_pod_counts_twice_where_it_has_two_addresses() -> None:
    world = World({USER: service(USER, "10.96.0.1", "fd00::1")})
    world.pieces[USER] = (piece(USER, READY), piece(USER, Endpoint("fd01::1"), name="2"))
    assert endpoints(world, goes(USER)) == ((POD, 20880),)
    world.services[USER] = service(USER, "fd00::1", "10.96.0.1")
    assert endpoints(world, goes(USER)) == (("fd01::1", 20880),)
    world.pieces[USER] = world.pieces[USER][:1]
    assert endpoints(world, goes(USER)) == ((POD, 20880),)


@pytest.mark.parametrize(
    ("weights", "hosts", "shares"),
    [
        ((100, 100, 100), (1, 2, 3), ()),
        ((300, 100, 100), (1, 2, 3), (3, 1, 1)),
        ((300, 0, 100), (1, 3), (3, 1)),
        ((0, 200, 0), (2,), ()),
        ((0, 0, 0), (1, 2, 3), ()),
        ((50, None, 25), (1, 2, 3), (2, 4, 1)),
    ],
)
def test_providers_have_the_shares_that_the_registry_says(
    weights: tuple[int | None, ...], hosts: tuple[int, ...], shares: tuple[int, ...]
) -> None:
    spots = [("dubbo", f"192.0.2.{number}", 20880) for number in (1, 2, 3)]
    told = {spot: weight for spot, weight in zip(spots, weights, strict=True) if weight is not None}
    world = World(spots={A: frozenset(spots)}, shares=told)
    table = ClusterTable("home", world)
    table.lead({("10.96.0.1", 1): vip(("10.96.0.1", 1), goes(None))})
    [cluster] = table.flush().values()
    assert cluster is not None
    assert cluster.endpoints == tuple((f"192.0.2.{number}", 20880) for number in hosts)
    assert cluster.weights == shares
    world.shares = {spots[0]: 700}
    table.touch((), [A])
    [cluster] = table.flush().values()
    assert cluster is not None
    assert cluster.weights == (7, 1, 1)


# --------------------------------------------------------------------------- single changes

REFS = [USER, USER._replace(name="pay"), AWAY, AWAY._replace(name="user")]
PLACES: list[Place] = [("10.96.0.1", 20880), ("10.96.0.2", 20880), ("10.96.0.2", 80)]
TARGETS = [
    *(goes(ref, kind="service" if ref.cluster == "home" else "remote") for ref in REFS),
    goes(REFS[0], 80), goes(REFS[1], kind="headless"), goes(REFS[2], kind="headless"), goes(None), goes(None, 12200),
]  # fmt: skip
Edit = tuple[str, object, object]


def edits() -> st.SearchStrategy[Edit]:
    ips = st.sampled_from([("10.96.0.1",), ("10.96.0.1",), ("10.96.0.1", "fd00::1"), ()])
    services = st.tuples(st.sampled_from(REFS), ips).map(
        lambda drawn: service(drawn[0], *drawn[1], load_balancer=("192.0.2.9",)[: len(drawn[1])])
    )
    gone = st.sampled_from(REFS).map(lambda ref: ("service", ref, None))
    some = st.lists(st.sampled_from([READY, UNREADY, ENDING, ENDED, Endpoint("fd01::1")]), max_size=3)
    pieces = st.tuples(st.sampled_from(REFS), some).map(
        lambda drawn: ("slices", drawn[0], (piece(drawn[0], *drawn[1]),))
    )
    spots = st.frozensets(
        st.sampled_from([("dubbo", "192.0.2.1", 20880), ("dubbo", "192.0.2.2", 20999), ("bolt", "192.0.2.1", 12200)])
    ).map(lambda found: ("providers", A, found))  # fmt: skip
    leads = st.lists(st.sampled_from([*TARGETS, *TARGETS, None]), min_size=1, max_size=3)
    vips = st.tuples(st.sampled_from(PLACES), st.one_of(leads, leads, st.none())).map(
        lambda drawn: ("vip", drawn[0], drawn[1] and vip(drawn[0], *drawn[1]))
    )
    return st.one_of(services.map(lambda made: ("service", made.ref, made)), gone, pieces, spots, vips, vips)


def hear(world: World, table: ClusterTable, edit: Edit, vips: dict[Place, Vip]) -> None:
    kind, whose, value = edit
    if kind == "vip":
        vips.pop(whose, None)  # type: ignore[call-overload]
        if value is not None:
            vips[whose] = value  # type: ignore[index,assignment]
        table.lead({whose: value})  # type: ignore[dict-item]
        return
    held = {"service": world.services, "slices": world.pieces, "providers": world.spots}[kind]
    held.pop(whose, None)  # type: ignore[attr-defined]
    if value is not None:
        held[whose] = value  # type: ignore[index]
    if kind == "providers":
        table.touch((), [whose])  # type: ignore[list-item]
    else:
        table.touch([whose], ())  # type: ignore[list-item]


@given(st.lists(st.lists(edits(), max_size=5), max_size=8), st.booleans())
def test_what_grew_by_single_changes_is_what_is_built_at_once_and_told(
    history: list[list[Edit]], flat: bool
) -> None:
    world, vips, told = World(flat=flat), dict[Place, Vip](), dict[str, Cluster]()
    table = ClusterTable("home", world)
    for batch in history:
        for edit in batch:
            hear(world, table, edit, vips)
        for name, cluster in table.flush().items():
            assert told.get(name) != cluster
            told.pop(name, None)
            if cluster is not None:
                told[name] = cluster
        built = ClusterTable("home", world)
        built.lead(vips)
        built.flush()
        assert table.clusters == told == built.clusters
        assert table.flush() == {}
        targets = {
            route.target for each in vips.values() for route in each.routes if route.target is not None
        }
        assert set(table.clusters) == {cluster_name(target) for target in targets}


def test_a_change_touches_only_what_it_concerns() -> None:
    refs = [ObjectRef("home", "shop", f"s{number}") for number in range(100)]
    world = World({ref: service(ref, "10.96.1.1") for ref in refs})
    table = ClusterTable("home", world)
    table.lead({("10.96.1.1", n): vip(("10.96.1.1", n), goes(ref)) for n, ref in enumerate(refs)})
    assert len(table.flush()) == 100
    world.asked.clear()

    world.pieces[refs[7]] = (piece(refs[7], READY),)
    table.touch([refs[7], USER], [A])
    assert list(table.flush()) == [cluster_name(goes(refs[7]))]
    assert world.asked == [refs[7]]

    world.asked.clear()
    at = ("10.96.1.1", 7)
    table.lead({at: vip(at, goes(refs[7]), goes(refs[8]), goes(None))})
    assert list(table.flush()) == ["providers|20880||A"]
    assert world.asked == [A]
