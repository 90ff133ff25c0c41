"""A machine with many addresses, as with hostNetwork: whoever asks at one is answered from there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.stage import island
from tests.scenarios.stage.process import Process, printed
from tests.scenarios.stage.showcase import showcase
from tests.scenarios.stage.soadns import ZONE

ADDRESSES = ("10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2", "fe80::9")
ASKED = ("127.0.0.1", "127.0.0.7", "10.9.0.1", "10.9.0.2", "::1", "fd00:9::1", "fd00:9::2", "fe80::9%lo")
PORT = "53"
"""Nobody else is there who could have it."""


@pytest.fixture(scope="module")
def soadns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = showcase(tmp_path_factory.mktemp("island"))
    made.write_config(nameserver={"listen": [f"0.0.0.0:{PORT}", f"[::]:{PORT}"], "workers": 2})
    process = made.process
    process.command = island.command(ADDRESSES, process.command)
    process.start()
    try:
        process.wait_until(lambda: dig(process, "127.0.0.1") == "10.96.1.7\n", within=180)
        yield process
    finally:
        process.stop()


def dig(soadns: Process, address: str, *switches: str) -> str:
    """What dig prints there: it takes a reply from the address it asks, and complains of any other."""
    asked = [f"@{address}", "-p", PORT, "+tries=1", "+time=5", "+short", *switches]
    name = f"com.alipay.user.UserService.{ZONE}"
    return printed("dig", *asked, name, by=island.beside(soadns)).stdout


@pytest.mark.parametrize("address", ASKED)
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_who_asks_at_an_address_is_answered_from_there(soadns: Process, address: str, transport: str) -> None:
    for _ in range(4):  # several workers
        assert dig(soadns, address, transport) == "10.96.1.7\n"
