"""What happened to a name stays known, within bounds."""

from __future__ import annotations

import pytest

from soadns.binding import history
from soadns.binding.history import MAX_PER_INTERFACE, History, Transition
from soadns.model import InterfaceId
from tests.unit.notation import Notebook


def change(name: str, number: int) -> Transition:
    return Transition(InterfaceId(name), "nothing", str(number), "choice", "", float(number))


def test_the_newest_transitions_of_a_name_are_kept() -> None:
    past = History()
    for number in range(MAX_PER_INTERFACE + 4):
        past.add(change("A", number))
    assert [t.after for t in past.of(InterfaceId("A"))] == [str(n) for n in range(4, MAX_PER_INTERFACE + 4)]


def test_the_name_that_changed_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_INTERFACES", 2)
    past = History()
    for name in ("A", "B", "A", "C"):
        past.add(change(name, 0))
    assert [i.name for i in past.interfaces()] == ["A", "C"]
    assert past.of(InterfaceId("B")) == ()


STORY = """
Service shop/user 10.96.0.1; pods shop/user 10.1.0.1; register User 10.1.0.1
after 1s; delete shop/user; Service shop/user 10.96.0.2 new
Service shop/user 10.96.0.3
pods shop/user none; unregister User 10.1.0.1; after 10m
"""
TOLD = """
nothing                      → home/shop/user 10.96.0.1   because choice
home/shop/user 10.96.0.1     → home/shop/user 10.96.0.2   because recreated
home/shop/user 10.96.0.2     → home/shop/user 10.96.0.3   because address
home/shop/user 10.96.0.3     → nothing                    because removed
"""


def told(notebook: Notebook, story: str) -> list[str]:
    """The transitions of User that a story leads to, one a line."""
    for line in story.strip().splitlines():
        for statement in line.split(";"):
            notebook.say(statement.strip())
        notebook.flush()
    past = notebook.zone.history.of(InterfaceId("User"))
    return [f"{t.before} → {t.after} because {t.why}" for t in past]


def test_a_name_that_is_gone_keeps_its_last_binding_and_what_took_it_away() -> None:
    assert told(Notebook(), STORY) == [" ".join(line.split()) for line in TOLD.strip().splitlines()]


def test_the_history_survives_a_restart_and_a_restart_is_no_transition() -> None:
    notebook = Notebook()
    before = told(notebook, STORY)
    assert told(notebook, "restart; synced") == before


def test_a_remote_name_tells_every_change_of_its_address() -> None:
    notebook = Notebook()
    lines = told(
        notebook,
        "zone with=east; Service shop/user@east 10.96.9.9 load-balancer=192.0.2.1\n"
        "pods shop/user@east 10.2.0.1; register User 10.2.0.1\n"
        "Service shop/user 10.96.0.7\n",
    )
    assert lines == [
        "nothing → east/shop/user 192.0.2.1 because choice",
        "east/shop/user 192.0.2.1 → east/shop/user 10.96.0.7 because address",
    ]


def test_a_transition_names_the_sources_whose_evidence_led_to_it() -> None:
    notebook = Notebook()
    told(notebook, STORY)
    assert notebook.zone.history.of(InterfaceId("User"))[0].source == "kube/home,zookeeper/main/dubbo"
