"""One object in two places: a file copied for an edit, or a manifest beside the cluster that holds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soadns.binding.clusters import Clusters
from soadns.binding.estate import Estate
from soadns.model import Binding, Event, InterfaceId
from soadns.sources.static import StaticSettings, StaticSource
from tests.unit.notation import DEFAULTS

NOON = 1_000_000_000.0
USER = InterfaceId("com.x.User")
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: user, namespace: shop, annotations: {soadns.io/interfaces: com.x.User}}
spec: {clusterIP: IP, ports: [{port: 20880}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: user-1, namespace: shop, labels: {kubernetes.io/service-name: user}}
addressType: IPv4
ports: [{port: 20880}]
endpoints: [{addresses: [10.1.0.1]}]
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.0.2.8}]}
"""


class Desk:
    """A folder of manifests and what com.x.User answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = StaticSource(StaticSettings("files", (str(folder),), "home"))
        ids = frozenset(self.source.ids)
        settings = replace(
            DEFAULTS,
            name="rpc.test",
            sources=ids,
            immediate=ids,
            clusters=Clusters(home="home"),
            cluster_sources={"home": self.source.source},
        )
        self.estate = Estate([settings])

    def write(self, name: str, ip: str) -> None:
        (self.folder / name).write_text(SERVICE.replace("IP,", f"{ip},"))

    def answer(self, events: list[Event] | None = None) -> tuple[str, ...]:
        for batch in [self.source.poll(), self.source.poll()] if events is None else [events]:
            self.estate.fold(batch, NOON)
        self.estate.work(NOON)
        outcome = self.estate.zones["rpc.test"].outcomes.get(USER)
        return outcome.addresses if isinstance(outcome, Binding) else ()


def test_a_service_exists_while_any_file_holds_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("user.yaml", "10.96.0.1")
    assert desk.answer() == ("10.96.0.1",)
    desk.write("user-copy.yaml", "10.96.0.1")
    assert desk.answer() == ("10.96.0.1",)
    (tmp_path / "user.yaml").unlink()
    assert desk.answer() == ("10.96.0.1",)
    store = desk.estate.zones["rpc.test"].store
    assert [list(roster.addresses) for roster in store.rosters.values()] == [["10.1.0.1"]]
    (tmp_path / "user-copy.yaml").unlink()
    assert desk.answer() == ()
    assert store.rosters == {}


@pytest.mark.parametrize("backwards", [False, True])
def test_of_two_definitions_the_first_file_counts_in_whatever_order_they_are_read(
    tmp_path: Path, backwards: bool
) -> None:
    desk = Desk(tmp_path)
    desk.write("a.yaml", "10.96.0.1")
    desk.write("b.yaml", "10.96.0.2")
    events = desk.source.poll()
    assert desk.answer(events[::-1] if backwards else events) == ("10.96.0.1",)
    desk.write("a.yaml", "10.96.0.3")
    assert desk.answer() == ("10.96.0.3",)
    (tmp_path / "a.yaml").unlink()
    assert desk.answer() == ("10.96.0.2",)
