"""A fault of ours in the control process is noticed, never passed over."""

from __future__ import annotations

import asyncio

import pytest

from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.control import Control
from soadns.figures import Figures
from soadns.model import Node, ObjectRef, Upsert
from soadns.settings.config import Config
from tests.unit.journals import publisher
from tests.unit.notation import zone_settings


async def test_a_turn_that_fails_is_said_and_ends_the_control_process() -> None:
    lines: list[str] = []

    def log(event: str, *, level: str = "info", **fields: object) -> None:
        lines.append(f"{event} level={level} error={fields.get('error')}")

    estate = Estate([zone_settings({})])
    control = Control(Config(), estate, publisher(), [], figures=Figures(), log=log, clock=Clock())
    node = Node(ObjectRef("home", "", "n1"))
    control.emit([Upsert("kube/home", ["a list is no key"], node)])  # type: ignore[arg-type]
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5):
            await control.run()
    assert [type(error) for error in caught.value.exceptions] == [TypeError]
    [line] = lines
    assert line.startswith("turn-failed level=error error=TypeError: unhashable type: 'list' (")
    assert ".py:" in line
