"""Filters that soadns itself writes, with real istiod and Envoy: what arrives in sidecars, what is in the way, and what
never gets as far.

Who calls and who answers speaks Dubbo by hand; each story has Services of its own.
"""

from __future__ import annotations

import copy
import itertools
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from soadns.sidecar import filterchecks
from tests.scenarios.stage.cluster import NAMESPACE
from tests.scenarios.stage.dubbowire import Call
from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.judges import ALL, API_SERVER, ENVOY, ISTIOD, NOBODY, Judgement, Judges, one_rule
from tests.scenarios.stage.mesh import cluster, istio
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.smallmesh import PORT, SmallMesh
from tests.scenarios.stage.stage import Service

Data = dict[str, Any]
WITHIN_S = 60.0
NUDGED_S = 2.0
"""istiod has told all sidecars of a change, and soadns has read what it says of that."""
OTHERS = "others"
"""A namespace without a pod."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallMesh]:
    found = SmallMesh(tmp_path_factory.mktemp("small"))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture(scope="module")
def judges(small: SmallMesh) -> Iterator[Judges]:
    found = Judges(small)
    yield found
    found.end()


# --------------------------------------------------------------------------- what never gets as far


def patch(found: Data) -> Data:
    return found["spec"]["configPatches"][0]  # type: ignore[no-any-return]


def value(found: Data) -> Data:
    return patch(found)["patch"]["value"]  # type: ignore[no-any-return]


def settings(found: Data) -> Data:
    return value(found)["typed_config"]  # type: ignore[no-any-return]


def rule(found: Data) -> Data:
    return settings(found)["multiple_route_config"]["route_config"][0]  # type: ignore[no-any-return]


def route(found: Data) -> Data:
    return rule(found)["routes"][0]  # type: ignore[no-any-return]


EXCHANGE = {
    "@type": "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
    "protocol": "x",
}
UNKNOWN = "outbound|1||nobody.shop.svc.cluster.local"
OLD = "victim"
"""What stood before goes on."""
FORMS: dict[str, tuple[Callable[[Data], object], Judgement]] = {
    "a: a typo in an enum": (
        lambda f: patch(f).update(applyTo="NETWORK_FILTERS"), Judgement(API_SERVER, OLD, True)
    ),
    "m: an unknown field of the spec": (
        lambda f: f["spec"].update(priorty=5), Judgement(API_SERVER, OLD, True)
    ),
    "l: selector and targetRefs": (
        lambda f: f["spec"].update(
            workloadSelector={"labels": {"a": "b"}}, targetRefs=[{"group": "", "kind": "Service", "name": "victim"}]
        ),
        Judgement(API_SERVER, OLD, True),
    ),
    "b: an unknown type": (
        lambda f: settings(f).update({"@type": "type.googleapis.com/x.DubboProxy"}), Judgement(ISTIOD, OLD, False)
    ),
    "k: a number for a text": (lambda f: rule(f).update(interface=5), Judgement(ISTIOD, OLD, False)),
    "j: no operation": (lambda f: patch(f)["patch"].pop("operation"), Judgement(NOBODY, OLD, False)),
    "f: a listener that does not exist": (
        lambda f: patch(f)["match"]["listener"].update(name="10.96.255.9_20880"), Judgement(NOBODY, OLD, False)
    ),
    "c: an unknown field": (
        lambda f: rule(f).update(interfaces=rule(f).pop("interface")), Judgement(NOBODY, "status 60", True)
    ),
    "g: a cluster that does not exist": (
        lambda f: route(f).update(route={"cluster": UNKNOWN}), Judgement(NOBODY, "status 80", True)
    ),
    "b2: a filter that Envoy lacks": (
        lambda f: value(f).update(name="istio.metadata_exchange", typed_config=EXCHANGE), Judgement(ENVOY, OLD, True)
    ),
    "d: no method": (lambda f: route(f).update(match={}), Judgement(ENVOY, OLD, True)),
    "e: no stat_prefix": (lambda f: settings(f).pop("stat_prefix"), Judgement(ENVOY, OLD, True)),
    "h: inserted, not replaced": (
        lambda f: patch(f)["patch"].update(operation="INSERT_BEFORE"), Judgement(ENVOY, OLD, True)
    ),
    "n: a bad regular expression": (
        lambda f: route(f).update(match={"method": {"name": {"safe_regex": {"regex": "("}}}}),
        Judgement(ENVOY, OLD, True),
    ),
    "i: a value without a name": (lambda f: value(f).pop("name"), Judgement(ALL, OLD, True)),
}  # fmt: skip
"""What is wrong, and what becomes of it where nobody looks: as docs/istio.md says."""


@pytest.mark.parametrize("form", FORMS)
def test_what_a_bad_filter_does_and_who_says_so_but_soadns(form: str, judges: Judges) -> None:
    spoil, expected = FORMS[form]
    judges.settle()
    found = copy.deepcopy(judges.good)
    spoil(found)
    assert refusals(judges, judges.good) == []
    assert refusals(judges, found)
    assert judges.judge(found) == expected
    if expected.who in (ENVOY, ALL) and form[0] in "di":
        there = judges.after_a_restart()
        judges.settle()
        assert there == ([] if expected.who == ALL else ["other"]), "what was refused is missed by new pods"


def refusals(judges: Judges, document: Data) -> list[str]:
    """What soadns says against an object, if it were its own."""
    labels = {"app.kubernetes.io/managed-by": "soadns", "soadns.io/service-uid": "x"}
    metadata = {**document["metadata"], "labels": labels, "annotations": {"soadns.io/service": "shop/victim"}}
    listeners, clusters = [f"{judges.victim.cluster_ip}_{PORT}"], [cluster(judges.victim)]
    return filterchecks.problems({**document, "metadata": metadata}, listeners=listeners, clusters=clusters)


# --------------------------------------------------------------------------- what soadns writes


@pytest.fixture(scope="module")
def written(small: SmallMesh) -> SmallMesh:
    """Both replicas run; nothing of what is done by hand stands any more."""
    for replica in small.replicas:
        replica.start()
    return small


def asked_for(small: SmallMesh, name: str, *interfaces: str) -> tuple[Service, Data]:
    """A Service for which balancing by request is asked for, and its filter."""
    service = small.shop(name, *interfaces)
    service.annotate(balancing="request")
    return service, small.stands(service)


def filtered(small: SmallMesh, service: Service, interface: str, address: str = "") -> None:
    """Calls pass a filter of soadns's, and arrive."""

    def look() -> bool:
        return (
            small.plain.ask(service, interface, address).said == service.name
            and small.plain.requests(cluster(service)) > 0
        )

    assert eventually(look, within=WITHIN_S), small.told()


def matched(small: SmallMesh, service: Service, expected: bool) -> None:
    """Whether istiod found what the filter for all callers replaces, as it says of each by its metrics.

    They are of what it told sidecars last, and may be older than what stands: so all are told again until they are not.
    """
    nudge = istio("EnvoyFilter", "changes-nothing", {"configPatches": []}, ROOT)
    small.api.apply(nudge)
    priorities = itertools.count(1)

    def look() -> list[bool | None]:
        objects = small.row(small.leader(), service).get("objects", [])
        found = [each["matched"] for each in objects if each["namespace"] == ROOT]
        if found != [expected]:
            small.api.apply(nudge | {"spec": {"configPatches": [], "priority": next(priorities)}})
            time.sleep(NUDGED_S)
        return found

    found = eventually(look, within=WITHIN_S, until=[expected].__eq__)
    small.api.delete(nudge)
    assert found == [expected], small.told()


def tells(small: SmallMesh, service: Service, reason: str, note: str) -> None:
    """It is told as an Event of the Service that there is, by a replica that wrote."""

    def look() -> list[Data]:
        return [
            each
            for each in small.events(service)
            if each["reason"] == reason and each["note"].startswith(note)
        ]

    found = eventually(look, within=WITHIN_S)
    assert found, f"{small.events(service)}\n{small.told()}"
    each = found[0]
    uid = small.api.request("GET", f"/api/v1/namespaces/{NAMESPACE}/services/{service.name}")["metadata"][
        "uid"
    ]
    regarding = {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": NAMESPACE,
        "name": service.name,
        "uid": uid,
    }
    assert each["regarding"] == regarding
    assert each["reportingController"] == "soadns.io/soadns"
    # The Lease may have changed hands since, on a machine that does much else.
    assert each["reportingInstance"] in {
        small.mesh(replica)["share"]["replica"] for replica in small.replicas
    }


def test_what_is_written_reaches_listeners_and_survives_who_wrote_it(written: SmallMesh) -> None:
    small = written
    refused = small.istiod.rejected
    service, made = asked_for(small, "first", "com.x.First")
    assert {each["manager"] for each in made["metadata"]["managedFields"]} == {"soadns"}
    filtered(small, service, "com.x.First")
    with small.plain.connect(service) as connection:
        changes = small.plain.sidecar.stat("listener_manager.listener_modified")
        leader = small.leader()
        [follower] = [each for each in small.replicas if each is not leader]
        leader.signalled(signal.SIGKILL)
        leader.process.kill()
        assert small.leader() is follower
        found = eventually(
            lambda: [each["state"] for each in small.row(follower, service).get("objects", [])],
            within=WITHIN_S,
            until=lambda states: set(states) == {"applied"},
        )
        assert set(found) == {"applied"}, small.told()
        assert small.filters(service) == [made], "what it found as it should be it did not write again"
        assert connection.ask(Call("com.x.First")).said == "first"
        assert small.plain.sidecar.stat("listener_manager.listener_modified") == changes
    matched(small, service, True)

    second, _ = asked_for(small, "second", "com.x.Second")
    filtered(small, second, "com.x.Second")
    assert small.istiod.rejected == refused
    leader.start()


def test_the_filter_of_a_service_that_is_created_again_goes_at_once(written: SmallMesh) -> None:
    small = written
    service, old = asked_for(small, "again", "com.x.Again")
    before = service.cluster_ip
    service.delete()
    service.apply()
    assert service.cluster_ip != before
    made = small.stands(service, until=lambda found: found["metadata"]["name"] != old["metadata"]["name"])
    [patched] = made["spec"]["configPatches"]
    assert patched["match"]["listener"]["name"] == f"{service.cluster_ip}_{PORT}"
    filtered(small, service, "com.x.Again")


def test_a_file_is_mounted_before_a_filter_names_it_and_calls_follow_it_without_a_cut(
    written: SmallMesh,
) -> None:
    small = written
    sidecar = small.mounting.sidecar
    refused = sidecar.stat("listener_manager.lds.update_rejected")
    old, new = small.shop("old", "com.x.Stays", "com.x.Moves"), small.shop("new", "com.x.Others")
    for service in (old, new):
        small.stands(service, NAMESPACE)
    small.reaches(small.mounting, old, "com.x.Moves", "old")
    for service in (old, new):  # istiod pushes one after the other
        at = cluster(service)
        assert eventually(lambda at=at: small.mounting.requests(at) >= 0, within=WITHIN_S), at

    with small.mounting.connect(old) as connection:
        assert connection.ask(Call("com.x.Moves")).said == "old"
        changes = sidecar.stat("listener_manager.listener_modified")
        small.provide(new, "com.x.Others", "com.x.Moves")
        small.provide(old, "com.x.Stays")
        found = eventually(
            lambda: connection.ask(Call("com.x.Moves")).said,
            within=WITHIN_S,
            until=lambda said: said == "new",
        )
        assert found == "new", small.told()
        assert connection.ask(Call("com.x.Stays")).said == "old"
        assert sidecar.stat("listener_manager.listener_modified") == changes
    small.stands(old)
    assert sidecar.stat("listener_manager.lds.update_rejected") == refused
    small.reaches(small.plain, old, "com.x.Moves", "new")


def test_a_change_cuts_every_connection_that_istio_knows_the_protocol_of(written: SmallMesh) -> None:
    """Where the port's name does not say it, Istio waits for the first octets: who has sent none has no filter yet that
    could be replaced, stays, and has the new one when it begins to speak."""
    small = written
    told = small.shop("told", "com.x.Told")
    sniffed = small.shop("sniffed", "com.x.Sniffed", port_name="dubbo")
    names = {told: "com.x.Told", sniffed: "com.x.Sniffed"}
    for service, name in names.items():
        small.reaches(small.plain, service, name, service.name)
    for balancing, filters in (("request", 1), ("connection", 0)):
        silent = {service: small.plain.connect(service) for service in names}
        spoken = {service: small.plain.connect(service) for service in names}
        for service, caller in spoken.items():
            assert caller.ask(Call(names[service])).said == service.name
        for service in names:
            service.annotate(balancing=balancing)
        for caller in (*spoken.values(), silent[told]):
            assert eventually(lambda caller=caller: caller.cut, within=WITHIN_S), small.told()
        assert not silent[sniffed].cut
        assert [len(small.filters(service)) for service in names] == [filters] * 2
        before = small.plain.requests(cluster(sniffed))
        assert silent[sniffed].ask(Call("com.x.Sniffed")).said == "sniffed"
        assert small.plain.requests(cluster(sniffed)) == before + filters, "it passes what stands now"
        for caller in (*spoken.values(), *silent.values()):
            caller.close()


FAMILIES = {"one": ["IPv6"], "first": ["IPv6", "IPv4"], "second": ["IPv4", "IPv6"]}


@pytest.mark.parametrize("ipv6", FAMILIES)
def test_a_filter_is_at_the_addresses_of_both_families(ipv6: str, written: SmallMesh) -> None:
    small, families = written, FAMILIES[ipv6]
    policy = "SingleStack" if len(families) == 1 else "RequireDualStack"
    interface = f"com.x.Six{ipv6}"
    service = small.shop(f"six-{ipv6}", interface, ipFamilies=families, ipFamilyPolicy=policy)
    service.annotate(balancing="request")
    made = small.stands(service)
    names = [patch["match"]["listener"]["name"] for patch in made["spec"]["configPatches"]]
    assert names == [f"{address}_{PORT}" for address in service.cluster_ips]
    for pod in (small.plain, small.dual)[len(families) == 1 :]:  # who has no IPv6 has no listener there
        assert eventually(lambda pod=pod: pod.requests(cluster(service)) >= 0, within=WITHIN_S), (
            f"{pod.sidecar.get('/listeners')}\n{small.told()}"
        )
    if len(families) == 2:
        filtered(small, service, interface, ipv4_of(service))


def ipv4_of(service: Service) -> str:
    [found] = [address for address in service.cluster_ips if "." in address]
    return found


def test_a_filter_of_somebody_else_on_the_same_listener_is_named(written: SmallMesh) -> None:
    small = written
    service = small.shop("theirs", "com.x.Theirs")
    small.api.apply(one_rule(service, "of-somebody-else"))
    assert eventually(lambda: small.plain.requests("of-somebody-else") >= 0, within=WITHIN_S)
    service.annotate(balancing="request")
    small.stands(service)
    leader = small.leader()
    row = eventually(
        lambda: small.row(leader, service), within=WITHIN_S, until=lambda found: bool(found.get("foreign"))
    )
    assert row["foreign"] == [f"{ROOT}/by-hand-theirs"]
    said = leader.cli("mesh", "status", service.ref.partition("/")[2])[1]
    assert f"EnvoyFilter {ROOT}/by-hand-theirs" in said, said
    # The older one is in force, and the younger does nothing, as it says.
    small.reaches(small.plain, service, "com.x.Theirs", "theirs")
    assert (small.plain.requests("of-somebody-else") > 0, small.plain.requests(cluster(service))) == (
        True,
        -1,
    )
    matched(small, service, False)
    small.api.delete(one_rule(service))
    filtered(small, service, "com.x.Theirs")
    matched(small, service, True)
    tells(small, service, "SidecarTier", "port 20880: tier 1")
    tells(small, service, "ForeignFilter", f"EnvoyFilter {ROOT}/by-hand-theirs is on the same listener")


def test_one_in_a_namespace_of_callers_is_in_the_way_there_and_what_is_hidden_there_is_named(
    written: SmallMesh,
) -> None:
    small = written
    service, _ = asked_for(small, "local", "com.x.Local")
    filtered(small, service, "com.x.Local")
    theirs = one_rule(service, "of-somebody-local")
    elsewhere = {**theirs, "metadata": {**theirs["metadata"], "namespace": OTHERS}}
    scope = istio("Sidecar", "default", {"egress": [{"hosts": ["./*"]}]}, OTHERS)
    small.api.create_namespace(OTHERS)
    for document in (elsewhere, scope):
        small.api.apply(document)
    leader = small.leader()
    row = eventually(
        lambda: small.row(leader, service),
        within=WITHIN_S,
        until=lambda found: bool(found.get("foreign") and found["hidden"]),
    )
    assert row["foreign"] == [f"{OTHERS}/by-hand-local"]
    host = f"local.{NAMESPACE}.svc.cluster.local"
    assert row["hidden"] == [{"host": host, "from": f"namespace {OTHERS} (Sidecar {OTHERS}/default)"}]
    said = leader.cli("mesh", "status", service.ref.partition("/")[2])[1]
    assert f"  hidden from namespace {OTHERS} (Sidecar {OTHERS}/default): {host}" in said, said
    assert eventually(lambda: small.plain.ask(service, "com.x.Local").said == "local", within=WITHIN_S)
    for document in (elsewhere, scope):
        small.api.delete(document)


def test_what_istio_says_wrongly_is_not_written_and_the_others_do_not_wait(written: SmallMesh) -> None:
    """Nothing in the API server keeps a subset from having a name that makes another cluster of Istio's name."""
    small = written
    host = f"wrong.{NAMESPACE}.svc.cluster.local"
    small.api.apply(istio("DestinationRule", "wrong", {"host": host, "subsets": [{"name": "v|1"}]}))
    to = [{"destination": {"host": host, "subset": "v|1"}}]
    small.api.apply(istio("VirtualService", "wrong", {"hosts": [host], "tcp": [{"route": to}]}))
    service = small.shop("wrong", "com.x.Wrong")
    service.annotate(balancing="request")
    leader = small.leader()
    why = "is no cluster of Istio's"
    found = eventually(
        lambda: [each["refused"] or "" for each in small.row(leader, service).get("objects", [])],
        within=WITHIN_S,
        until=lambda texts: len(texts) == 2 and all(why in text for text in texts),
    )
    assert all(why in text for text in found), small.told()
    beside, _ = asked_for(small, "beside", "com.x.Beside")
    filtered(small, beside, "com.x.Beside")
    assert small.filters(service) == small.filters(service, NAMESPACE) == []
    refused = eventually(
        lambda: leader.metric('soadns_mesh_filters{state="refused"}'), within=WITHIN_S, until=(2.0).__eq__
    )
    assert refused == 2.0
    assert leader.logged("filter-refused", "soadns-shop-wrong-", why)
    assert "REFUSED: " in leader.cli("mesh", "status", "shop/wrong")[1]
    tells(small, service, "FilterRefused", f"EnvoyFilter {ROOT}/soadns-shop-wrong-")
    for kind in ("DestinationRule", "VirtualService"):
        small.api.delete(istio(kind, "wrong", {}))
    small.stands(service)


def test_what_sidecars_refuse_is_seen_and_stops_the_rest_until_somebody_says_so(written: SmallMesh) -> None:
    small = written
    service, _ = asked_for(small, "last", "com.x.Last")
    leader = small.leader()
    before = small.istiod.rejected
    bad = one_rule(service)
    route(bad).update(match={})
    bad["spec"]["priority"] = 1  # before that of soadns
    small.api.apply(bad)
    assert eventually(lambda: small.istiod.rejected > before, within=WITHIN_S)
    count = eventually(
        lambda: small.mesh(leader)["istio"]["rejects"],
        within=WITHIN_S,
        until=lambda found: found["total"] > before,
    )
    assert count["since"] is not None, count
    held = small.shop("held", "com.x.Held")
    held.annotate(balancing="request")
    why = "sidecars refused something (soadns release mesh/filters)"
    found = eventually(
        lambda: [each["waitsFor"] for each in small.row(leader, held).get("objects", [])],
        within=WITHIN_S,
        until=lambda texts: why in texts,
    )
    assert why in found, small.told()
    said = leader.cli("mesh", "status")[1]
    assert re.search(r"sidecars refused listeners \d+ times, the last ones at ", said), said
    assert small.filters(held) == []
    assert leader.metric("soadns_mesh_rejects_total") >= count["total"]

    small.api.delete(bad)

    def released() -> bool:
        """What is refused until the bad one is gone from all sidecars stops it again."""
        assert leader.cli("release", "mesh/filters")[0] == 0
        return eventually(lambda: bool(small.filters(held)), within=3.0)

    assert eventually(released, within=WITHIN_S), small.told()
    filtered(small, held, "com.x.Held")
