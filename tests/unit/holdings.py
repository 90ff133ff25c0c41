"""What a table holds, for tests that write and read tables without a zone."""

from __future__ import annotations

from collections.abc import Iterator

from soadns.nameserver import wire
from soadns.nameserver.rrsets import COUNTS, TYPED, A, RRsets
from soadns.nameserver.table import Table


def some(octets: bytes = b"") -> RRsets:
    """What a name has that answers these octets when it is asked for its addresses."""
    return RRsets(b"\0", 0, {A: bytes(COUNTS) + octets})


def questions(table: Table) -> Iterator[bytes]:
    """Every question that a table answers, folded, in wire form."""
    for name, rrsets in table.owners.items():
        for key in rrsets.data:
            yield name + key if len(key) == TYPED else wire.question(key + name, wire.SRV)
