"""Frames: what was sent comes out, and what is damaged is noticed."""

from __future__ import annotations

import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
