"""What the verbs about sidecars do with what they are told: zones, Services, and options that are not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from soadns.cli import main
from soadns.commands.client import Client
from tests.unit.demo_process import DemoProcess
from tests.unit.http_site import site
from tests.unit.route_process import RouteProcess

TWO = "zones: [{name: one.test}, {name: two.test}]\nstatic: [{name: demo, paths: [examples]}]"


async def typed(process: DemoProcess, line: str) -> int:
    async with site(process) as port:
        return await asyncio.to_thread(main, [*line.split(), "--url", f"http://127.0.0.1:{port}"])


@pytest.mark.parametrize("form", ["envoyfilters", "mosn --node web-1.shop", "zonefile", "resolve --everyone"])
async def test_an_export_is_of_the_zone_that_is_named_either_way(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(DemoProcess(), f"export {form} --zone nowhere.test") == 1
    assert "no zone nowhere.test here" in capsys.readouterr().err
    assert await typed(DemoProcess(TWO), f"export {form}") == 1
    assert "which zone: known are one.test, two.test" in capsys.readouterr().err
    printed = []
    for place in (" two.test", " --zone two.test", " two.test --zone two.test"):
        words = form.split()
        assert await typed(DemoProcess(TWO), f"export {words[0]}{place} {' '.join(words[1:])}") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0]
    assert printed == [printed[0]] * 3
    assert await typed(DemoProcess(TWO), f"export {form.split()[0]} one.test --zone two.test") == 2
    assert "which zone, one.test or two.test?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("zonefile --follow", "--follow is for export envoy"),
        ("envoyfilters --seen-as /x", "--seen-as is for export envoy"),
        ("envoyfilters --node web-1.shop", "--node is for export mosn and envoy"),
        ("resolve --everyone --ads-tls a,b,c", "--ads-tls is for export mosn and envoy"),
        ("mosn --node a.b --unmatched pass", "--unmatched is for export envoy"),
        ("mosn --node a.b --everyone", "--everyone is for export resolve"),
        ("mosn --node a.b --service shop/user", "--service is for export envoyfilters"),
        ("envoy /tmp/x --namespaces a", "--namespaces is for export mosn"),
        ("envoy /tmp/x --diff", "--diff is for export envoyfilters"),
        ("envoyfilters --format sofa", "--format is for export resolve"),
    ],
)
def test_an_option_of_another_export_is_not_passed_over(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *line.split()]) == 2
    assert said in capsys.readouterr().err


class Kept(RouteProcess):
    """One whose filters are kept."""

    def __init__(self, istio: dict[str, Any] | None) -> None:
        super().__init__()
        self.istio = istio

    def mesh_status(self, service: str) -> dict[str, Any]:
        return {"share": None, "istio": self.istio}


STATUS: dict[str, Any] = {
    "mode": "write", "waitsFor": None, "trouble": None, "written": 0, "room": None, "files": [],
    "guard": {"objects": 0, "counted": 0, "held": 0},
    "rejects": {"known": False, "total": 0, "errors": 0, "since": None, "trouble": None}, "services": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("istio", "service", "status", "said"),
    [
        (STATUS, "", 0, ""),
        (STATUS, "nope/x", 1, "nope/x: no such Service, or it has no routes (soadns routes nope/x)"),
        ({**STATUS, "waitsFor": "the moon"}, "shop/user", 1, "of shop/user nothing is known yet: the moon"),
        (None, "shop/user", 1, "nobody keeps filters (sidecar.istio.mode: none)"),
        (None, "", 0, ""),
        (STATUS, "user", 2, "user: expected NAMESPACE/NAME, e.g. soadns mesh status shop/user"),
        (STATUS, "shop/", 2, "shop/: expected NAMESPACE/NAME"),
    ],
)
async def test_the_status_of_a_service_that_is_none_is_no(
    istio: dict[str, Any] | None, service: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(Kept(istio), f"mesh status {service}") == status
    shown = capsys.readouterr()
    assert said in shown.err
    assert bool(shown.out) == (status == 0)


async def test_forget_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert await typed(RouteProcess(), "mesh forget user") == 2
    assert (
        "user: expected NAMESPACE/NAME, e.g. soadns mesh forget shop/user com.x.UserService"
        in capsys.readouterr().err
    )
    assert await typed(RouteProcess(), "mesh forget shop/user com.x.User") == 0


@pytest.mark.parametrize(
    ("service", "status", "said"),
    [
        ("", 0, ""),
        ("shop/user", 0, ""),
        ("home/shop/user", 0, ""),
        ("op/user", 1, ""),
        ("user", 2, "user: expected NAMESPACE/NAME, e.g. soadns mesh moves shop/user"),
    ],
)
async def test_what_has_moved_is_told_of_the_service_that_is_named(
    service: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(RouteProcess(), f"mesh moves {service}") == status
    shown = capsys.readouterr()
    assert ("com.x.User" in shown.out) == (status == 0)
    assert said in shown.err


async def test_a_soadns_that_does_not_tell_of_changes_yet_is_no_fault_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``kubectl soadns`` may be newer than what it asks."""
    told = Client.envoy_filters

    def older(self: Client, query: Mapping[str, str]) -> dict[str, Any]:
        found = told(self, query)
        return {key: value for key, value in found.items() if key not in ("changes", "configMaps", "leftOut")}

    monkeypatch.setattr(Client, "envoy_filters", older)
    assert await typed(RouteProcess(), "export envoyfilters") == 0
    assert "kind: EnvoyFilter" in capsys.readouterr().out
    assert await typed(RouteProcess(), "export envoyfilters --diff") == 1
    assert "is not known" in capsys.readouterr().err
