"""Evidence 3: where Services are exposed, as Services and Nodes come, change and go."""

from __future__ import annotations

from dataclasses import replace

from soadns.binding.exposures import Exposures
from soadns.model import Node, ObjectRef, Port, Service

USER, PAY = ObjectRef("home", "shop", "user"), ObjectRef("home", "shop", "pay")
FAR = ObjectRef("east", "shop", "user")


def service(ref: ObjectRef, *, node_port: int = 0, external: str = "") -> Service:
    return Service(
        ref,
        str(ref),
        ports=(Port(20880, node_port=node_port),),
        external_ips=(external,) if external else (),
    )


def node(name: str, *addresses: str, cluster: str = "home") -> Node:
    return Node(ObjectRef(cluster, "", name), addresses)


def told() -> Exposures:
    """Two Services at two Nodes, one external IP, and a Node of another cluster with the same address."""
    made = Exposures()
    for each in (node("n1", "192.0.2.1"), node("n2", "192.0.2.2"), node("n1", "192.0.2.1", cluster="east")):
        made.node(each.ref, each)
    made.service(USER, service(USER, node_port=30880, external="198.51.100.1"))
    made.service(PAY, service(PAY, node_port=30881))
    made.service(FAR, service(FAR, node_port=30881))
    return made


EXPOSED = """
192.0.2.1:30880       home/shop/user
192.0.2.2:30880       home/shop/user
192.0.2.1:30881       home/shop/pay east/shop/user
192.0.2.2:30881       home/shop/pay
192.0.2.1:20880       -
192.0.2.3:30880       -
198.51.100.1:20880    home/shop/user
198.51.100.1:30880    -
"""


def test_services_are_exposed_at_their_external_ips_and_at_the_nodes_of_their_cluster() -> None:
    made = told()
    for line in EXPOSED.strip().splitlines():
        place, *refs = line.split()
        host, _, port = place.partition(":")
        assert {str(ref) for ref in made.at((host, int(port)))} == set(refs) - {"-"}, line


def test_both_directions_say_the_same() -> None:
    made = told()
    for ref in (USER, PAY, FAR):
        places = list(made.of(ref))
        assert places
        assert all(ref in made.at(place) for place in places)


def test_a_node_that_changes_or_goes_says_which_addresses_it_concerns() -> None:
    made = told()
    moved = node("n2", "192.0.2.9")
    assert made.node(moved.ref, moved) == {"192.0.2.2", "192.0.2.9"}
    assert made.at(("192.0.2.2", 30880)) == set()
    assert made.at(("192.0.2.9", 30880)) == {USER}
    assert made.node(moved.ref, None) == {"192.0.2.9"}
    assert made.at(("192.0.2.9", 30880)) == set()
    assert made.node(moved.ref, None) == set()


def test_a_service_that_changes_or_goes_says_which_places_it_concerns() -> None:
    made = told()
    plain = replace(service(USER, node_port=30880), external_ips=())
    assert made.service(USER, plain) == {("198.51.100.1", 20880)}
    assert made.service(USER, plain) == set()
    assert made.service(USER, None) == {("192.0.2.1", 30880), ("192.0.2.2", 30880)}
    assert list(made.of(USER)) == []


def test_nothing_is_remembered_of_what_is_gone() -> None:
    made = told()
    for ref in (USER, PAY, FAR):
        made.service(ref, None)
    assert not made
    for each in ("home", "east"):
        made.node(ObjectRef(each, "", "n1"), None)
    made.node(ObjectRef("home", "", "n2"), None)
    assert not any((made._at, made._of, made._on_nodes, made._node_ports, made._nodes, made._node_at))


def test_a_quick_no_is_never_wrong_and_ends_with_what_was_exposed() -> None:
    made = told()
    for line in EXPOSED.strip().splitlines():
        place, *refs = line.split()
        assert refs == ["-"] or place.partition(":")[0] in made.hosts
    assert "192.0.2.3" not in made.hosts
    for ref in (USER, PAY, FAR):
        made.service(ref, None)
    assert set(made.hosts) == {"192.0.2.1", "192.0.2.2"}
    for name, cluster in (("n1", "home"), ("n2", "home"), ("n1", "east")):
        made.node(ObjectRef(cluster, "", name), None)
    assert made.hosts == {}
