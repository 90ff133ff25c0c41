"""Credentials that others give: programs and issuers that hang cost a while and are named.

And how long a server may ask to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from soadns import kubeconfig
from soadns.kubeapi import ApiError, KubeApi, KubeConfigError
from tests.unit.scripted_api import Reply, Request, ScriptedApi, failure
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

GIVEN = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "given"}}'


def program(folder: Path, *lines: str) -> Path:
    """A program that notes each of its processes in ``begun``."""
    path = folder / "give-credentials"
    path.write_text("\n".join(("#!/bin/sh", f"echo $$ >> {folder}/begun", *lines)))
    path.chmod(0o755)
    return path


def begun(folder: Path) -> list[int]:
    path = folder / "begun"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def by_exec(path: Path) -> dict[str, object]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


def by_gcloud(path: Path) -> dict[str, object]:
    given = {"cmd-path": str(path), "cmd-args": "now"}
    return {"auth-provider": {"name": "gcp", "config": given}}


def by_issuer(url: str) -> dict[str, object]:
    given = {
        "idp-issuer-url": url, "client-id": "soadns", "client-secret": "", "refresh-token": "old"
    }  # fmt: skip
    return {"auth-provider": {"name": "oidc", "config": given}}


@asynccontextmanager
async def asked(folder: Path, user: dict[str, object]) -> AsyncIterator[KubeApi]:
    """An API server that wants the token."""

    def script(request: Request) -> Reply:
        permitted = request.headers.get("authorization") == "Bearer given"
        return Reply(body={}) if permitted else failure(401, "Unauthorized")

    async with ScriptedApi(script) as server:
        api = KubeApi(kubeconfig=server.kubeconfig(folder, **user))
        try:
            yield api
        finally:
            await api.close()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("way", [by_exec, by_gcloud])
async def test_a_program_that_hangs_is_ended_and_named_to_all_who_wait_at_once(
    way: Callable[[Path], dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeconfig, "CREDENTIALS_S", 1.0)
    hangs = program(tmp_path, "exec sleep 600")
    async with asked(tmp_path, way(hangs)) as api, asyncio.timeout(20):
        answers = await asyncio.gather(*[api.get("/version") for _ in range(20)], return_exceptions=True)
        assert {str(answer) for answer in answers} == {
            f"{tmp_path}/kubeconfig: {hangs} gave no credentials within 1 s"
        }
        assert all(isinstance(answer, KubeConfigError) for answer in answers)
        [pid] = begun(tmp_path)
        await soon(lambda: not alive(pid))


async def test_a_program_that_hung_once_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeconfig, "CREDENTIALS_S", 2.0)
    hangs_once = program(
        tmp_path, f"[ $(wc -l < {tmp_path}/begun) -gt 1 ] || exec sleep 600", f"echo '{GIVEN}'"
    )
    async with asked(tmp_path, by_exec(hangs_once)) as api, asyncio.timeout(20):
        with pytest.raises(KubeConfigError):
            await api.get("/version")
        assert await asyncio.gather(*[api.get("/version") for _ in range(5)]) == [b"{}"] * 5
        assert len(begun(tmp_path)) == 2


async def test_who_waits_no_longer_changes_nothing_for_others(tmp_path: Path) -> None:
    slow = program(tmp_path, f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", f"echo '{GIVEN}'")
    async with asked(tmp_path, by_exec(slow)) as api, asyncio.timeout(20):
        first, second = (asyncio.create_task(api.get("/version")) for _ in range(2))
        await soon(lambda: begun(tmp_path))
        first.cancel()
        with pytest.raises(KubeConfigError, match=r"kubeconfig: no credentials within 0\.1 s"):
            await api.get("/version", within=0.1)
        (tmp_path / "go").touch()
        assert await second == b"{}"
        assert len(begun(tmp_path)) == 1


async def test_a_program_that_hangs_does_not_outlive_who_asked(tmp_path: Path) -> None:
    async with asked(tmp_path, by_exec(program(tmp_path, "exec sleep 600"))) as api, asyncio.timeout(20):
        waiting = asyncio.create_task(api.get("/version"))
        await soon(lambda: begun(tmp_path))
        await api.close()
        with pytest.raises(ApiError, match="the connections were closed"):
            await waiting
        await soon(lambda: not alive(begun(tmp_path)[0]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of how the package asks issuers
async def test_an_issuer_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "CREDENTIALS_S", 0.2)
    hangs = Reply(lines=(), hold=60.0)
    async with ScriptedApi(lambda _: hangs) as issuer, asked(tmp_path, by_issuer(issuer.url)) as api:
        with pytest.raises(KubeConfigError, match=f"kubeconfig: {issuer.url} gave no credentials within"):
            await api.get("/version")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of how the package asks issuers
async def test_an_issuer_that_is_away_is_trouble_of_the_kubeconfig(tmp_path: Path) -> None:
    async with asked(tmp_path, by_issuer("http://127.0.0.1:1")) as api:
        with pytest.raises(KubeConfigError, match=r"/kubeconfig: .*127\.0\.0\.1:1"):
            await api.get("/version")


async def test_certificates_that_are_none_are_trouble_of_the_kubeconfig(tmp_path: Path) -> None:
    path, authority = tmp_path / "kubeconfig", tmp_path / "ca.crt"
    authority.write_text("no certificate")
    async with ScriptedApi(lambda _: Reply(body={})) as server:
        server.url = "https://127.0.0.1:1"
        server.kubeconfig(tmp_path)
    path.write_text(path.read_text().replace('"server"', f'"certificate-authority": "{authority}", "server"'))
    with pytest.raises(KubeConfigError, match="/kubeconfig: "):
        await KubeApi(kubeconfig=str(path)).get("/version")


WAITS = """
asked  waited
1      1
86400  30
inf    30
nan    0
-5     0
-inf   0
soon   1
"""


@pytest.mark.parametrize("row", WAITS.strip().splitlines()[1:])
async def test_no_server_may_ask_for_a_longer_wait_than_half_a_minute(row: str, tmp_path: Path) -> None:
    wanted, waited = row.split()
    async with ScriptedApi(lambda _: failure(503, "away", Retry_After=wanted)) as server:
        api = KubeApi(kubeconfig=server.kubeconfig(tmp_path))
        with pytest.raises(ApiError) as refusal:
            await api.get("/version")
        await api.close()
    assert refusal.value.retry_after == float(waited)
