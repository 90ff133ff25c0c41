"""Rules as Envoy's dubbo_proxy reads them."""

from __future__ import annotations

from soadns.routemodel import Route, Target
from soadns.sidecar.dubboproxy import NO_GROUP, Data, Weighted, from_file, route_configuration
from tests.unit.filter_cases import ACCOUNT, USER, cluster, moved, own, to, vip


def of(*routes: Route) -> list[Data]:
    found = route_configuration(vip(*routes).routes, "user", lambda target: target.cluster, "nowhere")
    assert found["name"] == "user"
    return list(found["route_config"])


def leads(rule: Data) -> object:
    [route] = rule["routes"]
    return route["route"].get("cluster")


def test_the_rule_for_everything_else_is_the_last() -> None:
    rules = of(moved("com.x.A"), moved("com.x.B"))
    assert [(rule["interface"], leads(rule)) for rule in rules] == [
        ("com.x.A", cluster(ACCOUNT)),
        ("com.x.B", cluster(ACCOUNT)),
        ("*", cluster(USER)),
    ]
    assert all(rule["routes"][0]["match"]["method"]["name"]["safe_regex"]["regex"] == ".+" for rule in rules)
    assert not any("group" in rule or "version" in rule for rule in rules)


def test_none_given_is_spelled() -> None:
    variants = [
        Route("com.x.A", "blue", "1.0", to(ACCOUNT), "variant"),
        Route("com.x.A", "blue", None, to(ACCOUNT), "variant"),
        Route("com.x.A", "", "", to(USER), "own"),
        Route("com.x.A", None, None, None, "missing"),
    ]
    exact, group, none, rest, _ = of(*variants)
    assert (exact["group"], exact["version"]) == ("blue", "1.0")
    assert (group["group"], "version" in group) == ("blue", False)
    assert ("group" in none, none["version"]) == (False, "0.0.0")
    assert none["routes"][0]["match"]["headers"] == [NO_GROUP]
    assert leads(rest) == "nowhere"
    assert [rule["name"] for rule in (exact, group, none, rest)] == [
        "blue/com.x.A:1.0",
        "blue/com.x.A",
        "-/com.x.A:-",
        "com.x.A",
    ]


def test_what_would_be_a_pattern_or_comes_twice_is_left_out() -> None:
    for name in ("*", "com.x.*", "*.A", "", "com.x\n.A"):
        assert [rule["interface"] for rule in of(moved(name), moved("com.x.A"), moved("com.x.A"))] == [
            "com.x.A",
            "*",
        ]


def test_shares_are_weighted_clusters() -> None:
    def clusters(target: Target) -> tuple[Weighted, ...]:
        return (Weighted("a", 90), Weighted("b", 10))

    [rule] = route_configuration([own()], "user", clusters, "nowhere")["route_config"]
    shares = rule["routes"][0]["route"]["weighted_clusters"]["clusters"]
    assert shares == [{"name": "a", "weight": 90}, {"name": "b", "weight": 10}]
    alone = route_configuration([own()], "user", lambda _: (Weighted("a", 90),), "nowhere")
    assert alone["route_config"][0]["routes"][0]["route"] == {"cluster": "a"}


def test_a_mounted_file_is_followed_by_its_folder() -> None:
    settings = from_file("user", "rules", "/etc/x", "rules.json")["typed_config"]
    assert settings["drds"]["config_source"]["path_config_source"] == {
        "path": "/etc/x/rules.json",
        "watched_directory": {"path": "/etc/x"},
    }
