"""What istiod says of filters, by its metrics, where addresses of those are configured.

Nothing else tells: what a sidecar refuses is written to no object, and its calls go on by the old rules until its pod
starts again. How often sidecars refused something is counted for all of them together. Of each EnvoyFilter istiod says
that it found what to patch, once with ``PILOT_ENVOY_FILTER_STATS``: such a sample comes with the first sidecar for
which it did and stays until istiod ends; of one that found nothing there is none.
Source: istio ``pilot/pkg/networking/core/envoyfilter/monitoring.go``.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from soadns.mesh.filterplan import Name

EVERY_S = 10.0
SOON_S = 2.0
"""Between two looks after something was written, for what is refused then stops what would be written next."""
ANSWER_S = 5.0
MOST = 32 << 20
"""Octets of metrics that are taken."""
# Those of the environment may not lead into the cluster, or may be told what is none of their business.
_PAST_PROXIES = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_STATUS = re.compile(r"^pilot_envoy_filter_status\{([^}]*)\} (\S+)$", re.MULTILINE)
_FILTER = re.compile(r'name="([^"/]*)/([^"]*)"')
_REJECTS = re.compile(r"^pilot_total_xds_rejects\{([^}]*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rejects:
    """How often sidecars refused listeners, as istiod counts."""

    total: float
    since: float
    """Unix seconds when it was seen to grow last; 0.0: never."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one istiod says."""

    rejected: float
    """Listeners, and routes of listeners, that sidecars refused."""
    applied: frozenset[Name] | None
    """EnvoyFilters that found what to patch; None: it does not say that of any."""
    errors: float
    """Kinds of patches at which it failed itself; of whose filters it does not say."""


class Istiod:
    """The metrics of one istiod, or more.

    :param now: Unix seconds.
    :param hear: called when sidecars have refused more.
    """

    def __init__(
        self, urls: tuple[str, ...], *, now: Callable[[], float], hear: Callable[[], None] = lambda: None
    ) -> None:
        self._urls = urls
        self._now = now
        self._hear = hear
        self._seen: dict[str, Said] = {}
        self._until = 0.0
        """Until when it is looked at more often."""
        self._hurried = asyncio.Event()
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
                    said = await asyncio.to_thread(_read, url)
                except (OSError, ValueError) as error:
                    troubles.append(f"{url}: {error}")
                else:
                    self._take(url, said)
            self.trouble = "; ".join(troubles)
            if self._now() < self._until:
                await asyncio.sleep(SOON_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._hurried.wait()
            self._hurried.clear()

    def hurry(self, seconds: float) -> None:
        """Look more often for so many seconds."""
        self._until = self._now() + seconds
        self._hurried.set()

    def _take(self, url: str, said: Said) -> None:
        before = self._seen.get(url)
        grown = before is not None and said.rejected > before.rejected
        self._seen[url] = said
        since = self._now() if grown else self.rejects.since
        self.rejects = Rejects(sum(each.rejected for each in self._seen.values()), since)
        if grown:
            self._hear()

    def applied(self, name: Name) -> bool | None:
        """Whether an EnvoyFilter found what to patch in any sidecar; None: nobody says that of any."""
        known = [each.applied for each in self._seen.values() if each.applied is not None]
        return any(name in each for each in known) if known else None

    @property
    def errors(self) -> float:
        """Kinds of patches at which an istiod failed itself."""
        return sum(each.errors for each in self._seen.values())


def read(text: str) -> Said:
    """What metrics say, in the text format of Prometheus."""
    refused = sum(float(value) for labels, value in _REJECTS.findall(text) if 'type="lds"' in labels)
    applied, errors, known = set(), 0.0, False
    for labels, value in _STATUS.findall(text):
        known = True
        if 'result="error"' in labels:
            errors += float(value)
        elif float(value) and (found := _FILTER.search(labels)) is not None:
            applied.add((found[1], found[2]))
    return Said(refused, frozenset(applied) if known else None, errors)


def tried(url: str) -> str:
    """Why metrics can not be read; ``''``: they can. Blocks."""
    try:
        text = _get(url)
        read(text)
    except (OSError, ValueError) as error:
        return str(error)
    return "" if "pilot_" in text else "these are no metrics of an istiod"


def _read(url: str) -> Said:
    return read(_get(url))


def _get(url: str) -> str:
    """Raises OSError also for what is not HTTP, or not whole: a part would count less."""
    try:
        with _PAST_PROXIES.open(url, timeout=ANSWER_S) as answer:
            data, missing = answer.read(MOST + 1), answer.length
    except http.client.HTTPException as error:
        raise OSError(f"no whole answer by HTTP: {type(error).__name__}: {error}") from None
    if len(data) > MOST:
        raise OSError(f"more than {MOST >> 20} MiB of metrics")
    if missing:
        raise OSError(f"the answer ends {missing} octets too early")
    return str(data.decode(errors="replace"))
