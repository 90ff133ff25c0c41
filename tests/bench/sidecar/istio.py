"""Envoy under Istio: real API server, istiod and Envoy, filters written by soadns; and a ServiceEntry per interface."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.change import say
from tests.bench.sidecar import plain
from tests.bench.sidecar.estate import NAMESPACE, Estate, create, entry_address
from tests.bench.sidecar.plain import Seat
from tests.bench.sidecar.probes import (
    Figures,
    Spending,
    costs,
    ended,
    idle,
    megabytes,
    moved,
    starts,
)
from tests.scenarios.stage.istiod import ROOT, Istiod
from tests.scenarios.stage.istiokinds import collection_of
from tests.scenarios.stage.istiosidecar import Sidecar
from tests.scenarios.stage.kubernetes import ADMIN, ApiServer, Etcd
from tests.scenarios.stage.network import PODS
from tests.scenarios.stage.places import OUTSIDE
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper, close

BY_REGISTRY, BY_ANNOTATION, AT_TIER_1 = 3, 4, 5
"""Which interface of each Service moves, and how."""
OWN = "soadns"
APART_S = 0.5
"""Between two pushes of istiod: more than it waits for more."""
WRITTEN_S = 180.0


@dataclass
class Mesh:
    """A cluster with Istio in it."""

    api: ApiServer
    etcd: Etcd
    istiod: Istiod

    def filters(self) -> int:
        """How many EnvoyFilters soadns has there."""
        query = "?labelSelector=app.kubernetes.io/managed-by%3Dsoadns"
        return len(self.api.request("GET", collection_of("EnvoyFilter", ROOT) + query)["items"])


@contextmanager
def mesh(folder: Path) -> Iterator[Mesh]:
    """An API server that knows Istio's objects, and an istiod that reads them."""
    folder.mkdir()
    etcd = Etcd(folder / "etcd")
    api = ApiServer(folder / "api", etcd)
    istiod = Istiod(folder / "istiod", api, OUTSIDE)
    assert istiod.process.env is not None
    istiod.process.env["PILOT_ENVOY_FILTER_STATS"] = "false"  # as it is by default: it counts in each push
    try:
        api.start()
        for name in (NAMESPACE, OWN):
            api.create_namespace(name)
        istiod.install()
        yield Mesh(api, etcd, istiod)
    finally:
        for process in (istiod.process, api.process, etcd.process):
            ended(process)


def measured(zookeeper: ZooKeeper, folder: Path, estate: Estate, options: Any) -> Figures:
    """All of one estate."""
    with mesh(folder) as cluster:
        assert cluster.istiod.process.env is not None
        cluster.istiod.process.env |= dict(each.split("=", 1) for each in options.istiod_env)
        say(f"{estate}: {2 * estate.services:,} objects for the API server")
        create(cluster.api, estate.objects())
        began = time.monotonic()
        cluster.istiod.start()
        found: Figures = {"istiod_start_s": round(time.monotonic() - began, 1)}
        seat = Seat(folder / "seat")
        seat.folder.mkdir()
        envoy = Sidecar(seat, "client")  # type: ignore[arg-type]
        envoy._captured = True
        try:
            found["start_s"] = starts(envoy.process, plain.probes(estate), envoy.start)
            found["tier_0"] = {"start_s": found["start_s"], **_state(cluster, envoy, options)}
            if options.calls:
                found["tier_0"]["calls"] = _cost(estate, envoy, options)
            found |= _moves(zookeeper, folder, estate, options, cluster, envoy)
            found |= _at_tier_1(zookeeper, folder, estate, options, cluster, envoy)
            found["rejected"] = cluster.istiod.rejected
        finally:
            ended(envoy.process)
    return found


def _cost(estate: Estate, envoy: Sidecar, options: Any) -> Figures:
    address, _, _ = plain.probes(estate)[0]
    return costs(address, envoy.process.pid, calls=options.calls)


def _state(cluster: Mesh, envoy: Sidecar, options: Any) -> Figures:
    """Memory, and what a push costs istiod and the sidecar: a filter that concerns nobody changes."""
    pids = {"istiod": cluster.istiod.process.pid, "sidecar": envoy.process.pid}
    time.sleep(1.0)
    quiet = idle(min(2.0, options.quiet), **pids)
    count = 'pilot_xds_pushes{type="lds"}'
    touch(cluster, 0)
    time.sleep(APART_S)
    before = cluster.istiod.metric(count)
    with Spending(**pids) as spending:
        for number in range(1, options.pushes + 1):
            touch(cluster, number)
            time.sleep(APART_S)
        pushes = eventually(
            lambda: cluster.istiod.metric(count) - before,
            within=10.0,
            until=lambda pushes: pushes >= options.pushes,
        )
    return {
        "filters": cluster.filters(),
        "istiod_mb": megabytes(pids["istiod"]),
        "sidecar_mb": megabytes(pids["sidecar"]),
        "pushes": int(pushes),
        "istiod_cpu_ms_per_push": spending.each_ms("istiod", int(pushes), quiet["istiod"]),
        "sidecar_cpu_ms_per_push": spending.each_ms("sidecar", int(pushes), quiet["sidecar"]),
    }


def touch(cluster: Mesh, number: int) -> None:
    """A change of a filter for a listener that nobody has."""
    match = {"context": "SIDECAR_OUTBOUND", "listener": {"name": "192.0.2.1_1"}}
    patch = {"operation": "MERGE", "value": {"name": f"nobody-{number}"}}
    cluster.api.apply(
        {
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"name": "nobody", "namespace": ROOT},
            "spec": {"configPatches": [{"applyTo": "LISTENER", "match": match, "patch": patch}]},
        }
    )  # fmt: skip


# --------------------------------------------------------------------------- what soadns writes


def _settings(zookeeper: ZooKeeper, estate: Estate, cluster: Mesh, **istio: Any) -> dict[str, Any]:
    kubeconfig = str(cluster.api.kubeconfig(ADMIN))
    return {
        "zookeeper": plain.registry(zookeeper, estate),
        "kubernetes": [{"name": "home", "kubeconfig": kubeconfig, "networks": [PODS], "nodes": "never"}],
        "guard": {"share": 1.0},
        "sidecar": {
            "share": {"moves": True, "namespace": OWN, "lease": "3s"},
            "istio": {"mode": "write", "moves": "inline", "rootNamespace": ROOT, **istio},
        },
    }


def _moves(
    zookeeper: ZooKeeper, folder: Path, estate: Estate, options: Any, cluster: Mesh, envoy: Sidecar
) -> Figures:
    """At tier 0 rules come for what moves: first by the registry, then by a Service's annotation."""
    say(f"{estate}: moves through istiod")
    with plain.running(folder / "soadns", estate, _settings(zookeeper, estate, cluster)) as (soadns, figures):
        _leads(soadns)
        first = plain.chosen(estate, max(1, options.moves * 3 // 5))
        found = _measure(zookeeper, soadns, estate, options, cluster, envoy, BY_REGISTRY, first)
        say(f"{estate}: moves said by annotations")
        few = _others(estate, options, 0)
        client = zookeeper.client()
        for number in few:  # the other Service's pods have it as well; who declares it has the name
            client.create(estate.leaf(number, BY_ANNOTATION, estate.other(number)))
        close(client)
        time.sleep(2.0)
        move = partial(_annotate, cluster.api, estate)
        annotated = moved(estate, move, few, BY_ANNOTATION, pause=options.istio_pause, anew=True)
        found["annotation"] = annotated.figures()
        figures["mb_after"] = megabytes(soadns.child("_control"))
        return {"soadns": figures, **found, "tier_2": _state(cluster, envoy, options)}


def _annotate(api: ApiServer, estate: Estate, number: int, index: int) -> None:
    """The Service that an interface moves to says that it has it."""
    said = {"soadns.io/interfaces": estate.interface(number, index), "soadns.io/traffic": "mesh"}
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{estate.service(estate.other(number))}"
    api.request("PATCH", path, {"metadata": {"annotations": said}}, kind="application/merge-patch+json")


def _measure(
    zookeeper: ZooKeeper,
    soadns: Soadns,
    estate: Estate,
    options: Any,
    cluster: Mesh,
    envoy: Sidecar,
    index: int,
    numbers: list[int],
) -> Figures:
    pids = {
        "soadns": soadns.process.pid, "sidecar": envoy.process.pid, "istiod": cluster.istiod.process.pid,
        "kube-apiserver": cluster.api.process.pid,
    }  # fmt: skip
    quiet = idle(options.quiet, **pids)
    client = zookeeper.client()
    try:
        with Spending(**pids) as spending:
            move = partial(estate.move, client)
            written = partial(_written, soadns)
            found = moved(estate, move, numbers, index, pause=options.istio_pause, anew=True, written=written)
    finally:
        close(client)
    return {
        **found.figures(),
        "cpu_ms_per_change": {name: spending.each_ms(name, len(found.effects), quiet[name]) for name in pids},
        "idle_percent": {name: round(100 * share, 2) for name, share in quiet.items()},
    }


def _at_tier_1(
    zookeeper: ZooKeeper, folder: Path, estate: Estate, options: Any, cluster: Mesh, envoy: Sidecar
) -> Figures:
    """A filter for each Service: how long until all stand, what istiod has with each push then, and moves."""
    say(f"{estate}: a filter for each Service")
    missing = estate.services - cluster.filters()
    settings = _settings(zookeeper, estate, cluster, balancing="request")
    with plain.running(folder / "soadns-1", estate, settings) as (soadns, figures):
        _leads(soadns)
        began = time.monotonic()
        within = max(WRITTEN_S, estate.services / 10)
        count = eventually(cluster.filters, within=within, until=lambda count: count >= estate.services)
        took = time.monotonic() - began
        assert count == estate.services, soadns.cli("mesh", "status")[1] + soadns.process.tail()
        time.sleep(2.0)
        found: Figures = {"filters_written": missing, "filters_written_s": round(took, 1)}
        found["tier_1"] = _state(cluster, envoy, options)
        if options.calls:
            found["tier_1"]["calls"] = _cost(estate, envoy, options)
        few = _others(estate, options, 1)
        found["tier_1"]["moves"] = _measure(
            zookeeper, soadns, estate, options, cluster, envoy, AT_TIER_1, few
        )
        figures["mb_after"] = megabytes(soadns.child("_control"))
        found["tier_1"]["soadns"] = figures
    ended(envoy.process)
    found["tier_1"]["start_s"] = starts(envoy.process, plain.probes(estate), envoy.start)
    return found


_WRITE = re.compile(r"^time=(\S+) .*event=filter-(?:created|changed)\b", re.MULTILINE)


def _written(soadns: Soadns, _: int) -> float:
    """When soadns wrote a filter last, by its log."""
    last = _WRITE.findall(soadns.process.log.read_text())[-1]
    return datetime.fromisoformat(last).timestamp()


def _others(estate: Estate, options: Any, which: int) -> list[int]:
    """Services of the second half, every other one: rules of one Service change once a minute alone."""
    half = estate.services // 2
    return [half + 2 * number + which for number in range(min(max(1, options.moves // 4), half // 2))]


def _leads(soadns: Soadns) -> None:
    assert eventually(lambda: soadns.metric("soadns_mesh_lease_held") == 1, within=30.0), (
        soadns.process.tail()
    )


# --------------------------------------------------------------------------- the other way


def entries(folder: Path, estate: Estate, options: Any) -> Figures:
    """One ServiceEntry per interface, as a mesh without soadns would have it."""
    total = estate.services * estate.interfaces
    with mesh(folder) as cluster:
        say(f"{total:,} ServiceEntries")
        began = time.monotonic()
        create(cluster.api, estate.entries())
        written = time.monotonic() - began
        cluster.istiod.start()
        seat = Seat(folder / "seat")
        seat.folder.mkdir()
        envoy = Sidecar(seat, "client")  # type: ignore[arg-type]
        envoy._captured = True
        last = total - 1
        probes = [
            (entry_address(0), estate.interface(0, 0), estate.pod(0)),
            (entry_address(last), "com.x.Any", estate.pod(estate.services - 1)),
        ]
        try:
            found: Figures = {"entries": total, "written_s": round(written, 1)}
            found["start_s"] = starts(envoy.process, probes, envoy.start)
            found |= _state(cluster, envoy, options)
            return found
        finally:
            ended(envoy.process)
