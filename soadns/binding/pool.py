"""The addresses of names that no ClusterIP answers: provider and pod addresses.

Chooses which of many addresses are answered, stably (rendezvous hash), and how long a vanished
provider stays in the answer. Pure; times are Unix seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from heapq import nsmallest
from ipaddress import ip_address
from operator import itemgetter

from soadns.model import ServedPort

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


Spot = tuple[str, str, int]
"""One provider as the answer sees it: protocol, host, port. Plain tuples: one name may have thousands."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the answer of an unmapped name remembers."""

    live: frozenset[Spot] = frozenset()
    """Registered when it was last looked at."""
    gone: tuple[tuple[Spot, float], ...] = ()
    """Those that were registered lately, and until when, by spot."""
    short_since: float | None = None
    """Since when only some, fewer than half of those seen lately, remain and the others are kept."""
    gone_since: float | None = None
    """Since when none is registered."""

    def __bool__(self) -> bool:
        return bool(self.live or self.gone)

    @property
    def answered(self) -> frozenset[Spot]:
        """Who is to be answered: those that are registered, or everybody while too few of them are."""
        if self.short_since is None and self.gone_since is None:
            return self.live
        return self.live.union(spot for spot, _ in self.gone)


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
    gone = {spot: left for spot, left in seen.gone if spot not in live}
    gone |= dict.fromkeys(seen.live - live, now)
    if not keeping:
        gone = {spot: left for spot, left in gone.items() if elapsed(left) < minute - EPSILON}
    if not live:
        since = None if not gone else now if seen.gone_since is None else seen.gone_since
        return Seen(live, tuple(sorted(gone.items())), None, since)
    if len(live) >= len(gone):
        gone = {spot: left for spot, left in gone.items() if elapsed(left) < minute - EPSILON}
        return Seen(live, tuple(sorted(gone.items())))
    short_since = now if seen.short_since is None else seen.short_since
    if elapsed(short_since) >= minute - EPSILON:
        return Seen(live)
    return Seen(live, tuple(sorted(gone.items())), short_since)


def answer_set(
    answered: Collection[Spot], owner_octets: int
) -> tuple[tuple[str, ...], tuple[ServedPort, ...]]:
    """Addresses and ports to publish for these spots.

    Per protocol only the commonest port counts, because an address record has none; the addresses are
    those of the leading protocol. As many of each family as fit a reply of 512 bytes.
    """
    numbers: dict[str, dict[int, int]] = {}
    """Protocol → port → spots."""
    for (protocol, port), count in Counter(map(_PROTOCOL_AND_PORT, answered)).items():
        numbers.setdefault(protocol, {})[port] = count
    if not numbers:
        return (), ()
    leading = min(numbers, key=lambda p: (-sum(numbers[p].values()), _rank(p)))
    ports = [
        ServedPort(protocol, min(numbers[protocol], key=lambda n: (-numbers[protocol][n], n)))
        for protocol in sorted(numbers, key=lambda p: (p != leading, _rank(p)))
    ]
    chosen = ports[0]
    hosts = {host for protocol, host, port in answered if port == chosen.port and protocol == leading}
    return fit(hosts, owner_octets), tuple(ports)


_PROTOCOL_AND_PORT = itemgetter(0, 2)


def fit(addresses: Collection[str], owner_octets: int) -> tuple[str, ...]:
    """As many addresses of each family as fit 512 bytes, the same ones while they live, sorted."""
    room = MESSAGE_SIZE - _HEADER - _QUESTION_FIXED - owner_octets
    six = [a for a in addresses if ":" in a]
    four = [a for a in addresses if ":" not in a] if six else addresses
    return (*_stable(four, room // _A_RECORD), *_stable(six, room // _AAAA_RECORD))


def _stable(addresses: Collection[str], limit: int) -> list[str]:
    if len(addresses) > limit:
        addresses = nsmallest(max(1, limit), addresses, key=_weight)
    return sorted(addresses, key=lambda a: _packed(a) or b"")


@lru_cache(maxsize=65_536)
def _weight(address: str) -> bytes:
    """Rendezvous weight: one address more or less never reshuffles the others."""
    return blake2b(address.encode(), digest_size=8).digest()


def _rank(protocol: str) -> tuple[int, str]:
    return (_PREFERRED.index(protocol) if protocol in _PREFERRED else len(_PREFERRED), protocol)
