"""The journal: whoever reads it, whenever, and whatever becomes of who writes it, has what control had."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.nameserver import frames, journal
from soadns.nameserver.follower import Follower
from soadns.nameserver.journal import Journal, Reader, head, newest
from soadns.nameserver.rrsets import RRsets
from soadns.nameserver.table import READY, Delta, Names, Table, ZoneEntry
from tests.unit.holdings import some
from tests.unit.journals import Files

ALL = [bytes([i]) + b"\0\1" for i in range(12)]
KEYS = st.sampled_from(ALL)
DELTAS = st.builds(
    Delta,
    st.dictionaries(KEYS, st.none() | st.builds(some, st.binary(max_size=3)), max_size=6),
    st.dictionaries(KEYS, st.booleans(), max_size=6),
    st.dictionaries(
        KEYS,
        st.none() | st.builds(ZoneEntry, st.just(READY), st.binary(), st.just(1), st.just("z")),
        max_size=2,
    ),
).filter(bool)

State = tuple[dict[bytes, RRsets], set[bytes], dict[bytes, ZoneEntry]]


def state(table: Table) -> State:
    """What anybody could learn of it."""
    return dict(table.owners), {name for name in ALL if name in table.names}, dict(table.zones)


class Control:
    """One control process after another, and their tables."""

    def __init__(self) -> None:
        self.files = Files()
        self.author = 0
        self.had: list[State] = []
        self.begin()

    def begin(self, *, generation: int = 100) -> None:
        self.author += 1
        self.journal = Journal(self.files, self.author)
        self.table = Table()
        self.table.generation = generation
        self.had.append(state(self.table))

    def write(self, steps: int = 1_000) -> None:
        """The whole table, or some of it."""
        if not self.journal.writing:
            self.journal.begin(self.table)
        while self.journal.writing and steps:
            self.journal.step()
            steps -= 1

    def change(self, delta: Delta) -> None:
        self.table.apply(delta, self.table.generation + 1)
        self.had.append(state(self.table))
        if self.journal.own:
            self.journal.append(list(frames.delta(delta, self.table.generation)))


class Worker:
    """A worker without its sockets."""

    def __init__(self, files: Files) -> None:
        self.follower = Follower(Table(Names()))
        self.reader = Reader(files)

    def take(self, frames_at_most: int = 1_000_000) -> bool:
        """Read on; returns whether it has read everything."""
        for _ in range(frames_at_most):
            frame = self.reader.next(self.follower)
            if frame is None:
                self.follower.settle()
                return True
            self.follower.take(frame)
        return False

    @property
    def state(self) -> State:
        return state(self.follower.table)


WHAT = st.sampled_from(
    ["change", "change", "change", "read", "read some", "write", "write some", "release", "new worker"]
)


@given(st.data())
def test_a_worker_that_has_read_everything_has_what_control_has(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(frames, "MAX_ENTRIES", 3)
        small.setattr(journal, "WRITE", 60)
        small.setattr(journal, "READ", 50)
        control = Control()
        control.write()
        worker = Worker(control.files)
        for what in data.draw(st.lists(WHAT, max_size=30)):
            if what == "change":
                control.change(data.draw(DELTAS))
            elif what == "write":
                control.write()
            elif what == "write some":
                control.write(1)
            elif what == "release":
                control.journal.release()
            elif what == "new worker":
                worker = Worker(control.files)
            elif what == "read some":
                worker.take(2)
            elif worker.take():
                assert worker.state == state(control.table)
                assert worker.follower.table.generation == control.table.generation
        worker.take()
        assert worker.state == state(control.table)


def test_a_worker_that_keeps_up_is_not_loaded_again_when_the_journal_is_begun_anew() -> None:
    control = Control()
    control.write()
    worker = Worker(control.files)
    worker.take()
    owners = worker.follower.table.owners
    control.journal.begin(control.table)
    control.change(Delta({b"a\0\1": some(bytes(6))}))
    worker.take()
    control.write()
    control.change(Delta({b"b\0\1": some(bytes(6))}))
    worker.take()
    assert worker.state == state(control.table)
    assert worker.reader.epoch == control.journal.epoch == 2
    assert worker.follower.table.owners is owners


def test_a_successor_of_control_changes_nothing_before_its_table_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    control = Control()
    control.change(Delta({b"old\0\1": some(bytes(6))}))
    control.write()
    worker = Worker(control.files)
    worker.take()
    old = worker.state
    control.begin(generation=50)  # its clock was put back
    assert control.journal.inherited
    control.change(Delta({b"%d\0\1" % i: some(bytes(6)) for i in range(1_000)}))
    monkeypatch.setattr(journal, "WRITE", 1_000)
    for steps in (0, 1, 2):
        control.write(steps)
        worker.take()
        newcomer = Worker(control.files)
        newcomer.take()
        assert worker.state == newcomer.state == old
    control.write()
    worker.take()
    assert worker.state == state(control.table)
    assert worker.follower.table.generation == 51


def test_without_a_journal_there_is_nothing_to_take() -> None:
    files = Files()
    worker = Worker(files)
    assert worker.take()
    assert not worker.follower.loaded
    assert newest(files) is None


@pytest.mark.parametrize("at", [0, 20, journal.START - 1, journal.START + 1, journal.START + 60, -1])
def test_what_is_damaged_is_not_believed(at: int) -> None:
    control = Control()
    control.change(Delta({b"a\0\1": some(bytes(60))}))
    control.write()
    control.change(Delta({b"b\0\1": some(bytes(60))}))
    found = newest(control.files)
    assert found is not None
    descriptor, held = found
    offset = at if at >= 0 else held.end + at
    octet = os.pread(descriptor, 1, offset)[0]
    os.pwrite(descriptor, bytes([octet ^ 0x55]), offset)
    worker = Worker(control.files)
    if at < journal.START and at >= 0:
        worker.take()
    else:
        with pytest.raises(frames.FrameError):
            worker.take()
        worker.follower.give_up()
        worker.reader.distrust()
    assert not worker.follower.loaded
    assert worker.take(), "it does not try over and over again"
    control.write()
    worker.take()
    assert worker.state == state(control.table)


def test_a_journal_that_was_cut_is_damaged() -> None:
    control = Control()
    control.change(Delta({b"a\0\1": some(bytes(60))}))
    control.write()
    found = newest(control.files)
    assert found is not None
    os.ftruncate(found[0], found[1].end - 5)
    with pytest.raises(frames.FrameError, match="ends at"):
        Worker(control.files).take()


def test_the_file_that_is_read_no_more_gives_its_memory_back() -> None:
    control = Control()
    control.write()
    control.write()
    control.journal.release()
    sizes = sorted(os.fstat(descriptor).st_size for descriptor in control.files)
    assert sizes[0] == 0
    assert sizes[1] > journal.START
    assert [head(descriptor) is None for descriptor in control.files].count(True) == 1


def test_changes_take_as_much_room_as_the_table_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MIN_CHANGES", 500)
    control = Control()
    control.write()
    while not control.journal.outgrown:
        control.change(Delta({b"a\0\1": some(bytes(90))}))
    found = newest(control.files)
    assert found is not None
    assert 500 < found[1].end - found[1].changes < 700
    control.write()
    assert not control.journal.outgrown


def test_frames_out_of_order_are_noticed() -> None:
    table = Table()
    table.apply(Delta({b"a\0\1": some(bytes(6))}), 7)
    begin, chunk, end = (frames.decode(octets) for octets in frames.full(table))
    change = frames.decode(next(frames.delta(Delta({b"b\0\1": some(bytes(6))}), 9)))
    sequences = (
        [chunk],
        [end],
        [begin, end],
        [begin, chunk, chunk],
        [begin, change],
        [begin, chunk, end, change],
    )
    for *sequence, wrong in sequences:
        follower = Follower(Table())
        for frame in sequence:
            follower.take(frame)
        with pytest.raises(frames.FrameError):
            follower.take(wrong)
        follower.give_up()
        for frame in (begin, chunk, end):
            follower.take(frame)
        follower.settle()
        assert state(follower.table) == state(table)
