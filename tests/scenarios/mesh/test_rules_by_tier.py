"""What people say with Istio's VirtualServices and DestinationRules holds above tier 0 for calls by interface name, as
for the same calls by Service name; where it does not, it differs as the table of ``docs/istio.md`` says.

The Service that is called has two pods. One interface lives there alone: its calls are at tier 1. Of another one it has
a variant, and the name leads to a Service that has another: a rule sends those calls on, at tier 2, or 3 for callers
with files. Soadns reads what was said, and it is applied what it exports. Beside them, at the same time, a control
calls the same pods by the name of a second Service, for which soadns does nothing, through Istio's own listener; the
same rules are written for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.scenarios.stage.control import DUBBO_PROXY, listener
from tests.scenarios.stage.inforce import ARRIVES_S
from tests.scenarios.stage.mesh import Mesh
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.proportions import alike, likely
from tests.scenarios.stage.ruled import CUT_MS, FEW, FILES, PLAIN, SETTLED_S, THROWS, WAYS, Ruled
from tests.scenarios.stage.trafficrules import (
    BY_SHARE,
    CALLS,
    DEAD,
    EACH_CALL,
    EJECTED,
    ITS_PODS,
    LIMIT,
    LIMITS,
    ONE_CONNECTION,
    ONE_HAS_ALL,
    REFUSED,
    SHARE,
    SPLIT,
    STAYS,
    SUBSET,
    THROWING,
    WAIT,
    WAIT_AND_REFUSED,
    WEIGHT,
    Rule,
    detection,
    pool,
    shares,
    split,
    subsets,
)
from tests.scenarios.stage.variants import Variants


@pytest.fixture(scope="module")
def ruled(mesh: Mesh, variants: Variants) -> Iterator[Ruled]:
    found = Ruled(mesh, variants)
    yield found
    found.end()


def holds(rule: Rule, by_service: str, by_interface: str) -> None:
    """What was seen, at each tier, is what the page says."""
    assert (rule.by_service, *rule.by_interface[1:]) == (by_service, *[by_interface] * len(WAYS)), rule.what


def test_the_control_passes_nothing_of_soadns_s(ruled: Ruled) -> None:
    """And all others do: they are not compared with themselves."""
    assert ruled.control.listener()
    for kind, service in ((PLAIN, ruled.service), (PLAIN, ruled.leads), (FILES, ruled.leads)):
        sidecar = ruled.mesh.sidecar(kind)
        assert eventually(
            lambda sidecar=sidecar, service=service: DUBBO_PROXY in listener(sidecar, service),
            within=ARRIVES_S,
        )


def test_weights_and_subsets_are_obeyed(ruled: Ruled) -> None:
    first, second = ruled.names
    v1, v2 = ruled.subsets
    with ruled.rules(lambda service: [subsets(service), split(service, WEIGHT)]):
        ruled.told(v1, v2)
        ruled.become(first, second)
        by_service = ruled.control_asked(CALLS)
        assert set(by_service) == {first, second}, by_service
        assert likely(by_service[first], CALLS, SHARE), by_service
        for way in WAYS:
            found = ruled.asked(way, CALLS)  # over one connection, so each of them by itself
            assert set(found) == {first, second}, (str(way), found)
            ruled.mesh.rows.append(shares(way.tier, by_service[first], found[first]))
            assert likely(found[first], CALLS, SHARE), (str(way), found)
            assert alike(found[first], CALLS, by_service[first], CALLS), (str(way), found, by_service)
        holds(SPLIT, BY_SHARE, BY_SHARE)
        assert len(ruled.control_asked(FEW, over=1)) == 1
        holds(ONE_CONNECTION, ONE_HAS_ALL, EACH_CALL)
        ruled.mesh.apply(*(split(service, 0) for service in ruled.control.services))
        ruled.told(v2, absent=[v1])
        ruled.become(second)
        holds(SUBSET, ITS_PODS, ITS_PODS)
    ruled.become(first, second)


def test_more_calls_than_connections_are_refused_by_service_name_and_wait_by_interface_name(
    ruled: Ruled,
) -> None:
    """Of those that wait further ones are refused where people say how many may. With one pod: Envoy makes one
    connection to each whatever the limit is."""
    other = ruled.addresses[1]
    for service in ruled.control.services:
        service.without(other)
    try:
        with ruled.rules(lambda service: [subsets(service, **pool())]):
            _limited(ruled, "max_connections")
            ruled.control_holds()
            with ruled.held():
                for way in WAYS:
                    ruled.steady(way, str(way))
                waiting = Counter(way.kind for way in WAYS)
                ruled.waited("upstream_rq_pending_active", waiting)
                ruled.control_is_refused()
                ruled.waited("upstream_rq_pending_active", waiting)
            ruled.control_goes_on()
            for way in WAYS:
                tally = ruled.callers[way.kind].tally(str(way))
                assert (tally.calls, tally.failed) == (1, 0), (str(way), tally)
            holds(LIMIT, REFUSED, WAIT)
            ruled.mesh.apply(*(subsets(service, **pool(1)) for service in ruled.control.services))
            _limited(ruled, "max_pending_requests")
            ruled.control_holds()
            with ruled.held(another=True):
                for way in WAYS:
                    assert ruled.asked(way, 3) == {"failed": 3}, str(way)
                ruled.control_is_refused()
            ruled.control_goes_on()
            holds(LIMITS, REFUSED, WAIT_AND_REFUSED)
    finally:
        ruled.control.caller.process.ask("stop")
        for service in ruled.control.services:
            service.endpoint(other)


def _limited(ruled: Ruled, what: str) -> None:
    for each in ruled.called.values():
        limited = f"{each.cluster}::default_priority::{what}::1\n"
        assert eventually(
            lambda sidecar=each.sidecar, limited=limited: limited in sidecar.get("/clusters"),
            within=ARRIVES_S,
        )


def test_outlier_detection_ejects_the_same_pod(ruled: Ruled) -> None:
    dead = ruled.mesh.town.home("dead-twice")  # nothing listens there
    for service in ruled.control.services:
        service.endpoint(dead.ip)
    try:
        for look in (
            *(lambda way=way: ruled.asked(way, FEW) for way in WAYS),
            lambda: ruled.control_asked(5, timeout_ms=CUT_MS),
        ):
            found = eventually(look, within=SETTLED_S, until=lambda seen: seen["failed"] > 0)
            assert found["failed"] > 0
        with ruled.rules(lambda service: [subsets(service, **detection())]):

            def ejected() -> list[set[str]]:
                """It takes a call that is led there, which is chance."""
                for way in WAYS:
                    ruled.asked(way, FEW)
                ruled.control_asked(5, timeout_ms=CUT_MS)
                return [each.ejected for each in ruled.called.values()]

            expected = [{dead.ip}] * len(ruled.called)
            assert eventually(ejected, within=SETTLED_S, until=expected.__eq__) == expected
            ruled.become(*ruled.names)
            holds(DEAD, EJECTED, EJECTED)
            for service in ruled.control.services:
                service.without(dead.ip)
    finally:
        for service in ruled.control.services:
            service.without(dead.ip)


def test_exceptions_of_applications_eject_pods_for_calls_by_interface_name_alone(ruled: Ruled) -> None:
    """Envoy's filter takes them for failures of the pod; Istio's own sees connections, and no answers."""
    ruled.become(*ruled.names)
    with ruled.rules(lambda service: [subsets(service, **detection())]):
        for each in ruled.called.values():
            assert "consecutive_5xx" in each.sidecar.cluster(each.cluster)
        ruled.connects(FEW)
        errors = [str(ruled.says(*THROWS).get("error", "")) for _ in range(FEW)]
        assert all("IllegalArgumentException" in error for error in errors), errors
        for way in WAYS:
            called = ruled.called[way.kind]
            before = called.ejected
            assert "IllegalArgumentException" in ruled.throws(way)
            # One of Envoy's threads answers the call, and another one ejects the pod.
            after = eventually(lambda called=called: called.ejected, within=SETTLED_S, until=before.__lt__)
            assert before < after, str(way)
            assert len(after - before) == 1
        assert ruled.called[None].ejected == set()
        holds(THROWING, STAYS, EJECTED)
