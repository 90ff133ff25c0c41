"""Whom a wire name means, where several interfaces have it: no path takes away what another interface is called by."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.binding.registrations import Registrations
from soadns.model import InterfaceId, ObjectRef, Port, Provider, ServedPort, Service
from soadns.routemodel import ANY, Vip
from soadns.sidecar import mosn
from soadns.sidecar.dubboproxy import route_configuration
from soadns.sidecar.routes import RouteTable
from soadns.sidecar.rules import target, twins
from soadns.sidecar.wirenames import tellable
from soadns.sources import sofa
from tests.unit.routes_notation import RouteBook
from tests.unit.table_events import INTERFACES, REFS, Told, binding, instants, service, table_of
from tests.unit.test_work_of_a_change import Steps

HISTORIES = st.tuples(instants(), st.sampled_from(["closed", "open"]))


def places(table: RouteTable) -> list[tuple[Vip, str, set[str]]]:
    """Every place and wire name with the interfaces that callers may mean there."""
    names = sorted({wire for i in INTERFACES for wire in table.wires.said(i)})
    return [
        (vip, name, {i.name for i in table.wires.meant_at(vip.service, name)})
        for vip in table.vips.values()
        for name in names
    ]


@given(HISTORIES)
def test_what_is_at_home_keeps_its_calls_whatever_paths_others_have(
    drawn: tuple[list[list[Told]], str],
) -> None:
    table = table_of(*drawn)
    for interface in INTERFACES:
        home = table.home_of(interface)
        for wire in table.wires.said(interface) if home is not None else ():
            for vip in (table.vips[at] for at in table.places_of(home) if at in table.vips):
                if wire != interface.name and wire in table.wires.callers_at(wire, home):
                    continue  # another interface is called so, and is or was there
                route = vip.route(wire, interface.group, interface.version)
                assert route.target is not None, route
                assert route.target.service is not None, route
                assert twins(route.target.service, home), route


@given(HISTORIES)
def test_rules_lead_to_where_an_interface_lives_that_the_service_has_or_had(
    drawn: tuple[list[list[Told]], str],
) -> None:
    table = table_of(*drawn)
    for vip, wire, names in places(table):
        led = {
            r.target.service[1:] if r.target.service is not None else str(r.target.interface)
            for r in vip.routes[:-1]
            if r.interface == wire and r.target is not None
        }
        bound = [i for i in table.wires.variants(wire) if i.name in names]
        live = {home[1:] for i in bound if (home := table.home_of(i)) is not None}
        assert led <= live | {str(i) for i in bound}
        assert not led or len(names) == 1 or len(led) == 1, "several interfaces, several places"
        if not names:
            assert all(r.interface != wire for r in vip.routes[:-1]), "nobody sends it here"


@given(HISTORIES)
def test_no_name_is_told_that_a_sidecar_would_take_for_more(drawn: tuple[list[list[Told]], str]) -> None:
    table = table_of(*drawn)
    for vip in table.vips.values():
        assert all(tellable(route.interface) for route in vip.routes[:-1])
        rules = route_configuration(vip.routes, "rules", str, "nowhere")["route_config"]
        assert [rule["interface"] for rule in rules].count(ANY) == 1
        [host] = mosn.router(vip, "bolt").hosts
        assert [rule.headers for rule in host.rules].count(()) == 1, "what follows such a rule never counts"


def shared(table: RouteTable, protocol: str) -> mosn.Router:
    """The router for ClusterIPs without a listener, as a file has it."""
    keys: dict[str, list[str]] = {}
    for wire in table.wires.of:
        for key in mosn.host_keys(wire, [i.name for i in table.wires.variants(wire)]):
            keys.setdefault(key, []).append(wire)
    return mosn.shared_dubbo({key: table.anywhere.routes_by(key, wires, protocol) for key, wires in keys.items()
                              if table.anywhere.routes_by(key, wires, protocol)})  # fmt: skip


@given(HISTORIES)
def test_where_mosn_sees_the_interface_it_leads_there_or_nowhere(
    drawn: tuple[list[list[Told]], str],
) -> None:
    table = table_of(*drawn)
    router = shared(table, "dubbo")
    domains = [domain for host in router.hosts for domain in host.domains]
    assert len(set(domains)) == len(domains), "one that comes twice makes all of the router void"
    assert [domain for domain in domains if not tellable(domain)] == ["*"]
    for host in router.hosts[1:]:
        for interface in (i for i in INTERFACES if i.name.lower() in host.domains):
            alike = [i for i in INTERFACES if i.name == interface.name]
            homes = {home for i in alike if (home := table.home_of(i)) is not None}
            ends = {f".{home.namespace}.".join((home.name, "svc.cluster.local")) for home in homes}
            led = {rule.cluster for rule in host.rules} - {mosn.REFUSED}
            assert {c.rpartition("|")[2] for c in led} <= ends | {str(i) for i in alike}


# --------------------------------------------------------------------------- one case each


def tell(book: RouteBook, *rows: str) -> RouteBook:
    for row in rows:
        for statement in row.split(";"):
            book.say(statement.strip())
        book.flush()
    return book


def told(*rows: str) -> RouteBook:
    return tell(RouteBook(), *rows)


STAR = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register Star 10.1.0.1 path=*; register Address 10.1.0.1",
    "Service shop/pay 10.96.0.2; pods shop/pay 10.1.0.2; register * 10.1.0.2; register Pay 10.1.0.2",
)


def test_a_pattern_makes_nothing_void_and_is_counted() -> None:
    table = told(*STAR).table
    assert sorted(d for host in shared(table, "dubbo").hosts for d in host.domains) == ["*", "address", "pay"]
    assert table.wires.untold == 2
    assert table.wires.untold_of(InterfaceId("Star")) == table.wires.untold_of(InterfaceId("*")) == ("*",)
    assert table.wires.untold_of(InterfaceId("Pay")) == ()


def test_a_router_for_all_takes_no_pattern_whoever_asks_for_one() -> None:
    routes = told(*STAR).table.anywhere.routes("Pay", "dubbo")
    pattern = {"*": {"*": routes}, "p*": {"p*": routes}, "a:b": {"a:b": routes}, "pay": {"Pay": routes}}
    assert [host.domains for host in mosn.shared_dubbo(pattern).hosts] == [("*",), ("pay",)]
    [host] = mosn.shared_bolt({"*": routes, "Pay": routes}).hosts
    assert all(rule.headers for rule in host.rules)


PATHS = (
    "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register A 10.1.0.1 path=api",
    "Service shop/pay 10.96.0.2; pods shop/pay 10.1.0.2; register B 10.1.0.2 path=api; register Evil 10.1.0.2 path=A",
)


@pytest.mark.parametrize(
    ("key", "cluster"), [("a", "user"), ("b", "pay"), ("evil", "pay"), ("api", None), ("A", None)]
)
def test_where_the_interface_is_said_a_path_is_no_matter(key: str, cluster: str | None) -> None:
    hosts = {domain: host for host in shared(told(*PATHS).table, "dubbo").hosts for domain in host.domains}
    found = {rule.cluster for rule in hosts[key].rules} if key in hosts else {None}
    assert found == {f"outbound|20880||{cluster}.shop.svc.cluster.local" if cluster else None}


def test_what_nobody_can_tell_apart_is_counted_while_it_is_so() -> None:
    book = told(*PATHS, "register Address 10.1.0.1; register Pay 10.1.0.2")
    assert book.table.wires.unclear == 0, "they are called at different ClusterIPs"
    tell(book, "register A 10.1.0.2 path=api; unregister A 10.1.0.1; after 5s")
    assert book.table.wires.unclear == 0, "all of it is at one place"
    tell(book, "Service shop/new 10.96.0.3; pods shop/new 10.1.0.3")
    tell(book, "register A 10.1.0.3 path=api; unregister A 10.1.0.2; after 5s")
    assert book.see_moves() == "shop/pay→A, shop/user→A"
    assert book.table.wires.unclear == 1
    assert book.see_routes("10.96.0.1", "") == "routes api→shop/new, *→shop/user"
    assert book.see_routes("10.96.0.2", "") == "routes *→shop/pay"
    [unclear] = book.table.wires.unclear_of(InterfaceId("A"))
    assert unclear == ("api", ObjectRef("home", "shop", "pay"), ("B",))
    tell(book, "forget shop/pay A")
    assert book.table.wires.unclear == 0


def test_an_interface_that_has_a_path_of_others_is_not_told_their_rules() -> None:
    rows = (
        "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register A,Address 10.1.0.1",
        "Service shop/pay 10.96.0.2; pods shop/pay 10.1.0.2; register A 10.1.0.2; unregister A 10.1.0.1; after 5s",
        "register Evil 10.1.0.2 path=A",
    )
    table = told(*rows).table
    assert [vip.address for vip, _ in table.ruled_at(InterfaceId("A"))] == ["10.96.0.1"]
    assert table.ruled_at(InterfaceId("Evil")) == []


# --------------------------------------------------------------------------- bolt


LEAF = (
    "bolt://10.1.0.1:12200/pay/?version=1.0&accepts=100000&appName=pay-ctx&weight=100&language=java&pid=11"
    "&interface={0}&timeout=0&serialization=hessian2&protocol=bolt&delay=-1&dynamic=true&startTime=1795419669950"
    "&id=rpc-cfg-0&uniqueId=&rpcVer=51001"
)
"""As SOFARPC 5.10.1 writes it of a server with the context path ``/pay/``."""


def test_a_context_path_of_sofarpc_is_no_name_of_its_interfaces() -> None:
    store, bolt = Registrations(), (ServedPort("bolt", 12200),)
    table = RouteTable("home", "closed")
    for number in (0, 1):
        table.put(REFS[number], service(number, number + 1, ports=(12200,)), f"s{number}")
    wires = {}
    for name in ("com.x.A", "com.x.B"):
        [provider] = sofa.parse(
            "zookeeper/main/sofa-rpc", name, "providers", quote(LEAF.format(name), safe="")
        )
        assert isinstance(provider, Provider)
        store.register(provider, 0.0)
        wires[name] = store.interfaces[InterfaceId(name)].wires(name)
        table.bind(InterfaceId(name), binding(InterfaceId(name), REFS[0], bolt), wires[name])
    assert wires == {"com.x.A": ("com.x.A",), "com.x.B": ("com.x.B",)}
    table.flush(0.0)
    table.bind(InterfaceId("com.x.B"), binding(InterfaceId("com.x.B"), REFS[1], bolt), wires["com.x.B"])
    table.flush(1.0)
    routes = table.vips["10.96.0.1", 12200].routes
    assert [(route.interface, route.why) for route in routes] == [("com.x.B", "moved"), ("*", "own")]
    [usual, _] = mosn.bolt_rules(routes[0])
    assert usual.headers[0].value == "com.x.B:1.0"
    assert [route.interface for route in table.anywhere.routes("com.x.B", "bolt")] == ["com.x.B"]


PORTS_OF_A_RULE = """
bolt     | bolt:12200              | 12200 | registered | 12200 | the same
bolt     | bolt:12201              | 12201 | registered | 12201 | another number
bolt     | dubbo:20880             | 20880 | registered | none  | another protocol
bolt     | dubbo:12200             | 12200 | registered | none  | whatever its number
bolt     | dubbo:20880             | 12200 | registered | none  | and whatever else the Service has
bolt     | dubbo:20880 before=bolt:12200 | 12200 | registered | 12200 | what was registered a moment ago
bolt     | dubbo:20880             | 20880 | declared   | 20880 | a guess
bolt     | tcp:9                   | 9     | declared   | 9     | the only one
bolt     | tcp:9                   | 8,9   | declared   | none  | one of two
tcp      | dubbo:20880             | 20880 | registered | 20880 | nobody says what the caller speaks
"""


@pytest.mark.parametrize(
    "line", PORTS_OF_A_RULE.strip().splitlines(), ids=lambda line: line.rpartition("|")[2].strip()
)
def test_the_port_of_a_rule_from_port_12200(line: str) -> None:
    protocol, said, offered, known, port, _ = (part.strip() for part in line.split("|"))
    now, _, before = said.partition(" before=")

    def ports(text: str) -> tuple[ServedPort, ...]:
        return tuple(ServedPort(word, int(n)) for word, _, n in [text.partition(":")] if n)

    found = target(
        binding(InterfaceId("A"), REFS[1], ports(now)),
        12200,
        [protocol],
        [int(number) for number in offered.split(",")],
        called=ports(before),
        registered=known == "registered",
    )
    assert (str(found.port) if found is not None else "none") == port


def test_what_a_change_costs_does_not_grow_with_those_who_share_its_wire_name() -> None:

    def steps(count: int) -> int:
        table = RouteTable("home", "closed")
        refs = [ObjectRef("home", "shop", f"s{n}") for n in range(count + 1)]
        for n, ref in enumerate(refs):
            found = Service(
                ref, "1", 1.0, cluster_ips=(f"10.96.{n // 200}.{n % 200 + 1}",), ports=(Port(20880),)
            )
            table.put(ref, found, f"{ref.name}.shop.svc.cluster.local")
        interfaces = [InterfaceId(f"com.x.I{n:04}") for n in range(count)]
        for interface, ref in zip(interfaces, refs, strict=False):
            table.bind(interface, binding(interface, ref), (interface.name, "shared"))
        table.flush(1.0)
        with Steps() as made:
            table.bind(interfaces[7], binding(interfaces[7], refs[-1]), (interfaces[7].name, "shared"))
            table.flush(2.0)
        assert table.wires.variants("shared") == tuple(interfaces)
        assert table.wires.meant_at(refs[-1], "shared") == (interfaces[7],)
        return made.total()

    assert steps(200) <= 1.02 * steps(20) + 5
