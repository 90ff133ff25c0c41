"""Secrets of ZooKeeper that can not be read when the control process begins: their ensemble waits for them, alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soadns import composition
from soadns.figures import CredentialFigures
from soadns.model import Event, Trouble
from soadns.settings import renewed
from soadns.settings.config import Config
from soadns.settings.configfile import parse
from soadns.sources import zkclient, zookeeper
from tests.unit.waiting import soon


class Ensembles:
    """Two of them, one with a secret; and who is asked for a connection, with which credentials."""

    def __init__(self, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(renewed, "LOOK_S", 0.0)
        monkeypatch.setattr(zookeeper, "LOOK_S", 0.01)
        monkeypatch.setattr(zkclient, "build", self._build)
        monkeypatch.setattr(zkclient, "close", lambda _: None)
        guarded = {"name": "main", "hosts": "zk1", "auth": {"credentialsFile": str(secret)}}
        self.config: Config = parse(
            json.dumps(
                {"zones": [{"name": "rpc.test"}], "zookeeper": [guarded, {"name": "b", "hosts": "zk2"}]}
            ),
            where="soadns.yaml",
        )
        self.figures = CredentialFigures()
        self.built: list[tuple[str, tuple[str, str] | None]] = []
        self.troubles: list[str] = []
        self.lines: list[str] = []

    def _build(self, settings: Any) -> Any:
        self.built.append((settings.name, settings.auth))
        return SimpleNamespace(add_listener=lambda _: None, start_async=lambda: None)

    def log(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.lines.append(" ".join([event, *map(str, fields.values())]))

    def emit(self, events: list[Event]) -> None:
        self.troubles += [
            event.reason
            for event in events
            if isinstance(event, Trouble) and event.source.startswith("zookeeper/main")
        ]

    def run(self) -> list[asyncio.Task[None]]:
        sources = composition.sources(self.config, self.figures, log=self.log)
        return [asyncio.create_task(source.run(self.emit)) for source in sources]  # type: ignore[arg-type]


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file or directory"), ("", "is empty"), ("reader", "is no user:password")],
    ids=["missing", "empty", "malformed"],
)
async def test_one_that_can_not_be_used_keeps_nobody_else_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, problem: str
) -> None:
    secret = tmp_path / "zk"
    if content is not None:
        secret.write_text(content)
    ensembles = Ensembles(secret, monkeypatch)
    tasks = ensembles.run()
    try:
        await soon(lambda: ensembles.troubles and ensembles.built)
        await asyncio.sleep(0.1)
        assert ensembles.built == [("b", None)]
        assert ensembles.troubles == [
            f"{secret}: {problem} (zookeeper[].auth, zookeeper[].tls); mend it: it is read again when it changes"
        ]
        assert ensembles.figures.refused == {"zookeeper/main": True}
        assert [line.split()[0] for line in ensembles.lines] == ["credentials-refused"]
        assert "nothing was read before" in ensembles.lines[0]
        secret.write_text("")
        await soon(lambda: "is empty" in ensembles.troubles[-1])
        secret.write_text("reader:one\n")
        await soon(lambda: len(ensembles.built) == 2)
        assert ensembles.built[1] == ("main", ("digest", "reader:one"))
        assert ensembles.figures.refused == {"zookeeper/main": False}
    finally:
        await ended(tasks)


async def test_what_was_read_once_stays_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "zk"
    secret.write_text("reader:one")
    ensembles = Ensembles(secret, monkeypatch)
    tasks = ensembles.run()
    try:
        await soon(lambda: len(ensembles.built) == 2)
        secret.write_text("")
        await soon(lambda: ensembles.figures.refused["zookeeper/main"])
        await asyncio.sleep(0.1)
        assert len(ensembles.built) == 2
        assert "what was read before stays in force" in ensembles.lines[0]
    finally:
        await ended(tasks)
