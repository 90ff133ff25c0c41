"""What a worker reports comes back whole, and fits one message however much strangers made it count."""

from __future__ import annotations

import itertools
import marshal
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.figures import DURATIONS
from soadns.nameserver import frames, wire
from soadns.nameserver.report import INET, INET6, TCP, UDP, Report
from soadns.nameserver.table import MAX_ZONES

texts = st.text(max_size=20)
counts = st.integers(0, 2**63)
protos, families, octets = st.sampled_from([UDP, TCP]), st.sampled_from([INET, INET6]), st.integers(0, 255)
replies = st.dictionaries(st.tuples(texts, protos, families, octets, octets), counts)
durations = st.dictionaries(texts, st.tuples(st.lists(counts, max_size=17), st.floats(0, 1e9)))


@given(replies, durations, counts, counts)
def test_a_report_is_what_was_reported(
    replies: dict[tuple[str, str, int, int, int], int],
    durations: dict[str, tuple[list[int], float]],
    udp: int,
    memory: int,
) -> None:
    report = Report(7, replies, durations, udp=udp, memory=memory, processor_s=1.5)
    assert Report.decode(report.encode()) == report


def test_the_largest_report_fits_one_message() -> None:
    zones = [f"{'z' * 60}.{number}.example" for number in range(MAX_ZONES + 1)]
    kinds = [0, *wire.COUNTED_TYPES]
    rcodes = (wire.NOERROR, wire.NXDOMAIN, wire.SERVFAIL)
    combinations = itertools.product(zones, (UDP, TCP), (INET, INET6), kinds, rcodes)
    held = ([2**40] * (len(DURATIONS) + 1), 1.0)
    report = Report(1, dict.fromkeys(combinations, 2**40), dict.fromkeys(zones, held))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        ours.send(frames.encode(frames.STATS, 1, report.encode()))
        assert Report.decode(frames.decode(theirs.recv(1 << 18)).body) == report


@pytest.mark.parametrize("body", [b"", b"{}", marshal.dumps(()), marshal.dumps((1, {("z",): b"short"}, {}))])
def test_what_is_no_report_is_a_frame_error(body: bytes) -> None:
    with pytest.raises(frames.FrameError, match="unreadable report"):
        Report.decode(body)
