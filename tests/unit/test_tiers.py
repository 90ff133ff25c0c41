"""The least that is right, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soadns.routemodel import Route, Target
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.tiers import Applied, PortFacts, PortTier, Wishes, decide
from tests.unit.filter_cases import ACCOUNT, WISHES, facts, moved, providers, service, subject, to
from tests.unit.test_destinations import route, rule, virtual

A = moved("com.x.A")


def tier(
    port: PortFacts | None = None,
    *,
    wishes: Wishes = WISHES,
    destinations: Destinations | None = None,
    held: int = 0,
    files: tuple[str, ...] = (),
    **changes: object,
) -> PortTier:
    port = port or facts()
    applied = Applied({20880: held} if held else {}, {ns: frozenset({20880}) for ns in files})
    return decide(subject(port, **changes), port, wishes, destinations or Destinations(), applied)


def test_nothing_is_done_where_nothing_is_asked_for_and_nothing_moved() -> None:
    assert tier() == PortTier(20880, 0, "all that is called there is the Service's own")


def test_balancing_by_request_is_asked_for() -> None:
    assert (tier(balancing="request").tier, tier(wishes=replace(WISHES, balancing="request")).tier) == (1, 1)
    assert "by annotation" in tier(balancing="request").why
    assert "by configuration" in tier(wishes=replace(WISHES, balancing="request")).why
    assert tier(wishes=replace(WISHES, balancing="request"), balancing="connection").tier == 0
    assert tier(balancing="request").lost[0] == "the access log of its connections"


def test_rules_need_consent_or_calls_that_would_fail() -> None:
    still, failing = facts(A), facts(A, failing=[A])
    assert (tier(still).tier, tier(still, moves="inline").tier, tier(failing).tier) == (0, 2, 2)
    assert "such calls succeed where they are" in tier(still).why
    assert (
        "calls of com.x.A would fail without rules: home/shop/user does not provide it" in tier(failing).why
    )
    assert tier(failing, moves="never").tier == 0
    assert tier(failing, moves="never", balancing="request").tier == 1
    assert tier(still, balancing="request").tier == 1
    assert tier(still, wishes=replace(WISHES, moves="inline")).tier == 2
    assert tier(failing, wishes=replace(WISHES, moves="never")).tier == 0


def test_a_rule_that_istio_can_not_be_told_is_no_reason_for_a_filter() -> None:
    headless = moved("com.x.A", to(ACCOUNT, kind="headless"))
    old_world = moved("com.x.B", providers("com.x.B"))
    port = facts(headless, old_world, moved("com.*"), failing=[headless])
    found = tier(port, moves="inline")
    assert found.tier == 0
    assert found.untold == (
        "com.x.A: Istio has no cluster for a headless Service",
        "com.x.B: Istio has no cluster for the registry's providers",
        "com.*: Envoy would take such a name for a pattern",
    )


@pytest.mark.parametrize(
    ("port", "changes", "why"),
    [
        (facts(others=("fastjson2",)), {}, "providers prefer fastjson2 to hessian2"),
        (facts(protocols=("bolt",)), {}, "bolt is spoken there"),
        (facts(protocols=("dubbo", "tri")), {}, "tri is spoken there"),
        (facts(protocols=()), {}, "nobody says that Dubbo is spoken there"),
        (facts(registered=False), {}, "no provider of it is registered"),
        (facts(name="http-dubbo"), {}, "Istio takes the port for http, by its name http-dubbo"),
        (facts(app_protocol="grpc"), {}, "Istio takes the port for grpc, by its appProtocol grpc"),
        (facts(), {"cluster_ips": ()}, "it has no ClusterIP"),
        (facts(), {"headless": True}, "it has no ClusterIP"),
        (facts(), {"uid": ""}, "it is in files only"),
    ],
)
def test_where_no_filter_may_be(port: PortFacts, changes: dict[str, object], why: str) -> None:
    port = replace(port, vip=facts(A).vip, failing=frozenset([A]))
    found = tier(
        port, balancing="request", moves="inline", wishes=replace(WISHES, namespaces=("web",)), **changes
    )
    assert found.tier == 0
    assert not found.files
    assert why in found.why


def test_a_virtual_service_that_can_not_be_said_keeps_the_service_at_tier_0() -> None:
    asks = Destinations([virtual(route(("user", "", 1), sourceLabels={"a": "b"}))])
    found = tier(balancing="request", destinations=asks)
    assert (found.tier, found.why) == (
        0,
        "VirtualService shop/user asks for sourceLabels, which a filter of all callers can not",
    )
    hashed = Destinations([], [rule(loadBalancer={"consistentHash": {"useSourceIp": True}})])
    found = tier(balancing="request", destinations=hashed)
    assert (found.tier, found.lost[-1]) == (1, "consistentHash (DestinationRule shop/user)")


def test_no_tier_is_lowered_by_itself() -> None:
    assert tier(held=1).tier == 1
    assert "no tier is lowered by itself" in tier(held=1).why
    assert tier(facts(A), held=2).tier == 2  # its Service provides it again, or consent was taken back
    assert tier(facts(others=("fastjson2",)), held=1).tier == 1
    assert "fastjson2" in tier(facts(others=("fastjson2",)), held=1).harm
    assert tier(facts(protocols=(), registered=False), held=1).tier == 1
    assert tier(balancing="request", held=1).harm == ""


def test_annotations_of_the_service_lower_it() -> None:
    assert tier(held=1, balancing="connection").tier == 0
    assert tier(facts(A), held=2, moves="never").tier == 1
    assert tier(facts(A), held=2, moves="never", balancing="connection").tier == 0
    assert tier(facts(A), held=2, balancing="connection").tier == 2  # its rules are still needed
    lowered = replace(WISHES, balancing="connection", moves="never")
    assert tier(held=1, wishes=lowered).tier == 1  # the configuration lowers nobody


def test_rules_that_are_gone_are_no_tier() -> None:
    assert tier(held=2).tier == 1
    assert tier(held=2, balancing="connection").tier == 0


def test_pods_with_files_have_their_rules_from_there() -> None:
    wishes = replace(WISHES, namespaces=("web", "admin"))
    assert (tier(wishes=wishes).tier, tier(wishes=wishes).files) == (0, ("web", "admin"))
    assert tier(wishes=wishes, moves="never").files == ()
    not_any_more = facts(others=("fastjson2",))
    assert tier(not_any_more, wishes=wishes).files == ()
    assert tier(not_any_more, wishes=wishes, files=("web",)).files == ("web",)
    assert tier(not_any_more, files=("web",)).files == ()  # its namespace was taken out of the configuration


def test_groups_of_the_service_itself_and_refusals_are_no_reason() -> None:
    variants = [
        Route("com.x.A", None, "1", to(service().ref), "own"),
        Route("com.x.A", None, None, None, "missing"),
    ]
    assert tier(facts(*variants), moves="inline").tier == 0


def test_a_service_of_the_same_name_in_another_cluster_is_itself() -> None:
    ref = service().ref._replace(cluster="east")
    twin = Target("remote", ref, "user.shop.svc.cluster.local", 20880)
    rule = Route("com.x.A", None, "2", twin, "own")
    assert tier(facts(rule, failing=[rule]), moves="inline").tier == 0
    other = moved("com.x.A", replace(twin, service=ref._replace(name="pay"), host="pay.shop.svc"))
    assert tier(facts(other), moves="inline").tier == 2
