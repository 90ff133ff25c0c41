"""EnvoyFilters of one Service, and what is read off those that are there."""

from __future__ import annotations

import json
from dataclasses import replace

from soadns.model import Port
from soadns.routemodel import Route
from soadns.sidecar import tiers
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.drdsfiles import MOST, DrdsFile, config_maps, shard_of, shared_out
from soadns.sidecar.envoyfilters import Data, Rendered, applied_of, render, uid_of
from soadns.sidecar.filterchecks import problems
from soadns.sidecar.tiers import Applied, Subject, Wishes
from tests.unit.filter_cases import (
    ACCOUNT,
    UID,
    USER,
    WISHES,
    cluster,
    facts,
    moved,
    own,
    providers,
    subject,
    to,
    vip,
)
from tests.unit.test_destinations import route, rule, virtual

A = moved("com.x.A")
FILES = replace(WISHES, namespaces=("web", "admin"))


def rendered(
    found: Subject,
    wishes: Wishes = WISHES,
    destinations: Destinations | None = None,
    applied: Applied = tiers.NOTHING,
) -> Rendered:
    made = render(found, wishes, destinations or Destinations(), applied)
    for each in made.filters:
        assert problems(each, listeners=made.listeners) == []
    return made


def settings(found: Data, patch: int = 0) -> Data:
    value = found["spec"]["configPatches"][patch]["patch"]["value"]
    assert value["name"] == "envoy.filters.network.dubbo_proxy"
    return dict(value["typed_config"])


def rules(found: Data, patch: int = 0) -> list[tuple[str, object]]:
    configs = settings(found, patch)["multiple_route_config"]["route_config"]
    return [(each["interface"], each["routes"][0]["route"].get("cluster")) for each in configs]


def test_tier_0_is_nothing() -> None:
    made = rendered(subject())
    assert (made.tier, made.filters, made.files) == (0, (), ())


def test_tier_1_is_one_rule_that_does_not_depend_on_what_moved() -> None:
    [one] = rendered(subject(balancing="request")).filters
    assert rules(one) == [("*", cluster(USER))]
    assert rendered(subject(facts(A), balancing="request")).filters == (one,)
    assert one["metadata"] == {
        "name": "soadns-shop-user-896a00e1",
        "namespace": "istio-system",
        "labels": {"app.kubernetes.io/managed-by": "soadns", "soadns.io/service-uid": UID},
        "annotations": {"soadns.io/service": "shop/user"},
    }
    [patch] = one["spec"]["configPatches"]
    assert patch["match"]["listener"]["name"] == "10.96.0.1_20880"
    assert settings(one)["stat_prefix"] == cluster(USER)


def test_tier_2_has_the_rules_in_it() -> None:
    refused = Route("com.x.B", None, None, None, "missing")
    [one] = rendered(subject(facts(A, refused, failing=[A]))).filters
    assert rules(one) == [
        ("com.x.A", cluster(ACCOUNT)),
        ("com.x.B", "BlackHoleCluster"),
        ("*", cluster(USER)),
    ]


def test_what_istio_has_no_cluster_for_stays_with_the_service() -> None:
    headless = Route("com.x.B", "blue", None, to(ACCOUNT, kind="headless"), "variant")
    rest = Route("com.x.B", None, None, None, "missing")
    [one] = rendered(subject(facts(A, headless, rest, failing=[A]))).filters
    assert rules(one)[1:3] == [("com.x.B", cluster(USER)), ("com.x.B", "BlackHoleCluster")]


def test_what_goes_to_the_registrys_providers_changes_no_rule() -> None:
    """It goes to the Service with and without a rule, and another rule is another filter, which cuts connections."""
    back = Route("com.x.B", None, None, providers("com.x.B"), "providers")
    with_it, without = (rendered(subject(facts(A, *more, failing=[A])), FILES) for more in ([back], []))
    assert (with_it.filters, with_it.files) == (without.filters, without.files)
    red = Route("com.x.B", "red", None, providers("com.x.B"), "providers")
    for rest in (None, to(ACCOUNT)):  # which would have its requests
        others = Route("com.x.B", None, None, rest, "missing")
        [one] = rendered(subject(facts(red, others, A, failing=[A]))).filters
        assert rules(one)[0] == ("com.x.B", cluster(USER))


def test_a_service_is_one_object_with_all_of_its_ports() -> None:
    web, second = facts(vip=vip(port=80), name="http"), facts(vip=vip(port=20881))
    [one] = rendered(subject(web, facts(A, failing=[A]), second, balancing="request")).filters
    names = [patch["match"]["listener"]["name"] for patch in one["spec"]["configPatches"]]
    assert names == ["10.96.0.1_20880", "10.96.0.1_20881"]
    assert (len(rules(one, 0)), len(rules(one, 1))) == (2, 1)


def test_the_first_cluster_ip_names_the_listener() -> None:
    [one] = rendered(subject(cluster_ips=("fd00::1", "10.96.0.1"), balancing="request")).filters
    assert one["spec"]["configPatches"][0]["match"]["listener"]["name"] == "fd00::1_20880"


def test_a_service_that_is_created_again_has_another_object() -> None:
    [first] = rendered(subject(balancing="request")).filters
    [second] = rendered(subject(balancing="request", uid="11111111-9a55-4d7e-8f9b-1c2d3e4f5a6b")).filters
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert uid_of(first) != uid_of(second)


def test_splits_are_obeyed_as_if_called_by_service_name() -> None:
    split = virtual(route(("user", "v1", 90), ("user", "v2", 10)))
    there = virtual(route(("account", "", 50), ("third", "", 50)), hosts=("account",), name="account")
    known = Destinations([split, there], [rule("v1", "v2")])
    [one] = rendered(subject(facts(A, failing=[A])), destinations=known).filters
    configs = settings(one)["multiple_route_config"]["route_config"]
    found = [each["routes"][0]["route"]["weighted_clusters"]["clusters"] for each in configs]
    assert [[share["name"].split("|")[2:] for share in shares] for shares in found] == [
        [["", "account.shop.svc.cluster.local"], ["", "third.shop.svc.cluster.local"]],
        [["v1", "user.shop.svc.cluster.local"], ["v2", "user.shop.svc.cluster.local"]],
    ]


def test_pods_with_files_have_a_filter_that_comes_first() -> None:
    made = rendered(subject(facts(A, failing=[A])), FILES)
    everywhere, web, _ = made.filters
    assert made.tier == 3
    assert [each["metadata"]["namespace"] for each in made.filters] == ["istio-system", "web", "admin"]
    assert web["spec"]["priority"] < everywhere["spec"]["priority"]
    assert web["spec"]["workloadSelector"] == {"labels": {"soadns.io/routes": "mounted"}}
    assert "workloadSelector" not in everywhere["spec"]
    [file] = made.files
    drds = settings(web)["drds"]
    assert drds["config_source"]["path_config_source"]["path"] == f"/etc/soadns/routes/{file.key}"
    [resource] = json.loads(file.text)["resources"]
    assert resource["name"] == drds["route_config_name"] == file.key.removesuffix(".json")
    assert [each["interface"] for each in resource["route_config"]] == ["com.x.A", "*"]


def test_files_have_all_rules_and_change_without_a_change_of_the_filter() -> None:
    before, after = rendered(subject(), FILES), rendered(subject(facts(A)), FILES)
    assert before.filters == after.filters
    assert before.files != after.files
    assert before.files[0].key == after.files[0].key


def test_the_same_facts_make_the_same_objects() -> None:
    once, again = (rendered(subject(facts(A, failing=[A])), FILES) for _ in range(2))
    assert json.dumps(once.filters) == json.dumps(again.filters)
    assert once.files == again.files


def test_what_is_in_force_is_read_off_the_objects() -> None:
    second = facts(vip=vip(port=20881))
    made = rendered(subject(facts(A, failing=[A]), second, balancing="request"), FILES)
    foreign = {
        "metadata": {"name": "x", "namespace": "istio-system", "labels": {}},
        "spec": {"configPatches": 5},
    }
    broken = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "soadns", "soadns.io/service-uid": 5}}}
    both = frozenset({20880, 20881})
    assert applied_of([*made.filters, foreign, broken, {}], "istio-system") == {
        UID: Applied({20880: 2, 20881: 1}, {"web": both, "admin": both})
    }


def test_what_is_adopted_is_rendered_again() -> None:
    found = subject(facts(A, failing=[A]))
    made = rendered(found)
    held = applied_of(made.filters, "istio-system")[UID]
    served_again = subject(facts(A))
    assert rendered(served_again).filters == ()
    assert rendered(served_again, applied=held).filters == made.filters
    assert rendered(subject(), applied=held).filters == rendered(subject(balancing="request")).filters
    assert (
        rendered(replace(served_again, service=replace(found.service, moves="never")), applied=held).tier == 1
    )


def test_ports_that_are_not_tcp_have_no_part_in_it() -> None:
    made = rendered(subject(facts(), ports=(Port(20880, "tcp-dubbo"), Port(53, "dns", protocol="UDP"))))
    assert [port.port for port in made.ports] == [20880]


# --------------------------------------------------------------------------- ConfigMaps


def file(number: int, octets: int) -> DrdsFile:
    return DrdsFile(f"shop.s{number}.20880.00000000.json", "x" * octets)


def test_a_file_stays_in_its_config_map_whatever_others_there_are() -> None:
    few, many = [file(i, 10) for i in range(3)], [file(i, 10) for i in range(300)]
    for files in (few, many):
        found = shared_out(files, 4)
        assert not found.left_out
        assert all(each.key in found.data[shard_of(each.key, 4)] for each in files)
        assert sum(map(len, found.data)) == len(files)


def test_a_config_map_takes_900_kib_and_what_is_mounted_comes_first() -> None:
    files = [file(i, 300 * 1024) for i in range(5)]
    found = shared_out(files, 1)
    assert (list(found.data[0]), list(found.left_out)) == (
        [files[0].key, files[1].key],
        [f.key for f in files[2:]],
    )
    found = shared_out(files, 1, held=[{each.key: each.text for each in files[3:]}])
    assert sorted(found.data[0]) == [files[3].key, files[4].key]
    assert sum(len(text) for text in found.data[0].values()) <= MOST


def test_config_maps_are_there_with_and_without_files() -> None:
    made = rendered(subject(facts(A)), FILES)
    found = config_maps(shared_out(made.files, 4).data, "web", {"app.kubernetes.io/managed-by": "soadns"})
    assert [each["metadata"]["name"] for each in found] == [f"soadns-routes-{i}" for i in range(4)]
    assert all(problems(each) == [] for each in found)
    assert sum(len(each["data"]) for each in found) == 1


def test_own_is_last() -> None:
    assert own().interface == "*"


def test_a_filter_is_at_the_listeners_of_both_families() -> None:
    """Istio names a listener by the Service's first address of a family that the pod has."""
    dual = subject(facts(A, failing=[A]), cluster_ips=("10.96.0.1", "fd00:10:96::1"))
    found = render(dual, replace(WISHES, namespaces=("web",)), Destinations())
    for document in found.filters:
        patches = document["spec"]["configPatches"]
        names = [patch["match"]["listener"]["name"] for patch in patches]
        assert names == ["10.96.0.1_20880", "fd00:10:96::1_20880"]
        assert patches[0]["patch"] == patches[1]["patch"]
        assert problems(document, listeners=found.listeners) == []
    assert applied_of(found.filters, "istio-system")[UID].ports == {20880: 2}
