"""A turn of the control process ends when its time is over: in between, HTTP, heartbeats and workers have theirs."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

from soadns.binding.estate import Estate
from soadns.binding.zone import Zone
from soadns.clock import Clock
from soadns.composition import zone_settings
from soadns.control import EVENTS_AT_ONCE, NAMES_AT_ONCE, PASSES, TURN_S, Control, Predecessor
from soadns.figures import Figures
from soadns.model import (
    Declaration,
    Delete,
    Event,
    InterfaceId,
    ObjectRef,
    Provider,
    Service,
    Synced,
    Upsert,
)
from soadns.settings.configfile import parse
from tests.unit.journals import publisher
from tests.unit.notation import NOON

FILES = "static/files"
LOOK_S = 0.001
"""By how much time is later at each look at the clock."""
LOOKS = round(TURN_S / LOOK_S) + 1
MANY = 8 * EVENTS_AT_ONCE


def control() -> tuple[Control, Zone]:
    """A control process with one zone of files."""
    config = parse(
        json.dumps(
            {"zones": [{"name": "rpc.test"}], "static": [{"name": "files", "paths": ["/nonexistent"]}]}
        ),
        where="soadns.yaml",
    )
    ticks = (number * LOOK_S for number in count())
    clock = Clock(wall=lambda: NOON, steady=lambda: next(ticks))
    found = Control(
        config, Estate(zone_settings(config)), publisher(), [], figures=Figures(), log=silent, clock=clock
    )
    found.begin(Predecessor())
    return found, found.estate.zones["rpc.test"]


def silent(_: str, *, level: str = "info", **fields: object) -> None:
    """No log."""


def registered(name: str, host: str) -> Upsert:
    return Upsert(FILES, (name, host), Provider(FILES, InterfaceId(name), "dubbo", host, 20880))


def service(name: str, **rest: Any) -> Upsert:
    return Upsert(FILES, ("Service", name), Service(ObjectRef("home", "shop", name), name, **rest))


def declares(name: str, address: str) -> Upsert:
    """A Service that declares User."""
    return service(name, cluster_ips=(address,), declaration=Declaration((InterfaceId("User"),)))


def crowd() -> list[Event]:
    """As many names, each at a host of its own."""
    return [registered(f"N{n}", f"10.9.{n // 250}.{n % 250 + 1}") for n in range(MANY)]


async def test_a_first_reading_is_folded_judged_and_bound_in_many_turns() -> None:
    process, zone = control()
    process.emit([*crowd(), Synced(FILES)])
    figures = []
    while not process.publisher.complete:
        await asyncio.sleep(0)
        judged = sum(site.registered for site in zone.store.sites.values())
        figures.append((len(process.estate.observations.source(FILES).values), judged, len(zone.states)))
    assert figures[-1] == (MANY, MANY, MANY)
    events, sites, names = (
        max(after - before for before, after in zip((0, *column), column, strict=False))
        for column in zip(*figures, strict=True)
    )
    assert 0 < events <= LOOKS * EVENTS_AT_ONCE
    assert 0 < sites <= LOOKS * NAMES_AT_ONCE
    assert 0 < names <= LOOKS * NAMES_AT_ONCE
    turns = len(set(figures))
    assert len(figures) >= PASSES * (turns - 2), "in between, the loop has passes for others"


async def test_no_name_is_decided_by_half_of_a_batch_that_takes_several_turns() -> None:
    process, zone = control()
    process.emit([declares("old", "10.96.0.1"), Synced(FILES)])
    await asyncio.sleep(0)
    others = [service(f"other{number}") for number in range(MANY)]
    process.emit([Delete(FILES, ("Service", "old")), *others, declares("new", "10.96.0.2")])
    answers = []
    while len(zone.store.services.by_ref) <= MANY or process.estate.pending:
        await asyncio.sleep(0)
        answers.append(getattr(zone.outcomes.get(InterfaceId("User")), "addresses", None))
    assert set(answers) == {("10.96.0.1",), ("10.96.0.2",)}
