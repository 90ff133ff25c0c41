"""What each protocol's direct URLs bring, whatever the interface: to be known before boarding. Pure.

Measured with real applications (``docs/clients.md``). It speaks against no single interface but ``tri``'s (a reason of
``soadns.publishers.verdicts``), so it is said once, and not of each interface.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

TEXTS: Mapping[str, str] = {
    "dubbo": "who is connected stays at the old pods after a move until these end; who connects looks the name up. End "
    "old pods when the caches of DNS and of the JVMs (30 s) have run out",
    "tri": "a name is looked up once per process: restart callers after a move, while the old pods serve. When "
    "providers restart calls fail, for seconds",
    "bolt": "when providers restart calls fail, for seconds, and longer without -Dconsumer.reconnect.period=1000. From "
    "SOFARPC 5.8.6 on callers follow a move by themselves, older ones and sofa-rpc-node when the old pods end",
}
"""Protocol → what its callers suffer at a move of the interface and at a restart of its providers."""


class Advice(NamedTuple):
    """What holds for some interfaces by their protocol."""

    protocol: str
    interfaces: int
    text: str

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return self._asdict()


def advice(protocols: Iterable[str]) -> list[Advice]:
    """One for each protocol that something is known of, in order; an item of ``protocols`` is one interface's."""
    counts = Counter(protocols)
    return [Advice(protocol, counts[protocol], text) for protocol, text in TEXTS.items() if counts[protocol]]


def protocol_of(url: str) -> str:
    """Of a direct URL; ``''`` for none."""
    return url.partition("://")[0] if "://" in url else ""
