"""Whether so many of so many calls are what chance makes of a share, and whether two counts come from the same one.

Both are exact: the binomial distribution for one count, the hypergeometric one for two (R. A. Fisher's exact test).
What would come about less than once in a million times is not taken for chance.
"""

from __future__ import annotations

from math import comb, fsum

RARE = 1e-6
"""How often a test that is right fails all the same, at most."""


def likely(hits: int, calls: int, share: float) -> bool:
    """Whether so many hits can be by chance, where each call is one with this probability."""
    chances = [comb(calls, k) * share**k * (1 - share) ** (calls - k) for k in range(calls + 1)]
    return _within(chances, hits)


def alike(hits: int, calls: int, others: int, of: int) -> bool:
    """Whether ``hits`` of ``calls`` and ``others`` of ``of`` can be of one share, whatever that is."""
    together, both = hits + others, calls + of
    # `comb` is 0 where a count can not be.
    ways = [comb(together, k) * comb(both - together, calls - k) for k in range(calls + 1)]
    whole = comb(both, calls)
    return _within([each / whole for each in ways], hits)


def bounds(calls: int, share: float) -> tuple[int, int]:
    """The least and the most hits that are likely."""
    found = [hits for hits in range(calls + 1) if likely(hits, calls, share)]
    return found[0], found[-1]


def _within(chances: list[float], at: int) -> bool:
    """Whether neither so few nor so many are too rare."""
    return min(fsum(chances[: at + 1]), fsum(chances[at:])) >= RARE / 2
