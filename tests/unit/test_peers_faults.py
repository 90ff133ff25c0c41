"""Faults of our own in asking other replicas: a replica begins with what it has, and asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from soadns import app, faults
from soadns.figures import Figures
from soadns.persistence import peers as peers_module
from soadns.persistence.believing import Own
from soadns.persistence.peers import Peers
from soadns.persistence.snapshot import Snapshot
from soadns.processes.children import AGAIN_STATUS
from soadns.settings.peertls import PeerTls
from soadns.settings.stateconfig import PeersConfig, PeersTlsConfig
from tests.unit.notation import NOON
from tests.unit.waiting import soon

OWN = Own({}, {}, 600.0)
OLD = Snapshot(NOON - 700)
"""One for which a better one is looked for."""


class Failing(Peers):
    """It fails so often, and finds something then."""

    def __init__(self, times: int, figures: Figures) -> None:
        def log(_: str, *, level: str = "info", **fields: object) -> None:
            """No log."""

        tls = PeerTls(PeersTlsConfig(), figures.credentials, log=log)
        settings = PeersConfig(("127.0.0.1:9",), "", "/nonexistent")
        super().__init__(settings, tls, OWN, figures, log=log, now=lambda: NOON)
        self._times = times

    async def find(self) -> Snapshot | None:
        self._times -= 1
        if self._times >= 0:
            raise ZeroDivisionError
        return Snapshot(NOON)


def parts(found: Snapshot | None) -> tuple[Any, Any]:
    """A control process that does not know everything, and its saver, which has that."""
    control = SimpleNamespace(figures=Figures(), now=lambda: NOON, ready=False, leaving=False)
    give_way: Callable[[Snapshot], bool] = lambda _: True  # noqa: E731
    return control, SimpleNamespace(read=lambda: found, put=lambda _: True, give_way=give_way)


@pytest.mark.parametrize("own", [OLD, None])
async def test_it_begins_with_its_own_if_it_has_one(own: Snapshot | None) -> None:
    control, saver = parts(own)
    assert await app._last_known(saver, Failing(1, control.figures), OWN, control) is own
    assert control.figures.faults == {"peers": 1}
    assert await app._last_known(saver, Failing(0, control.figures), OWN, control) == Snapshot(NOON)


async def test_it_asks_again_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "AGAIN_S", 0.0)
    monkeypatch.setattr(faults, "AGAIN_S", 0.0)
    control, saver = parts(None)
    stopping: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(app._ask_on(Failing(2, control.figures), saver, control, stopping))
    await soon(asking.done)
    await asking
    assert control.figures.faults == {"peers": 2}
    assert stopping.result() == AGAIN_STATUS
