"""Providers that differ in what they say: the one value that a direct URL has, in the notation of ``urls_notation``."""

from __future__ import annotations

import pytest

from soadns.publishers.verdicts import DUBBO
from tests.unit.urls_notation import cases, told

CASES = """
defaults that differ, and a provider that says nothing
    dubbo://10.0.0.1:20880/com.x.A?default.timeout=3000
    dubbo://10.0.0.2:20880/com.x.A?default.timeout=9000&methods=find&find.timeout=20000
    dubbo://10.0.0.3:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?default.timeout=9000&find.timeout=20000
    - its providers differ in find.timeout (1000, 20000, 3000): 20000
    - its providers differ in timeout (1000, 3000, 9000): 9000

a default of one provider, and another's word for this interface
    dubbo://10.0.0.1:20880/com.x.A?default.timeout=3000
    dubbo://10.0.0.2:20880/com.x.A?timeout=2000
    => dubbo://com.x.A.rpc.test:20880?timeout=3000
    - its providers differ in timeout (2000, 3000): 3000

a provider ends connections that are silent for longer than its heartbeats allow
    dubbo://10.0.0.1:20880/com.x.A?heartbeat=10000&heartbeat.timeout=30000
    dubbo://10.0.0.2:20880/com.x.A?heartbeat=10000&heartbeat.timeout=40000
    => dubbo://com.x.A.rpc.test:20880?heartbeat=10000&heartbeat.timeout=40000
    - its providers differ in heartbeat.timeout (30000, 40000): 40000

where one provider alone says so, the others have Dubbo's default
    dubbo://10.0.0.1:20880/com.x.A?heartbeat=10000&payload=1000&connections=3
    dubbo://10.0.0.2:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?connections=3&heartbeat=10000&payload=8388608
    - its providers differ in connections (3, unset): 3
    - its providers differ in heartbeat (10000, 60000): 10000
    - its providers differ in payload (1000, 8388608): 8388608

providers differ: no call fails that succeeded, none is repeated that was not
    dubbo://10.0.0.1:20880/com.x.A?timeout=3000&retries=0&loadbalance=roundrobin
    dubbo://10.0.0.2:20880/com.x.A?timeout=500&retries=3&loadbalance=roundrobin
    => dubbo://com.x.A.rpc.test:20880?loadbalance=roundrobin&retries=0&timeout=3000
    - its providers differ in retries (0, 3): 0
    - its providers differ in timeout (3000, 500): 3000

who says nothing has Dubbo's default
    dubbo://10.0.0.1:20880/com.x.A?timeout=500&retries=5
    dubbo://10.0.0.2:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?retries=2&timeout=1000
    - its providers differ in retries (2, 5): 2
    - its providers differ in timeout (1000, 500): 1000

a method without a value has its provider's
    dubbo://10.0.0.1:20880/com.x.A?methods=find&timeout=8000
    dubbo://10.0.0.2:20880/com.x.A?methods=find&timeout=8000&find.timeout=2000
    => dubbo://com.x.A.rpc.test:20880?find.timeout=8000&timeout=8000
    - its providers differ in find.timeout (2000, 8000): 8000

clusters: one that neither repeats a call nor hides a failure
    dubbo://10.0.0.1:20880/com.x.A?cluster=failsafe
    dubbo://10.0.0.2:20880/com.x.A?cluster=failfast
    => dubbo://com.x.A.rpc.test:20880?cluster=failfast
    - its providers differ in cluster (failfast, failsafe): failfast

clusters that call once, and such that do it again
    dubbo://10.0.0.1:20880/com.x.A?cluster=failsafe
    dubbo://10.0.0.2:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?cluster=failfast
    - its providers differ in cluster (failover, failsafe): failfast

clusters that all do it again
    dubbo://10.0.0.1:20880/com.x.A?cluster=failback
    dubbo://10.0.0.2:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?cluster=failover
    - its providers differ in cluster (failback, failover): failover

what has no safest value is the most providers'
    dubbo://10.0.0.1:20880/com.x.A?loadbalance=leastactive
    dubbo://10.0.0.2:20880/com.x.A
    dubbo://10.0.0.3:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?loadbalance=random
    - its providers differ in loadbalance (leastactive, random): random

what gives callers something else than the answer is for all providers to say
    dubbo://10.0.0.1:20880/com.x.A?mock=true&methods=order&order.return=false&stub=true
    dubbo://10.0.0.2:20880/com.x.A?mock=true&methods=order&order.return=false&stub=true
    dubbo://10.0.0.3:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?mock=false&order.return=true
    - its providers differ in mock (false, true): false
    - its providers differ in order.return (false, true): true
    - its providers differ in stub (true, unset): left out

a callback that one of them takes
    dubbo://10.0.0.1:20880/com.x.A?methods=listen&listen.1.callback=true
    dubbo://10.0.0.2:20880/com.x.A
    dubbo://10.0.0.3:20880/com.x.A
    => dubbo://com.x.A.rpc.test:20880?listen.1.callback=true
    - its providers differ in listen.1.callback (true, unset): true

no heartbeats at one, and no limit to what it takes; a timeout that is none
    dubbo://10.0.0.1:20880/com.x.A?heartbeat=0&payload=-1&timeout=0
    dubbo://10.0.0.2:20880/com.x.A?timeout=500
    => dubbo://com.x.A.rpc.test:20880?heartbeat=60000&payload=-1&timeout=1000
    - its providers differ in heartbeat (0, 60000): 60000
    - its providers differ in payload (-1, 8388608): -1
    - its providers differ in timeout (1000, 500): 1000

one that does, and one that does not
    dubbo://10.0.0.1:20880/com.x.A?generic=true
    dubbo://10.0.0.2:20880/com.x.A?generic=false
    => dubbo://com.x.A.rpc.test:20880?generic=false
    ! some of its providers take generic calls alone, and a name leads to any of them
    - its providers differ in generic (false, true): false
"""


@pytest.mark.parametrize(("title", "given", "expected"), cases(CASES), ids=[case[0] for case in cases(CASES)])
def test_the_value_that_does_the_least_harm(title: str, given: list[str], expected: list[str]) -> None:
    assert told(DUBBO, given) == expected, title
