"""A control process is killed before it saved what it learnt last: its workers know more than its successor."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from soadns import composition
from soadns.binding.estate import Estate
from soadns.clock import Clock
from soadns.control import CATCH_UP_S, Control
from soadns.figures import Figures
from soadns.model import InterfaceId, Provider, Synced, Upsert
from soadns.nameserver.feed import Publisher
from soadns.nameserver.follower import Follower
from soadns.nameserver.journal import Journal, Reader
from soadns.nameserver.table import Names, Table
from soadns.persistence.saver import Saver
from soadns.settings.configfile import parse
from soadns.skydns.book import Book
from soadns.transfer.versions import Versions
from tests.unit.journals import Files
from tests.unit.notation import NOON

CONFIG = parse(
    json.dumps({"zones": [{"name": "rpc.test"}], "static": [{"name": "files", "paths": ["/nonexistent"]}]}),
    where="soadns.yaml",
)
SOURCE = "static/files"


class Replica:
    """One control process after another over the same journal and snapshot; time is told."""

    def __init__(self, path: Path) -> None:
        self.files, self.path, self.now, self.author = Files(), path, NOON, 0

    def start(self) -> tuple[Control, Saver]:
        self.author += 1
        publisher = Publisher(Journal(self.files, self.author))
        publisher.table.generation = self.author * 1_000
        clock = Clock(wall=lambda: self.now, steady=lambda: self.now)
        figures = Figures()
        estate = Estate(composition.zone_settings(CONFIG))
        sources = composition.sources(CONFIG, figures.credentials, log=silent)
        control = Control(CONFIG, estate, publisher, sources, figures=figures, log=silent, clock=clock)
        saver = Saver(control, self.path, {}, log=silent)
        control.begin(saver.restore(saver.read()))
        return control, saver


def silent(_: str, *, level: str = "info", **fields: object) -> None:
    """No log."""


def hear(control: Control, name: str) -> None:
    """A complete look at the files: one provider."""
    provider = Provider(SOURCE, InterfaceId(name), "dubbo", "10.9.0.1", 20880)
    control.emit([Upsert(SOURCE, (name, "providers", "1"), provider), Synced(SOURCE)])
    control._turn()


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(tmp_path / "snapshot")


async def test_what_was_not_saved_is_answered_until_the_sources_were_read(replica: Replica) -> None:
    first, saver = replica.start()
    hear(first, "com.x.Old")
    saver.save_now()
    hear(first, "com.x.New")  # and killed
    second, _ = replica.start()
    assert second.ready
    assert not second.publisher.complete, "workers keep the table that has both"
    hear(second, "com.x.New")
    assert second.publisher.complete
    assert b"\x03new\x03rpc\x04test\0" in second.publisher.table.names


class Followers:
    """Who takes a zone from a control process: secondaries, what keeps it in etcd, and sidecars."""

    def __init__(self, control: Control) -> None:
        self.routing = control.routing
        self.zone, self.now = control.zones["rpc.test"], control.now
        self.versions, self.book = Versions(self.zone, 100), Book(self.zone, lambda: None)
        self.zone.witnesses += [self.versions, self.book]

    @property
    def served(self) -> tuple[bool, bool, bool]:
        """Whether there is a version for secondaries a second from now, etcd is written to, and routes are told."""
        later = self.now() + 1.0
        given = self.versions.sealed(later) == self.zone.serial
        assert given == self.versions.settled(later)
        return given, self.book.ready, not self.routing.unready("rpc.test")


async def test_until_then_nobody_else_gets_what_the_snapshot_has(replica: Replica) -> None:
    """It would be an older zone under a newer serial."""
    first, saver = replica.start()
    hear(first, "com.x.Old")
    assert saver.save_now()
    hear(first, "com.x.New")
    assert Followers(first).served == (True, True, True)
    replica.now += 3  # it is killed
    second, saver = replica.start()
    followers = Followers(second)
    assert followers.served == (False, False, False)
    hear(second, "com.x.New")
    assert followers.served == (True, True, True)
    assert any(b"\x03New" in owner for owner, _ in followers.zone.owners())
    assert saver.save_now()
    second.publisher.leave()
    third, _ = replica.start()
    assert Followers(third).served == (True, True, True), "it ended in order"


async def test_but_sources_that_can_not_be_read_are_not_waited_for_for_ever(replica: Replica) -> None:
    first, saver = replica.start()
    hear(first, "com.x.Old")
    saver.save_now()
    second, _ = replica.start()
    replica.now += CATCH_UP_S - 1
    followers = Followers(second)
    second._turn()
    assert not second.publisher.complete
    assert followers.served == (False, False, False)
    replica.now += 2
    second._turn()
    assert second.publisher.complete
    assert followers.served == (True, True, True)


async def test_a_first_table_has_everything_that_the_snapshot_has(replica: Replica) -> None:
    """Until it is there workers read no question; with less, they would answer SERVFAIL to it."""
    first, saver = replica.start()
    hear(first, "com.x.Old")
    saver.save_now()
    replica.files = Files()  # nothing but the snapshot outlives the end of all processes
    replica.start()
    await asyncio.sleep(0.01)
    reader, worker = Reader(replica.files), Follower(Table(Names()))
    while not worker.loaded:
        frame = reader.next(worker)
        assert frame is not None
        worker.take(frame)
        worker.settle()
    assert b"\x03old\x03rpc\x04test\0" in worker.table.names


async def test_a_control_process_that_ended_in_order_has_saved_everything(replica: Replica) -> None:
    first, saver = replica.start()
    hear(first, "com.x.Old")
    assert saver.save_now()
    first.publisher.leave()
    second, _ = replica.start()
    assert second.publisher.complete
