"""The ADS server of a real soadns, asked over real gRPC as MOSN asks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.scenarios.stage.adsclient import AdsClient, ends
from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.soadns import Soadns

FILES = Path(__file__).resolve().parents[2] / "examples" / "dubbo-demo" / "files"
ALL = ("egress_dubbo", "egress_bolt")


class Served:
    """soadns over the example files, with an ADS server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.clients: list[AdsClient] = []
        self.soadns: Soadns

    def start(self, **ads: object) -> Soadns:
        settings = {
            "static": [{"name": "home", "paths": [str(FILES)], "cluster": "home"}],
            "sidecar": {"ads": {"listen": self.address, **ads}},
        }
        self.soadns = Soadns(self.folder / "soadns", settings).start()
        return self.soadns

    def join(self, **options: object) -> AdsClient:
        self.clients.append(AdsClient(self.address, **options))  # type: ignore[arg-type]
        return self.clients[-1]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    found = Served(tmp_path)
    try:
        yield found
    finally:
        ends(found.clients)
        found.soadns.stop()


def test_who_connects_is_told_everything_and_is_seen(served: Served) -> None:
    soadns = served.start()
    found = served.join().routers(*ALL)
    _, text = soadns.cli("routes", "-o", "json")
    places = {f"{vip['address']}_{vip['port']}" for vip in json.loads(text)["vips"]}
    assert places
    assert found.keys() == {*places, *ALL}

    def look() -> str:
        return soadns.cli("mesh", "nodes")[1]

    shown = eventually(look, within=30.0, until=lambda text: "has all" in text)
    assert "web-1.shop" in shown, shown
    lines = soadns.process.log.read_text().splitlines()
    assert not [line for line in lines if "event=" not in line], (
        "gRPC has nothing to say when a snapshot is written"
    )
    assert soadns.metric('soadns_ads_nodes{kind="mosn",zone="rpc.cluster.local"}') == 1.0


def test_who_is_not_known_is_sent_away_with_a_reason(served: Served) -> None:
    served.start()
    assert served.join(ZONE="other.zone").refused() == (
        "INVALID_ARGUMENT",
        "no zone other.zone; known are rpc.cluster.local",
    )
    code, said = served.join(SOADNS="").refused()
    assert code == "INVALID_ARGUMENT"
    assert "soadns export mosn" in said


def test_before_everything_is_known_nobody_is_told_anything(served: Served, tmp_path: Path) -> None:
    port = free_port()
    soadns = Soadns(
        tmp_path / "soadns",
        {
            "zookeeper": [{"hosts": f"127.0.0.1:{port}"}],
            "sidecar": {"ads": {"listen": served.address}},
        },
    )
    served.soadns = soadns.start(ready=False)
    soadns.process.wait_until(lambda: soadns.http("/readyz")[0] == 503, within=30.0)
    code, said = served.join().refused()
    assert code == "UNAVAILABLE"
    assert "waits for zookeeper" in said


def test_streams_come_back_after_a_reload(served: Served) -> None:
    soadns = served.start()
    served.join().routers(*ALL)
    status, text = soadns.cli("reload")
    assert status == 0, text
    served.join().routers(*ALL)


def test_a_certificate_is_asked_for_and_says_what_is_seen(
    served: Served, tmp_path: Path, authority: Callable[[str], Authority]
) -> None:
    ours, theirs = authority("ours"), authority("theirs")
    key, chain = ours.sign("server")
    tls = {"cert": str(chain), "key": str(key), "ca": str(ours.certificate)}
    soadns = served.start(tls=tls, isolation="namespace")
    _, text = soadns.cli("routes", "-o", "json")
    vips = json.loads(text)["vips"]
    namespace = vips[0]["service"].split("/")[1]
    mine = {f"{v['address']}_{v['port']}" for v in vips if v["service"].split("/")[1] == namespace}

    def as_(who: Authority, name: str, uri: str) -> tuple[Path, Path, Path]:
        return ours.certificate, *who.sign(name, uri=uri)

    node = as_(ours, "node", f"spiffe://cluster.local/ns/{namespace}/sa/web")
    assert served.join(tls=node, NAMESPACE="another").routers(*ALL).keys() == {*mine, *ALL}
    code, said = served.join(tls=as_(ours, "nobody", "")).refused()
    assert (code, "spiffe" in said) == ("UNAUTHENTICATED", True)
    assert soadns.metric('soadns_ads_cut_total{reason="unauthenticated"}') == 1
    stranger = as_(theirs, "stranger", f"spiffe://cluster.local/ns/{namespace}/sa/web")
    assert served.join(tls=stranger).refused()[0] == "UNAVAILABLE"
    assert served.join().refused()[0] == "UNAVAILABLE"

    fresh_key, fresh = ours.sign("renewed")
    key.write_bytes(fresh_key.read_bytes())
    chain.write_bytes(fresh.read_bytes())
    assert served.join(tls=node).routers(*ALL)
    assert eventually(lambda: soadns.logged("credentials-renewed", "what=sidecar.ads.tls"), within=30.0)
    chain.write_text("no certificate")
    assert served.join(tls=node).routers(*ALL)
    assert eventually(lambda: soadns.logged("credentials-refused", "what=sidecar.ads.tls"), within=30.0)
    assert soadns.metric('soadns_credentials_refused{setting="sidecar.ads.tls"}') == 1


def test_control_answers_while_many_are_pushed(served: Served) -> None:
    soadns = served.start()
    clients = [served.join() for _ in range(50)]
    for each in clients:
        each.routers(*ALL)
    began = time.monotonic()
    assert soadns.http("/readyz")[0] == 200
    assert time.monotonic() - began < 5.0


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path / name)
