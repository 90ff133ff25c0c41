"""Families of metrics in the words of Prometheus: the only importer of ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from soadns.figures import Durations

__all__ = ["CONTENT_TYPE", "Exposition", "Metric", "counter", "gauge", "histogram"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition(Collector):
    """What ``families`` yields, whenever somebody asks."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The exposition format (``CONTENT_TYPE``)."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not collect to know the names."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All families."""
        return self._families()


def gauge(name: str, text: str, rows: Mapping[Any, float], *labels: str) -> Metric:
    """A family of gauges: values by the values of its labels, a tuple."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows.items():
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, rows: Mapping[Any, float], *labels: str) -> Metric:
    """The same of counters; ``_total`` is added to the name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows.items():
        family.add_metric(values, value)
    return family


def histogram(name: str, text: str, rows: Mapping[Any, Durations], *labels: str) -> Metric:
    """The same of histograms, in seconds."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, held in rows.items():
        family.add_metric(values, _cumulative(held), held.seconds)
    return family


def _cumulative(held: Durations) -> list[tuple[str, float]]:
    """Buckets as Prometheus wants them: each with all that are smaller."""
    bounds = [*map(str, held.bounds), "+Inf"]
    return [(bound, float(total)) for bound, total in zip(bounds, accumulate(held.slots), strict=True)]
