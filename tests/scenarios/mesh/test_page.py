"""``docs/istio.md`` says what this run found: its promises to the last call and connection, its figures as one run's.

What all the stories of this folder have watched is held against the page when the last of them is told. What they watch
and the page does not promise wants a row in ``stage/meshevents.py`` (``stage/nowhere.py``), then ``make clients-page``.
"""

from __future__ import annotations

import pytest

from tests.scenarios.stage import istiopage, meshevents, meshtable, trafficrules
from tests.scenarios.stage.mesh import Mesh
from tests.scenarios.stage.meshevents import EVENTS
from tests.scenarios.stage.meshtable import Event
from tests.scenarios.stage.nowhere import CALLS, Nowhere


@pytest.mark.parametrize(
    "event", EVENTS, ids=lambda event: f"{event.what}, {event.tier}, {event.who}, {event.situations[0]}"
)
def test_what_happens_costs_what_the_page_says(event: Event, mesh: Mesh) -> None:
    assert event.broken(meshtable.watched(mesh.rows)) == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.what)
def test_a_call_that_leads_nowhere_is_told_what_the_page_says(call: Nowhere, mesh: Mesh) -> None:
    assert call.missing(mesh.rows) == []


def test_all_that_was_watched_is_on_the_page_and_the_page_keeps_its_promises(mesh: Mesh) -> None:
    assert meshevents.nobodys(mesh.rows) == []
    assert trafficrules.missing(mesh.rows) == []
    assert istiopage.differs(istiopage.text()) == []
