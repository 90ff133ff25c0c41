"""A real worker process, fed by the control process's own end of the channel, asked over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from soadns.model import Records
from soadns.nameserver.datagrams import BATCH
from soadns.nameserver.journal import Journal, newest
from soadns.nameserver.table import Delta, Table
from soadns.nameserver.worker import BULK, COLLECT, Worker
from tests.unit.holdings import some
from tests.unit.waiting import soon
from tests.unit.workshop import NAME, Workshop, ask_udp, received

pytestmark = pytest.mark.long


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    found = Workshop()
    yield found
    found.close()


async def test_a_fed_worker_answers_over_udp_and_tcp(workshop: Workshop) -> None:
    workshop.control()
    workshop.start()
    assert await workshop.addresses() == ["10.96.0.10"]
    query = dns.message.make_query(f"{NAME}.rpc.test", "A")
    reply = await asyncio.to_thread(dns.query.tcp, query, workshop.host, 3, workshop.port)
    assert [str(item) for rrset in reply.answer for item in rrset] == ["10.96.0.10"]


async def test_a_change_is_answered_and_confirmed(workshop: Workshop) -> None:
    feed = workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.change("10.96.0.11")
    await workshop.until("10.96.0.11")
    await soon(lambda: feed.applied == workshop.publisher.table.generation)


async def test_a_worker_reads_no_packet_before_it_is_loaded(workshop: Workshop) -> None:
    workshop.start()
    with workshop.client() as client:
        ask_udp(client)
        assert await asyncio.to_thread(received, client, 0.25) is None
        workshop.control()
        reply = await asyncio.to_thread(received, client)
        assert reply is not None, "the question waited in the socket"
        assert reply.rcode() == dns.rcode.NOERROR


async def test_a_replaced_worker_answers_what_was_asked_in_between(workshop: Workshop) -> None:
    workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.kill()
    with workshop.client() as client:
        for number in range(100):
            ask_udp(client, number=number)
        workshop.start()
        replies = [await asyncio.to_thread(received, client) for _ in range(100)]
        assert [reply.id for reply in replies if reply is not None] == list(range(100))


async def test_a_killed_worker_takes_no_more_than_a_batch_along(workshop: Workshop) -> None:
    """Whenever it is killed amid a burst; what it did not take out of the queue is its successor's."""
    workshop.control()
    for pause in (0.0, 0.0005, 0.001, 0.002):
        workshop.start()
        await workshop.until("10.96.0.10")
        assert workshop.process is not None
        workshop.process.send_signal(signal.SIGSTOP)
        with workshop.client() as client:
            for number in range(100):
                ask_udp(client, number=number)
            workshop.process.send_signal(signal.SIGCONT)
            time.sleep(pause)  # noqa: ASYNC251 - the loop has nothing to do
            workshop.kill()
            workshop.start()
            await workshop.until("10.96.0.10")
            got = 0
            while await asyncio.to_thread(received, client, 0.1) is not None:
                got += 1
        assert got >= 100 - BATCH
        workshop.kill()


def test_the_collector_looks_at_what_is_new_and_never_at_a_table() -> None:
    looked: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        looked.append(phase)

    gc.collect()
    gc.disable()
    gc.callbacks.append(note)
    try:
        many = [[] for _ in range(BULK + 100)]
        Worker._collect()
        assert looked == []
        few = [[] for _ in range(COLLECT + 100)]
        Worker._collect()
        assert looked == ["start", "stop"]
        Worker._collect()
        assert looked == ["start", "stop"]
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert len(many) > len(few)


async def test_without_control_a_worker_answers_on_and_a_successor_takes_it_over(workshop: Workshop) -> None:
    workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.no_control()
    assert await workshop.addresses() == ["10.96.0.10"]
    workshop.control(address="10.96.0.99", complete=False)
    await asyncio.sleep(0.1)
    assert await workshop.addresses() == ["10.96.0.10"], "what is not complete replaces nothing"
    workshop.publisher.set_complete()
    await workshop.until("10.96.0.99")
    workshop.change("10.96.0.100")
    await workshop.until("10.96.0.100")


async def test_a_replaced_worker_is_loaded_without_control(workshop: Workshop) -> None:
    workshop.control()
    begun = time.monotonic()
    workshop.start()
    await workshop.until("10.96.0.10")
    usual = (
        time.monotonic() - begun
    )  # most of it is the beginning of an interpreter, on cores that others have too
    workshop.change("10.96.0.11")
    await workshop.until("10.96.0.11")
    workshop.no_control()
    workshop.kill()
    begun = time.monotonic()
    workshop.start()
    assert await workshop.addresses() == ["10.96.0.11"]
    assert time.monotonic() - begun < 2 + 2 * usual, "it waits for nobody"


async def test_a_control_process_that_hangs_holds_nothing_up(workshop: Workshop) -> None:
    """Nobody reads the channel; reports fill it."""
    workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.no_control()
    # As full as it can be.
    workshop.theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            workshop.theirs.send(b"x" * 4096)
    await asyncio.sleep(0.6)  # a report is due
    assert await workshop.addresses() == ["10.96.0.10"]


@pytest.mark.parametrize("chain", ["damaged", ""])
async def test_a_certificate_that_can_not_be_used_keeps_no_worker_from_beginning(
    workshop: Workshop, tmp_path: Path, capfd: pytest.CaptureFixture[str], chain: str
) -> None:
    """A worker may be killed just then: whoever asks without TLS needs no certificate."""
    if chain:
        (tmp_path / "tls.crt").write_text(chain)
    workshop.control()
    with socket.create_server(("127.0.0.1", 0)) as tls:
        files = ("--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key"))
        workshop.start("--tls", str(tls.fileno()), *files, inherit=(tls.fileno(),))
        assert await workshop.addresses() == ["10.96.0.10"]
        query = dns.message.make_query(f"{NAME}.rpc.test", "A")
        await asyncio.to_thread(dns.query.tcp, query, workshop.host, 3, workshop.port)
    assert "level=error event=credentials-refused" in capfd.readouterr().err


async def test_a_damaged_journal_is_logged_and_written_anew(
    workshop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    feed = workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    before = newest(workshop.journal)
    assert before is not None
    # It happens before the worker is told.
    workshop.publisher.feeds = []
    workshop.change("10.96.0.11")
    os.pwrite(before[0], b"\xff", before[1].end + 30)
    feed.wake()
    await workshop.until("10.96.0.11")
    assert "level=warning event=frame-lost" in capfd.readouterr().err
    after = newest(workshop.journal)
    assert after is not None
    assert after[1].epoch == before[1].epoch + 1


async def test_a_table_that_its_control_process_did_not_write_to_the_end_is_not_used(
    workshop: Workshop,
) -> None:
    workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    workshop.no_control()
    table = Table()
    table.apply(Delta({b"%06d" % i: some(b"%200d" % i) for i in range(5_000)}), 1)
    dying = Journal(workshop.journal, 2)
    dying.begin(table)
    assert dying.step(), "there is more"
    workshop.kill()
    workshop.start()
    assert await workshop.addresses() == ["10.96.0.10"]
    workshop.control(address="10.96.0.12")
    await workshop.until("10.96.0.12")


async def test_a_table_of_20000_names_is_loaded_at_once(workshop: Workshop) -> None:
    feed = workshop.control(names=20_000)
    workshop.start()
    await workshop.until("10.96.0.10")
    assert workshop.worked_s < 2
    await soon(lambda: feed.applied == workshop.publisher.table.generation)
    assert not feed.state.behind


async def test_sigterm_ends_connections_by_fin_and_leaves_the_queue_to_the_successor(
    workshop: Workshop,
) -> None:
    workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    reader, writer = await asyncio.open_connection(workshop.host, workshop.port)
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGTERM)
    assert await reader.read() == b""
    writer.close()
    assert await asyncio.to_thread(workshop.process.wait, 3) == 0
    with workshop.client() as client:
        ask_udp(client, number=77)
        workshop.start()
        reply = await asyncio.to_thread(received, client)
        assert reply is not None
        assert reply.id == 77


async def test_in_lameduck_a_worker_answers_on(workshop: Workshop) -> None:
    workshop.control()
    workshop.start("--lameduck", "0.3")
    await workshop.until("10.96.0.10")
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    assert await workshop.addresses() == ["10.96.0.10"]
    assert await asyncio.to_thread(workshop.process.wait, 3) == 0


async def test_a_worker_ends_when_its_supervisor_is_gone(workshop: Workshop) -> None:
    workshop.control()
    workshop.start("--lameduck", "0.3")
    await workshop.until("10.96.0.10")
    assert workshop.process is not None
    before = workshop.worked_s  # to begin may take long where cores are shared
    os.close(workshop.alive)
    _, status, usage = await asyncio.to_thread(os.wait4, workshop.process.pid, 0)
    workshop.process.returncode = status
    assert status == 0
    assert usage.ru_utime + usage.ru_stime - before < 0.3, "it does not spin on the closed pipe"


async def test_replies_leave_from_the_address_that_was_asked() -> None:
    workshop = Workshop(host="0.0.0.0")
    try:
        workshop.control()
        workshop.start()
        for address in ("127.0.0.1", "127.0.0.2", "127.1.2.3"):
            # A connected socket takes replies from the address it asked only.
            with workshop.client(address) as client:
                ask_udp(client)
                assert await asyncio.to_thread(received, client) is not None, address
    finally:
        workshop.close()


async def test_counts_reach_the_control_process_without_the_probes(workshop: Workshop) -> None:
    feed = workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as prober:
        prober.connect(workshop.probe.getsockname())
        for _ in range(3):
            prober.send(dns.message.make_query("soadns.probe", "TXT", "CH").to_wire())
            assert await asyncio.to_thread(received, prober) is not None
    with workshop.client() as client:
        ask_udp(client, "example.org")
        await asyncio.to_thread(received, client)
        client.send(b"short")
    await soon(lambda: feed.state.figures.dropped)
    figures = feed.state.figures
    assert figures.replies == {
        ("", "udp", 1, 1, 5): 1,
        ("rpc.test", "udp", 1, 1, 0): figures.queries["udp"] - 2,
    }
    assert workshop.process is not None
    assert feed.state.pid == workshop.process.pid


async def test_a_worker_that_stood_still_while_the_journal_was_begun_anew_catches_up(
    workshop: Workshop,
) -> None:
    feed = workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGSTOP)
    for number in range(400):
        texts = (f"{number:250}",) * 40
        workshop.publisher.publish(
            workshop.zone.apply({f"n.N{number % 9}": Records(texts=texts)}, serial=number)
        )
    last = newest(workshop.journal)
    assert last is not None
    assert last[1].epoch > 2
    assert last[1].end < 4 << 20, "the journal does not grow without end"
    workshop.change("10.96.0.11")
    workshop.process.send_signal(signal.SIGCONT)
    await workshop.until("10.96.0.11")
    await soon(lambda: not feed.state.behind)


def imported(text: str) -> set[str]:
    """Modules in what PYTHONPROFILEIMPORTTIME prints."""
    return {line.rpartition("|")[2].strip() for line in text.splitlines() if line.startswith("import time:")}


async def test_a_running_worker_has_imported_nothing_but_the_data_plane(
    workshop: Workshop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it imports from its start to its end, questions and connections between them."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    workshop.control()
    workshop.start()
    await workshop.until("10.96.0.10")
    query = dns.message.make_query(f"{NAME}.rpc.test", "TXT", use_edns=True)
    await asyncio.to_thread(dns.query.tcp, query, workshop.host, 3, workshop.port)
    await asyncio.sleep(0.6)  # a report
    assert workshop.process is not None
    workshop.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(workshop.process.wait, 3)
    loaded = imported(capfd.readouterr().err)
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", ""], check=True)
    loaded -= imported(capfd.readouterr().err)  # what every process has here
    assert {name for name in loaded if name.startswith("soadns")} == {
        "soadns",
        "soadns.figures",
        "soadns.logs",
        "soadns.nameserver",
        "soadns.nameserver.batch",
        "soadns.nameserver.datagrams",
        "soadns.nameserver.denials",
        "soadns.nameserver.edns",
        "soadns.nameserver.follower",
        "soadns.nameserver.frames",
        "soadns.nameserver.heads",
        "soadns.nameserver.journal",
        "soadns.nameserver.report",
        "soadns.nameserver.responder",
        "soadns.nameserver.rrsets",
        "soadns.nameserver.selector",
        "soadns.nameserver.table",
        "soadns.nameserver.tcp",
        "soadns.nameserver.udp",
        "soadns.nameserver.wire",
    }
    # Python's own copy looks for Jython's org.python.
    others = {name.partition(".")[0] for name in loaded} - {"soadns", "org"}
    assert "asyncio" in others
    assert others <= sys.stdlib_module_names
    assert not others & {
        "bz2",
        "email",
        "http",
        "lzma",
        "multiprocessing",
        "shutil",
        "unittest",
        "urllib",
        "xml",
    }


async def test_a_delta_that_says_nothing_is_not_written(workshop: Workshop) -> None:
    workshop.control()
    generation = workshop.publisher.table.generation
    assert workshop.publisher.publish(Delta()) == generation
