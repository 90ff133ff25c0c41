"""What a name answers is what its holder has, whatever happened to its other spellings since the last look."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soadns.binding.publication import Publication
from soadns.model import Binding, InterfaceId, Unbound
from soadns.nameserver import wire
from soadns.nameserver.zone import ZoneData

SPELLINGS = st.sampled_from(["a.Foo", "a.foo", "A.foo", "a.X$Y", "a.X-Y", "a.x-y"]).map(InterfaceId)
OUTCOMES = st.builds(
    lambda interface, address, evidence: (
        Binding(interface, "service", (address,), evidence=evidence)
        if evidence
        else Unbound(interface, "no-provider")
    ),
    SPELLINGS,
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    st.integers(0, 3),
)


@given(st.lists(st.lists(OUTCOMES, max_size=8), max_size=4))
def test_the_last_holder_of_a_name_answers_it(turns: list[list[Binding | Unbound]]) -> None:
    publication = Publication("rpc.test", (), ttl=30, provider_ttl=5)
    data = ZoneData("rpc.test")
    held: dict[bytes, object] = {}
    for turn in turns:
        for outcome in turn:
            publication.put(outcome.interface, outcome, 0.0)
        held.update(data.apply(publication.take(), serial=1).owners)
    for owner in ("a.foo", "a.x$y", "a.x-y"):
        holder = publication.owners.at(owner)
        records = publication.records(holder) if holder is not None else None
        expected = ZoneData("rpc.test").apply({owner: records}, serial=1).owners
        key = wire.encode_name(f"{owner}.rpc.test")
        assert held.get(key) == expected.get(key)
