"""A zone as a master file (RFC 1035 5): what Knot, NSD, BIND and CoreDNS's ``file`` read.

Pure. One record a line with its owner name, so that ``grep`` and ``diff`` are enough to look at it: the same zone is
the same text. The last line is a comment with the count of records: a file without it is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from soadns.model import RRset


def lines(origin: str, rrsets: Iterable[RRset], *, ttl: int) -> Iterator[str]:
    """The file, line by line, without line ends.

    ``rrsets`` come in the order of the file, the apex first; ``ttl`` is what most of them have.
    """
    yield f"$ORIGIN {origin}."
    yield f"$TTL {ttl}"
    below, count = f".{origin}.".lower(), 0
    for rrset in rrsets:
        owner = rrset.owner
        if owner.lower().endswith(below):
            owner = owner[: -len(below)]
        elif owner.lower() == below[1:]:
            owner = "@"
        own_ttl = "" if rrset.ttl == ttl else f"{rrset.ttl} "
        for data in rrset.data:
            count += 1
            yield f"{owner} {own_ttl}IN {rrset.type} {data}"
    yield f"; {count} records"
