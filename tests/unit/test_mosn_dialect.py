"""Routes in the dialect of MOSN, matched here as MOSN matches them (its rules are told in ``soadns.sidecar.mosn``)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from soadns.commands.mosncheck import differences
from soadns.model import ObjectRef
from soadns.routemodel import ANY, Route, Target, Vip
from soadns.sidecar import mosn, mosnfile
from soadns.sidecar.clusters import Cluster
from soadns.sidecar.mosn import BOLT, DUBBO, REFUSED, SHARED, TCP, Host, Router

USER, NEXT = (ObjectRef("home", "shop", name) for name in ("user", "next"))


def to(ref: ObjectRef, port: int = 20880) -> Target:
    return Target("service", ref, f"{ref.name}.shop.svc.cluster.local", port)


def named(word: str) -> str:
    """A cluster by the name of its Service."""
    return REFUSED if word == "refused" else f"outbound|20880||{word}.shop.svc.cluster.local"


def vip(*routes: str) -> Vip:
    """``[group/]wire[:version]→where``; ``-`` is none given, and what is not compared is left out.

    A slash of a path is ``|`` here.
    """
    found = []
    for text in (*routes, "*→user"):
        what, _, where = text.partition("→")
        group, slash, rest = what.rpartition("/")
        wire, colon, version = rest.replace("|", "/").partition(":")
        compared = [
            ("" if part == "-" else part) if there else None
            for part, there in ((group, slash), (version, colon))
        ]
        target = None if where == "refused" else to(USER if where == "user" else NEXT)
        found.append(Route(wire, compared[0], compared[1], target, "own"))
    return Vip("10.96.0.1", 20880, USER, "1", "user.shop.svc.cluster.local", tuple(found))


def taken(host: Host, headers: Mapping[str, str]) -> str:
    """The cluster of the first rule that matches as MOSN has it; ``''`` where none does."""
    for rule in host.rules:
        if len(rule.headers) == 1 and rule.headers[0].name == "service" and not host.prefix:
            # A lone ``service`` is compared literally.
            hit = headers.get("service") == rule.headers[0].value
        else:
            hit = all(
                h.name in headers
                and (bool(re.search(h.value, headers[h.name])) if h.regex else headers[h.name] == h.value)
                for h in rule.headers
            )
        if hit:
            return rule.cluster
    return ""


def bolt(service: str) -> dict[str, str]:
    return {"service": service, "sofa_head_target_service": service}


BOLT_CASES = """
A:1.0            | user    | a rule more of another interface
B:1.0            | next    | it moved
B:2.0            | next    | another version of its URL
B:1.0:blue       | next    | a uniqueId is not compared
Bx:1.0           | user    | a longer name
xB:1.0           | user    | expressions are anchored
C:1.0:blue       | next    | uniqueIds are told apart
C:1.0            | user    | none is given
C:2.0            | user    | and another version
C:1.0:green      | refused | one that nobody has
C:1.0:bluex      | refused | all of it is compared
O$I:1.0          | next    | a name with a sign of regular expressions
OxI:1.0          | user    | which means itself
"""


@pytest.mark.parametrize(
    "line", BOLT_CASES.strip().splitlines(), ids=lambda line: line.rpartition("|")[2].strip()
)
def test_bolt(line: str) -> None:
    service, where, _ = (part.strip() for part in line.split("|"))
    found = mosn.router(vip("B→next", "blue/C→next", "-/C→user", "C→refused", "O$I→next"), BOLT)
    [host] = found.hosts
    assert (host.domains, host.prefix) == (("*",), ""), "bolt has no host, and a prefix never matches it"
    assert taken(host, bolt(service)) == named(where)


DUBBO_CASES = """
A          | 0.0.0 | user    | what is not named is the Service's own
B          | 1.0.0 | next    | it moved, whatever the version
B          | 0.0.0 | next    | or none
V          | 1.0.0 | user    | versions are told apart
V          | 2.0.0 | next    | so that each finds its own
V          | 3.0.0 | refused | one that nobody has
N          | 0.0.0 | next    | none, as Dubbo writes it
N          |       | next    | none, as others do
N          | 1.0.0 | refused | which is not one
ctx/P      | 0.0.0 | next    | a path is what the wire has
G          | 0.0.0 | refused | no group is seen where the listener has another name
"""


@pytest.mark.parametrize(
    "line", DUBBO_CASES.strip().splitlines(), ids=lambda line: line.rpartition("|")[2].strip()
)
def test_dubbo_at_a_listener_of_its_own(line: str) -> None:
    service, version, where, _ = (part.strip() for part in line.split("|"))
    one = vip("B→next", "V:1.0.0→user", "V:2.0.0→next", "V→refused", "N:-→next", "N→refused")
    two = Vip(*[getattr(one, f) for f in ("address", "port", "service", "uid", "host")],
              routes=(Route("ctx/P", None, None, to(NEXT), "moved"), Route("G", "blue", None, to(NEXT), "variant"),
                      Route("G", "", None, to(USER), "own"), *one.routes))  # fmt: skip
    [host] = mosn.router(two, DUBBO).hosts
    assert taken(host, {"service": service, "version": version}) == named(where)


def shared(*rows: str) -> Router:
    """``wire: routes`` each."""
    wires: dict[str, dict[str, list[Route]]] = {}
    for row in rows:
        wire, _, routes = row.partition(": ")
        for key in mosn.host_keys(wire, [wire.rpartition("/")[2]]):
            found = [r for r in vip(*routes.split(", ")).routes if r.interface != ANY]
            wires.setdefault(key, {})[wire] = found
    return mosn.shared_dubbo(wires)


def asked(router: Router, service: str, **headers: str) -> str:
    """As MOSN does behind ``dubbo_stream``: the host by its name in lower case, then the rules."""
    domains = [domain for host in router.hosts for domain in host.domains]
    assert len(set(domains)) == len(domains), "MOSN would refuse all of it"
    default = router.hosts[0]
    host = next((each for each in router.hosts if service.lower() in each.domains), default)
    return taken(host, {"service": service, "version": "0.0.0", **headers})


GROUPS = "G: blue/G:1→next, blue/G:2→user, -/G:1→user, -/G:2→next, G→refused"
SHARED_CASES = """
G group=blue version=1  | next    | group and version
G group=blue version=2  | user    | the other one
G version=1             | user    | no group
G group= version=2      | next    | an empty one is none
G group=green version=1 | refused | a group that nobody has is not taken for none
G group=blue version=3  | refused | nor is a version
S                       | next    | one that is told apart by nothing
s                       | user    | one that differs in case alone
P                       | next    | the interface of a path
ctx/P                   | next    | and the path
unknown                 |         | what nobody has
"""


@pytest.mark.parametrize(
    "line", SHARED_CASES.strip().splitlines(), ids=lambda line: line.rpartition("|")[2].strip()
)
def test_dubbo_at_the_listener_that_sees_groups(line: str) -> None:
    said, where, _ = (part.strip() for part in line.split("|"))
    service, *words = said.split()
    headers = dict(word.split("=") for word in words)
    found = asked(shared(GROUPS, "S: S→next", "s: s→user", "ctx/P: ctx|P→next"), service, **headers)
    assert found == (named(where) if where else "")


def test_a_path_does_not_take_the_host_of_who_calls_by_name() -> None:
    found = shared("P: P→user", "ctx/P: ctx|P→next")
    assert asked(found, "P") == named("user")


def test_interfaces_with_the_same_rules_share_a_host() -> None:
    found = shared("A: A→user", "B: B→user", "C: C→next", "D: D→user", "G: blue/G→next, G→user")
    assert [host.domains for host in found.hosts] == [("*",), ("a", "b", "d"), ("c",), ("g",)]
    assert [asked(found, name) for name in "ABCD"] == [named(to) for to in ("user", "user", "next", "user")]
    moved = shared("A: A→user", "B: B→next", "C: C→next", "D: D→user", "G: blue/G→next, G→user")
    assert [host.domains for host in moved.hosts] == [("*",), ("a", "d"), ("b", "c"), ("g",)]


@pytest.mark.parametrize(
    ("spoken", "routes", "shape"),
    [
        ("bolt", ["B→next"], BOLT),
        ("dubbo", ["B→next"], DUBBO),
        ("dubbo", ["V:1→user", "V:2→next", "V→refused"], DUBBO),
        ("dubbo", ["blue/B→next", "-/B→user"], SHARED),
        ("other", ["B→next"], TCP),
    ],
)
def test_the_shape_of_a_listener(spoken: str, routes: list[str], shape: str) -> None:
    assert mosn.shape(vip(*routes), spoken) == shape


def test_what_is_sent_has_only_matchers_that_mosn_knows() -> None:
    for router in (mosn.router(vip("B→next", "C→refused"), BOLT), shared(GROUPS)):
        data = mosn.route_configuration(router)
        for host in data["virtual_hosts"]:
            for route in host["routes"]:
                assert route["match"].keys() <= {"prefix", "headers"}
                for header in route["match"].get("headers", ()):
                    assert header.keys() in ({"name", "exact_match"}, {"name", "safe_regex_match"})


# --------------------------------------------------------------------------- the file

NODE = mosnfile.Node("web-1.shop", "rpc.cluster.local", "shop", ads=(("192.0.2.1", 15010),))


def file() -> mosn.Data:
    places = [(vip("B→next"), "bolt"), (vip("blue/G→next", "-/G→user"), "dubbo"), (vip(), "other")]
    places = [
        (Vip(f"10.96.0.{n}", v.port, v.service, v.uid, v.host, v.routes), s)
        for n, (v, s) in enumerate(places, 1)
    ]
    clusters = [Cluster(named("user"), (("10.1.0.1", 20880),)), Cluster(named("next"), ())]
    return mosnfile.document(NODE, places, [shared(GROUPS), mosn.shared_bolt({})], clusters)


def test_every_router_that_a_listener_names_is_in_the_file_and_has_a_host() -> None:
    [server] = file()["servers"]
    routers = {router["router_config_name"]: router for router in server["routers"]}
    filters = [
        f for listener in server["listeners"] for chain in listener["filter_chains"] for f in chain["filters"]
    ]
    named_there = {f["config"]["router_config_name"] for f in filters if f["type"] == "proxy"}
    assert named_there <= routers.keys()
    assert all(router["virtual_hosts"] for router in routers.values())


def test_listeners_have_the_shape_of_what_is_spoken() -> None:
    [server] = file()["servers"]
    found = {each["name"]: each["filter_chains"][0]["filters"][0] for each in server["listeners"]}
    assert found.keys() == {"egress_dubbo", "0.0.0.0_20880", "10.96.0.1_20880", "10.96.0.3_20880"}
    assert found["10.96.0.1_20880"]["config"]["downstream_protocol"] == "bolt"
    assert found["10.96.0.3_20880"] == {
        "type": "tcp_proxy",
        "config": {"cluster": named("user"), "routes": [{"cluster": named("user")}]},
    }
    assert [each["name"] for each in server["listeners"] if each["bind_port"]] == ["egress_dubbo"]


def test_every_cluster_that_is_named_is_in_the_file() -> None:
    data = file()
    held = {cluster["name"] for cluster in data["cluster_manager"]["clusters"]}
    rules = [
        r
        for router in data["servers"][0]["routers"]
        for host in router["virtual_hosts"]
        for r in host["routers"]
    ]
    assert {rule["route"]["cluster_name"] for rule in rules} <= held


def test_who_has_what_it_was_told_has_no_difference() -> None:
    data = file()
    [server] = data["servers"]
    routers = {router["router_config_name"]: router for router in server["routers"]}
    clusters = {cluster["name"]: cluster for cluster in data["cluster_manager"]["clusters"]}
    listeners = {listener["name"]: listener for listener in server["listeners"]}
    dump = {"routers": routers, "cluster": clusters, "listener": listeners}
    assert differences(data, dump) == []
    routers["10.96.0.1_20880"] = {**routers["10.96.0.1_20880"], "virtual_hosts": []}
    clusters[named("user")] = {**clusters[named("user")], "hosts": []}
    del listeners["10.96.0.3_20880"]
    found = [(each.kind, each.what) for each in differences(data, dump)]
    assert found == [("router", "other routes"), ("cluster", "other hosts"), ("listener", "missing")]


PASSED_ON = """
10.96.0.3_20880 | next    |       | other cluster | its ClusterIP is another Service's by now
10.96.0.3_20880 | user    | bolt  | other protocol | it was looked into
10.96.0.9_20880 | user    |       | left over     | what it was for was created again, with another ClusterIP
10.96.0.9_20880 | user    | bolt  |               | its router is told where calls go
0.0.0.0_7000    | refused |       | left over     | whatever it is for
"""


@pytest.mark.parametrize(
    "line", PASSED_ON.strip().splitlines(), ids=lambda line: line.rpartition("|")[2].strip()
)
def test_what_a_listener_passes_on_is_in_the_file_alone(line: str) -> None:
    name, cluster, looked_into, what, _ = (part.strip() for part in line.split("|"))
    data = file()
    [server] = data["servers"]
    listeners = {listener["name"]: listener for listener in server["listeners"]}
    passed_on = {"type": "tcp_proxy", "config": {"cluster": named(cluster), "routes": []}}
    proxied = {"type": "proxy", "config": {"downstream_protocol": looked_into, "router_config_name": name}}
    listeners[name] = {"name": name, "filter_chains": [{"filters": [proxied if looked_into else passed_on]}]}
    routers = {router["router_config_name"]: router for router in server["routers"]}
    clusters = {cluster["name"]: cluster for cluster in data["cluster_manager"]["clusters"]}
    found = differences(data, {"routers": routers, "cluster": clusters, "listener": listeners})
    assert [(each.kind, each.name, each.what) for each in found] == (
        [("listener", name, what)] if what else []
    )
    assert all("new file" in each.cure for each in found)
    assert looked_into or named(cluster) in found[0].cure, "where connections are passed on until then"


def test_a_domain_is_compared_by_itself_whoever_shares_its_host() -> None:
    def router(*hosts: tuple[str, str]) -> mosn.Data:
        rule = {"match": {"prefix": "/"}, "route": {"cluster_name": ""}}
        return {
            "router_config_name": "egress_dubbo",
            "virtual_hosts": [
                {
                    "name": domains[0],
                    "domains": list(domains),
                    "routers": [{**rule, "route": {"cluster_name": to}}],
                }
                for domains, to in hosts
            ],
        }

    def seen(has: mosn.Data) -> list[str]:
        told = {"servers": [{"routers": [router(("ab", "one"), ("c", "two"))], "listeners": []}]}
        told["cluster_manager"] = {"clusters": []}  # type: ignore[assignment]
        return [each.what for each in differences(told, {"routers": {"egress_dubbo": has}})]

    assert seen(router(("a", "one"), ("b", "one"), ("c", "two"))) == []
    assert seen(router(("a", "one"), ("bc", "two"))) == ["other routes"]
    assert seen(router(("a", "one"), ("c", "two"))) == ["other routes"]


@pytest.mark.parametrize(
    ("weights", "told"), [((), ()), ((3, 1), (3, 1)), ((1280, 10), (128, 1)), ((1280, 1, 640), (128, 1, 64))]
)
def test_weights_are_as_mosn_tells_them_apart(weights: tuple[int, ...], told: tuple[int, ...]) -> None:
    ends = tuple((f"192.0.2.{number}", 20880) for number in range(1, len(weights) + 1))
    found = Cluster("providers|20880||com.x.Old", ends, weights)
    assert mosn.cluster(found.name)["lb_policy"] == "LEAST_REQUEST"
    hosts = mosn.load_assignment(found)["endpoints"]
    assert tuple(each["load_balancing_weight"] for at in hosts for each in at["lb_endpoints"]) == told
    data = mosnfile.document(mosnfile.Node("n", "rpc.test"), [], [], [found])
    [_, cluster] = data["cluster_manager"]["clusters"]
    assert cluster["lb_type"] == "LB_LEAST_REQUEST"
    assert tuple(host["weight"] for host in cluster["hosts"]) == told


def test_only_clusters_of_providers_are_weighed() -> None:
    assert mosn.cluster(named("user"))["lb_policy"] == "ROUND_ROBIN"
