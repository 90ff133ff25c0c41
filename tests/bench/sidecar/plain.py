"""Sidecars without Istio: Envoy by files and by ADS, and MOSN, one after another beside one soadns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from soadns.model import ObjectRef
from soadns.routemodel import ANY, Route, Target, Vip
from soadns.sidecar import envoy, envoyfiles
from soadns.sidecar.clusters import Cluster, cluster_name
from tests.bench.change import say
from tests.bench.sidecar.estate import NAMESPACE, PORT, Estate
from tests.bench.sidecar.probes import (
    Figures,
    Spending,
    costs,
    ended,
    idle,
    megabytes,
    moved,
    settled,
    starts,
)
from tests.scenarios.stage.envoys import Follower, PlainEnvoy
from tests.scenarios.stage.places import OUTSIDE, Place
from tests.scenarios.stage.process import Process
from tests.scenarios.stage.sidecars import Mosn
from tests.scenarios.stage.soadns import Soadns
from tests.scenarios.stage.zookeeper import ZooKeeper, close

ADS_PORT = 15020
READY_S = 300.0
DRDS, ADS, MOSN = "drds", "ads", "mosn"
WAYS = (DRDS, ADS, MOSN)
INDEX = {DRDS: 0, ADS: 1, MOSN: 2}
"""Which interface of each Service moves: each way has its own."""
MOST_WITH_ALL_RULES = 1_000
"""Services of the largest estate that is measured with a rule for every interface."""
PROBED = 3
"""Services that are called to see whether a sidecar has all."""


@dataclass
class Seat:
    """What stands for a pod where a sidecar is started: the namespace is laid out already."""

    folder: Path
    name: str = "bench"
    ip: str = "172.18.0.2"
    place: Place = OUTSIDE


@contextmanager
def running(folder: Path, estate: Estate, settings: dict[str, Any]) -> Iterator[tuple[Soadns, Figures]]:
    """A soadns that has read everything, and what that took."""
    binding = {"settle": "0s"}
    soadns = Soadns(folder, {"binding": binding, **settings})
    began = time.monotonic()
    soadns.start(ready=False)
    try:
        soadns.process.wait_until(lambda: soadns.http("/readyz")[0] == 200, within=READY_S)
        soadns.process.wait_until(
            lambda: soadns.http("/v1/resolve?address=10.96.1.1&port=20880&interface=x")[0] == 200,
            within=READY_S,
        )
        ready = time.monotonic() - began
        yield soadns, {"ready_s": round(ready, 1), "mb": megabytes(soadns.child("_control"))}
    finally:
        soadns.stop()


def registry(zookeeper: ZooKeeper, estate: Estate) -> list[dict[str, Any]]:
    """The setting of soadns's source."""
    return [{"name": "main", "hosts": zookeeper.hosts, "roots": [{"path": estate.root}]}]


def chosen(estate: Estate, count: int) -> list[int]:
    """Services whose interfaces move, spread over the first half of all."""
    count = min(count, estate.services // 2)
    return [number * (estate.services // 2) // count for number in range(count)]


def probes(estate: Estate) -> list[tuple[str, str, str]]:
    """The first, one in the middle and the last Service, called for what never moves."""
    step = max(1, (estate.services - 1) // (PROBED - 1))
    last = estate.interfaces - 1
    return [
        (estate.address(n), estate.interface(n, last), estate.pod(n)) for n in range(0, estate.services, step)
    ]


def measured(zookeeper: ZooKeeper, folder: Path, estate: Estate, options: Any) -> Figures:
    """All that is asked for, of one estate."""
    folder.mkdir()
    (folder / "cluster.json").write_text(estate.file())
    settings = {
        "zookeeper": registry(zookeeper, estate),
        "static": [{"name": "cluster", "paths": [str(folder / "cluster.json")], "cluster": "home"}],
        "sidecar": {"ads": {"listen": f"127.0.0.1:{ADS_PORT}"}},
    }
    found: Figures = {}
    say(f"{estate}: soadns reads {estate.services * estate.interfaces:,} interfaces")
    with running(folder / "soadns", estate, settings) as (soadns, figures):
        found["soadns"] = figures
        ways: dict[str, Callable[..., Figures]] = {DRDS: _by_files, ADS: _by_ads, MOSN: _mosn}
        for way in ways:
            if way in options.only:
                say(f"{estate}: {way}")
                seat = Seat(folder / way)
                seat.folder.mkdir()
                found[way] = ways[way](zookeeper, soadns, seat, estate, options)
        found["soadns"]["mb_after"] = megabytes(soadns.child("_control"))
    if ADS in options.only and estate.services <= MOST_WITH_ALL_RULES:
        say(f"{estate}: Envoy with a rule for every interface")
        found["every_rule"] = _every_rule(Seat(folder / "every-rule"), estate)
    return found


# --------------------------------------------------------------------------- one way each


def _by_files(zookeeper: ZooKeeper, soadns: Soadns, seat: Seat, estate: Estate, options: Any) -> Figures:
    follower = Follower(soadns, seat.folder / "files")
    began = time.monotonic()
    follower.start()
    written = round(time.monotonic() - began, 2)
    sidecar = _envoy(seat, follower.bootstrap)

    def renamed(number: int) -> float:
        file = follower.folder / envoyfiles.routes_file(f"{estate.address(number)}_{PORT}")
        return file.stat().st_ctime_ns / 1e9

    try:
        found = _sidecar(sidecar.process, sidecar.start, estate, options)
        found["files_written_s"] = written
        more = {"follower": follower.process.pid}
        found |= _moves(zookeeper, soadns, sidecar.process, estate, options, DRDS, more=more, written=renamed)
        found["mb_after"] = megabytes(sidecar.process.pid)
        found["follower_mb"] = megabytes(follower.process.pid)
        return found
    finally:
        ended(sidecar.process)
        ended(follower.process)


def _by_ads(zookeeper: ZooKeeper, soadns: Soadns, seat: Seat, estate: Estate, options: Any) -> Figures:
    done = soadns.verb(
        "export", "envoy", str(seat.folder / "start"), "--ads", f"127.0.0.1:{ADS_PORT}", "--node", "bench"
    )
    assert done.returncode == 0, done.stderr
    sidecar = _envoy(seat, seat.folder / "start" / "bootstrap.json")
    try:
        found = _sidecar(sidecar.process, sidecar.start, estate, options)
        found |= _moves(zookeeper, soadns, sidecar.process, estate, options, ADS)
        found["mb_after"] = megabytes(sidecar.process.pid)
        return found
    finally:
        ended(sidecar.process)


def _mosn(zookeeper: ZooKeeper, soadns: Soadns, seat: Seat, estate: Estate, options: Any) -> Figures:
    done = soadns.verb(
        "export", "mosn", "--node", f"bench.{NAMESPACE}", "--namespace", NAMESPACE,
        "--ads", f"127.0.0.1:{ADS_PORT}", "--admin", "127.0.0.1:34901",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mosn = Mosn(seat.folder / "mosn", done.stdout, address="127.0.0.1", place=OUTSIDE)
    assert mosn.process.env is not None
    mosn.process.env |= dict(each.split("=", 1) for each in options.mosn_env)
    try:
        found = _sidecar(mosn.process, mosn.start, estate, options)
        # What it is told when it connects is not of a move.
        settled(mosn.process.pid, soadns.child("_control"))
        found["mb_told"] = megabytes(mosn.process.pid)
        found |= _moves(zookeeper, soadns, mosn.process, estate, options, MOSN)
        found["mb_after"] = megabytes(mosn.process.pid)
        return found
    finally:
        ended(mosn.process)


def _envoy(seat: Seat, bootstrap: Path) -> PlainEnvoy:
    found = PlainEnvoy(seat, bootstrap)  # type: ignore[arg-type]
    found._captured = True
    return found


def _every_rule(seat: Seat, estate: Estate) -> Figures:
    """Envoy if every interface of every Service had moved: its rules in its file, as inline rules would be."""
    seat.folder.mkdir()
    vips = list(_all_moved(estate))
    layout = envoyfiles.Layout(str(seat.folder))
    clusters = [
        Cluster(cluster_name(vip.routes[-1].target), ((estate.pod(number), PORT),))
        for number, vip in enumerate(vips)
        if vip.routes[-1].target is not None
    ]
    told = layout.resources(vips, {vip.place: envoy.DUBBO for vip in vips}, clusters)
    start = seat.folder / "bootstrap.json"
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}}
    start.write_text(json.dumps({"admin": admin, **envoyfiles.as_one(told)}))
    running = _envoy(seat, start)
    places = [
        (estate.address(n), estate.interface(n, 0), estate.pod(estate.other(n)))
        for n in (0, estate.services - 1)
    ]
    try:
        return {
            "start_s": starts(running.process, places, running.start),
            "mb": megabytes(running.process.pid),
        }
    finally:
        ended(running.process)


def _all_moved(estate: Estate) -> Iterator[Vip]:
    targets = []
    for number in range(estate.services):
        ref = ObjectRef("home", NAMESPACE, estate.service(number))
        host = f"{ref.name}.{ref.namespace}.svc.cluster.local"
        targets.append(Target("service", ref, host, PORT))
    for number, own in enumerate(targets):
        assert own.service is not None
        rules = [
            Route(estate.interface(number, index), None, None, targets[estate.other(number)], "moved")
            for index in range(estate.interfaces)
        ]
        last = Route(ANY, None, None, own, "own")
        yield Vip(estate.address(number), PORT, own.service, "1", own.host, (*rules, last))


# --------------------------------------------------------------------------- what is the same for all


def _sidecar(process: Process, start: Callable[[], object], estate: Estate, options: Any) -> Figures:
    """Its start, its memory, and what calls through it cost."""
    found: Figures = {"start_s": starts(process, probes(estate), start), "mb": megabytes(process.pid)}
    if options.calls:
        address, _, _ = probes(estate)[0]
        found["calls"] = costs(address, process.pid, calls=options.calls)
    return found


def _moves(
    zookeeper: ZooKeeper,
    soadns: Soadns,
    process: Process,
    estate: Estate,
    options: Any,
    way: str,
    *,
    more: dict[str, int] | None = None,
    written: Callable[[int], float] | None = None,
) -> Figures:
    """Moves and their effect, and the processor time of each."""
    pids = {"soadns": soadns.process.pid, "sidecar": process.pid, **(more or {})}
    quiet = idle(options.quiet, **pids)
    client = zookeeper.client()
    try:
        with Spending(**pids) as spending:
            numbers = chosen(estate, options.moves)
            move = partial(estate.move, client)
            found = moved(estate, move, numbers, INDEX[way], pause=options.pause, written=written)
    finally:
        close(client)
    return {
        **found.figures(),
        "cpu_ms_per_change": {name: spending.each_ms(name, len(found.effects), quiet[name]) for name in pids},
        "idle_percent": {name: round(100 * share, 2) for name, share in quiet.items()},
    }
