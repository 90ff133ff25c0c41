"""The whole estate on a page: who can board, who can not and why, who calls whom. Pure: items in, frozen values out.

Takes items of ``GET /v1/survey`` (``docs/http.md``) and the callers outside, adds nothing to what they say, and knows
nothing of where they come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soadns.publishers.advice import Advice, advice

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """A kind of reason, and the interfaces that it keeps, in order."""

    reason: str
    interfaces: tuple[tuple[str, str], ...]
    """Each with its own text."""


@dataclass(frozen=True, slots=True)
class Application:
    """An application that calls, and whether all of it can board."""

    name: str
    interfaces: int
    waits_for: tuple[str, ...]
    """Interfaces it calls that are not safe to board, in order."""
    outside: tuple[str, ...]
    """Its addresses that are not known to be in a cluster."""
    rules: tuple[str, ...]
    """Routers and configurators of its own, which consumers with direct URLs do not read."""
    asks: tuple[str, ...] = ()
    """Interfaces of which it asks for what no direct URL gives, in order."""

    @property
    def can_board(self) -> bool:
        """Whether all it calls is safe, nothing governs it, and it can reach a ClusterIP as far as is known."""
        return not (self.waits_for or self.outside or self.rules or self.asks)


@dataclass(frozen=True, slots=True)
class Edge:
    """An application that calls another, and by how many interfaces; ``''`` is one that is not known."""

    caller: str
    provider: str
    interfaces: int


@dataclass(frozen=True, slots=True)
class Silent:
    """A boarded interface that no provider is registered for, and that callers outside the cluster subscribe to."""

    interface: str
    service: str
    held_by: str
    outside: int
    """Addresses outside that subscribe to it."""
    applications: tuple[str, ...]
    """Whose they are."""


@dataclass(frozen=True, slots=True)
class Survey:
    """All of it."""

    safe: tuple[str, ...]
    """Interfaces that can board now, in order."""
    unsafe: int
    """Interfaces that can not."""
    reasons: tuple[Reason, ...]
    """The commonest first. An interface may have several."""
    applications: tuple[Application, ...]
    calls: tuple[Edge, ...]
    """The most interfaces first."""
    half_boarded: tuple[str, ...]
    silent: tuple[Silent, ...]
    nameless: int
    """Interfaces with callers that do not say their application."""
    advice: tuple[Advice, ...]
    """What the protocols of those that can board bring."""

    def plain(self) -> dict[str, Any]:
        """What the items say only together, as JSON has it."""
        return {
            "counts": {
                "interfaces": len(self.safe) + self.unsafe,
                "safe": len(self.safe),
                "applications": len(self.applications),
                "applicationsCanBoard": sum(each.can_board for each in self.applications),
                "halfBoarded": len(self.half_boarded),
                "silent": len(self.silent),
            },
            "advice": [each.plain() for each in self.advice],
            "reasons": [{"reason": each.reason, "interfaces": len(each.interfaces)} for each in self.reasons],
            "applications": [
                {
                    "application": each.name,
                    "canBoard": each.can_board,
                    "interfaces": each.interfaces,
                    "waitsFor": list(each.waits_for),
                    "outside": list(each.outside),
                    "rules": list(each.rules),
                    "asks": list(each.asks),
                }
                for each in self.applications
            ],
            "calls": [
                {
                    "application": each.caller or None,
                    "calls": each.provider or None,
                    "interfaces": each.interfaces,
                }
                for each in self.calls
            ],
            "halfBoarded": list(self.half_boarded),
            "silent": [each.interface for each in self.silent],
        }


def survey(items: Sequence[Data], outside: Iterable[Data], ruled: Iterable[Data]) -> Survey:
    """Put the items of an estate together.

    ``outside`` are the callers not known to be in a cluster, ``ruled`` applications with rules of their own.
    """
    reasons: dict[str, dict[str, str]] = {}
    calls = Counter[tuple[str, str]]()
    called: dict[str, list[Data]] = {}
    for item in items:
        for why in item["why"]:
            reasons.setdefault(why["reason"], {}).setdefault(item["interface"], why["detail"])
        for caller in item["callers"]:
            name = caller["application"] or ""
            called.setdefault(name, []).append(item)
            calls.update((name, provider) for provider in item["applications"] or [""])
    nameless = called.pop("", [])
    return Survey(
        safe=tuple(sorted(item["interface"] for item in items if item["safe"])),
        unsafe=sum(not item["safe"] for item in items),
        reasons=tuple(
            Reason(reason, tuple(sorted(found.items())))
            for reason, found in sorted(reasons.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        ),
        applications=_applications(called, outside, {row["application"]: row["rules"] for row in ruled}),
        calls=tuple(
            Edge(caller, provider, count)
            for (caller, provider), count in sorted(calls.items(), key=lambda pair: (-pair[1], pair[0]))
        ),
        half_boarded=tuple(sorted(item["interface"] for item in items if item["halfBoarded"])),
        silent=tuple(_silent(item) for item in sorted(items, key=_name) if item["heldBy"]),
        nameless=len(nameless),
        advice=tuple(advice(word for item in items if item["safe"] for word in item["protocols"])),
    )


def _name(item: Data) -> str:
    return str(item["interface"])


def _applications(
    called: Mapping[str, Sequence[Data]], outside: Iterable[Data], rules: Mapping[str, Sequence[str]]
) -> tuple[Application, ...]:
    addresses: dict[str, set[str]] = {}
    for row in outside:
        addresses.setdefault(row["application"] or "", set()).add(row["address"])
    return tuple(
        Application(
            name,
            len(found),
            tuple(sorted(_name(item) for item in found if not item["safe"])),
            tuple(sorted(addresses.get(name, ()))),
            tuple(rules.get(name, ())),
            tuple(sorted(_name(item) for item in found if _asks(item, name))),
        )
        for name, found in sorted(called.items())
    )


def _asks(item: Data, application: str) -> bool:
    return any(caller["asks"] for caller in item["callers"] if caller["application"] == application)


def _silent(item: Data) -> Silent:
    callers = [caller for caller in item["callers"] if caller["outside"]]
    return Silent(
        _name(item),
        item["service"] or "",
        item["heldBy"],
        sum(caller["outside"] for caller in callers),
        tuple(sorted(caller["application"] or "" for caller in callers)),
    )
