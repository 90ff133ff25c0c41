"""The ADS server over a real gRPC channel, asked by who does not speak as it should."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.protobuf.json_format import ParseDict

from soadns.ads.envoyinventory import EnvoyInventory
from soadns.ads.inventory import Inventory
from soadns.ads.server import SERVICE, AdsServer
from soadns.ads.wire import CDS
from soadns.figures import Figures
from soadns.settings.sidecarconfig import AdsConfig
from tests.ports import free_port
from tests.unit.route_process import RouteProcess
from tests.unit.waiting import soon

STREAM, DELTA = "StreamAggregatedResources", "DeltaAggregatedResources"


@contextlib.asynccontextmanager
async def serving(
    process: RouteProcess | None = None, **settings: Any
) -> AsyncIterator[tuple[Any, AdsServer, Figures]]:
    """A channel to a server, which sends the octets that it is given."""
    figures, address = Figures(), f"127.0.0.1:{free_port()}"
    server = AdsServer(process or RouteProcess(), AdsConfig(listen=address, **settings), figures)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(30.0):
            yield channel, server, figures
    finally:
        await server.stop()


def asked(method: str, **fields: Any) -> bytes:
    """A request in order."""
    message = DiscoveryRequest() if method == STREAM else DeltaDiscoveryRequest()
    node = {"id": "web-1.shop", "metadata": {"SOADNS": "mosn"} | fields.pop("metadata", {})}
    return bytes(ParseDict({"node": node, "type_url": CDS} | fields, message).SerializeToString())


async def ended(call: Any) -> tuple[str, str]:
    """Why a stream was ended."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code().name, str(error.details())
    raise AssertionError("it ended well")


def not_a_number(method: str) -> bytes:
    """A request whose node says something that JSON does not have."""
    message = DiscoveryRequest() if method == STREAM else DeltaDiscoveryRequest()
    message.type_url = CDS
    message.node.metadata["SOADNS"] = "mosn"
    message.node.metadata["weight"] = float("nan")
    return bytes(message.SerializeToString())


GARBAGE = (
    b"\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x0a\x02\xff\xfe",
    b"\x0a\x7fab",
    b"\x12" * 1_001,
)
WHAT = {STREAM: "DiscoveryRequest", DELTA: "DeltaDiscoveryRequest"}


@pytest.mark.parametrize("method", [STREAM, DELTA])
@pytest.mark.parametrize("later", [False, True])
async def test_what_is_no_request_ends_the_stream(
    method: str, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as (channel, server, figures):
        said = f"what was sent is no envoy.service.discovery.v3.{WHAT[method]}"
        for number, garbage in enumerate(GARBAGE, 1):
            call = channel.stream_stream(f"/{SERVICE}/{method}")()
            if later:
                await call.write(asked(method))
                await call.read()
            await call.write(garbage)
            assert await ended(call) == ("INVALID_ARGUMENT", said)
            assert figures.ads.cut == {"garbled": number}
        await soon(lambda: not server.peers())
        good = channel.stream_stream(f"/{SERVICE}/{method}")()
        await good.write(asked(method))
        assert await good.read(), "others are served on"
    assert {record.levelname for record in caplog.records} <= {"INFO", "WARNING"}, caplog.messages
    assert "Unexpected" not in caplog.text


@pytest.mark.parametrize("method", [STREAM, DELTA])
async def test_who_has_no_name_where_namespaces_are_isolated_is_not_authenticated_and_counted_as_such(
    method: str,
) -> None:
    async with serving(isolation="namespace") as (channel, _, figures):
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        await call.write(asked(method, metadata={"NAMESPACE": "shop"}))
        code, said = await ended(call)
        assert (code, "spiffe://<domain>/ns/<namespace>" in said) == ("UNAUTHENTICATED", True)
        assert figures.ads.cut == {"unauthenticated": 1}


@pytest.mark.parametrize("method", [STREAM, DELTA])
async def test_of_a_node_what_is_text_is_read(method: str) -> None:
    async with serving() as (channel, server, _):
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        await call.write(not_a_number(method))
        assert await call.read()
        assert len(server.peers()) == 1


@pytest.mark.parametrize("method", [STREAM, DELTA])
async def test_more_than_is_read_ends_the_stream(method: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (channel, server, _):
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        await call.write(b"\x00" * (5 << 20))
        assert (await ended(call))[0] in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")
        assert not server.peers()
    assert {record.levelname for record in caplog.records} <= {"INFO", "WARNING"}, caplog.messages


@pytest.mark.parametrize(("method", "inventory"), [(STREAM, Inventory), (DELTA, EnvoyInventory)])
async def test_a_fault_of_ours_sends_them_away_until_there_is_something_whole_again(
    method: str, inventory: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def follow(_: object) -> Iterator[None]:
        raise LookupError("a key that ought to be there")
        yield

    async def answer() -> tuple[str, str]:
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        await call.write(asked(method))
        return await ended(call)

    process = RouteProcess()
    async with serving(process) as (channel, _, figures):
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        await call.write(asked(method))
        assert await call.read()
        with monkeypatch.context() as broken:
            broken.setattr(inventory, "follow", follow)
            process.tell("Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3")
            sent_away = ("UNAVAILABLE", "soadns itself failed, which its log tells of")
            assert await ended(call) == sent_away
            assert await answer() == sent_away
            assert await answer() == sent_away
            assert figures.faults == {"ads": 1}, "whoever comes again at once does not have it tried again"
            [said] = [line for line in caplog.records if line.msg == "ads-failed"]
            assert "LookupError: a key that ought to be there (" in str(vars(said)["fields"])
        monkeypatch.setattr("soadns.ads.keeper.AGAIN_S", 0.0)
        again = channel.stream_stream(f"/{SERVICE}/{method}")()
        await again.write(asked(method))
        assert await again.read()
        assert figures.faults == {"ads": 1}
