"""What can be broken of all that a Prometheus watches. It is broken for good: the faults are one story."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack, suppress
from typing import Any

import dns.message

from tests.scenarios.stage.adsclient import LDS, AdsClient
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.skydns import ZONE_KEYS, keys_below, put
from tests.scenarios.stage.soadns import ZONE, Callers
from tests.scenarios.stage.stage import Stage
from tests.scenarios.stage.watched import DENIED, MANY, OWN, Watched

FLOOD, FLOODED_EVERY_S = 40_000, 0.5
"""Questions: more than the socket of a worker holds."""
NOTHING = [{"apiGroups": ["example.com"], "resources": ["nothing"], "verbs": ["get"]}]


class Breakable(Watched):
    """Each method is a fault, and says what happens."""

    def __init__(self, stage: Stage, ends: ExitStack) -> None:
        super().__init__(stage, ends)
        self.after_two: list[dict[str, Any]] = []
        """What fired when a worker had been replaced twice."""
        self._enough = threading.Event()
        """Of the flood."""

    def unready_replica(self) -> None:
        """A replica starts that never reaches its ZooKeeper, nor has its port for secondaries, and is asked."""
        self.lost.start(ready=False)
        self.lost.process.wait_until(lambda: self.lost.http("/readyz")[0] == 503, within=30.0)
        self._ends.enter_context(Callers(self.lost, "com.x.Unknown", every=0.05))

    def stranger(self) -> None:
        """Somebody wants the snapshot, with another token than the replicas have."""
        assert self.main.http("/v1/snapshot", port=self._peers, token="another")[0] == 401

    def secret_is_damaged(self) -> None:
        """Somebody renews the secret of secondaries, and makes a mistake."""
        self.secret.write_text("this is no base64")

    def snapshot_in_the_way(self) -> None:
        """There is a folder where the snapshot is to be, and something happens that is to be saved."""
        path = self.other.folder / "state" / "snapshot"
        path.unlink()
        (path / "x").mkdir(parents=True)

    def denied_filter_of_a_service_too_many(self) -> None:
        """A Service comes whose filters the API server refuses, and that finds no place for a file of rules."""
        self._shop(DENIED)

    def service_beyond_the_room_for_filters(self) -> None:
        """One more is to be balanced by request, and there is no place for its filter.

        By its name it comes after ``DENIED``, whose filter is not in force, so that its place is free to others.
        """
        self._shop("surplus")

    def balancing_changes_everywhere(self) -> None:
        """Most Services are to be balanced otherwise, at once."""
        for service in self.services[1:5]:
            service.annotate(balancing="connection")

    def everything_moves(self) -> None:
        """So much moves at once that a ConfigMap can not hold it."""
        self._moves(MANY)

    def worker_dies_again_and_again(self) -> None:
        """A worker is killed three times."""
        for count in (2, 3):
            self._kill_worker(count)
        counted = f'soadns_worker_processes_total{{namespace="{OWN}"}}'
        assert eventually(lambda: self.prometheus.value(counted) == 3, within=10.0)
        assert eventually(lambda: self.prometheus.value(f"increase({counted}[15s])") > 2, within=10.0)
        self.prometheus.evaluates()
        self.after_two = self.names("SoadnsWorkerReplaced")
        self._kill_worker(4)

    def _kill_worker(self, processes: int) -> None:
        os.kill(self.main.worker(), signal.SIGKILL)
        line = 'soadns_worker_processes_total{worker="0"}'
        assert eventually(lambda: self.main.metric(line) == processes, within=20.0)

    def pods_go_all_at_once(self) -> None:
        """Most providers leave ZooKeeper together, and nobody says why."""
        for service, pod in zip(self.services[1:5], self.pods[1:5], strict=True):
            service.endpoint(pod.host, ready=False)
            pod.unregisters()

    def frozen_worker(self) -> None:
        """Supervisor and worker stand still while something changes."""
        for pid in self._frozen():
            os.kill(pid, signal.SIGSTOP)
        self._moves(MANY - 1)

    def flood(self) -> None:
        """A worker that stood still is asked more than its sockets hold, goes on, and is asked so again and again.

        One burst is a single step of a counter. Where scrapes fail before and after it, as they do on a busy machine,
        for which half a second is half a minute of Prometheus's time, there is no rate of it.
        """
        self._pour()
        for pid in reversed(self._frozen()):
            os.kill(pid, signal.SIGCONT)
        self._ends.callback(self._enough.set)
        threading.Thread(target=self._pours, daemon=True).start()

    def _pours(self) -> None:
        while not self._enough.wait(FLOODED_EVERY_S):
            self._pour()

    def _pour(self) -> None:
        question = dns.message.make_query(f"com.x.Stays.{ZONE}", "A").to_wire()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self.other.port))
            for _ in range(FLOOD):
                with suppress(OSError):
                    sock.send(question)

    def _frozen(self) -> tuple[int, int]:
        return self.other.process.pid, self.other.worker()

    def sidecar_refuses(self) -> None:
        """A sidecar refuses what istiod tells it of listeners."""
        name = f"sidecar~10.244.9.9~web-1.{self.web}~{self.web}.svc.cluster.local"
        sidecar = AdsClient(self._xds, name=name, NAMESPACE=self.web)
        self._ends.callback(sidecar.end)
        sidecar.refuse(LDS)
        assert eventually(lambda: self.istiod.rejected == 1, within=10.0), self.istiod.process.tail()

    def rights_are_taken(self) -> None:
        """soadns may not touch its Lease any more."""
        self.api.grant(NOTHING, namespace=self.stage.namespace)

    def somebody_else_in_etcd(self) -> None:
        """There is a key at a name of the zone that nobody of soadns has written."""
        put(self.etcd, {f"{ZONE_KEYS}com/x/stranger": {"host": "10.96.9.9"}})

    def etcd_is_restored(self) -> None:
        """What etcd had when there were many more names is there again."""
        old = {key: value for key, value in keys_below(self.etcd).items() if "shop-0" in f"{key} {value}"}
        assert old
        for number in range(20):
            gone = f"gone-{number}"
            put(self.etcd, {k.replace("shop-0", gone): v.replace("shop-0", gone) for k, v in old.items()})

    def etcd_is_full(self) -> None:
        """etcd takes nothing any more, but what it keeps alive, while something is to be written."""
        alarm = {"action": "ACTIVATE", "memberID": "0", "alarm": "NOSPACE"}
        self.etcd.post("/v3/maintenance/alarm", alarm)
        self._shop("late")

    def etcd_dies(self) -> None:
        """And does not come back."""
        self.etcd.process.kill()

    def zookeeper_dies(self) -> None:
        """And does not come back."""
        self.zookeeper.kill()

    def all_replicas_die(self) -> None:
        """Of the other release."""
        self._enough.set()
        self.other.signalled(signal.SIGKILL)
        self.other.process.kill()
