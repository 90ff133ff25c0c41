"""``soadns lookup`` shows what came back, and says what to do about it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from soadns.cli import main

NAME = "a.B.rpc.cluster.local."
SOA = "rpc.cluster.local. 5 IN SOA ns.rpc.cluster.local. hostmaster.rpc.cluster.local. 7 10 5 86400 5"


@contextmanager
def name_server(rcode: int, *errors: tuple[int, str], answer: str = "") -> Iterator[str]:
    """A name server that gives this reply to one question by UDP; where it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)

        def serve() -> None:
            packet, peer = sock.recvfrom(4096)
            query = dns.message.from_wire(packet)
            reply = dns.message.make_response(query)
            reply.set_rcode(rcode)
            options = [dns.edns.EDEOption(code, text or None) for code, text in errors]
            reply.use_edns(0, options=options)
            if answer:
                owner, ttl, _, kind, data = answer.split(maxsplit=4)
                section = reply.authority if kind == "SOA" else reply.answer
                section.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
            sock.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield "{}:{}".format(*sock.getsockname())
        thread.join()


SAID = (
    (dns.rcode.SERVFAIL, [(14, "")], "", 1, ["; EDE: 14 (Not Ready)", ";; why: soadns explain a.B"]),
    (dns.rcode.SERVFAIL, [(23, "10.0.0.9:53 timed out")], "", 1, ["; EDE: 23 (Network Error): 10.0.0.9:53 timed out"]),
    (dns.rcode.SERVFAIL, [(49152, ""), (3, "")], "", 1, ["; EDE: 49152", "; EDE: 3 (Stale Answer)"]),
    (dns.rcode.REFUSED, [(20, "")], "", 1, [
        "; EDE: 20 (Not Authoritative)",
        ";; the name is in none of this server's zones, which are those of: soadns config",
    ]),
    (dns.rcode.NXDOMAIN, [], SOA, 1, [SOA, ";; why: soadns explain a.B"]),
    (dns.rcode.NOERROR, [], f"{NAME} 30 IN A 10.96.0.1", 0, [f"{NAME} 30 IN A 10.96.0.1"]),
)  # fmt: skip


def test_the_strings_of_a_txt_are_set_apart_as_dig_does(capsys: pytest.CaptureFixture[str]) -> None:
    record = f'{NAME} 30 IN TXT "host=user.shop" "a,b"'
    with name_server(dns.rcode.NOERROR, answer=record) as server:
        assert main(["lookup", "a.B", "--type", "TXT", "--server", server]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [record]


@pytest.mark.parametrize(("rcode", "errors", "answer", "status", "lines"), SAID)
def test_a_reply_is_shown_as_dig_shows_it_with_what_to_ask_next(
    rcode: int,
    errors: list[tuple[int, str]],
    answer: str,
    status: int,
    lines: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with name_server(rcode, *errors, answer=answer) as server:
        assert main(["lookup", "a.B", "--type", "A", "--server", server]) == status
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f";; {NAME} A: {dns.rcode.to_text(rcode)} from {server} (udp)"
    assert rest[: len(lines)] == lines
