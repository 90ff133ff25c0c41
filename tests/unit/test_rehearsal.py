"""What would change if manifests were applied: told by the rules of binding, in a copy, and by nothing that happens."""

from __future__ import annotations

import asyncio
import io
import mmap
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soadns import forked
from soadns.cli import main
from soadns.commands.rehearsalverb import refusals
from soadns.commands.rehearsalverb import rehearsal as lines
from soadns.rehearsals import rehearsal, rehearsing
from soadns.rehearsals.rehearsing import Rehearsals
from soadns.settings.configfile import parse
from soadns.web.operations import Refused
from tests.unit.demo_process import DemoProcess
from tests.unit.http_site import ask, site
from tests.unit.notation import Notebook
from tests.unit.waiting import alive, before_long, soon

pytestmark = pytest.mark.long

STORY = """
Service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2
Service shop/gray 10.96.0.2; pods shop/gray 10.1.0.9
register User 10.1.0.1 10.1.0.2; register Old 10.9.0.1
"""
CONFIG = """
zookeeper: [{hosts: zk1}]
kubernetes: [{name: home, namespaces: [shop, pay], selector: 'team!=hidden'}]
zones: [{name: rpc.test}]
"""


def told() -> Notebook:
    notebook = Notebook()
    for line in STORY.strip().splitlines():
        for statement in line.split(";"):
            notebook.say(statement.strip())
    notebook.flush()
    notebook.wait(60.0)
    return notebook


def service(
    name: str, *, spec: str = "{ports: [{port: 20880}]}", labels: str = "{}", **annotations: str
) -> str:
    """A manifest as somebody writes it: without anything that an API server adds."""
    namespace, _, short = name.partition("/")
    said = ", ".join(f"soadns.io/{key}: {text!r}" for key, text in annotations.items())
    return (
        f"apiVersion: v1\nkind: Service\n"
        f"metadata: {{name: {short}, namespace: {namespace}, labels: {labels}, annotations: {{{said}}}}}\n"
        f"spec: {spec}\n"
    )


def slice_of(name: str, *addresses: str) -> str:
    namespace, _, short = name.partition("/")
    endpoints = ", ".join(f"{{addresses: [{ip}], conditions: {{ready: true}}}}" for ip in addresses)
    return (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{port: 20880}]\n"
        f"metadata: {{name: {short}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {short}}}}}\n"
        f"endpoints: [{endpoints}]\n"
    )


def rehearsing_of(notebook: Notebook) -> Rehearsals:
    control = SimpleNamespace(
        estate=notebook.estate, config=parse(CONFIG, where="soadns.yaml"), now=lambda: notebook.now
    )
    return Rehearsals(control)  # type: ignore[arg-type]


def rehearse(notebook: Notebook, *documents: str, cluster: str = "") -> dict[str, Any]:
    files = [("user.yaml", "---\n".join(documents))]
    return asyncio.run(rehearsing_of(notebook).rehearse(files, cluster))


def said(data: dict[str, Any]) -> str:
    return "\n".join(lines(data))


CASES = {
    "a declaration takes a name from evidence in its namespace": (
        [service("shop/gray", interfaces="User")],
        0,
        "Service shop/gray: changed\n\nUser in rpc.test\n  before  10.96.0.1  home/shop/user\n"
        "  after   10.96.0.2  home/shop/gray\n  its evidence is stronger than that of the one before\n\n"
        "1 name would change",
    ),
    "and not in another": (
        [service("pay/gray", interfaces="User"), slice_of("pay/gray", "10.3.0.1")],
        1,
        "\n\nUser in rpc.test\n  home/pay/gray does not get it: conflict, declared, but the evidence for the name "
        "lives in another namespace\n\nno name would change; 1 of what is declared would have no effect",
    ),
    "one that nobody serves waits, which is as it should be": (
        [service("shop/empty", interfaces="User")],
        0,
        "\n\nUser in rpc.test\n  home/shop/empty does not get it yet: declared, not served yet: it never had a ready "
        "endpoint\n\nno name would change",
    ),
    "a new Service has an address that nobody knows": (
        [service("pay/legacy", interfaces="Old,Fresh", traffic="mesh"), slice_of("pay/legacy", "10.9.0.1")],
        0,
        "Service pay/legacy: new\nEndpointSlice pay/legacy: new\n\n"
        "Fresh in rpc.test\n  before  unknown\n  after   the ClusterIP that it gets  home/pay/legacy\n"
        "  chosen among the candidates\n"
        "  at 2001-09-09T01:57:40.000Z: not served, it goes, unless its Service serves it again\n\n"
        "Old in rpc.test\n  before  10.9.0.1                    its providers' own addresses\n"
        "  after   the ClusterIP that it gets  home/pay/legacy\n  chosen among the candidates\n\n2 names would change",
    ),
    "pods of a new version take nothing with them": (
        [slice_of("shop/user", "10.1.0.1", "10.1.0.2", "10.1.0.3")],
        0,
        "EndpointSlice shop/user: changed\n\nno name would change",
    ),
    "what would go, and when": (
        [slice_of("shop/user")],
        0,
        "User in rpc.test\n"
        "  at 2001-09-09T01:47:50.000Z: no endpoints, another candidate takes it, if there is one\n"
        "  at 2001-09-09T01:48:40.000Z: none ready, another candidate takes it, if there is one\n"
        "  at 2001-09-09T01:57:40.000Z: evidence lost, it goes, or moves to another candidate, unless the evidence "
        "returns\n\nno name would change",
    ),
    "what stands there already changes nothing": (
        [service("shop/user")],
        0,
        "Service shop/user: changed\n\nno name would change",
    ),
    "what is off is not answered by it": (
        [service("shop/user", traffic="off")],
        0,
        "Service shop/user: changed\n\nUser in rpc.test\n  before  10.96.0.1          home/shop/user\n"
        "  after   10.1.0.1 10.1.0.2  its providers' own addresses\n  soadns.io/traffic took the one before out\n"
        "  home/shop/user does not get it: off, soadns.io/traffic says off\n\n"
        "1 name would change",
    ),
    "what is not understood is said by file and document": (
        ["kind: Servce\n", service("shop/gray", interfaces="a b"), "kind: Deployment\n"],
        2,
        "user.yaml line 1: unknown-kind: the kind 'Servce' is neither Kubernetes' nor ours; did you mean Service?",
    ),
    "what soadns is not shown": (
        [service("other/user", interfaces="User"), service("shop/x", labels="{team: hidden}")],
        2,
        "Service other/user: not read\nService shop/x: not read\n\nno name would change; 2 of",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_what_would_change_and_what_would_not(what: str) -> None:
    documents, refused, expected = CASES[what]
    notebook = told()
    data = rehearse(notebook, *documents)
    assert expected in said(data), said(data)
    assert refusals(data) == refused, data


def test_nothing_happens_to_the_running_one() -> None:
    notebook = told()
    before = [(name, str(each)) for name, each in notebook.zone.outcomes.items()]
    rehearse(notebook, service("shop/gray", interfaces="User", traffic="mesh"))
    assert [(name, str(each)) for name, each in notebook.zone.outcomes.items()] == before
    assert not notebook.estate.pending
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_it_says_what_happens_if_it_is_applied() -> None:
    """The same objects, with the address that it was given: what was said before comes true."""
    notebook = told()
    text = service("pay/legacy", interfaces="Old", traffic="mesh")
    [change] = rehearse(notebook, text)["zones"][0]["changes"]
    assert (change["after"]["service"], change["after"]["addresses"]) == ("home/pay/legacy", [])
    assert change["after"]["unassigned"]
    notebook.say("Service pay/legacy 10.96.0.77 interfaces=Old traffic=mesh")
    notebook.flush()
    notebook.check("Old A 10.96.0.77", "", 0)


def test_what_can_not_be_rehearsed_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = told()
    with pytest.raises(Refused, match=r"user\.yaml"):
        rehearse(notebook, "kind: [\n")
    with pytest.raises(Refused, match="no cluster west; known are home"):
        rehearse(notebook, cluster="west")
    monkeypatch.setattr(rehearsal, "MOST_UNASSIGNED", 1)
    with pytest.raises(Refused, match="more than 1 Services that are not there yet"):
        rehearse(notebook, service("shop/a"), service("shop/b"))
    unread = Notebook()
    unread.estate.zones["rpc.test"].complete = False
    unread.estate.observations.sources["kube/home"].synced_once = False
    with pytest.raises(Refused, match=r"rpc\.test waits for kube/home: what would change is not known yet"):
        rehearse(unread, service("shop/a"))


def test_one_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsing, "REHEARSAL_S", 0.1)
    monkeypatch.setattr(rehearsal, "settle", lambda *_: time.sleep(60))
    with pytest.raises(Refused, match=r"it did not end within 0.1 s.*exit status -9"):
        rehearse(told(), service("shop/a"))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_whoever_leaves_takes_the_copies_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends, for one; a thread of it waits for what its child waits for."""
    shared = mmap.mmap(-1, 8)

    def stuck(*_: object) -> None:
        shared[:] = os.getpid().to_bytes(8)
        time.sleep(60)

    def inner() -> int:
        return int.from_bytes(shared[:])

    monkeypatch.setattr(rehearsal, "apply", stuck)

    async def leave() -> None:
        asked = asyncio.create_task(rehearsing_of(told()).rehearse([("user.yaml", service("shop/a"))], ""))
        await soon(inner)
        asked.cancel()
        await asyncio.wait([asked])

    began = time.monotonic()
    asyncio.run(leave())
    assert time.monotonic() - began < 20
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    before_long(lambda: not alive(inner()))


def test_a_child_that_fails_or_never_ends_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError

    def spin() -> None:
        while True:
            pass

    with pytest.raises(forked.ForkedError, match="exit status 255"):
        forked.result(*forked.begin(fail))
    monkeypatch.setattr(forked, "CPU_S", 1)
    with pytest.raises(forked.ForkedError, match="exit status -9"):
        forked.result(*forked.begin(spin))
    assert forked.result(*forked.begin(lambda: {"all": "well"})) == {"all": "well"}


def test_a_copy_has_nothing_open_but_what_it_says_its_result_by() -> None:
    """Else it would keep ports from a successor of the process, if that is killed."""

    def opened() -> list[int]:
        seen = {int(name) for name in os.listdir("/proc/self/fd")}
        return sorted(number for number in seen if os.path.exists(f"/proc/self/fd/{number}"))

    def both() -> list[list[int]]:
        return [opened(), forked.result(*forked.begin(opened))]

    with socket.create_server(("127.0.0.1", 0)):
        copy, of_copy = forked.result(*forked.begin(both))
    assert len([number for number in copy if number > 2]) == 1
    assert len([number for number in of_copy if number > 2]) == 1


# --------------------------------------------------------------------------- command line and HTTP


async def test_the_command_line_reads_files_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "user.yaml"
    path.write_text("kind: Service\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: List\n"))
    async with site(DemoProcess()) as port:
        url = ["--url", f"http://127.0.0.1:{port}", "-o", "json"]
        asked = ["explain", "--manifest", str(path), "--manifest", "-", "--cluster", "east", *url]
        assert await asyncio.to_thread(main, asked) == 0
        assert '"cluster": "east"' in (out := capsys.readouterr().out)
        assert all(text in out for text in ("kind: Service", "standard input", "kind: List"))
        assert await asyncio.to_thread(main, ["explain", "--manifest", str(tmp_path / "none"), *url]) == 2
        assert "No such file" in capsys.readouterr().err
        assert await asyncio.to_thread(main, ["explain", "--raw", "--manifest", str(path), *url]) == 2
        for body in (b"{}", b'{"files": [{"name": "x"}]}', b'{"files": [], "cluster": 1}'):
            assert (await ask(port, "POST /v1/rehearse", body=body))[0] == 409


@pytest.mark.parametrize(
    "body",
    [
        rb'{"files": [{"name": "x", "text": "kind: \ud800"}]}',
        rb'{"files": [{"name": "\uDFFF", "text": "kind: ["}]}',
        rb'{"files": [], "cluster": "\ud800"}',
        b'{"files": [{"name": "x", "text": "\xed\xa0\x80"}]}',
    ],
)
async def test_half_of_a_surrogate_pair_is_refused_with_the_reason(body: bytes) -> None:
    async with site(DemoProcess()) as port:
        status, told = await ask(port, "POST /v1/rehearse", body=body)
        assert (status, told["error"]) == (
            409,
            "the body holds half of a surrogate pair: no text is written so",
        )
        whole = rb'{"files": [{"name": "x", "text": "# \ud83d\ude00"}]}'
        assert (await ask(port, "POST /v1/rehearse", body=whole))[0] == 200
