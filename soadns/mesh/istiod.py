"""What istiod says of configurations that sidecars refused: a counter of its metrics, where an address is configured.

Nothing else tells: what a sidecar refuses is written to no object, and its calls go on by the old rules until its pod
starts again.
"""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

EVERY_S = 10.0
ANSWER_S = 5.0
MOST = 32 << 20
"""Octets of metrics that are read."""
_REJECTS = re.compile(r"^pilot_total_xds_rejects\{([^}]*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rejects:
    """How often sidecars refused listeners, as istiod counts."""

    total: float
    since: float
    """Unix seconds when it was seen to grow last; 0.0: never."""


class Istiod:
    """The metrics of one istiod, or more.

    :param now: Unix seconds.
    """

    def __init__(self, urls: tuple[str, ...], *, now: Callable[[], float]) -> None:
        self._urls = urls
        self._now = now
        self._seen: dict[str, float] = {}
        self.rejects = Rejects(0.0, 0.0)
        self.trouble = ""

    @property
    def known(self) -> bool:
        """Whether anything is read of it."""
        return bool(self._urls)

    async def run(self) -> None:
        """Read until cancelled."""
        while self._urls:
            troubles = []
            for url in self._urls:
                try:
                    text = await asyncio.to_thread(_get, url)
                except (OSError, ValueError) as error:
                    troubles.append(f"{url}: {error}")
                else:
                    self._take(url, rejected(text))
            self.trouble = "; ".join(troubles)
            await asyncio.sleep(EVERY_S)

    def _take(self, url: str, total: float) -> None:
        before = self._seen.get(url)
        grown = before is not None and total > before
        self._seen[url] = total
        since = self._now() if grown else self.rejects.since
        self.rejects = Rejects(sum(self._seen.values()), since)


def rejected(text: str) -> float:
    """The listeners and routes of listeners that sidecars refused, in the text format of Prometheus."""
    return sum(float(value) for labels, value in _REJECTS.findall(text) if 'type="lds"' in labels)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 - http, as was configured
        return str(answer.read(MOST).decode(errors="replace"))
