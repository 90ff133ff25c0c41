"""Frames: what was sent comes out, and what is damaged is noticed."""

from __future__ import annotations

import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.nameserver import frames
from soadns.nameserver.table import Delta, Table, ZoneEntry

KINDS = st.integers(frames.BEGIN, frames.STATS)
NUMBERS = st.integers(0, 2**32 - 1)
NAMES = st.binary(min_size=1, max_size=40)
ANSWERS = st.none() | st.binary(max_size=200) | st.lists(st.binary(max_size=60), min_size=2, max_size=8)
ZONES = st.none() | st.builds(
    ZoneEntry, st.sampled_from((0, 1)), st.binary(max_size=60), st.integers(0, 2**40), st.text(max_size=20)
)
DELTAS = st.builds(
    Delta,
    st.dictionaries(NAMES, ANSWERS, max_size=20),
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


def test_a_large_change_is_cut_into_messages_that_a_socket_takes() -> None:
    rotations = [bytes(16 * 30) for _ in range(8)]
    answers = {b"%06d" % i: list(rotations) if i % 2 else bytes(200) for i in range(3_000)}
    delta = Delta(answers, dict.fromkeys(answers, True), {b"\0": ZoneEntry(1, b"soa", 1, "")})
    messages = list(frames.delta(delta, 1))
    assert len(messages) > 10
    assert max(map(len, messages)) < 64 * 1024
    table = Table()
    for message in messages:
        table.apply(frames.content(frames.decode(message).body), 1)
    assert (table.answers, table.names) == (answers, set(answers))


def test_a_full_table_tells_how_many_frames_it_has() -> None:
    whole = Delta({b"%06d" % i: bytes(500) for i in range(500)}, {}, {})
    decoded = [frames.decode(message) for message in frames.full(whole, 9)]
    assert [frame.kind for frame in decoded][:2] == [frames.BEGIN, frames.CHUNK]
    assert decoded[-1].kind == frames.END
    assert [frame.number for frame in decoded] == list(range(len(decoded)))
    assert {frame.generation for frame in decoded} == {9}
