"""Who calls, and what governs calls, as registries hold it: leaf by leaf, and all that real frameworks wrote."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.sources import dubbo, governance, sofa
from tests import captured
from tests.captured import TREES

CALLERS = """
# Dubbo, 2.6 to 3.x
dubbo | consumer://10.20.1.31/com.x.A?application=portal&category=consumers&side=consumer | 10.20.1.31 portal
dubbo | consumer://10.20.1.31/com.x.A?application=portal                                  | 10.20.1.31 portal
dubbo | consumer://[fd00:0:0:0:0:0:0:9]/com.x.A?application=portal                        | fd00::9 portal
dubbo | consumer://Host-7.example/com.x.A                                                 | host-7.example
# 2.7 writes IPv6 without brackets, and consumers have no port
dubbo | consumer://fd00:0:0:0:0:0:0:9/com.x.A?application=portal                          | fd00::9 portal
dubbo | consumer://fe80:0:0:0:0:0:0:9%2/com.x.A?application=portal                        | fe80::9 portal
dubbo | consumer://fd00:0:0:0:0:0:0:9:20880/com.x.A?application=portal                    | fd00::9 portal
# of more than one group or version
dubbo | consumer://10.20.1.31/com.x.A?application=portal&version=*                        | 10.20.1.31 portal version=*
dubbo | consumer://10.20.1.31/com.x.A?application=portal&group=*&version=*                | 10.20.1.31 portal group=*
dubbo | consumer://10.20.1.31/com.x.A?application=portal&group=a,b&version=1.0            | 10.20.1.31 portal group=a,b
dubbo | consumer://10.20.1.31/com.x.A?application=portal&group=a&version=1.*              | 10.20.1.31 portal
# of more than one provider
dubbo | consumer://10.20.1.31/com.x.A?application=p&cluster=broadcast | 10.20.1.31 p cluster=broadcast
dubbo | consumer://10.20.1.31/com.x.A?application=p&default.cluster=forking | 10.20.1.31 p cluster=forking
dubbo | consumer://10.1.1.1/com.x.A?application=p&a.loadbalance=consistenthash | 10.1.1.1 p a.loadbalance=consistenthash
dubbo | consumer://10.20.1.31/com.x.A?application=p&cluster=failfast&loadbalance=random | 10.20.1.31 p
# of a protocol
dubbo | consumer://10.20.1.31/com.x.A?application=p&protocol=tri | 10.20.1.31 p protocol=tri
dubbo | consumer://10.20.1.31/com.x.A?application=p&protocol=consumer | 10.20.1.31 p
# of one that its release forgets with a direct URL
dubbo | consumer://10.20.1.31/com.x.A?application=p&group=a&release=2.7.0 | 10.20.1.31 p group=a with Dubbo 2.7.0
dubbo | consumer://10.20.1.31/com.x.A?application=p&version=1.0&release=2.7.0 | 10.20.1.31 p
dubbo | consumer://10.20.1.31/com.x.A?application=p&version=1&release=2.7.3 | 10.20.1.31 p version=1 with Dubbo 2.7.3
dubbo | consumer://10.20.1.31/com.x.A?application=p&release=2.7.3 | 10.20.1.31 p
dubbo | empty://0.0.0.0/com.x.A?category=consumers                                        | nobody
dubbo | consumer:/10.20.1.31                                                              | nobody
dubbo | consumer:///com.x.A                                                               | nobody
# SOFARPC writes no port, and no scheme of its own
sofa  | bolt://10.20.2.31?version=1.0&uniqueId=&appName=portal&timeout=3000               | 10.20.2.31 portal
sofa  | bolt://fd00:20::2:31?appName=portal                                               | fd00:20::2:31 portal
sofa  | bolt://10.20.2.31?appName=undefined&language=nodejs                               | 10.20.2.31
"""

RULES = """
routers       | condition://0.0.0.0/com.x.A?category=routers&rule=host+%3D+a          | a condition router (condition://)
routers       | script://0.0.0.0/com.x.A?category=routers                             | a script router (script://)
routers       | tag://0.0.0.0/com.x.A?category=routers                                | a tag router (tag://)
routers       | file://0.0.0.0/com.x.A                                                | a router (file://)
routers       | condition://0.0.0.0/com.x.A?enabled=false                             | nothing
routers       | empty://0.0.0.0/com.x.A?category=routers                              | nothing
routers       | lock                                                                  | nothing
routers       | condition://0.0.0.0/com.x.A?rule=50%                                  | a condition router (condition://)
configurators | override://0.0.0.0/com.x.A?category=configurators&timeout=5000        | a configurator (override://)
configurators | absent://0.0.0.0/com.x.A?timeout=5000                                 | a configurator (absent://)
configurators | override://0.0.0.0/com.x.A?enabled=false&timeout=5000                 | nothing
"""

CENTRE = """
com.x.A::.condition-router           | com.x.A  a condition router
com.x.A:1.0.0:blue.configurators     | com.x.A  a configurator
com.x.A.configurators                | com.x.A  a configurator
blue*com.x.A:1.0.0.configurators     | com.x.A  a configurator
shop.tag-router                      | shop     a tag router
shop.script-router                   | shop     a script router
shop.MESHAPPRULE                     | shop     rules of a mesh
.configurators                       | nothing
dubbo.properties                     | nothing
com.x.A                              | nothing
"""


def rows(table: str) -> list[list[str]]:
    lines = (line for line in table.strip().splitlines() if not line.startswith("#"))
    return [[part.strip() for part in line.split("|")] for line in lines]


@pytest.mark.parametrize("encode", [str, quote_plus], ids=["plain", "encoded"])
@pytest.mark.parametrize(("kind", "leaf", "expected"), rows(CALLERS))
def test_who_registered_as_a_consumer(kind: str, leaf: str, expected: str, encode: type[str]) -> None:
    found = governance.consumer_of(dubbo if kind == "dubbo" else sofa, encode(leaf))
    assert (" ".join([*found.caller, found.asks]).strip() if found is not None else "nobody") == expected


@pytest.mark.parametrize(("category", "leaf", "expected"), rows(RULES))
def test_what_a_leaf_of_routers_or_configurators_is(category: str, leaf: str, expected: str) -> None:
    assert (governance.rule_of(category, quote_plus(leaf)) or "nothing") == expected


def test_a_rule_that_can_not_be_read_is_one() -> None:
    assert governance.rule_of("routers", "condition%3A%2F%2F0.0.0.0%2Fx%3Frule%3D%zz") != ""


@pytest.mark.parametrize(("node", "expected"), rows(CENTRE))
def test_rules_of_the_configuration_centre_are_told_by_their_names(node: str, expected: str) -> None:
    rule = governance.central_rule_of(node)
    subject, _, kind = expected.partition(" ")
    if rule is None:
        assert subject == "nothing"
    else:
        assert (rule.subject, rule.text) == (subject, f"{kind.strip()} ({node} in the configuration centre)")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("com.x.A/configurators", "com.x.A a configurator"),
        ("shop/condition-router", "shop a condition router"),
        ("shop/tag-router", "shop a tag router"),
        ("shop/dubbo.properties", ""),
    ],
)
def test_rules_as_the_first_releases_of_2_7_have_them(path: str, expected: str) -> None:
    rule = governance.old_central_rule_of(*path.split("/"))
    said = f"{rule.subject} {rule.text}" if rule is not None else ""
    assert said == (f"{expected} ({path} in the configuration centre)" if expected else "")


@given(st.text(max_size=80), st.sampled_from(["consumer://", "condition://", "bolt://", ""]), st.booleans())
def test_any_text_is_understood_or_left_out(text: str, scheme: str, encoded: bool) -> None:
    leaf = quote_plus(scheme + text) if encoded else scheme + text
    for dialect in (dubbo, sofa):
        found = governance.consumer_of(dialect, leaf)
        assert found is None or "".join([*found.caller, found.asks]).isprintable()
        governance.token_of(dialect, leaf)
    assert governance.rule_of("routers", leaf).isascii()


def test_tokens_are_read_where_dubbo_takes_them_for_one() -> None:
    assert governance.token_of(dubbo, quote_plus("dubbo://10.0.0.1:1/a?token=s3cret")) == "s3cret"
    assert governance.token_of(dubbo, quote_plus("dubbo://10.0.0.1:1/a?token=false")) == ""
    assert governance.token_of(dubbo, "no url") == ""
    assert governance.token_of(sofa, quote_plus("bolt://10.0.0.1:1?token=s3cret")) == ""


REAL = """
dubbo-2.6.12   consumers      10.20.1.31 portal
dubbo-2.6.12   configurators  a configurator (override://)
dubbo-2.6.12   routers        a condition router (condition://)
dubbo-2.7.23   consumers      10.20.1.31 portal
dubbo-2.7.23   configurators  a configurator (override://)
dubbo-2.7.23   routers        a condition router (condition://)
dubbo-3.2.16   consumers      10.20.1.31 portal
dubbo-3.2.16   configurators  a configurator (override://)
dubbo-3.2.16   routers        a condition router (condition://)
sofarpc-5.10.1 consumers      10.20.2.31 portal
"""


def test_all_that_real_frameworks_wrote_is_understood() -> None:
    found: Counter[str] = Counter()
    for capture, _, category, leaf in captured.leaves():
        dialect = captured.dialect_of(capture)
        if category == governance.CONSUMERS:
            consumer = governance.consumer_of(dialect, leaf)
            said = " ".join(consumer.caller) if consumer is not None else "nobody"
        elif category in governance.RULES:
            said = governance.rule_of(category, leaf) or "nothing"
        else:
            continue
        if capture in TREES:
            found[f"{capture:<14} {category:<14} {said}"] += 1
    assert sorted(found) == sorted(REAL.strip().splitlines())


def test_the_rules_that_real_configuration_centres_hold() -> None:
    nodes = {
        node.path.rpartition("/")[2]
        for capture in TREES
        for tree in captured.trees(capture).values()
        for node in tree
        if node.path.startswith("/dubbo/config/dubbo/")
    }
    rules = [rule for rule in map(governance.central_rule_of, sorted(nodes)) if rule is not None]
    assert [(rule.subject, rule.text.partition(" (")[0]) for rule in rules] == [
        ("com.example.pay.BillService", "a configurator"),
        ("pay-center", "a condition router"),
        ("pay-center", "a tag router"),
    ]
