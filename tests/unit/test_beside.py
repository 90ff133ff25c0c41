"""What is served beside names begins when it can: an address that is taken keeps it for as long as it is, no longer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from soadns import beside
from soadns.ads.server import AdsServer
from soadns.beside import Beside
from soadns.figures import Figures
from soadns.settings.sidecarconfig import AdsConfig, AdsTlsConfig
from soadns.transfer.server import TransferServer
from soadns.transfer.settings import TransferSettings
from tests.unit.route_process import RouteProcess
from tests.unit.waiting import soon

HOME = "127.0.0.1"


class Told:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, event: str, *, level: str = "info", **fields: object) -> None:
        self.lines.append({"event": event} | fields)

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "AGAIN_S", 0.02)


def taken(kind: socket.SocketKind) -> tuple[socket.socket, int]:
    """Somebody who has a port."""
    holder = socket.socket(socket.AF_INET, kind)
    holder.bind((HOME, 0))
    if kind == socket.SOCK_STREAM:
        holder.listen()
    return holder, holder.getsockname()[1]


def free(port: int) -> bool:
    """Whether nobody listens there by TCP."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOME, port))
        except OSError:
            return False
    return True


def secondaries(port: int, figures: Figures, log: Any) -> Beside[TransferServer]:
    running = SimpleNamespace(zones={}, now=lambda: 0.0)

    def make() -> TransferServer:
        settings = TransferSettings(((HOME, port),), (), (), (), 1_000)
        return TransferServer(running, settings, figures, log=log)

    return Beside("transfer", "zones-not-transferred", make, figures, extra="transfer", log=log)


@asynccontextmanager
async def started(what: Beside[Any]) -> AsyncIterator[None]:
    await what.start()
    try:
        yield
    finally:
        await what.stop()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_zones_are_transferred_as_soon_as_the_port_is_free(kind: socket.SocketKind) -> None:
    """It is needed by TCP and UDP: while one of them is taken, nobody connects to the other in vain."""
    holder, port = taken(kind)
    figures, log = Figures(), Told()
    with holder:
        async with started(secondaries(port, figures, log)):
            await asyncio.sleep(0.2)
            assert log.events() == ["zones-not-transferred"], "told once"
            assert "ddress already in use" in log.lines[0]["reason"]
            assert figures.listening == {"transfer": False}
            if kind == socket.SOCK_DGRAM:
                assert free(port)
            holder.close()
            await soon(lambda: figures.listening["transfer"])
            assert not free(port)
            assert log.events() == ["zones-not-transferred", "transfer-listening"]
    assert free(port)


async def test_sidecars_are_served_as_soon_as_the_port_is_free(capfd: pytest.CaptureFixture[str]) -> None:
    holder, port = taken(socket.SOCK_STREAM)
    figures, log, served = Figures(), Told(), list[AdsServer]()

    def make() -> AdsServer:
        return AdsServer(RouteProcess(), AdsConfig(listen=f"{HOME}:{port}"), figures)

    with holder:
        sidecars = Beside("ads", "ads-not-served", make, figures, extra="ads", then=served.append, log=log)
        async with started(sidecars):
            await asyncio.sleep(0.2)
            assert [line["reason"] for line in log.lines] == ["Address already in use"]
            assert not served
            holder.close()
            await soon(lambda: served)
            assert figures.listening == {"ads": True}
            assert not free(port)
    assert "Failed to add port" not in capfd.readouterr().err


async def test_what_can_not_be_made_yet_is_made_later(tmp_path: Any) -> None:
    """Certificates that can not be read, for one: another reason is told, the same one is not."""
    figures, log, served = Figures(), Told(), list[AdsServer]()
    pem = str(tmp_path / "tls.pem")

    def make() -> AdsServer:
        tls = AdsTlsConfig(cert=pem, key=pem)
        return AdsServer(RouteProcess(), AdsConfig(listen=f"{HOME}:1", tls=tls), figures)

    async with started(Beside("ads", "ads-not-served", make, figures, extra="ads", log=log)):
        await asyncio.sleep(0.1)
        (tmp_path / "tls.pem").write_text("nonsense")
        await soon(lambda: len(log.lines) > 1)
        await asyncio.sleep(0.1)
    assert len(log.lines) == 2
    assert log.lines[0]["reason"] == "No such file or directory"
    assert not served


async def test_what_is_not_installed_is_not_tried_again() -> None:
    figures, log, tries = Figures(), Told(), list[int]()

    def make() -> AdsServer:
        tries.append(1)
        raise ImportError("No module named 'grpc'")

    async with started(Beside("ads", "ads-not-served", make, figures, extra="ads", log=log)):
        await asyncio.sleep(0.1)
    assert tries == [1]
    assert log.lines[0]["reason"] == "No module named 'grpc'; it wants the extra: pip install 'soadns[ads]'"
    assert figures.listening == {"ads": False}
