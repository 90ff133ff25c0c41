"""soadns beside Knot and NSD on the zone it exports: every difference there is, is listed in ``docs/dns.md``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differences import asking, table
from tests.scenarios.stage.nameservers import Knot, NameServer, Nsd
from tests.scenarios.stage.soadns import ZONE, Soadns

TRANSPORTS = {"udp": False, "tcp": True}


@pytest.fixture(scope="module")
def others(showcased: Soadns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NameServer]]:
    """Knot and NSD on the zone that soadns exports."""
    folder = tmp_path_factory.mktemp("others")
    status, text = showcased.cli("export", "zonefile")
    assert status == 0, text
    file = folder / "zone"
    file.write_text(text)
    servers: list[NameServer] = [Knot(folder / "knot", ZONE, file), Nsd(folder / "nsd", ZONE, file)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


def test_every_difference_from_knot_and_nsd_is_listed_and_none_is_listed_in_vain(
    showcased: Soadns, others: list[NameServer]
) -> None:
    packets = list(asking.corpus(ZONE))
    found: dict[table.Place, str] = {}
    for packet in packets:
        for transport, tcp in TRANSPORTS.items():
            reply = asking.ask(showcased.port, packet.octets, ZONE, tcp=tcp)
            ours = asking.fields(packet.octets, reply)
            assert ours["reply"] != "malformed", f"{packet.name} by {transport}: {reply!r}"
            for server in others:
                reply = asking.ask(server.port, packet.octets, ZONE, tcp=tcp)
                theirs = asking.fields(packet.octets, reply)
                if what := table.difference(ours, theirs):
                    found[packet.name, transport, server.name] = what
    names = {packet.name for packet in packets}
    listed = table.listed(names, table.PAGE.read_text())
    assert found == listed, "\n" + "\n".join(_compared(found, listed))


def _compared(found: dict[table.Place, str], listed: dict[table.Place, str]) -> Iterator[str]:
    for place in sorted(found.keys() | listed.keys()):
        if found.get(place) != listed.get(place):
            told = listed.get(place, "nothing")
            yield f"{' '.join(place)}: {found.get(place, 'no difference')} (listed: {told})"
