"""What a table says of zones, and which names exist."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soadns.nameserver.table import READY, Delta, Names, Table, ZoneEntry


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


@given(st.lists(st.tuples(st.sampled_from(["add", "discard", "look"]), st.integers(0, 3_000)), max_size=60))
def test_names_are_those_that_were_added_and_not_removed(changes: list[tuple[str, int]]) -> None:
    names, expected = Names(), set()
    for number in range(0, 3_000, 2):
        names.add(b"%d" % number)
        expected.add(number)
    for what, number in changes:
        if what == "add":
            names.add(b"%d" % number)
            expected.add(number)
        elif what == "discard":
            names.discard(b"%d" % number)
            expected.discard(number)
        else:
            assert (b"%d" % number in names) == (number in expected)
    assert {number for number in range(3_001) if b"%d" % number in names} == expected
    assert len(names) == len(expected)
