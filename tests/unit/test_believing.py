"""When another replica's snapshot is wanted, and which configurations see the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soadns.composition import fed
from soadns.persistence.believing import Own, wanted, whole
from soadns.persistence.snapshot import SavedSource, SavedZone, Snapshot
from soadns.settings.configfile import parse
from tests.unit.notation import NOON

OWN = Own({"rpc.test": "fed"}, {"kube/home": "uid-1"}, 600.0)
WHOLE = Snapshot(NOON, [SavedSource("kube/home", "uid-1")], ready=True)

ALIKE = """
zookeeper: [{hosts: zk1}]                        | zookeeper: [{hosts: 'zk1,zk2', maxInFlight: 5, required: false}]
kubernetes: [{selector: 'a in (x, y), b'}]       | kubernetes: [{selector: 'b,a in (y,x)', kubeconfig: /other}]
static: [{paths: [/a, /b]}]                      | static: [{paths: [/b, /a], required: false}]
zones: [{name: z.test, ttl: 5}]                  | zones: [{name: Z.test., unmapped: nxdomain}]
"""
UNLIKE = """
zookeeper: [{hosts: zk1}]                        | zookeeper: [{hosts: zk1, roots: [{path: /dubbo}, {path: /x}]}]
zookeeper: [{hosts: zk1}]                        | zookeeper: [{hosts: zk1, roots: [{path: /dubbo, dialect: sofa}]}]
kubernetes: [{name: home}]                       | kubernetes: [{name: home, namespaces: [shop]}]
kubernetes: [{name: home}]                       | kubernetes: [{name: home, nodes: never}]
kubernetes: [{selector: a=x}]                    | kubernetes: [{selector: a!=x}]
static: [{paths: /a}]                            | static: [{paths: /a, cluster: east}]
zones: [{name: z.test}]                          | zones: [{name: z.test, namespaces: [shop]}]
zones: [{name: z.test}]                          | zones: [{name: z.test, selector: team=pay}]
zones: [{name: z.test, cluster: one, clusters: [two]}] | zones: [{name: z.test, cluster: two, clusters: [one]}]
"""


CLUSTERS = "kubernetes: [{name: one}, {name: two}]"
"""What zones are about."""


def both(row: str) -> tuple[dict[str, str], dict[str, str]]:
    cells = [cell.strip() for cell in row.split("|")]
    texts = [f"{CLUSTERS}\n{cell}" if cell.startswith("zones") else cell for cell in cells]
    one, other = (fed(parse(text, where="soadns.yaml")) for text in texts)
    return one, other


@pytest.mark.parametrize("row", ALIKE.strip().splitlines())
def test_what_is_seen_is_the_same_however_it_is_read_and_answered(row: str) -> None:
    one, other = both(row)
    assert one == other


@pytest.mark.parametrize("row", UNLIKE.strip().splitlines())
def test_what_one_has_not_seen_the_other_must_not_deny(row: str) -> None:
    one, other = both(row)
    assert one.keys() == other.keys()
    assert one != other


def test_another_replicas_is_wanted_where_the_own_one_is_no_use() -> None:
    assert wanted(None, OWN, NOON) == "there is none"
    assert wanted(replace(WHOLE, ready=False), OWN, NOON) == "it was saved before everything was known"
    assert wanted(WHOLE, OWN, NOON + 601) == "it is 601 s old"
    foreign = replace(WHOLE, sources=[SavedSource("kube/home", "uid-2")])
    assert wanted(foreign, OWN, NOON) == "source kube/home is uid-2 there, and uid-1 here"
    assert wanted(WHOLE, OWN, NOON + 600) == ""
    assert wanted(foreign, replace(OWN, identities={}), NOON) == "", "nobody knows who that is yet"


def test_who_begins_with_all_zones_complete_asks_nobody_any_more() -> None:
    """A zone that is missing would be missing in what others give, too: control would be started again and again."""
    complete = replace(
        WHOLE, zones=[SavedZone("rpc.test", complete=True), SavedZone("old.test", complete=True)]
    )
    assert whole(complete, OWN)
    assert not whole(replace(complete, zones=[SavedZone("rpc.test")]), OWN)
    assert not whole(complete, replace(OWN, fed={"rpc.test": "fed", "new.test": "fed"}))
    assert not whole(None, OWN)
