"""Addresses of names without a ClusterIP: which of many are answered, and that they stay the same."""

from __future__ import annotations

import pytest
from dns import message, rrset
from hypothesis import given
from hypothesis import strategies as st

from soadns.binding.pool import Spot, answer_set, fit
from soadns.model import ServedPort

OWNER = "com.x.user.UserService.rpc.test."
OCTETS = len(OWNER) + 1
_four = st.integers(1, 2**32 - 2).map(lambda n: ".".join(str(b) for b in n.to_bytes(4, "big")))
_six = st.integers(1, 2**64).map(lambda n: f"fd00::{n >> 16 & 0xFFFF:x}:{n & 0xFFFF | 1:x}")


@given(st.sets(_four, max_size=80), st.sets(_six, max_size=40))
def test_a_reply_of_either_family_fits_512_octets_and_could_not_hold_one_more(
    four: set[str], six: set[str]
) -> None:
    chosen = fit(four | six, OCTETS)
    for family, everyone in (("A", four), ("AAAA", six)):
        mine = [a for a in chosen if (":" in a) == (family == "AAAA")]
        assert set(mine) <= everyone
        assert _octets(family, mine) <= 512
        if len(mine) < len(everyone):
            assert _octets(family, [*mine, next(iter(everyone))]) > 512


def _octets(family: str, addresses: list[str]) -> int:
    question = message.make_query(OWNER, family)
    reply = message.make_response(question)
    if addresses:
        # Compression needs one owner name only; duplicates would be dropped from a set, so count by size.
        reply.answer.append(rrset.from_text(OWNER, 5, "IN", family, addresses[0]))
    each = 16 if family == "A" else 28
    return len(reply.to_wire()) + each * max(0, len(addresses) - 1)


@given(st.sets(_four, min_size=40, max_size=90), st.data())
def test_one_address_less_replaces_at_most_one(addresses: set[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(addresses)))
    before, after = set(fit(addresses, OCTETS)), set(fit(addresses - {gone}, OCTETS))
    assert before - after <= {gone}
    assert len(after - before) <= 1


@given(st.permutations([f"10.9.0.{n}" for n in range(1, 60)]))
def test_the_order_of_arrival_does_not_matter(addresses: list[str]) -> None:
    assert fit(addresses, OCTETS) == fit(sorted(addresses), OCTETS)


def test_addresses_are_answered_in_numeric_order() -> None:
    assert fit(["10.9.0.10", "fd00::2", "10.9.0.9"], OCTETS) == ("10.9.0.9", "10.9.0.10", "fd00::2")


PORTS = """
providers                                          answered             ports
dubbo@1:20880 dubbo@2:20880 dubbo@3:20881          1 2                  dubbo:20880
dubbo@1:20881 dubbo@2:20880                        2                    dubbo:20880
tri@1:50051 dubbo@1:20880                          1                    dubbo:20880 tri:50051
tri@1:50051 tri@2:50051 dubbo@3:20880              1 2                  tri:50051 dubbo:20880
rest@1:8080 bolt@2:12200                           2                    bolt:12200 rest:8080
"""


@pytest.mark.parametrize("line", PORTS.strip().splitlines()[1:])
def test_the_commonest_port_of_the_leading_protocol(line: str) -> None:
    spots: list[Spot] = []
    rest = line.split()
    while rest and "@" in rest[0]:
        protocol, _, place = rest.pop(0).partition("@")
        host, _, port = place.partition(":")
        spots.append((protocol, f"10.9.0.{host}", int(port)))
    hosts = tuple(f"10.9.0.{word}" for word in rest if ":" not in word)
    ports = tuple(ServedPort(p, int(n)) for p, _, n in (w.partition(":") for w in rest if ":" in w))
    assert answer_set(spots, OCTETS) == (hosts, ports)
    assert answer_set(spots[::-1], OCTETS) == (hosts, ports)
