"""What istiod carries: its pushes to one sidecar, as Services and filters grow in number. No soadns runs.

The filters are those that soadns renders, written by hand before istiod starts: at tier 1 one rule each, at tier 2 one
for each interface. What is measured grows with listeners times filters, for istiod holds each of the ones against each
of the others (``patchNetworkFilters``), for each sidecar, with each push of listeners.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soadns.model import ObjectRef, Service
from soadns.routemodel import ANY, Route, Target, Vip
from soadns.sidecar import envoyfilters, tiers
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.tiers import INLINE, REQUEST, PortFacts, Subject, Wishes
from tests.bench.change import say
from tests.bench.sidecar import plain
from tests.bench.sidecar.estate import NAMESPACE, PORT, Data, Estate, create
from tests.bench.sidecar.istio import APART_S, Mesh, mesh, touch
from tests.bench.sidecar.plain import Seat
from tests.bench.sidecar.probes import Figures, Line, Spending, ended, idle, megabytes, starts, times
from tests.scenarios.stage.istiod import ROOT
from tests.scenarios.stage.istiokinds import collection_of
from tests.scenarios.stage.istiosidecar import Sidecar

COUNTS = (300, 1_000, 3_000)
"""Filters that are measured, as far as there are Services."""
ONE, SOME = "tier 1", "tier 2"
WORST_S = 120.0
"""A push, or a change, that takes longer is none."""
_LDS = 'type="type.googleapis.com/envoy.config.listener.v3.Listener"'


@dataclass(frozen=True)
class Stage:
    """So many filters of one tier; ``stats``: istiod says of each whether it found what to replace."""

    tier: str
    filters: int
    stats: bool = False

    def __str__(self) -> str:
        if not self.filters:
            return "tier 0"
        return f"{self.filters:,} at {self.tier}" + (", counted" if self.stats else "")


def stages(services: int) -> list[Stage]:
    """What is measured with so many Services."""
    counts = [count for count in COUNTS if count <= services]
    some = [Stage(SOME, count) for count in counts]
    return [Stage(ONE, 0), *(Stage(ONE, count) for count in counts), Stage(ONE, services, stats=True), *some]


def measured(folder: Path, estate: Estate, options: Any) -> Figures:
    """All stages of one estate, by name."""
    found: Figures = {}
    with mesh(folder) as cluster:
        say(f"{estate}: {2 * estate.services:,} objects for the API server")
        create(cluster.api, estate.objects())
        seat = Seat(folder / "seat")
        seat.folder.mkdir()
        envoy = Sidecar(seat, "client")  # type: ignore[arg-type]
        envoy._captured = True
        standing: Stage | None = None
        for stage in stages(estate.services):
            if standing is None or (standing.tier, standing.filters) != (stage.tier, stage.filters):
                cluster.api.request("DELETE", collection_of("EnvoyFilter", ROOT))
                create(cluster.api, _documents(estate, stage))
            standing = stage
            say(f"{estate}: {stage}")
            try:
                found[str(stage)] = _stage(cluster, envoy, estate, stage, options)
            except AssertionError as error:  # this is where it breaks, which is to be told as well
                found[str(stage)] = {"broke": str(error).partition("\n")[0][:200]}
            finally:
                ended(envoy.process)
                ended(cluster.istiod.process)
            say(f"{estate}: {stage}: {found[str(stage)]}")
    return found


def _stage(cluster: Mesh, envoy: Sidecar, estate: Estate, stage: Stage, options: Any) -> Figures:
    assert cluster.istiod.process.env is not None
    cluster.istiod.process.env["PILOT_ENVOY_FILTER_STATS"] = str(stage.stats).lower()
    began = time.monotonic()
    cluster.istiod.start()
    found: Figures = {"filters": stage.filters, "istiod_start_s": round(time.monotonic() - began, 1)}
    found["start_s"] = starts(envoy.process, plain.probes(estate), envoy.start)
    time.sleep(2.0)
    found |= _pushes(cluster, envoy, options)
    if not stage.stats:
        found |= _changes(cluster, estate, stage, options)
    found["rejected"] = int(cluster.istiod.rejected)
    found["istiod_mb"] = megabytes(cluster.istiod.process.pid)
    found["sidecar_mb"] = megabytes(envoy.process.pid)
    return found


def _pushes(cluster: Mesh, envoy: Sidecar, options: Any) -> Figures:
    """What a push of listeners takes, in which nothing changed that concerns the sidecar."""
    pids = {"istiod": cluster.istiod.process.pid, "sidecar": envoy.process.pid}
    quiet = idle(1.0, **pids)
    names = {
        "pushes": 'pilot_xds_pushes{type="lds"}', "octets": f"pilot_xds_config_size_bytes_sum{{{_LDS}}}",
        "sizes": f"pilot_xds_config_size_bytes_count{{{_LDS}}}",
        "push_s": 'pilot_xds_push_time_sum{type="lds"}', "timed": 'pilot_xds_push_time_count{type="lds"}',
    }  # fmt: skip
    before = {key: cluster.istiod.metric(name) for key, name in names.items()}
    with Spending(**pids) as spending:
        for number in range(options.pushes // 2):
            count = cluster.istiod.metric(names["pushes"])
            touch(cluster, number)
            began = time.monotonic()
            while cluster.istiod.metric(names["pushes"]) <= count and time.monotonic() - began < WORST_S:
                time.sleep(APART_S)
        time.sleep(1.0)
    made = {key: cluster.istiod.metric(name) - before[key] for key, name in names.items()}
    return {
        "pushes": int(made["pushes"]),
        "push_ms": round(1000 * made["push_s"] / max(1, made["timed"]), 1),
        "listeners_kb": round(made["octets"] / max(1, made["sizes"]) / 1024),
        "istiod_cpu_ms_per_push": spending.each_ms("istiod", int(made["pushes"]), quiet["istiod"]),
        "sidecar_cpu_ms_per_push": spending.each_ms("sidecar", int(made["pushes"]), quiet["sidecar"]),
    }


def _changes(cluster: Mesh, estate: Estate, stage: Stage, options: Any) -> Figures:
    """From the write of a filter to the first call that goes by it: one interface of its Service moves."""
    effects = []
    for number in plain.chosen(estate, options.moves // 5):
        after = estate.pod(estate.other(number))
        line = Line(estate.address(number), estate.interface(number, 0), anew=True)
        [document] = filters(estate, number, (0,))
        cluster.api.apply(document)
        began = time.monotonic()
        while (said := line.said()) != after and time.monotonic() - began < WORST_S:
            time.sleep(0.002)
        assert said == after, f"{stage}: {said!r} after {WORST_S:.0f} s"
        effects.append(time.monotonic() - began)
        line.close()
        time.sleep(options.istio_pause)
    return {**times(effects), "changes": len(effects)}


def _documents(estate: Estate, stage: Stage) -> Iterator[Data]:
    """Filters, spread over all Services."""
    indices = (
        tuple(range(1, estate.interfaces - 1)) if stage.tier == SOME else ()
    )  # what is probed never moves
    for count in range(stage.filters):
        yield from filters(estate, count * estate.services // stage.filters, indices)


def filters(estate: Estate, number: int, moved: tuple[int, ...]) -> tuple[Data, ...]:
    """The objects of one Service, of whose interfaces these live at their other Service."""
    ref = ObjectRef("home", NAMESPACE, estate.service(number))
    service = Service(ref, f"uid-{ref.name}", cluster_ips=(estate.address(number),))
    own, other = _target(estate, number), _target(estate, estate.other(number))
    rules = [Route(estate.interface(number, index), None, None, other, "moved") for index in moved]
    vip = Vip(
        estate.address(number), PORT, ref, service.uid, own.host, (*rules, Route(ANY, None, None, own, "own"))
    )
    facts = PortFacts(vip, name="tcp-dubbo", protocols=("dubbo",), registered=True)
    subject = Subject(service, own.host, (facts,))
    wishes = Wishes(balancing=REQUEST, moves=INLINE, root_namespace=ROOT)
    found = envoyfilters.render(subject, wishes, Destinations(ports=lambda _: (PORT,)), tiers.NOTHING)
    assert found.tier == (2 if moved else 1), found.ports
    return found.filters


def _target(estate: Estate, number: int) -> Target:
    name = estate.service(number)
    return Target(
        "service", ObjectRef("home", NAMESPACE, name), f"{name}.{NAMESPACE}.svc.cluster.local", PORT
    )
