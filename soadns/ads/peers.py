"""Who is connected: what a node says of itself, what it may see, and what people see of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from soadns.ads.sharedroutes import View
from soadns.ads.wire import KINDS

MOSN, ENVOY = "mosn", "envoy"
_SPIFFE = "spiffe://"
MOST_ID = 253
"""Characters of a node's name that are shown."""


class Request(NamedTuple):
    """A DiscoveryRequest, as far as somebody asks."""

    kind: str
    version: str
    nonce: str
    error: str
    """Why the last response was not taken; ``''`` where it was."""
    names: tuple[str, ...]
    node: str
    metadata: Mapping[str, str]
    """Of the node: what of it is text."""


class Stream(Protocol):
    """What the streams of all kinds of sidecars tell of themselves."""

    pushes: int
    refusals: int

    @property
    def told(self) -> Mapping[str, Any]:
        """By type: ``version``, ``acknowledged`` and ``refused``."""

    @property
    def behind(self) -> bool:
        """Whether the peer has not acknowledged all that there is."""


@dataclass(slots=True, eq=False)
class Peer:
    """One node and its stream."""

    node: str
    kind: str
    """``mosn`` or ``envoy``."""
    zone: str
    namespace: str
    address: str
    since: float
    stream: Stream
    octets: int = field(default=0)
    """That it was sent."""
    garbled: bool = False
    """Whether it said something that can not be read: its stream ends, for what it acknowledged is not known."""

    def plain(self) -> dict[str, Any]:
        """As ``GET /v1/nodes`` has it."""
        versions = {
            KINDS.get(kind, kind): {
                "sent": told.version,
                "acknowledged": told.acknowledged or None,
                "refused": told.refused or None,
            }
            for kind, told in sorted(self.stream.told.items())
        }
        return {
            "node": self.node,
            "kind": self.kind,
            "zone": self.zone,
            "namespace": self.namespace or None,
            "address": self.address,
            "since": self.since,
            "behind": self.stream.behind,
            "pushes": self.stream.pushes,
            "refusals": self.stream.refusals,
            "octets": self.octets,
            "versions": versions,
        }


def namespace_of(names: Iterable[bytes | str]) -> str:
    """The namespace in a certificate's names: of ``spiffe://<domain>/ns/<namespace>/sa/<account>``; else ``''``."""
    for name in names:
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
        if text.startswith(_SPIFFE):
            parts = text.removeprefix(_SPIFFE).split("/")
            if len(parts) == 5 and (parts[1], parts[3]) == ("ns", "sa") and parts[2]:
                return parts[2]
    return ""


def view(namespace: str, isolation: str, shared: Iterable[str]) -> View:
    """The namespaces that a node of one may see; None: all."""
    return None if isolation == "none" else frozenset((namespace, *shared))
