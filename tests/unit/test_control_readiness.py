"""When a replica says it is ready, and when workers let go of the table of the control process before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.composition import zone_settings
from soadns.control import Control
from soadns.figures import Figures
from soadns.logs import Log
from soadns.model import (
    Declaration,
    Identified,
    InterfaceId,
    ObjectRef,
    Provider,
    Service,
    Synced,
    Trouble,
    Upsert,
)
from soadns.nameserver import wire
from soadns.nameserver.table import LOADING, PARTLY, READY
from soadns.persistence.saver import Saver
from soadns.settings.configfile import parse
from tests.unit.journals import publisher
from tests.unit.notation import NOON

REPLICA = """
first process            in sync  | second process                       | in sync   | ready   denies names of
rpc.test: main           main     | rpc.test: main                       |           | yes     rpc.test
rpc.test: main           main     | rpc.test: main added                 |           | yes
rpc.test: main           main     | rpc.test: main added                 | added     | yes     rpc.test
rpc.test: main           main     | rpc.test: main; gray.test: main      |           | yes     rpc.test gray.test
rpc.test: main           main     | rpc.test: main; gray.test: added     |           | yes     rpc.test
rpc.test: main           main     | rpc.test: added                      |           | no
rpc.test: main           main     | rpc.test: added                      | added     | yes     rpc.test
rpc.test: main added     main     | rpc.test: main added                 |           | no
rpc.test: main added     main     | rpc.test: main                       |           | yes     rpc.test
rpc.test: main; gray.test: added  main | rpc.test: main; gray.test: added |          | no      rpc.test
rpc.test: main           -        | rpc.test: main                       |           | no
"""


def silent(_: str, *, level: str = "info", **fields: object) -> None:
    """No log."""


def process(path: Path, zones: str, log: Log = silent) -> tuple[Control, Saver]:
    """A control process over ``zone: registries; ...`` that goes on from the snapshot at ``path``."""
    rows = [row.partition(":")[::2] for row in zones.split(";")]
    names = sorted({name for _, words in rows for name in words.split()})
    config = parse(
        json.dumps(
            {
                "zones": [{"name": name.strip(), "registries": words.split()} for name, words in rows],
                "zookeeper": [{"name": name, "hosts": "zk1"} for name in names],
            }
        ),
        where="soadns.yaml",
    )
    estate, clock = Estate(zone_settings(config)), Clock(wall=lambda: NOON, steady=lambda: 0.0)
    control = Control(config, estate, publisher(), [], figures=Figures(), log=log, clock=clock)
    saver = Saver(control, path, {}, log=log)
    control.begin(saver.restore(saver.read()))
    return control, saver


def first_of(control: Control, name: str) -> str:
    """What the first table of a control process says of a name that nobody answers."""
    table = control.publisher.table
    question = wire.encode_name(f"{name}.rpc.test")
    if table.unsaid(question):
        return "SERVFAIL"
    return {LOADING: "SERVFAIL", READY: "NXDOMAIN", PARTLY: "NXDOMAIN unless unsaid"}[
        table.zones[wire.encode_name("rpc.test")].state
    ]


def hear(control: Control, registries: str) -> None:
    """A complete pass over each of these: one provider."""
    for name in registries.replace("-", "").split():
        source = f"zookeeper/{name}/dubbo"
        provider = Provider(source, InterfaceId(f"In.{name}"), "dubbo", "10.9.0.1", 20880)
        control.emit([Upsert(source, (f"In.{name}", "providers", "1"), provider), Synced(source)])
    control._turn()


@pytest.mark.parametrize("row", REPLICA.strip().splitlines()[1:])
async def test_a_replica_that_was_ready_stays_so_whatever_is_added(tmp_path: Path, row: str) -> None:
    first, second, heard, expected = (cell.strip() for cell in row.split("|"))
    zones, _, in_sync = first.rpartition("  ")
    one, saver = process(tmp_path / "snapshot", zones)
    hear(one, in_sync)
    saver.save_now()
    other, _ = process(tmp_path / "snapshot", second)
    hear(other, heard)
    ready, *denies = expected.split()
    assert ("yes" if other.ready else "no", [n for n, z in other.zones.items() if z.state == READY]) == (
        ready, denies,
    )  # fmt: skip


async def test_names_that_may_not_be_read_are_not_denied_by_the_first_table_either(tmp_path: Path) -> None:
    source, zones = "zookeeper/main/dubbo", "rpc.test: main"
    unread = Trouble(source, "/dubbo/com.x.Secret/providers: no permission", "com.x.Secret", "com.x.Secret")
    one, saver = process(tmp_path / "snapshot", zones)
    one.emit([unread])
    hear(one, "main")
    assert first_of(one, "com.x.secret") == "SERVFAIL"
    saver.save_now()

    said: list[str] = []
    other, saver = process(tmp_path / "snapshot", zones, lambda event, **_: said.append(event))
    assert other.publisher.complete
    assert first_of(other, "com.x.secret") == "SERVFAIL"
    assert first_of(other, "com.x.other") == "NXDOMAIN unless unsaid"
    assert "source-trouble" not in said
    other.emit([unread])
    hear(other, "main")
    assert first_of(other, "com.x.secret") == "SERVFAIL"
    assert said.count("source-trouble") == 1, "its log is another one"
    saver.save_now()

    third, _ = process(tmp_path / "snapshot", zones)
    hear(third, "main")
    assert first_of(third, "com.x.secret") == "NXDOMAIN"


async def test_a_cluster_that_turns_out_to_be_another_one_is_denied_nothing_until_it_was_read(
    tmp_path: Path,
) -> None:
    text = "kubernetes: [{name: home}]\nzones: [{name: rpc.test}]\n"
    said: list[str] = []

    def log(event: str, *, level: str = "info", **fields: object) -> None:
        said.append(f"{event} {fields.get('reason', '')}".strip())

    def start() -> tuple[Control, Saver]:
        config = parse(text, where="soadns.yaml")
        estate, clock = Estate(zone_settings(config)), Clock(wall=lambda: NOON, steady=lambda: 0.0)
        control = Control(config, estate, publisher(), [], figures=Figures(), log=log, clock=clock)
        saver = Saver(control, tmp_path / "snapshot", {}, log=log)
        control.begin(saver.restore(saver.read()))
        return control, saver

    source = "kube/home"
    declared = Declaration((InterfaceId("com.x.User"),))
    service = Service(
        ObjectRef("home", "shop", "user"), "uid", cluster_ips=("10.96.0.1",), declaration=declared
    )
    one, saver = start()
    key = ("Service", "shop", "user")
    one.emit([Identified(source, "uid-a"), Upsert(source, key, service), Synced(source)])
    one._turn()
    saver.save_now()

    other, _ = start()
    name = wire.encode_name("com.x.user.rpc.test")
    assert other.zones["rpc.test"].state == READY
    assert name in other.publisher.table.owners
    other.emit([Identified(source, "uid-b")])
    other._turn()
    assert "snapshot-refused source kube/home: saved from uid-a, now uid-b; dropped" in said
    assert other.zones["rpc.test"].state == LOADING
    assert name not in other.publisher.table.owners
    other.emit([Synced(source)])
    other._turn()
    assert other.zones["rpc.test"].state == READY
