"""Prometheus metrics of a running soadns: which families there are, and where their figures come from.

Names follow CoreDNS's where the thing is the same. Everything is read when asked for; counting itself happens in
plain values elsewhere, but for interfaces by state (``states``), which are counted before: that walks all names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from soadns import __version__
from soadns.figures import ASKED, GIVEN, SkydnsFigures, WorkerFigures
from soadns.web.families import Exposition, Metric, counter, gauge, histogram
from soadns.web.operations import Running
from soadns.web.states import States

SHARED = ("shared", "forgotten", "untold", "omitted")
"""States of moves that replicas share."""
PLACES = {"placed": "ports", "wanting": "wanting"}
WITHOUT_ROOM = {"outdated": "outdated", "left_out": "leftOut"}
"""Files of rules for which a ConfigMap has no room: words, and the keys of their names."""
"""States of ports that would have filters, or rules from files, and what the status calls them."""
NO_ZONE = "dropped"
"""What CoreDNS calls the zone of what is in none."""
_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 41: "OPT",
    64: "SVCB", 65: "HTTPS", 252: "AXFR", 255: "ANY",
}  # fmt: skip
_RCODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS",
}  # fmt: skip


class Exporter:
    """Collects from one running process."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._exposition = Exposition(self.collect)
        self.states = States(running)

    def text(self) -> bytes:
        """The exposition format."""
        return self._exposition.text()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield gauge("soadns_build_info", "Version of soadns.", {(__version__,): 1.0}, "version")
        yield from self._dns()
        yield from self._workers()
        yield from self._sources()
        yield from self._names()
        yield from self._routes()
        yield from self._sidecars()
        yield from self._mesh()
        yield from self._transfers()
        yield from self._skydns()
        yield from self._credentials()
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
        yield counter(
            "soadns_dns_requests",
            "DNS messages that got a reply, by zone, transport, address family (1 is IPv4, 2 IPv6) and type.",
            requests, "zone", "proto", "family", "type",
        )  # fmt: skip
        yield counter("soadns_dns_responses", "DNS replies.", responses, "zone", "type", "rcode")
        durations = {(zone or NO_ZONE,): held for zone, held in sorted(total.durations.items())}
        yield histogram(
            "soadns_dns_request_duration_seconds",
            "From a datagram's arrival in the kernel to its reply, of a sample.",
            durations, "zone",
        )  # fmt: skip
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
            yield counter(name, text, {(): value})
        yield counter(
            "soadns_dns_tls_handshake_failures", "TLS handshakes that failed, by why.",
            {(why,): n for why, n in total.handshakes.items()}, "reason",
        )  # fmt: skip

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
            ("unclear", "Wire names whose requests may, at some Service, mean interfaces in several places.",
             {(zone,): float(table.wires.unclear) for zone, table in routing.tables.items()}),
            ("untold", "Interfaces some of whose wire names no sidecar can be told.",
             {(zone,): float(table.wires.untold) for zone, table in routing.tables.items()}),
            ("generation", "Changes of the routes since the process began.",
             {(zone,): float(log.generation) for zone, log in routing.logs.items()}),
        ):  # fmt: skip
            yield gauge(f"soadns_routes_{name}", text, values, "zone")

    def _sidecars(self) -> Iterator[Metric]:
        nodes = self._running.nodes()
        if nodes is None:
            return
        figures = self._running.figures.ads
        connected = Counter((node["zone"], node["kind"]) for node in nodes)
        yield gauge("soadns_ads_nodes", "Sidecars that are connected.", connected, "zone", "kind")
        behind = sum(node["behind"] for node in nodes)
        yield gauge(
            "soadns_ads_nodes_behind", "Those that have not acknowledged all that there is.", {(): behind}
        )
        for name, text, counts, label in (
            ("pushes", "Responses to sidecars, by what is in them.", figures.pushes, "kind"),
            ("refusals", "Responses that a sidecar refused; MOSN never says so.", figures.refusals, "kind"),
            ("cut", "Streams that were ended, by why.", figures.cut, "reason"),
        ):
            yield counter(f"soadns_ads_{name}", text, {(key,): n for key, n in counts.items()}, label)
        yield counter("soadns_ads_octets", "Octets of responses to sidecars.", {(): figures.octets})

    def _mesh(self) -> Iterator[Metric]:
        figures = self._running.mesh_figures()
        istio = figures["istio"]
        share = figures["share"]
        held, moves, troubles, events = {}, {}, {}, {}
        if share is not None:
            held = {(): float(share["lease"]["held"])}
            moves = {(state,): float(share["moves"][state]) for state in SHARED}
            parts = [what for what in ("lease", "moves", "events") if share[what] is not None]
            troubles = {(what,): float(share[what]["trouble"] is not None) for what in parts}
            told = share["events"] or {}
            events = {(outcome,): told[outcome] for outcome in ("written", "omitted") if told}
        yield gauge("soadns_mesh_lease_held", "1 while this replica may write to the cluster.", held)
        yield gauge("soadns_mesh_moves", "Moves that replicas share, by state.", moves, "state")
        objects, held, written, refused = {}, {}, {}, {}
        files: dict[tuple[str, str], float] = {}
        room: dict[tuple[str], float] = {}
        if istio is not None:
            troubles[("istio",)] = float(istio["trouble"] is not None)
            objects = {(state,): float(count) for state, count in istio["objects"].items()}
            for each in istio["files"]:
                files |= {(each["namespace"], word): float(each[key]) for word, key in PLACES.items()}
                files |= {
                    (each["namespace"], word): float(len(each[key])) for word, key in WITHOUT_ROOM.items()
                }
            room = {(word,): float(istio["room"][key]) for word, key in PLACES.items() if istio["room"]}
            held, written = {(): float(istio["held"])}, {(): istio["written"]}
            refused = {(): istio["rejects"]} if istio["rejects"] is not None else {}
        yield gauge(
            "soadns_mesh_trouble", "1 while something of that can not be read or written.", troubles, "what"
        )
        yield counter("soadns_mesh_events", "Kubernetes Events, by what became of them.", events, "outcome")
        yield gauge("soadns_mesh_filters", "EnvoyFilters by how they stand.", objects, "state")
        yield gauge("soadns_mesh_filter_ports", "Ports with filters for all callers.", room, "state")
        yield gauge(
            "soadns_mesh_files",
            "Ports with rules from files, by namespace of callers, and files without room.",
            files,
            "callers",  # not "namespace": whoever scrapes says by that where soadns is
            "state",
        )
        yield gauge("soadns_mesh_filters_held", "EnvoyFilters whose change waits for an operator.", held)
        yield counter(
            "soadns_mesh_filter_writes", "EnvoyFilters written or removed by this replica.", written
        )
        yield counter(
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
            yield gauge(f"soadns_worker_{name}", text, rows, "worker")
        for name, text, count in (
            ("processes", "Processes that were this worker, since control began.", attrgetter("processes")),
            (
                "cpu_seconds",
                "Processor time of a worker, user and system.",
                attrgetter("figures.processor_s"),
            ),
            ("overflowed", "Datagrams that a worker's sockets had no room for.", attrgetter("overflowed")),
        ):
            yield counter(
                f"soadns_worker_{name}",
                text,
                {key: count(worker) for key, worker in workers.items()},
                "worker",
            )
        yield counter(
            "soadns_worker_requests", "DNS messages received, by worker.",
            {(*key, proto): n for key, w in workers.items() for proto, n in w.figures.queries.items()},
            "worker", "proto",
        )  # fmt: skip
        yield gauge(
            "soadns_dns_tcp_connections", "Open TCP connections.",
            {key: float(worker.connections) for key, worker in workers.items()}, "worker",
        )  # fmt: skip

    def _sources(self) -> Iterator[Metric]:
        now, estate = self._running.now(), self._running.estate
        states = sorted(estate.observations.sources.items())
        yield gauge(
            "soadns_source_in_sync", "1 while the source is in sync.",
            {(name,): float(s.in_sync) for name, s in states}, "source",
        )  # fmt: skip
        yield gauge(
            "soadns_source_age_seconds", "Seconds for which the source has been out of sync; 0 while in sync.",
            {(name,): 0.0 if s.paused_at is None else now - (s.paused_at or self._running.figures.started)
             for name, s in states},
            "source",
        )  # fmt: skip
        yield gauge(
            "soadns_source_observations", "Observations held.",
            {(name,): float(len(s.values)) for name, s in states}, "source",
        )  # fmt: skip
        yield gauge(
            "soadns_source_troubled_scopes", "Directories or files that can not be read now.",
            {(name,): float(len(s.troubled_scopes)) for name, s in states}, "source",
        )  # fmt: skip
        yield counter(
            "soadns_source_events", "Events received.",
            {(name,): n for name, n in self._running.figures.events.items()}, "source",
        )  # fmt: skip
        yield counter(
            "soadns_rejected", "Things that could not be understood, by reason.",
            {(name, reason): n for name, s in states for reason, n in s.rejections.items()},
            "source", "reason",
        )  # fmt: skip
        yield counter(
            "soadns_source_failures", "Faults of a source itself.",
            {(name,): n for name, n in self._running.figures.source_failures.items()}, "source",
        )  # fmt: skip
        yield counter(
            "soadns_faults", "Faults of a part other than a source itself.",
            {(part,): n for part, n in self._running.figures.faults.items()}, "part",
        )  # fmt: skip

    def _names(self) -> Iterator[Metric]:
        estate, figures = self._running.estate, self._running.figures
        states = {labels: float(count) for labels, count in self.states.counts.items()}
        yield gauge("soadns_interfaces", "Interfaces by state.", states, "zone", "state")
        held = {
            (zone, alarm.source): float(alarm.held)
            for zone, each in estate.zones.items()
            for alarm in each.guard.alarms(self._running.now())
        }
        yield gauge("soadns_guard_held", "Removals that the guard holds back.", held, "zone", "source")
        yield counter(
            "soadns_transitions", "Changes of what names answer, by cause.",
            {(cause,): n for cause, n in figures.transitions.items()}, "cause",
        )  # fmt: skip
        serials = {(zone,): float(serial) for zone, serial in self._running.serials.items()}
        yield gauge("soadns_zone_serial", "Serial of the zone's SOA.", serials, "zone")
        complete = {(zone,): float(each.complete) for zone, each in estate.zones.items()}
        yield gauge("soadns_zone_complete", "1 from the first complete state on.", complete, "zone")

    def _transfers(self) -> Iterator[Metric]:
        figures = self._running.figures.transfer
        yield counter(
            "soadns_transfers", "Answers to secondaries that asked for a zone, by outcome.",
            figures.transfers, "zone", "outcome",
        )  # fmt: skip
        yield counter(
            "soadns_transfer_notices", "Changes that secondaries were told of, by outcome.",
            figures.notices, "secondary", "outcome",
        )  # fmt: skip
        serials = {(zone,): float(serial) for zone, serial in figures.serials.items()}
        yield gauge("soadns_transfer_serial", "Newest serial that secondaries may have.", serials, "zone")

    def _skydns(self) -> Iterator[Metric]:
        figures = self._running.figures.skydns
        published, now = figures is not None, self._running.now()
        figures = figures or SkydnsFigures()
        behind = dict.fromkeys(figures.held, 0.0) | {
            zone: max(0.0, now - since) for zone, since in figures.behind_since.items()
        }
        for name, text, held in (
            ("leads", "1 while this replica writes zones to etcd.", figures.leads),
            ("trouble", "1 while etcd can not be asked, or refuses something.", figures.trouble),
        ):
            yield gauge(f"soadns_skydns_{name}", text, {(): float(held)} if published else {})
        for name, text, values in (
            ("keys", "Keys of ours.", figures.keys),
            ("foreign", "Keys of others at names of ours.", figures.foreign),
            ("held", "Names whose keys wait to be deleted.", figures.held),
            ("left_out", "Names that CoreDNS could not answer rightly.", figures.left_out),
            ("behind_seconds", "For how long a change waits to be written.", behind),
        ):
            rows = {(zone,): float(value) for zone, value in values.items()}
            yield gauge(f"soadns_skydns_{name}", text, rows, "zone")
        yield counter(
            "soadns_skydns_writes", "Keys, by what was done to them.", figures.writes, "zone", "kind"
        )
        yield counter(
            "soadns_skydns_failures",
            "Comparisons and writes that failed, to be done again.",
            {(): figures.failures} if published else {},
        )

    def _credentials(self) -> Iterator[Metric]:
        figures = self._running.figures.credentials
        refused = dict(figures.refused)
        workers = {worker.certificate_refused for worker in self._running.workers()} - {None}
        if workers:
            refused["nameserver.tls"] = True in workers
        yield gauge(
            "soadns_credentials_refused",
            "1 while what the files of a setting hold can not be used, so that something older is in force.",
            {(setting,): float(each) for setting, each in refused.items()},
            "setting",
        )
        yield counter(
            "soadns_credentials_reads",
            "Files of secrets and certificates that were read again since they had changed, by outcome.",
            figures.reads,
            "setting",
            "outcome",
        )

    def _process(self) -> Iterator[Metric]:
        figures = self._running.figures
        yield gauge(
            "soadns_listening", "1 while what is configured beside names listens.",
            {(part,): float(listens) for part, listens in figures.listening.items()}, "part",
        )  # fmt: skip
        yield histogram(
            "soadns_change_to_answer_seconds",
            "From a source's event to the worker that answers by it.",
            {(): figures.latencies},
        )
        yield counter(
            "soadns_reloads", "Reloads of the configuration, by outcome.",
            {(outcome,): n for outcome, n in figures.reloads.items()}, "outcome",
        )  # fmt: skip
        yield counter(
            "soadns_snapshots",
            "How often what is known was saved, as a whole or what changed.",
            {(): figures.snapshots},
        )
        yield counter(
            "soadns_snapshot_failures",
            "Snapshots that could not be written.",
            {(): figures.snapshot_failures},
        )
        yield gauge(
            "soadns_snapshot_timestamp_seconds",
            "Of when the last snapshot is: what happened since is in none.",
            {(): figures.snapshot_at},
        )
        yield gauge(
            "soadns_snapshot_bytes", "Size of the last snapshot.", {(): float(figures.snapshot_octets)}
        )
        for name, text, outcomes, counts in (
            (
                "given",
                "Requests of other replicas for the snapshot, by outcome.",
                GIVEN,
                figures.snapshots_given,
            ),
            (
                "asked",
                "Answers of other replicas that were asked for theirs.",
                ASKED,
                figures.snapshots_asked,
            ),
        ):
            rows = {(outcome,): counts[outcome] for outcome in outcomes}  # all: an increase begins at 0
            yield counter(f"soadns_peer_snapshots_{name}", text, rows, "outcome")
        yield gauge("soadns_start_time_seconds", "When the control process began.", {(): figures.started})
