"""The addresses of names that no ClusterIP answers: provider and pod addresses.

Chooses which of many addresses are answered, stably (rendezvous hash), and how long a vanished
provider stays in the answer. Pure; times are Unix seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address

from soadns.model import Provider, ServedPort

MESSAGE_SIZE = 512
"""A reply without EDNS must fit (RFC 1035 4.2.1), and musl before 1.2.4 never asks again by TCP."""
_HEADER = 12
_QUESTION_FIXED = 6
"""Root label, QTYPE and QCLASS; the name adds its own octets."""
_A_RECORD, _AAAA_RECORD = 16, 28
"""Compressed owner, type, class, TTL, length and the address."""
_PREFERRED = ("dubbo", "tri", "bolt")
"""Ties between protocols go by this order, then by name."""


EPSILON = 1e-3
"""Clocks this close (seconds) to their end have ended: sums of Unix times are no finer."""
Elapsed = Callable[[float], float]


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """One provider of the old world as the answer sees it."""

    protocol: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Recent:
    """A Spot that is registered (``gone`` None) or was until ``gone``."""

    spot: Spot
    gone: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the answer of an unmapped name remembers."""

    recent: tuple[Recent, ...] = ()
    short_since: float | None = None
    """Since when only some, fewer than half of those seen lately, remain and the others are kept."""
    gone_since: float | None = None
    """Since when none is registered."""

    @property
    def answered(self) -> tuple[Spot, ...]:
        """Who is to be answered: those that are registered, or everybody while too few of them are."""
        keeping = self.short_since is not None or self.gone_since is not None
        return tuple(r.spot for r in self.recent if keeping or r.gone is None)


def spots(providers: Iterable[Provider]) -> frozenset[Spot]:
    """The usable providers with an IP address; host names are not answered."""
    return frozenset(Spot(p.protocol, p.host, p.port) for p in providers if is_address(p.host))


def is_address(host: str) -> bool:
    """Whether a provider's host is an IP literal."""
    return _packed(host) is not None


@lru_cache(maxsize=65_536)
def _packed(host: str) -> bytes | None:
    """The octets of an IP literal; None for anything else. Names with thousands of providers ask at every change."""
    try:
        return ip_address(host).packed
    except ValueError:
        return None


def observe(seen: Seen, live: frozenset[Spot], now: float, *, minute: float, elapsed: Elapsed) -> Seen:
    """Take in who is registered now; returns what to remember, and with it who is to be answered.

    A vanished provider leaves at once while at least half of those seen in the last minute remain; else
    those of the last minute stay, for a minute if some remain. If none remains they stay until the
    caller lets the name go. ``elapsed`` gives the seconds since a time that count (those of an outage
    do not). Calling it again at the same instant changes nothing.
    """
    keeping = seen.short_since is not None or seen.gone_since is not None
    gone = {r.spot: now if r.gone is None else r.gone for r in seen.recent if r.spot not in live}
    if not keeping:
        gone = {spot: left for spot, left in gone.items() if elapsed(left) < minute - EPSILON}
    if not live:
        since = None if not gone else now if seen.gone_since is None else seen.gone_since
        return Seen(_recent(live, gone), None, since)
    if len(live) >= len(gone):
        gone = {spot: left for spot, left in gone.items() if elapsed(left) < minute - EPSILON}
        return Seen(_recent(live, gone))
    short_since = now if seen.short_since is None else seen.short_since
    if elapsed(short_since) >= minute - EPSILON:
        return Seen(_recent(live, {}))
    return Seen(_recent(live, gone), short_since)


def _recent(live: frozenset[Spot], gone: dict[Spot, float]) -> tuple[Recent, ...]:
    recent = [Recent(spot) for spot in live] + [Recent(spot, left) for spot, left in gone.items()]
    return tuple(sorted(recent, key=lambda r: r.spot))


def answer_set(answered: Iterable[Spot], owner_octets: int) -> tuple[tuple[str, ...], tuple[ServedPort, ...]]:
    """Addresses and ports to publish for these spots.

    Per protocol only the commonest port counts, because an address record has none; the addresses are
    those of the leading protocol. As many of each family as fit a reply of 512 bytes.
    """
    chosen = list(answered)
    if not chosen:
        return (), ()
    protocols = Counter(s.protocol for s in chosen)
    leading = min(protocols, key=lambda p: (-protocols[p], _rank(p)))
    ports = []
    for protocol in sorted(protocols, key=lambda p: (p != leading, _rank(p))):
        numbers = Counter(s.port for s in chosen if s.protocol == protocol)
        ports.append(ServedPort(protocol, min(numbers, key=lambda n: (-numbers[n], n))))
    hosts = {s.host for s in chosen if s.protocol == leading and s.port == ports[0].port}
    return fit(hosts, owner_octets), tuple(ports)


def fit(addresses: Iterable[str], owner_octets: int) -> tuple[str, ...]:
    """As many addresses of each family as fit 512 bytes, the same ones while they live, sorted."""
    room = MESSAGE_SIZE - _HEADER - _QUESTION_FIXED - owner_octets
    four = [a for a in addresses if ":" not in a]
    six = [a for a in addresses if ":" in a]
    return (*_stable(four, room // _A_RECORD), *_stable(six, room // _AAAA_RECORD))


def _stable(addresses: Sequence[str], limit: int) -> list[str]:
    if len(addresses) > limit:
        addresses = sorted(addresses, key=_weight)[: max(1, limit)]
    return sorted(addresses, key=lambda a: _packed(a) or b"")


def _weight(address: str) -> bytes:
    """Rendezvous weight: one address more or less never reshuffles the others."""
    return blake2b(address.encode(), digest_size=8).digest()


def _rank(protocol: str) -> tuple[int, str]:
    return (_PREFERRED.index(protocol) if protocol in _PREFERRED else len(_PREFERRED), protocol)
