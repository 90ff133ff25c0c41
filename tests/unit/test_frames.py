"""Frames: what was sent comes out, and what is damaged is noticed."""

from __future__ import annotations

import marshal
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.nameserver import follower as follower_module
from soadns.nameserver import frames, wire
from soadns.nameserver.follower import Follower
from soadns.nameserver.rrsets import COUNTS, A, RRsets, Wheel
from soadns.nameserver.table import Delta, Names, Table, ZoneEntry
from tests.unit.holdings import some

KINDS = st.integers(frames.BEGIN, frames.STATS)
NUMBERS = st.integers(0, 2**32 - 1)
NAMES = st.binary(min_size=1, max_size=40)
KEYS = st.sampled_from((A, b"\0\x10\0\1", b"\0\x1c\0\1", b"\x06_dubbo\x04_tcp"))
ANSWERS = st.binary(min_size=COUNTS, max_size=200) | st.builds(
    Wheel, st.binary(min_size=COUNTS, max_size=60), st.just(16)
)
RRSETS = st.builds(
    RRsets,
    st.sampled_from((b"\0", b"\4test\0")),
    st.integers(0, 64),
    st.dictionaries(KEYS, ANSWERS, max_size=3),
)
ZONES = st.none() | st.builds(
    ZoneEntry, st.sampled_from((0, 1)), st.binary(max_size=60), st.integers(0, 2**40), st.text(max_size=20)
)
DELTAS = st.builds(
    Delta,
    st.dictionaries(NAMES, st.none() | RRSETS, max_size=20),
    st.dictionaries(NAMES, st.booleans(), max_size=20),
    st.dictionaries(NAMES, ZONES, max_size=3),
)


@given(KINDS, st.integers(0, 2**64 - 1), st.binary(max_size=300), NUMBERS)
def test_a_frame_comes_out_as_it_went_in(kind: int, generation: int, body: bytes, number: int) -> None:
    message = frames.encode(kind, generation, body, number)
    assert frames.decode(message) == frames.Frame(kind, generation, body, number)


@given(KINDS, st.integers(0, 2**64 - 1), st.binary(max_size=100), NUMBERS, st.data())
def test_a_damaged_frame_is_an_error(
    kind: int, generation: int, body: bytes, number: int, data: st.DataObject
) -> None:
    message = bytearray(frames.encode(kind, generation, body, number))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(frames.FrameError):
        frames.decode(bytes(message))


@given(KINDS, st.binary(max_size=100), st.data())
def test_a_cut_frame_is_an_error(kind: int, body: bytes, data: st.DataObject) -> None:
    message = frames.encode(kind, 7, body)
    with pytest.raises(frames.FrameError):
        frames.decode(message[: data.draw(st.integers(0, len(message) - 1))])


@pytest.mark.parametrize("kind", [0, frames.STATS + 1, 255])
def test_an_unknown_kind_is_an_error(kind: int) -> None:
    with pytest.raises(frames.FrameError, match=f"unknown kind {kind}"):
        frames.decode(frames.encode(kind, 1))


@pytest.mark.parametrize(
    "body", [b"", b"\0", marshal.dumps(1), marshal.dumps((1, 2)), marshal.dumps(({}, {}, 3)),
             marshal.dumps(({}, {}, {b"\0": (1,)})), marshal.dumps(({}, {}, {b"\0": 5}))],
)  # fmt: skip
def test_a_body_that_is_no_change_is_an_error(body: bytes) -> None:
    with pytest.raises(frames.FrameError, match="unreadable"):
        frames.content(body)


@given(st.binary(max_size=COUNTS - 1))
def test_an_answer_without_its_counts_is_an_error(answer: bytes) -> None:
    body = marshal.dumps(({b"\1a\0": (b"\0", 0, A, answer)}, {}, {}))
    with pytest.raises(frames.FrameError, match="unreadable"):
        frames.content(body)


@given(DELTAS, st.data())
def test_a_body_with_other_octets_is_an_error_or_some_change(delta: Delta, data: st.DataObject) -> None:
    body = bytearray(frames.decode(next(frames.delta(delta, 5))).body)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b"\0\1\6)(sziNTF0"))
    with suppress(frames.FrameError):
        frames.content(bytes(body))


def test_many_zones_come_in_frames_that_are_soon_taken() -> None:
    """Each costs about what a name does, and what is said of all of them is no single frame."""
    zones = {wire.encode_name(f"z{number}.test"): ZoneEntry(1, bytes(80), 1, "") for number in range(1_000)}
    change = Delta(zones=dict(zones))
    table = Table()
    table.apply(change, 1)
    for messages in (list(frames.full(table)), list(frames.delta(change, 1))):
        found: dict[bytes, ZoneEntry | None] = {}
        for message in messages:
            assert len(message) < 2 * frames.MAX_BODY
            frame = frames.decode(message)
            if frame.kind not in (frames.BEGIN, frames.END):
                part = frames.content(frame.body)
                assert len(part.zones) <= frames.MAX_ENTRIES
                found |= part.zones
        assert found == zones


@given(DELTAS)
def test_a_change_comes_out_as_it_went_in(delta: Delta) -> None:
    decoded = [frames.decode(message) for message in frames.delta(delta, 5)]
    assert [frame.kind for frame in decoded] == [frames.PART] * (len(decoded) - 1) + [frames.DELTA]
    assert [frame.number for frame in decoded] == list(range(len(decoded)))
    found = Delta()
    for frame in decoded:
        found.merge(frames.content(frame.body))
    assert found == delta


@given(DELTAS)
def test_names_exist_as_long_as_they_have_data(
    delta: Delta,
) -> None:
    """Between two frames of a change packets are answered."""
    added: set[bytes] = set()
    removed: set[bytes] = set()
    for message in frames.delta(delta, 5):
        part = frames.content(frames.decode(message).body)
        added |= {name for name, exists in part.names.items() if exists}
        for name, rrsets in part.owners.items():
            if rrsets is not None:
                assert delta.names.get(name) is not True or name in added
            assert name not in removed
        removed |= {name for name, exists in part.names.items() if not exists}


def test_a_large_change_is_cut_into_frames_that_are_soon_taken() -> None:
    wheel = RRsets(b"\0", 0, {A: Wheel(bytes(COUNTS + 2 * 16 * 30), 16)})
    owners: dict[bytes, RRsets | None] = {
        b"%06d" % i: wheel if i % 2 else some(b"%200d" % i) for i in range(3_000)
    }
    delta = Delta(owners, dict.fromkeys(owners, True), {b"\0": ZoneEntry(1, b"soa", 1, "")})
    messages = list(frames.delta(delta, 1))
    assert len(messages) > 10
    assert max(map(len, messages)) < 2 * frames.MAX_BODY
    table = Table()
    for message in messages:
        part = frames.content(frames.decode(message).body)
        assert len(part.owners) + len(part.names) <= frames.MAX_ENTRIES
        table.apply(part, 1)
    assert (table.owners, table.names) == (owners, set(owners))


def test_a_full_table_tells_how_many_frames_it_has() -> None:
    table = Table()
    table.apply(Delta({b"%06d" % i: some(bytes(500)) for i in range(500)}, {}, {}), 9)
    decoded = [frames.decode(message) for message in frames.full(table)]
    assert [frame.kind for frame in decoded][:2] == [frames.BEGIN, frames.CHUNK]
    assert decoded[-1].kind == frames.END
    assert [frame.number for frame in decoded] == list(range(len(decoded)))
    assert {frame.generation for frame in decoded} == {9}


def test_what_is_equal_is_held_once_whenever_it_came() -> None:
    """Thousands of interfaces of a Service, each with changes of its own."""
    follower = Follower(Table(Names()))
    control = Table()
    for frame in frames.full(control):
        follower.take(frames.decode(frame))
    follower.settle()
    names = [wire.encode_name(name) for name in ("a.test", "b.test")]
    for generation, name in enumerate(names, 1):
        for frame in frames.delta(Delta({name: some(b"the same")}), generation):
            follower.take(frames.decode(frame))
    first, second = (follower.table.owners[name] for name in names)
    assert first == some(b"the same")
    assert first is second


def test_what_is_remembered_of_what_came_is_bounded_and_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "ALIKE", 10)
    follower = Follower(Table(Names()))
    for frame in frames.full(Table()):
        follower.take(frames.decode(frame))
    follower.settle()
    owner = {number: wire.encode_name(f"n{number}.test") for number in range(50)}
    for generation, number in enumerate(range(25), 1):
        for frame in frames.delta(Delta({owner[number]: some(b"%d" % number)}), generation):
            follower.take(frames.decode(frame))
    for generation, number in enumerate((24, 0), 26):
        for frame in frames.delta(Delta({owner[number + 25]: some(b"%d" % number)}), generation):
            follower.take(frames.decode(frame))
    owners = follower.table.owners
    assert owners[owner[24]] is owners[owner[49]]
    assert owners[owner[0]] == owners[owner[25]]
    assert owners[owner[0]] is not owners[owner[25]]


def test_what_is_no_longer_used_is_left_in_pieces_to_be_cleared() -> None:
    """A table that was replaced, and one that came in half: all of it at once would hold packets up."""
    follower = Follower(Table(Names()))
    control = Table()
    control.apply(Delta({b"%06d" % i: some(b"%d" % i) for i in range(1_000)}), 1)
    messages = [frames.decode(message) for message in frames.full(control)]

    def left() -> int:
        found = sum(map(len, follower.remains))
        follower.remains.clear()
        return found

    for frame in messages:
        follower.take(frame)
    assert follower.settle()
    assert left() == 0, "there was nothing before"
    for frame in messages[:3]:
        follower.take(frame)
    half = sum(len(frames.content(frame.body).owners) for frame in messages[1:3])
    follower.give_up()
    assert left() == half > 0
    for frame in (*messages[:3], *messages):
        follower.take(frame)
    assert left() == half
    assert follower.settle()
    assert left() == 1_000
