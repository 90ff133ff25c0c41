"""A table follows another: whatever happens to the frames in between, it is one that the other was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soadns.nameserver import frames
from soadns.nameserver.follower import Follower
from soadns.nameserver.table import READY, Answer, Delta, Table, ZoneEntry

KEYS = st.sampled_from([bytes([i]) for i in range(12)])
DELTAS = st.builds(
    Delta,
    st.dictionaries(KEYS, st.none() | st.binary(min_size=6, max_size=9), max_size=6),
    st.dictionaries(KEYS, st.booleans(), max_size=6),
    st.dictionaries(
        KEYS,
        st.none() | st.builds(ZoneEntry, st.just(READY), st.binary(), st.just(1), st.just("z")),
        max_size=2,
    ),
).filter(bool)

State = tuple[dict[bytes, Answer], set[bytes], dict[bytes, ZoneEntry]]


def state(table: Table) -> State:
    return dict(table.answers), set(table.names), dict(table.zones)


class Stage:
    """A control process's table, a worker's, and the channel between."""

    def __init__(self) -> None:
        self.table = Table()
        self.table.generation = 100
        self.states = {100: state(self.table)}
        self.worker = Follower(Table())

    def change(self, delta: Delta) -> list[bytes]:
        """The frames of a change, cut small."""
        generation = self.table.generation + 1
        self.table.apply(delta, generation)
        self.states[generation] = state(self.table)
        pieces = [Delta(delta.answers), Delta({}, delta.names), Delta({}, {}, delta.zones)]
        bodies = [body for piece in pieces for body in frames._bodies(piece)]
        last = len(bodies) - 1
        kinds = [frames.PART] * last + [frames.DELTA]
        return [frames.encode(kinds[i], generation, body, i) for i, body in enumerate(bodies)]

    def full(self) -> list[bytes]:
        """The frames of the whole table, in several chunks."""
        whole, generation = self.table.whole(), self.table.generation
        pieces = [Delta(whole.answers), Delta({}, whole.names), Delta({}, {}, whole.zones)]
        bodies = [body for piece in pieces for body in frames._bodies(piece)]
        messages = [frames.encode(frames.CHUNK, generation, body, i) for i, body in enumerate(bodies, 1)]
        end = frames.encode(frames.END, generation, number=len(bodies) + 1)
        return [frames.encode(frames.BEGIN, generation), *messages, end]

    def deliver(self, messages: list[bytes]) -> bool:
        """The worker takes frames; returns whether it asks for a full table."""
        asked = False
        for message in messages:
            try:
                reply = self.worker.take(message)
            except frames.FrameError:
                reply = self.worker.give_up()
            if reply is not None:
                frame = frames.decode(reply)
                asked |= frame.kind == frames.NEED
            held = self.worker.table
            if self.worker.loaded:
                assert state(held) == self.states[held.generation], "never a table that nobody had"
            else:
                assert state(held) == ({}, set(), {})
        return asked


FATES = st.sampled_from(["comes", "comes", "comes", "lost", "damaged", "twice"])


def suffer(messages: list[bytes], fates: st.DataObject) -> list[bytes]:
    found = []
    for message in messages:
        fate = fates.draw(FATES)
        if fate == "damaged":
            found.append(message[:-1] + bytes([message[-1] ^ 0x55]))
        elif fate != "lost":
            found += [message] * (2 if fate == "twice" else 1)
    return found


@given(st.lists(DELTAS, min_size=1, max_size=8), st.data())
def test_whatever_is_lost_damaged_or_doubled_the_worker_has_a_table_that_control_had(
    deltas: list[Delta], data: st.DataObject
) -> None:
    stage = Stage()
    stage.deliver(suffer(stage.full(), data))
    for delta in deltas:
        stage.deliver(suffer(stage.change(delta), data))
        if data.draw(st.booleans()) and data.draw(st.booleans()):
            stage.deliver(suffer(stage.full(), data))
    # In the end it asks (at the next change, or when nothing comes), is loaded, and has everything.
    for _ in range(3):
        reminder = stage.worker.remind()
        if reminder is not None:
            stage.deliver(stage.full())
    stage.deliver(stage.change(Delta({b"end": b"\0" * 6})))
    if stage.worker.table.generation != stage.table.generation:
        stage.worker.remind()
        assert stage.worker.remind() is not None
        stage.deliver(stage.full())
    assert stage.worker.table.generation == stage.table.generation
    assert state(stage.worker.table) == state(stage.table)


def loaded() -> Stage:
    stage = Stage()
    stage.deliver(stage.full())
    assert stage.worker.loaded
    return stage


def test_changes_that_come_in_order_are_confirmed() -> None:
    stage = loaded()
    for number in range(3):
        replies = [stage.worker.take(m) for m in stage.change(Delta({bytes([number]): b"\0" * 6}))]
        assert replies[:-1] == [None] * (len(replies) - 1)
        assert replies[-1] == frames.encode(frames.APPLIED, 101 + number)


def test_a_gap_asks_for_a_full_table_once_and_again_when_nothing_comes() -> None:
    stage = loaded()
    stage.change(Delta({b"a": b"\0" * 6}))
    assert stage.deliver(stage.change(Delta({b"b": b"\0" * 6})))
    for _ in range(5):
        assert not stage.deliver(stage.change(Delta({b"c": b"\0" * 6}))), "it asked already"
    assert stage.worker.remind() is None, "something came since"
    assert stage.worker.remind() == frames.encode(frames.NEED, 100)
    assert not stage.deliver(stage.full())
    assert state(stage.worker.table) == state(stage.table)
    assert stage.worker.remind() is None
    assert stage.worker.remind() is None


def test_a_change_of_which_a_part_was_damaged_is_not_applied() -> None:
    stage = loaded()
    first, *rest = stage.change(Delta({b"a": b"\0" * 6}, {b"a": True}))
    assert stage.deliver([first[:-1]])
    assert not stage.deliver(rest)
    assert stage.worker.table.generation == 100
    assert stage.worker.table.names == set()


def test_a_table_that_lacks_a_piece_is_not_used() -> None:
    stage = Stage()
    stage.change(Delta({b"a": b"\0" * 6}, {b"a": True}))
    begin, first, *rest = stage.full()
    assert stage.deliver([begin, *rest])
    assert not stage.worker.loaded
    assert first


def test_the_rest_of_a_table_that_an_earlier_process_began_to_read_is_no_table() -> None:
    stage = Stage()
    stage.change(Delta({b"a": b"\0" * 6}))
    assert not stage.deliver(stage.full()[1:])
    assert not stage.worker.loaded


def test_a_new_process_asks_at_once_and_until_something_comes() -> None:
    stage = Stage()
    need = frames.encode(frames.NEED, 0)
    assert [stage.worker.remind(), stage.worker.remind()] == [need, need]
    stage.deliver(stage.full()[:2])
    assert stage.worker.remind() is None, "it is on its way"
    assert stage.worker.remind() == need, "the control process died over it"
    stage.deliver(stage.full())
    assert stage.worker.remind() is None


def test_an_older_table_of_a_successor_replaces_a_newer_one() -> None:
    """A control process whose clock was put back numbers its generations lower."""
    stage = loaded()
    other = Stage()
    other.table.generation = 50
    other.change(Delta({b"other": b"\0" * 6}))
    for message in other.full():
        stage.worker.take(message)
    assert stage.worker.table.generation == 51
    assert state(stage.worker.table) == state(other.table)


def test_the_closest_enclosing_zone() -> None:
    table = Table()
    entry = ZoneEntry(READY, b"", 1, "")
    outer, inner = b"\x04test\0", b"\x03rpc\x04test\0"
    table.apply(Delta({}, {}, {outer: entry, inner: entry}), 1)
    assert table.zone_of(b"\x01a\x03rpc\x04test\0") == inner
    assert table.zone_of(inner) == inner
    assert table.zone_of(b"\x04xrpc\x04test\0") == outer
    assert table.zone_of(outer) == outer
    assert table.zone_of(b"\x05xtest\0") is None
    assert table.zone_of(b"\0") is None
    table.apply(Delta({}, {}, {b"\0": entry}), 2)
    assert table.zone_of(b"\x05xtest\0") == b"\0"
