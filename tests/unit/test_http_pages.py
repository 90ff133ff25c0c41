"""What the HTTP API hands out, whole or by the page, and what the command line makes of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from soadns.cli import main
from soadns.commands import client
from soadns.nameserver.table import LOADING
from tests.unit.demo_process import DemoProcess
from tests.unit.http_site import ask, site
from tests.unit.waiting import soon

CaptureBytes = pytest.CaptureFixture[bytes]

TWO_ZONES = """
zones: [{name: a.test, registries: [one], cluster: first}, {name: b.test, registries: [two], cluster: second}]
static: [{name: one, paths: /x, cluster: first}, {name: two, paths: /x, cluster: second}]
"""


async def test_raw_names_the_znodes_of_the_zone_that_was_asked_for() -> None:
    path = "/v1/explain/com.alipay.user.UserService?raw=1"
    async with site(DemoProcess(TWO_ZONES)) as port:
        both = (await ask(port, f"GET {path}"))[1]["zones"]
        [second] = (await ask(port, f"GET {path}&zone=b.test"))[1]["zones"]
    assert [told["znodes"] for told in both] == [
        ["static/one/com.alipay.user.UserService"],
        ["static/two/com.alipay.user.UserService"],
    ]
    assert (second["zone"], second["znodes"]) == ("b.test", ["static/two/com.alipay.user.UserService"])


async def test_a_zone_comes_as_a_master_file() -> None:
    async with site() as port:
        _, text = await ask(port, "GET /v1/zonefile")
        assert await ask(port, "GET /v1/zonefile?zone=RPC.cluster.local.") == (200, text)
    lines = text.splitlines()
    assert lines[0] == "$ORIGIN rpc.cluster.local."
    assert "com.alipay.user.UserService IN A 10.96.1.7" in lines
    assert lines[-1] == f"; {len(lines) - 3} records"


async def test_of_several_zones_one_is_to_be_named() -> None:
    async with site(DemoProcess(TWO_ZONES)) as port:
        status, body = await ask(port, "GET /v1/zonefile")
        assert (status, body["error"]) == (404, "which zone: known are a.test, b.test")
        assert (await ask(port, "GET /v1/zonefile?zone=b.test"))[1].startswith("$ORIGIN b.test.\n")


async def test_what_is_not_all_there_is_never_handed_out_as_a_zone() -> None:
    process = DemoProcess()
    process.zones["rpc.cluster.local"].set_state(LOADING)
    async with site(process) as port:
        status, body = await ask(port, "GET /v1/zonefile")
    assert status == 409
    assert "would deny names that exist" in body["error"]


async def test_a_zone_is_told_to_who_may_know_it_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    async with site(token_file=str(tmp_path / "token")) as port:
        assert (await ask(port, "GET /v1/zonefile"))[0] == 401
        assert (await ask(port, "GET /v1/zonefile", Authorization="Bearer right"))[0] == 200


async def test_the_command_line_prints_the_file_that_the_api_gives(capsysbinary: CaptureBytes) -> None:
    async with site() as port:
        _, text = await ask(port, "GET /v1/zonefile")
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(main, ["export", "zonefile", "--url", url]) == 0
        assert capsysbinary.readouterr().out.decode() == text
        assert await asyncio.to_thread(main, ["export", "zonefile", "nope", "--url", url]) == 1
        printed = capsysbinary.readouterr()
    assert not printed.out
    assert printed.err.endswith(b": no zone nope here: known are rpc.cluster.local\n")


async def test_a_file_that_was_cut_on_its_way_is_an_error(capsysbinary: CaptureBytes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n$ORIG\r\n")
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await asyncio.to_thread(main, ["export", "zonefile", "--url", url]) == 1
    assert b"stopped in the middle" in capsysbinary.readouterr().err


async def test_a_reader_that_leaves_amid_a_zone_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    left = itertools.count()

    class Endless(DemoProcess):
        def zone_file(self, zone: str) -> Iterator[str]:
            return (f"name{number} IN A 192.0.2.1" for number in left)

    async with site(Endless()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/zonefile HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"name7 ")
        writer.transport.abort()
        await soon(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


# --------------------------------------------------------------------------- direct URLs

RESOLVE = """\
# Direct URLs of 1 interface, for every application that reads this.
# dubbo-resolve.properties: -Ddubbo.resolve.file=FILE, or this name in the home directory of the user.
com.alipay.user.UserService=dubbo://com.alipay.user.UserService.rpc.cluster.local:20880?cluster.availablecheck=false&send.reconnect=true
"""


async def test_direct_urls_come_by_the_page() -> None:
    async with site() as port:
        status, body = await ask(port, "GET /v1/directurls?everyone=1&limit=3")
        assert (status, body["next"]) == (200, "com.alipay.pay.PayService")
        assert [row["key"] for row in body["items"]] == [
            "com.alipay.ledger.LedgerService",
            "com.alipay.order.OrderService",
        ]
        assert (await ask(port, "GET /v1/directurls?everyone=1&limit=many"))[0] == 409
        assert (await ask(port, "GET /v1/directurls"))[0] == 409
        assert (await ask(port, "GET /v1/directurls?everyone=1&zone=nope"))[0] == 404


async def test_direct_urls_wait_for_all_that_may_speak_against_an_interface() -> None:
    async with site(DemoProcess("zookeeper: [{hosts: zk1}]")) as port:
        status, body = await ask(port, "GET /v1/directurls?everyone=1")
    assert status == 409
    assert "waits for zookeeper/main/dubbo" in body["error"]


async def test_a_survey_comes_by_the_page() -> None:
    async with site() as port:
        status, body = await ask(port, "GET /v1/survey?limit=2")
        assert (status, body["looked"], body["next"]) == (200, 2, body["items"][-1]["interface"])
        status, rest = await ask(port, f"GET /v1/survey?after={body['next']}")
        assert (status, rest["next"], rest["callersRead"]) == (200, None, False)
        assert len(body["items"]) + len(rest["items"]) == body["names"]
        assert (await ask(port, "GET /v1/survey?limit=many"))[0] == 409
        assert (await ask(port, "GET /v1/survey?zone=nope"))[0] == 404
    async with site(DemoProcess("zookeeper: [{hosts: zk1}]")) as port:
        status, body = await ask(port, "GET /v1/survey")
    assert status == 409
    assert "waits for zookeeper/main/dubbo" in body["error"]


async def test_the_pages_of_a_survey_are_put_together_and_progress_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    async with site() as port:
        _, body = await ask(port, "GET /v1/survey")
        told: list[tuple[int, int]] = []
        asked = client.Client(f"http://127.0.0.1:{port}")
        whole = await asyncio.to_thread(asked.survey, {}, lambda *counts: told.append(counts))
    names = body["names"]
    assert whole["items"] == body["items"]
    assert told[0] == (2, names)
    assert told[-1] == (names, names)


async def test_the_command_line_prints_a_survey(capsysbinary: CaptureBytes) -> None:
    async with site() as port:
        url = f"http://127.0.0.1:{port}"

        async def run(*arguments: str) -> tuple[int, str, str]:
            status = await asyncio.to_thread(main, ["survey", *arguments, "--url", url])
            printed = capsysbinary.readouterr()
            return status, printed.out.decode(), printed.err.decode()

        status, out, err = await run()
        assert (status, err) == (0, "")
        assert out.startswith("Survey of rpc.cluster.local: ")
        assert "\nNo registry in ZooKeeper is read: nothing is known of callers" in out
        status, out, _ = await run("rpc.cluster.local", "-o", "json")
        data = json.loads(out)
        assert (status, data["counts"]["interfaces"]) == (0, len(data["items"]))
        status, out, err = await run("nope")
        assert (status, out) == (1, "")
        assert "no zone nope here" in err


async def test_the_command_line_prints_a_file_of_direct_urls(capsysbinary: CaptureBytes) -> None:
    async with site() as port:
        url = f"http://127.0.0.1:{port}"

        async def run(*arguments: str) -> tuple[int, str, str]:
            status = await asyncio.to_thread(main, ["export", "resolve", *arguments, "--url", url])
            printed = capsysbinary.readouterr()
            return status, printed.out.decode(), printed.err.decode()

        status, out, err = await run("--interface", "com.alipay.user.UserService")
        assert (status, out) == (0, RESOLVE)
        advice, rest = err.splitlines()
        assert advice.startswith("soadns: dubbo: who is connected stays at the old pods after a move")
        assert rest.startswith("soadns: no registry in ZooKeeper is read")
        status, out, _ = await run("--interface", "com.alipay.user.UserService", "-o", "json")
        assert json.loads(out)["items"][0]["url"].startswith("dubbo://")
        assert [row["protocol"] for row in json.loads(out)["advice"]] == ["dubbo"]
        assert (await run("--interface", "com.x.Unknown"))[0] == 1
        assert (await run("nope", "--everyone"))[0] == 1
        status, out, err = await run()
        assert (status, out) == (2, "")
        assert "--everyone" in err


async def test_the_command_line_follows_a_file_and_says_how_it_does(
    tmp_path: Path, capsysbinary: CaptureBytes
) -> None:
    async with site() as port:
        file = tmp_path / "shop.properties"

        async def run(*arguments: str) -> tuple[int, str, str]:
            status = await asyncio.to_thread(main, [*arguments, "--url", f"http://127.0.0.1:{port}"])
            printed = capsysbinary.readouterr()
            return status, printed.out.decode(), printed.err.decode()

        status, out, err = await run("export", "resolve", "--previous", str(file))
        assert (status, out, err) == (2, "", f"soadns: {file} can not be read: No such file or directory\n")
        file.write_text("dubbo.application.name=shop\n")
        status, out, err = await run("boarded", str(file))
        assert (status, out) == (2, "")
        assert "no direct URL is in it" in err

        file.write_text(f"{RESOLVE}com.x.Gone=dubbo://com.x.Gone.rpc.cluster.local:20880\n")
        status, out, err = await run("export", "resolve", "--previous", str(file))
        assert status == 0
        assert RESOLVE.splitlines()[-1] in out
        assert err.startswith(f"soadns: com.x.Gone: it was in {file}, and is left out now: ")
        assert (await run("export", "zonefile", "--previous", str(file)))[0] == 2
        status, out, _ = await run("boarded", str(file), "--application", "shop")
        assert status == 1
        assert out.startswith("2 interfaces called by name: 1 to look at\n")
        file.write_text(RESOLVE)
        status, out, _ = await run("boarded", str(file), "-o", "json")
        data = json.loads(out)
        assert (status, data["well"], data["callersRead"]) == (0, True, False)
        assert data["items"][0]["standing"]["ready"] > 0
        assert (await run("boarded", str(file), "--zone", "nope"))[0] == 1


async def test_options_of_direct_urls_are_none_of_a_zone_file(capsysbinary: CaptureBytes) -> None:
    async with site() as port:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(main, ["export", "zonefile", "--everyone", "--url", url]) == 2
    assert not capsysbinary.readouterr().out
