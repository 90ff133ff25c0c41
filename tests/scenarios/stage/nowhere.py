"""Calls that lead nowhere, and the words that a caller is told then: a table of ``docs/istio.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.clients.tables import NOTHING, head, line
from tests.scenarios.stage.meshtable import WHO

COLUMNS = ("what is called", "what Dubbo says", "what SOFARPC says", "what counts it")
ADDRESS = "10.96.250.250:"
"""That nobody has; whoever calls it is told so."""
DUBBO, SOFARPC = WHO["Dubbo"], (*WHO["SOFARPC 5.6"], *WHO["SOFARPC 5.12"])


@dataclass(frozen=True, slots=True)
class Nowhere:
    """One such call."""

    what: str
    """The situation, as the tests write it."""
    counts: str
    dubbo: tuple[str, ...]
    """Words of the error, each of which is there; none: nobody of these calls so."""
    sofarpc: tuple[str, ...] = ()

    def missing(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Who was not told so, and what instead."""
        said = {
            row["program"]: row["error"] for row in rows if "error" in row and row["situation"] == self.what
        }
        wanted = [
            (kind, words) for kinds, words in ((DUBBO, self.dubbo), (SOFARPC, self.sofarpc)) for kind in kinds
        ]
        return [
            f"{self.what}, {kind}: {said.get(kind, 'did not call')}"
            for kind, words in wanted
            if words and not all(word in said.get(kind, "") for word in words)
        ]


CALLS = (
    Nowhere(
        "a ClusterIP that is nobody's",
        "Envoy, after 10 s: `cluster.PassthroughCluster.upstream_cx_connect_timeout`",
        ("timeout", ADDRESS), ("timeout", ADDRESS),
    ),
    Nowhere(
        "an interface that its Service does not have",
        "nobody at tier 0, for it is an answer of the provider's; above it Envoy: "
        "`dubbo.<cluster>.response_business_exception`",
        ("Fail to decode request",), ("cannot find service",),
    ),
    Nowhere(
        "a variant that nobody has",
        "at tiers 2 and 3 Envoy: `dubbo.<cluster>.local_response_business_exception`",
        ("group=blue", "version=2.0.0"),
    ),
    Nowhere(
        "a name that nobody has", '`soadns_dns_responses_total{rcode="NXDOMAIN"}`',
        ("UnknownHostException",), ("is not available",),
    ),
)  # fmt: skip


def promised() -> Iterator[str]:
    """The table, in Markdown."""
    yield from head(COLUMNS)
    for each in CALLS:
        yield line(each.what, _words(each.dubbo), _words(each.sofarpc), each.counts)


def _words(words: Iterable[str]) -> str:
    return ", ".join("the address" if word == ADDRESS else f"`{word}`" for word in words) or NOTHING
