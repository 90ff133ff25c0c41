"""What VirtualServices and DestinationRules say of TCP connections, as clusters or as a reason."""

from __future__ import annotations

from typing import Any

import pytest

from soadns.sidecar.destinations import Destinations, Lead
from soadns.sidecar.dubboproxy import Weighted

Data = dict[str, Any]
HOST = "user.shop.svc.cluster.local"
PLAIN = (Weighted(f"outbound|20880||{HOST}", 1),)


def virtual(*tcp: Data, hosts: tuple[str, ...] = ("user",), name: str = "user", **spec: object) -> Data:
    metadata = {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"hosts": list(hosts), "tcp": list(tcp), **spec}}


def rule(*subsets: str, host: str = "user", **policy: object) -> Data:
    spec = {"host": host, "subsets": [{"name": each} for each in subsets], "trafficPolicy": policy}
    return {"metadata": {"name": "user", "namespace": "shop"}, "spec": spec}


def route(*destinations: tuple[str, str, int], **match: object) -> Data:
    to = [
        {"destination": {"host": h, "subset": subset}, "weight": weight} for h, subset, weight in destinations
    ]
    return {"match": [match], "route": to} if match else {"route": to}


def leads(*objects: Data, host: str = HOST, port: int = 20880, ports: tuple[int, ...] = ()) -> Lead:
    virtual_services = [each for each in objects if "hosts" in each["spec"]]
    rules = [each for each in objects if "host" in each["spec"]]
    return Destinations(virtual_services, rules, ports=lambda _: ports).leads(host, port)


def test_without_any_it_is_the_host_itself() -> None:
    assert leads() == Lead(PLAIN)
    assert leads(virtual(route(("account", "", 1)), hosts=("other",))) == Lead(PLAIN)
    assert leads(virtual(route(("account", "", 1)), gateways=["shop/edge"])) == Lead(PLAIN)
    assert leads(virtual(route(("account", "", 1), port=80))) == Lead(PLAIN)
    assert leads(virtual(http=[{"route": []}])) == Lead(PLAIN)


@pytest.mark.parametrize("host", ["user", HOST, "*.shop.svc.cluster.local", "*"])
def test_a_split(host: str) -> None:
    split = virtual(route(("user", "v1", 90), ("user", "v2", 10)), hosts=(host,))
    assert leads(split, rule("v1", "v2")).clusters == (
        Weighted(f"outbound|20880|v1|{HOST}", 90),
        Weighted(f"outbound|20880|v2|{HOST}", 10),
    )


def test_the_first_route_of_the_port_counts_and_shares_of_nothing_do_not() -> None:
    whole = virtual(
        route(("other", "", 1), port=80),
        route(("account", "", 100), ("user", "", 0), port=20880),
        route(("user", "", 1)),
    )
    assert leads(whole).clusters == (Weighted("outbound|20880||account.shop.svc.cluster.local", 100),)


def test_the_port_of_a_destination() -> None:
    said = virtual({"route": [{"destination": {"host": "account", "port": {"number": 9}}}]})
    assert leads(said).clusters[0].cluster == "outbound|9||account.shop.svc.cluster.local"
    silent = virtual(route(("account", "", 1)))
    assert leads(silent, ports=(7,)).clusters[0].cluster == "outbound|7||account.shop.svc.cluster.local"
    assert leads(silent, ports=(7, 8)).clusters[0].cluster == "outbound|20880||account.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([virtual(route(("user", "v3", 1)))], "no DestinationRule has subset v3"),
        ([virtual(route(("user", "", 1), sourceLabels={"a": "b"}))], "asks for sourceLabels"),
        ([virtual(route(("user", "", 1), destinationSubnets=["10.0.0.0/8"]))], "asks for destinationSubnets"),
        ([virtual(route(("user", "", 1), sourceNamespace="web", port=20880))], "asks for sourceNamespace"),
        ([virtual(route(("user", "", 1)), exportTo=["."])], "holds for some namespaces only"),
        ([virtual(tls=[{"match": [{"sniHosts": ["x"], "port": 20880}]}])], "tls routes"),
        (
            [virtual(route(("user", "", 1))), virtual(route(("user", "", 1)), name="b")],
            "several VirtualServices",
        ),
        ([virtual({"route": [{"weight": 3}]})], "without a destination"),
        ([virtual({"route": []})], "sends its connections nowhere"),
        ([rule(tunnel={"targetHost": "x"})], "through a tunnel"),
    ],
)
def test_what_a_filter_can_not_say(objects: list[Data], reason: str) -> None:
    found = leads(*objects)
    assert reason in found.refusal
    assert found.clusters == PLAIN


REFUSALS = "refusal by maxConnections: calls wait where http1MaxPendingRequests is not set"
EXCEPTIONS = "outlierDetection by connections alone: exceptions that applications throw are failures, too"


def test_what_is_lost_is_named() -> None:
    found = leads(
        rule(
            loadBalancer={"consistentHash": {"useSourceIp": True}},
            connectionPool={"tcp": {"idleTimeout": "60s", "maxConnections": 5}},
            outlierDetection={"consecutive5xxErrors": 5},
        )
    )
    assert found.refusal == ""
    assert found.lost == (
        "consistentHash (DestinationRule shop/user)",
        "idleTimeout (DestinationRule shop/user)",
        f"{REFUSALS} (DestinationRule shop/user)",
        f"{EXCEPTIONS} (DestinationRule shop/user)",
    )
    limits = {"tcp": {"maxConnections": 5}, "http": {"http1MaxPendingRequests": 1}}
    assert not leads(rule(connectionPool=limits)).lost, "then calls are refused here as there"
    of_a_port = rule(
        portLevelSettings=[{"port": {"number": 20880}, "loadBalancer": {"consistentHash": {"x": 1}}}]
    )
    assert leads(of_a_port).lost
    assert not leads(of_a_port, port=80).lost


@pytest.mark.parametrize(
    "broken", [{}, {"metadata": 5, "spec": []}, {"metadata": {}, "spec": {"hosts": 5, "tcp": "x"}}]
)
def test_whatever_is_no_such_object_says_nothing(broken: Data) -> None:
    assert Destinations([broken], [broken]).leads(HOST, 20880) == Lead(PLAIN)
