"""Prometheus metrics of a running soadns: the only importer of ``prometheus_client``.

Names follow CoreDNS's where the thing is the same. Everything is read when asked for; counting itself happens in
plain values elsewhere. Interfaces by state are counted at most once in five seconds: that walks all names.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from soadns import __version__
from soadns.figures import DURATIONS, WorkerFigures
from soadns.views import FLAGS, Found, flags
from soadns.web.operations import Running

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES_S = 5.0
SHARED = ("shared", "forgotten", "untold", "omitted")
"""States of moves that replicas share."""
NO_ZONE = "dropped"
"""What CoreDNS calls the zone of what is in none."""
_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 41: "OPT",
    64: "SVCB", 65: "HTTPS", 252: "AXFR", 255: "ANY",
}  # fmt: skip
_RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS",
}  # fmt: skip


class Exporter(Collector):
    """Collects from one running process."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._states: tuple[float, Counter[tuple[str, str]]] = (-STATES_S, Counter())

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not collect to know the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield _gauge("soadns_build_info", "Version of soadns.", {(__version__,): 1.0}, "version")
        yield from self._dns()
        yield from self._workers()
        yield from self._sources()
        yield from self._names()
        yield from self._routes()
        yield from self._sidecars()
        yield from self._mesh()
        yield from self._process()

    def _dns(self) -> Iterator[Metric]:
        total = WorkerFigures()
        for worker in self._running.workers():
            total = total.plus(worker.figures)
        requests: Counter[tuple[str, str, str, str]] = Counter()
        responses: Counter[tuple[str, str, str]] = Counter()
        for (zone, proto, family, kind, rcode), count in total.replies.items():
            shown = zone or NO_ZONE, _TYPES.get(kind, "other")
            requests[shown[0], proto, str(family), shown[1]] += count
            responses[(*shown, _RCODES.get(rcode, "other"))] += count
        yield _counter(
            "soadns_dns_requests",
            "DNS messages that got a reply, by zone, transport, address family (1 is IPv4, 2 IPv6) and type.",
            requests, "zone", "proto", "family", "type",
        )  # fmt: skip
        yield _counter("soadns_dns_responses", "DNS replies.", responses, "zone", "type", "rcode")
        durations = HistogramMetricFamily(
            "soadns_dns_request_duration_seconds",
            "From a datagram's arrival in the kernel to its reply, of a sample.",
            labels=["zone"],
        )
        for zone, held in sorted(total.durations.items()):
            durations.add_metric([zone or NO_ZONE], _cumulative(DURATIONS, held.slots), held.seconds)
        yield durations
        for name, text, value in (
            (
                "soadns_dns_dropped",
                "Messages that got no reply (responses, shorter than a header).",
                total.dropped,
            ),
            ("soadns_dns_malformed", "Messages answered with FORMERR.", total.malformed),
            ("soadns_dns_unsent", "Replies that the kernel did not take.", total.unsent),
            ("soadns_dns_tcp_refused", "TCP connections closed for want of room.", total.refused),
        ):
            yield _counter(name, text, {(): value})

    def _routes(self) -> Iterator[Metric]:
        routing = self._running.routing
        for name, text, values in (
            ("told", "1 while routes are told to sidecars.",
             {(zone,): float(not routing.unready(zone)) for zone in routing.tables}),
            ("places", "ClusterIPs and ports that have routes.",
             {(zone,): float(len(table.vips)) for zone, table in routing.tables.items()}),
            ("moves", "Interfaces that callers of a Service may still send to it.",
             {(zone,): float(len(table.moves)) for zone, table in routing.tables.items()}),
            ("clusters", "Clusters that routes lead to.",
             {(zone,): float(len(table.clusters)) for zone, table in routing.clusters.items()}),
            ("generation", "Changes of the routes since the process began.",
             {(zone,): float(log.generation) for zone, log in routing.logs.items()}),
        ):  # fmt: skip
            yield _gauge(f"soadns_routes_{name}", text, values, "zone")

    def _sidecars(self) -> Iterator[Metric]:
        nodes = self._running.nodes()
        if nodes is None:
            return
        figures = self._running.figures.ads
        connected = Counter((node["zone"], node["kind"]) for node in nodes)
        yield _gauge("soadns_ads_nodes", "Sidecars that are connected.", connected, "zone", "kind")
        behind = sum(node["behind"] for node in nodes)
        yield _gauge(
            "soadns_ads_nodes_behind", "Those that have not acknowledged all that there is.", {(): behind}
        )
        for name, text, counts, label in (
            ("pushes", "Responses to sidecars, by what is in them.", figures.pushes, "kind"),
            ("refusals", "Responses that a sidecar refused; MOSN never says so.", figures.refusals, "kind"),
            ("cut", "Streams that were ended, by why.", figures.cut, "reason"),
        ):
            yield _counter(f"soadns_ads_{name}", text, {(key,): n for key, n in counts.items()}, label)
        yield _counter("soadns_ads_octets", "Octets of responses to sidecars.", {(): figures.octets})

    def _mesh(self) -> Iterator[Metric]:
        figures = self._running.mesh_figures()
        istio = figures["istio"]
        share = figures["share"]
        held, moves, troubles = {}, {}, {}
        if share is not None:
            held = {(): float(share["lease"]["held"])}
            moves = {(state,): float(share["moves"][state]) for state in SHARED}
            troubles = {(what,): float(share[what]["trouble"] is not None) for what in ("lease", "moves")}
        yield _gauge("soadns_mesh_lease_held", "1 while this replica may write to the cluster.", held)
        yield _gauge("soadns_mesh_moves", "Moves that replicas share, by state.", moves, "state")
        objects, held, written, refused = {}, {}, {}, {}
        if istio is not None:
            troubles[("istio",)] = float(istio["trouble"] is not None)
            objects = {(state,): float(count) for state, count in istio["objects"].items()}
            held, written = {(): float(istio["held"])}, {(): istio["written"]}
            refused = {(): istio["rejects"]} if istio["rejects"] is not None else {}
        yield _gauge(
            "soadns_mesh_trouble", "1 while something of that can not be read or written.", troubles, "what"
        )
        yield _gauge("soadns_mesh_filters", "EnvoyFilters by how they stand.", objects, "state")
        yield _gauge("soadns_mesh_filters_held", "EnvoyFilters whose change waits for an operator.", held)
        yield _counter(
            "soadns_mesh_filter_writes", "EnvoyFilters written or removed by this replica.", written
        )
        yield _counter(
            "soadns_mesh_rejects", "Listeners that sidecars refused, as istiod counts them.", refused
        )

    def _workers(self) -> Iterator[Metric]:
        workers = {(str(index),): worker for index, worker in enumerate(self._running.workers())}
        for name, text, value in (
            ("generation", "Generation of the table a worker answers from.", attrgetter("generation")),
            ("behind", "1 while a worker answers from an older table than control's.", attrgetter("behind")),
            ("names", "Names that exist in a worker's table.", attrgetter("names")),
            ("memory_bytes", "Memory that a worker takes.", attrgetter("memory")),
        ):
            rows = {key: float(value(worker)) for key, worker in workers.items()}
            yield _gauge(f"soadns_worker_{name}", text, rows, "worker")
        for name, text, count in (
            ("processes", "Processes that were this worker, since control began.", attrgetter("processes")),
            (
                "cpu_seconds",
                "Processor time of a worker, user and system.",
                attrgetter("figures.processor_s"),
            ),
            ("overflowed", "Datagrams that a worker's sockets had no room for.", attrgetter("overflowed")),
        ):
            yield _counter(
                f"soadns_worker_{name}",
                text,
                {key: count(worker) for key, worker in workers.items()},
                "worker",
            )
        yield _counter(
            "soadns_worker_requests", "DNS messages received, by worker.",
            {(*key, proto): n for key, w in workers.items() for proto, n in w.figures.queries.items()},
            "worker", "proto",
        )  # fmt: skip
        yield _gauge(
            "soadns_dns_tcp_connections", "Open TCP connections.",
            {key: float(worker.connections) for key, worker in workers.items()}, "worker",
        )  # fmt: skip

    def _sources(self) -> Iterator[Metric]:
        now, estate = self._running.now(), self._running.estate
        states = sorted(estate.observations.sources.items())
        yield _gauge(
            "soadns_source_in_sync", "1 while the source is in sync.",
            {(name,): float(s.in_sync) for name, s in states}, "source",
        )  # fmt: skip
        yield _gauge(
            "soadns_source_age_seconds", "Seconds for which the source has been out of sync; 0 while in sync.",
            {(name,): 0.0 if s.paused_at is None else now - (s.paused_at or self._running.figures.started)
             for name, s in states},
            "source",
        )  # fmt: skip
        yield _gauge(
            "soadns_source_observations", "Observations held.",
            {(name,): float(len(s.values)) for name, s in states}, "source",
        )  # fmt: skip
        yield _gauge(
            "soadns_source_troubled_scopes", "Directories or files that can not be read now.",
            {(name,): float(len(s.troubled_scopes)) for name, s in states}, "source",
        )  # fmt: skip
        yield _counter(
            "soadns_source_events", "Events received.",
            {(name,): n for name, n in self._running.figures.events.items()}, "source",
        )  # fmt: skip
        yield _counter(
            "soadns_rejected", "Things that could not be understood, by reason.",
            {(name, reason): n for name, s in states for reason, n in s.rejections.items()},
            "source", "reason",
        )  # fmt: skip
        yield _counter(
            "soadns_source_failures", "Faults of a source itself.",
            {(name,): n for name, n in self._running.figures.source_failures.items()}, "source",
        )  # fmt: skip

    def _names(self) -> Iterator[Metric]:
        estate, figures = self._running.estate, self._running.figures
        yield _gauge("soadns_interfaces", "Interfaces by state.", self._count_states(), "zone", "state")
        held = {
            (zone, alarm.source): float(alarm.held)
            for zone, each in estate.zones.items()
            for alarm in each.guard.alarms(self._running.now())
        }
        yield _gauge("soadns_guard_held", "Removals that the guard holds back.", held, "zone", "source")
        yield _counter(
            "soadns_transitions", "Changes of what names answer, by cause.",
            {(cause,): n for cause, n in figures.transitions.items()}, "cause",
        )  # fmt: skip
        serials = {(zone,): float(serial) for zone, serial in self._running.serials.items()}
        yield _gauge("soadns_zone_serial", "Serial of the zone's SOA.", serials, "zone")
        complete = {(zone,): float(each.complete) for zone, each in estate.zones.items()}
        yield _gauge("soadns_zone_complete", "1 from the first complete state on.", complete, "zone")

    def _count_states(self) -> dict[tuple[str, str], float]:
        at, counts = self._states
        if time.monotonic() - at >= STATES_S:
            counts = Counter()
            for zone, each in self._running.estate.zones.items():
                for state in ("bound", *FLAGS):
                    counts[zone, state] = 0
                for interface in each.outcomes:
                    found = flags(Found(each, interface))
                    counts[zone, "bound"] += "unbound" not in found
                    for flag in found:
                        counts[zone, flag] += 1
            self._states = (time.monotonic(), counts)
        return {labels: float(count) for labels, count in counts.items()}

    def _process(self) -> Iterator[Metric]:
        figures = self._running.figures
        histogram = HistogramMetricFamily(
            "soadns_change_to_answer_seconds", "From a source's event to the worker that answers by it."
        )
        held = figures.latencies
        histogram.add_metric([], _cumulative(held.bounds, held.slots), held.seconds)
        yield histogram
        yield _counter(
            "soadns_reloads", "Reloads of the configuration, by outcome.",
            {(outcome,): n for outcome, n in figures.reloads.items()}, "outcome",
        )  # fmt: skip
        yield _counter("soadns_snapshots", "Snapshots written.", {(): figures.snapshots})
        yield _counter(
            "soadns_snapshot_failures",
            "Snapshots that could not be written.",
            {(): figures.snapshot_failures},
        )
        yield _gauge(
            "soadns_snapshot_timestamp_seconds",
            "When the last snapshot was written.",
            {(): figures.snapshot_at},
        )
        yield _gauge(
            "soadns_snapshot_bytes", "Size of the last snapshot.", {(): float(figures.snapshot_octets)}
        )
        yield _gauge("soadns_start_time_seconds", "When the control process began.", {(): figures.started})


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Buckets as Prometheus wants them: each with all that are smaller."""
    return [
        (bound, float(total))
        for bound, total in zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True)
    ]


def _gauge(name: str, text: str, rows: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows.items():
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, rows: Mapping[Any, float], *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows.items():
        family.add_metric(values, value)
    return family
