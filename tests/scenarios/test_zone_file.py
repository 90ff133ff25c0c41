"""The exported zone is one that other name servers take: their own checkers say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.stage.process import printed
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE, Soadns

MANY = 10_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soadns]:
    soadns = showcase(tmp_path_factory.mktemp("large"), names=MANY)
    try:
        yield soadns.start()
    finally:
        soadns.stop()


def checked(part: str, *arguments: str) -> str:
    """What a checker printed; it must have been satisfied."""
    done = printed(part, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def accept(file: Path) -> None:
    serial = file.read_text().splitlines()[2].split()[6]
    said = checked("named-checkzone", "-i", "full", "-k", "ignore", ZONE, str(file))
    assert said == f"zone {ZONE}/IN: loaded serial {serial}\nOK\n"
    assert checked("kzonecheck", "-v", "-o", ZONE, str(file)) == "No semantic error found\n"


def test_checkers_accept_the_zone_of_the_demo_and_of_long_answers(showcased: Soadns, tmp_path: Path) -> None:
    status, text = showcased.cli("export", "zonefile", ZONE)
    assert status == 0, text
    for line in (
        "com.alipay.pay.PayService IN AAAA fd00:10:96::20",
        f"_dubbo._tcp.com.alipay.user.UserService IN SRV 0 100 20880 com.alipay.user.UserService.{ZONE}.",
        "_tcp._tcp.com.acme.Wide IN SRV 0 100 20909 com.acme.Wide.rpc.cluster.local.",
    ):
        assert line in text.splitlines()
    (tmp_path / "zone").write_text(text)
    accept(tmp_path / "zone")


def test_checkers_accept_a_large_zone_and_it_comes_while_answers_go_on(large: Soadns, tmp_path: Path) -> None:
    began = time.monotonic()
    status, text = large.cli("export", "zonefile")
    taken = time.monotonic() - began
    assert status == 0, text[-300:]
    lines = text.splitlines()
    assert lines[-1] == f"; {len(lines) - 3} records"
    assert sum(" IN A " in line for line in lines) > MANY
    (tmp_path / "zone").write_text(text)
    accept(tmp_path / "zone")
    assert taken < 30.0
