"""Who asks an ADS server over real gRPC, and reads what it is pushed."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.json_format import ParseDict

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LDS = "type.googleapis.com/envoy.config.listener.v3.Listener"
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class AdsClient:
    """One stream, from a node that calls itself MOSN unless it says something else."""

    def __init__(
        self,
        address: str,
        *,
        tls: tuple[Path, Path | None, Path | None] | None = None,
        name: str = "web-1.shop",
        **metadata: str,
    ) -> None:
        """``tls``: the server's CA, and a certificate with its key. ``name`` is the node's."""
        if tls is None:
            self._channel = grpc.insecure_channel(address)
        else:
            ca, key, chain = (path.read_bytes() if path is not None else None for path in tls)
            credentials = grpc.ssl_channel_credentials(ca, key, chain)
            options = [("grpc.ssl_target_name_override", "localhost")]
            self._channel = grpc.secure_channel(address, credentials, options=options)
        self._said: queue.Queue[DiscoveryRequest | None] = queue.Queue()
        node = {"id": name, "metadata": {"SOADNS": "mosn", **metadata}}
        self.node = node
        stub = AggregatedDiscoveryServiceStub(self._channel)
        self._stream = stub.StreamAggregatedResources(iter(self._said.get, None))
        self.say(CDS)

    def say(self, kind: str, **fields: Any) -> None:
        """A request."""
        self._said.put(ParseDict({"node": self.node, "type_url": kind, **fields}, DiscoveryRequest()))

    def acknowledge(self, response: DiscoveryResponse) -> None:
        self.say(response.type_url, version_info=response.version_info, response_nonce=response.nonce)

    def refuse(self, kind: str) -> None:
        """Ask for what there is of a kind, and refuse it when it comes."""
        self.say(kind)
        for response in self._stream:
            if response.type_url != kind:
                self.acknowledge(response)
                continue
            self.say(kind, response_nonce=response.nonce, error_detail={"code": 13, "message": "refused"})
            return

    def responses(self) -> Iterator[DiscoveryResponse]:
        """What comes, acknowledged. Raises grpc.RpcError when the stream ends."""
        for response in self._stream:
            self.acknowledge(response)
            yield response

    def routers(self, *names: str) -> dict[str, list[str]]:
        """Where routers lead, once all of these have come."""
        found: dict[str, list[str]] = {}
        for response in self.responses():
            if response.type_url == RDS:
                for each in response.resources:
                    router = RouteConfiguration.FromString(each.value)
                    found[router.name] = [
                        r.route.cluster for host in router.virtual_hosts for r in host.routes
                    ]
            if set(names) <= found.keys():
                return found
        raise AssertionError(f"the stream ended: {found}")

    def refused(self) -> tuple[str, str]:
        """Why a stream was ended: gRPC's code, and what was said."""
        try:
            next(iter(self._stream))
        except grpc.RpcError as error:
            return error.code().name, str(error.details())
        raise AssertionError("it was told something")

    def end(self) -> None:
        self._said.put(None)
        self._stream.cancel()
        self._channel.close()


def ends(clients: Sequence[AdsClient]) -> None:
    for each in clients:
        each.end()
