"""What HTTP is answered is what the control process holds at that moment."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from soadns.inquiries import Inquiries
from soadns.reports.filterviews import Meshing
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.tiers import Wishes


def test_what_filters_stand_on_is_asked_for_each_time() -> None:
    control: Any = SimpleNamespace(
        estate=None, routing=None, figures=None, sources=[], meshing=Meshing(Wishes())
    )
    inquiries = Inquiries(control)
    assert not inquiries.meshing.destinations.read
    control.meshing = replace(control.meshing, destinations=Destinations())  # as Istio's objects are read
    assert inquiries.meshing.destinations.read
