"""What ``explain`` says of a name, as tables of situation | lines of the text.

The left column is that of ``docs/binding.md``; the right one has lines of the text, separated by ``;;``.
"""

from __future__ import annotations

import pytest

from soadns.reports import views
from soadns.reports.explain import explain
from soadns.text import narrate, render
from tests.unit.notation import Notebook

POD = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1"
BOTH = f"{POD}; Service shop/next 10.96.0.2; pods shop/next 10.1.0.2"

LOST = f"""
{BOTH}; register User 10.1.0.1 10.1.0.2 | home/shop/user: winner ;; home/shop/next: conflict, it is the younger Service
{BOTH} 10.1.0.3 10.1.0.4; register User 10.1.0.2 10.1.0.3 10.1.0.4; register User 10.1.0.1 | home/shop/next: winner ;; home/shop/user: conflict, 1 of its addresses provide it, 3 of the winner's
{BOTH}; Service shop/user headless; register User 10.1.0.1 10.1.0.2 | home/shop/next: winner ;; home/shop/user: conflict, it is headless, the winner has a ClusterIP
{BOTH}; register User 10.1.0.2; after 1s; register User 10.1.0.1 | home/shop/next: winner ;; home/shop/user: conflict, it is preferred by now, and takes over when its clock ends ;; a better one  since 2001-09-09T01:46:41Z (0 s ago); in 10 min: that candidate takes it
{BOTH}; Service shop/next interfaces=User; register User 10.1.0.1 10.1.0.2 | home/shop/next: winner ;; home/shop/user: conflict, its evidence is weaker
{POD}; Service pay/next 10.96.0.2 interfaces=User; pods pay/next 10.1.0.2; register User 10.1.0.1 | home/shop/user: winner ;; home/pay/next: conflict, declared, but the evidence for the name lives in another namespace ;; claims: [{{prefix: User, namespace: pay}}] in zone rpc.test of the configuration ;; the declaration of home/pay/next counts
{BOTH}; Service shop/next terminating; register User 10.1.0.1 10.1.0.2 | home/shop/next: terminating, the Service is being deleted
"""  # noqa: E501 - one situation, one line

WON = f"""
{POD}; register User 10.1.0.1 | home/shop/user: winner ;; 10.96.0.1; 1 of 1 registered addresses provide it; 1 of 1 endpoints ready
{POD}; register User 10.1.0.1; unregister User 10.1.0.1 | home/shop/user: winner, its registrations are gone and its addresses are ready: what those provided is kept
{POD}; register User 10.1.0.1; register User 10.9.0.1 10.9.0.2 | home/shop/user: winner, 1 of its own against 2 hosts of the old world
Service shop/user 10.96.0.1 interfaces=User | home/shop/user: winner ;; 10.96.0.1; none of its addresses is registered; 0 of 0 endpoints ready
"""  # noqa: E501

NEXT = f"""
{BOTH}; register User 10.1.0.1 10.1.0.2 | kubectl -n shop annotate service next 'soadns.io/traffic=User=off' ;; home/shop/next wants the name no longer
{POD}; register User 10.1.0.1 10.9.0.1 10.9.0.2 | kubectl -n shop annotate service user 'soadns.io/traffic=User=mesh' ;; home/shop/user takes the name now; by itself it does with 50% of all providers (binding.boardShare)
Service shop/user 10.96.0.1 interfaces=User; register User 10.9.0.1 | kubectl -n shop annotate service user 'soadns.io/traffic=User=mesh' ;; home/shop/user takes the name now; by itself it does once it serves it
{POD} port=12200; register User 10.1.0.1:12200 | a port of Service shop/user with the number that the providers register ;; home/shop/user may take the name
zone with=east; Service shop/user@east 10.96.0.9; pods shop/user@east 10.2.0.1; Service shop/user 10.96.0.1 port=80; register User 10.2.0.1 | east/shop/user: port mismatch, none of the ports that the home Service of its name has, too, is one that the providers register ;; a port of Service shop/user in cluster home with the number that the providers register ;; east/shop/user may take the name
register User 10.9.0.1 | a Service with these addresses as endpoints, or annotated soadns.io/interfaces: User ;; its ClusterIP is answered
zone unmapped=nxdomain; register User 10.9.0.1 | unbound, unmapped: providers are registered, but no Service runs them and unmapped is nxdomain ;; unmapped: providers in zone rpc.test of the configuration
{POD}; register User 10.1.0.1; trouble zookeeper | answered with Service home/shop/user ;; soadns list --sources ;; zookeeper/main/dubbo: stale for 0 s (connection lost)
"""  # noqa: E501

CLOCKS = f"""
{POD}; register User 10.1.0.1; after 1s; unregister User 10.1.0.1; pods shop/user 10.1.0.1-; after 3m | evidence lost  since 2001-09-09T01:46:41Z (3 min ago); in 7 min: it goes, or moves to another candidate, unless the evidence returns
{POD}; register User 10.1.0.1; after 1s; unregister User 10.1.0.1; pods shop/user 10.1.0.1-; after 3m; trouble zookeeper | evidence lost  since 2001-09-09T01:46:41Z (3 min ago); this clock stands while a source is out of sync
{POD}; register User 10.1.0.1; after 1s; delete shop/user; after 4s | Service deleted  since 2001-09-09T01:46:41Z (4 s ago); in 6 s: its address is answered no longer
{POD}; register User,Other 10.1.0.1; after 1s; unregister User 10.1.0.1; after 10s | not served  since 2001-09-09T01:46:46Z (5 s ago); in 9 min: it goes, unless its Service serves it again
"""  # noqa: E501


@pytest.mark.parametrize(
    "row", [row for table in (LOST, WON, NEXT, CLOCKS) for row in table.strip().splitlines()]
)
def test_explain_says_who_has_a_name_who_has_not_and_what_would_change_that(row: str) -> None:
    situation, _, expected = row.partition(" | ")
    notebook = Notebook()
    for statement in situation.split(";"):
        notebook.say(statement.strip())
        if statement.strip().startswith(("register", "delete", "unregister")):
            notebook.flush()
    notebook.flush()
    told = narrate.explanation(explain(notebook.estate, "User", notebook.now))
    words = [" ".join(line.split()) for line in told]
    for line in expected.split(" ;; "):
        assert " ".join(line.split()) in words, "\n".join(told)


def test_a_removal_that_the_guard_holds_says_what_releases_it() -> None:
    notebook = Notebook()
    for number in range(40):
        notebook.say(f"Service shop/s{number} 10.96.1.{number}")
        notebook.say(f"pods shop/s{number} 10.1.1.{number}")
        notebook.say(f"register I{number} 10.1.1.{number}")
    notebook.flush()
    for number in range(40):
        notebook.say(f"unregister I{number} 10.1.1.{number}")
        notebook.say(f"pods shop/s{number} 10.1.1.{number}-")
    notebook.say("after 11m")
    told = "\n".join(narrate.explanation(explain(notebook.estate, "I7", notebook.now)))
    assert "  answered with Service home/shop/s7\n" in told
    assert "  held by guard  since 2001-09-09T01:56:40Z (60 s ago); until it is released, or" in told
    assert "  evidence lost  since 2001-09-09T01:46:40Z (11 min ago); its time is over\n" in told
    assert told.count("soadns release") == 1
    assert "\n    soadns release zookeeper/main/dubbo\n" in told
    [item] = views.interfaces(notebook.estate, match="I7", flag="held")["items"]
    assert "held" in item["flags"]


# --------------------------------------------------------------------------- before everything is known

WAITS = [
    "zone rpc.test answers SERVFAIL for what it does not know, until these are read:",
    "  kube/home: not read yet",
    "  zookeeper/main/dubbo: connection lost",
]


def test_a_zone_that_waits_for_its_sources_says_for_which() -> None:
    notebook = Notebook()
    notebook.say("zone unsynced")
    notebook.say("trouble zookeeper")
    assert render.interface_list(views.interfaces(notebook.estate)) == WAITS
    told = narrate.explanation(explain(notebook.estate, "User", notebook.now))
    assert told[:4] == ["User: unknown", *WAITS]
    assert told[4] == "it would exist with:"

    notebook.say("synced")
    assert views.interfaces(notebook.estate)["waiting"] == views.waiting(notebook.estate)
    notebook.work()
    assert views.waiting(notebook.estate) == []
    assert render.interface_list(views.interfaces(notebook.estate)) == [
        "no interface is known; what the sources hold: soadns list --sources"
    ]


def test_an_unknown_name_says_which_sources_may_know_it_all_the_same() -> None:
    notebook = Notebook()
    notebook.say("trouble kube")
    told = narrate.explanation(explain(notebook.estate, "User", notebook.now))
    assert told[1] == "DNS answers NXDOMAIN in zones of this soadns"
    assert told[-2:] == ["out of sync, so they may know more:", "  kube/home: connection lost"]


def test_a_name_that_a_registry_does_not_show_is_said_to_be_servfail_and_why() -> None:
    notebook = Notebook()
    notebook.say("forbidden User")
    for name in ("User", "User:1.0.0"):
        assert narrate.explanation(explain(notebook.estate, name, notebook.now)) == [
            f"{name}: unknown",
            "DNS answers SERVFAIL, for a registry holds it and does not show it to soadns:",
            "  zookeeper/main/dubbo: no permission",
        ]


def test_a_name_that_there_can_not_be_is_not_looked_for() -> None:
    notebook = Notebook()
    assert narrate.explanation(explain(notebook.estate, "a b", notebook.now)) == [
        "a b: unknown",
        "it can not exist: 'a b' contains ' ', which no resolver would send",
    ]


def test_a_name_that_another_one_holds_is_not_told_to_get_a_service() -> None:
    notebook = Notebook()
    notebook.say("register User 10.9.0.1")
    notebook.say("register user 10.9.0.2")
    notebook.flush()
    told = narrate.explanation(explain(notebook.estate, "user", notebook.now))
    assert told[1] == "  unbound, shadowed: its name is held by User"
    assert "  to change that" not in told


@pytest.mark.parametrize("spelling", ["blue/User:2.0", "User--g-blue--v-2-0"])
def test_a_variant_that_is_not_there_is_unknown_though_others_are(spelling: str) -> None:
    notebook = Notebook()
    notebook.say("register User,User:1.0 10.9.0.1")
    notebook.flush()
    told = narrate.explanation(explain(notebook.estate, spelling, notebook.now))
    assert told[:5] == [
        f"{spelling}: unknown",
        "DNS answers NXDOMAIN in zones of this soadns",
        "nearest known:",
        "  User",
        "  User:1.0",
    ]
    assert (
        "  a provider registered as main:/dubbo/User/providers/..., with group=blue, with version=2.0" in told
    )
