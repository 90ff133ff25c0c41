"""Name servers that take their zone from soadns, as people set them up: Knot, BIND and CoreDNS."""

from __future__ import annotations

import base64
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import dns.exception
import dns.name
import dns.query
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone

from tests.scenarios.stage.nameservers import CoreDns, NameServer, knotd
from tests.scenarios.stage.pages import block

KEY_NAME = "soadns-transfer"
SECRET = base64.b64encode(bytes(range(32))).decode()
KEY = dns.tsig.Key(KEY_NAME, SECRET, "hmac-sha256")


def _shown(language: str, form: str, primaries: Sequence[int], secret: str = SECRET) -> str:
    """The configuration that ``docs/scaling.md`` shows for a server, with the addresses and the secret of here."""
    text = block("scaling.md", language).replace("SECRET", secret)
    for shown, port in zip(("10.96.0.53", "10.96.0.54"), primaries, strict=True):
        assert form.format(shown, 1054) in text
        text = text.replace(form.format(shown, 1054), form.format("127.0.0.1", port))
    return text


class KnotSecondary(NameServer):
    """knotd, with a key of TSIG."""

    def __init__(
        self, folder: Path, zone: str, primaries: Sequence[int], *, port: int = 0, secret: str = SECRET
    ) -> None:
        super().__init__("Knot", folder, zone, port=port)
        config = folder / "knot.conf"
        shown = _shown("knot.conf", "{}@{}", primaries, secret)
        assert "    acl: soadns-tells\n" in shown
        shown = shown.replace("    acl: soadns-tells\n", "    acl: [soadns-tells, test-looks]\n")
        shown = shown.replace(
            "zone:\n", "  - id: test-looks\n    address: 127.0.0.1\n    action: transfer\nzone:\n"
        )
        config.write_text(knotd(self.port, folder) + shown)
        self._run("knotd", "-c", str(config))


class Named(NameServer):
    """named of BIND, with a key of TSIG."""

    def __init__(
        self, folder: Path, zone: str, primaries: Sequence[int], *, port: int = 0, secret: str = SECRET
    ) -> None:
        super().__init__("BIND", folder, zone, port=port)
        config = folder / "named.conf"
        config.write_text(
            f"""
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile none;
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    allow-transfer {{ 127.0.0.1; }};
    dnssec-validation no;
}};
controls {{ }};
{_shown("named.conf", "{} port {}", primaries, secret)}"""
        )
        self._run("named", "-g", "-n", "1", "-c", str(config))


class CoreDnsSecondary(CoreDns):
    """CoreDNS's plugin ``secondary``."""

    def __init__(self, folder: Path, zone: str, primaries: Sequence[int]) -> None:
        shown = _shown("Corefile", "{}:{}", primaries)
        assert "rpc.cluster.local:53 {\n" in shown
        super().__init__(folder, zone, shown.replace(":53 {\n", ":{port} {\n    bind 127.0.0.1\n"))


class Onlooker:
    """Asks a primary for its zone all the time, and remembers every version that it gives; a context.

    Who asks while a second has changes waits for its end, and gets that second's version: so one that ended while a
    question was under way was seen.
    """

    def __init__(self, port: int, zone: str, key: dns.tsig.Key) -> None:
        self._port, self._zone, self._key = port, zone, key
        self._looks: list[tuple[float, float]] = []
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._seen: defaultdict[int, set[frozenset[str]]] = defaultdict(set)
        """By serial; of two where a restart gave one serial to other content."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def __str__(self) -> str:
        seen = (
            f"{serial} ({', '.join(str(len(each)) for each in held)})" for serial, held in self._seen.items()
        )
        return f"{self._port} gave, with so many records: {'; '.join(seen)}"

    def saw(self, serial: int, lines: frozenset[str]) -> bool:
        """Whether it gave this content under this serial."""
        return lines in self._seen.get(serial, ())

    def may_have_missed(self, serial: int) -> bool:
        """Whether nothing was under way when the second of this serial ended."""
        return not any(asked <= serial + 1 <= answered for asked, answered in self._looks)

    def _look_on(self) -> None:
        while not self._enough.wait(0.05):
            asked = time.time()
            try:
                serial, lines = content(self._port, self._zone, key=self._key, within=5.0)
            except (OSError, EOFError, dns.exception.DNSException):
                continue  # it restarts
            self._looks.append((asked, time.time()))
            self._seen[serial].add(lines)


def content(
    port: int, zone: str, *, key: dns.tsig.Key | None = None, within: float = 20.0
) -> tuple[int, frozenset[str]]:
    """What a server holds, by AXFR: the serial, and a line for each record but the SOA."""
    origin = dns.name.from_text(zone)
    held = dns.zone.Zone(origin, relativize=False)
    query, _ = dns.xfr.make_query(held, keyring=key)
    dns.query.inbound_xfr("127.0.0.1", held, query, port=port, lifetime=within)
    lines = frozenset(
        f"{name.to_text().lower()} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {rdata.to_text().lower()}"
        for name, ttl, rdata in held.iterate_rdatas()
        if rdata.rdtype != dns.rdatatype.SOA
    )
    soa = held.get_rdataset(origin, dns.rdatatype.SOA)
    assert soa is not None
    return soa[0].serial, lines
