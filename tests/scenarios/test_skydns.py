"""soadns keeps its zone in a real etcd, and a real CoreDNS answers from there, as ``docs/scaling.md`` says."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from soadns.skydns.etcd import probe
from soadns.skydns.settings import EtcdSettings
from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.dig import dig
from tests.scenarios.stage.kubernetes import Etcd
from tests.scenarios.stage.pages import block
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.showcase import many_names, service, showcase
from tests.scenarios.stage.skydns import (
    ZONE_KEYS,
    CoreDnsOfEtcd,
    addresses,
    keys_below,
    put,
    token_of,
    with_users,
)
from tests.scenarios.stage.soadns import ZONE, Soadns
from tests.scenarios.stage.stage import Stage
from tests.unit.mounted import Mounted

USER = "com.x.UserService"
LEASE_S = 2
"""The shortest that etcd grants."""


def publishing(etcd: Etcd, **changes: Any) -> dict[str, Any]:
    return {"endpoints": [etcd.url], "lease": f"{LEASE_S}s", **changes}


# --------------------------------------------------------------------------- what CoreDNS answers

TYPES = ("A", "AAAA", "SRV", "TXT", "CNAME", "PTR", "MX", "NS", "HTTPS", "ANY", "SOA")
BESIDE = {
    # What a prefix would find: names that end, or begin, like others.
    "OrderService": "10.96.3.1", "order.OrderService": "10.96.3.2", "alipay.order.OrderService": "10.96.3.3",
    "org.alipay.order.OrderService": "10.96.3.4", "com.alipay.order.OrderService2": "10.96.3.5",
    "com.alipay.order.OrderService-2": "10.96.3.6", "x.com.alipay.order.OrderService": "10.96.3.7",
    "com.acme.Outer$Inner": "10.96.3.8", "com.Any.Odd": "10.96.3.9",
}  # fmt: skip
"""Further interfaces of the zone, each of a Service of its own."""

Records = frozenset[str]
Reply = tuple[str, Records, Records]
"""Code, answer, additional section; records in small letters, without TTL (it is compared by itself)."""


@dataclass
class Shown:
    """soadns with its showcase, and the CoreDNS that answers from the etcd to which it writes."""

    soadns: Soadns
    etcd: Etcd
    coredns: CoreDnsOfEtcd


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("skydns")
    etcd = Etcd(folder / "etcd")
    soadns = showcase(folder / "showcase")
    beside = [
        document
        for number, (name, address) in enumerate(BESIDE.items())
        for document in service(f"beside-{number}", name, [20880], cluster_ip=address)
    ]
    file = folder / "beside.json"
    file.write_text("\n---\n".join(map(json.dumps, beside)))
    [static] = soadns.settings["static"]
    soadns.write_config(static=[static | {"paths": [*static["paths"], str(file)]}], skydns=publishing(etcd))
    coredns = CoreDnsOfEtcd(folder / "coredns", ZONE, etcd)
    with ExitStack() as servers:
        for server in (etcd, soadns, coredns):
            servers.callback(server.process.stop)
            server.start()
        caught_up(soadns)
        yield Shown(soadns, etcd, coredns)


def caught_up(soadns: Soadns, *zones: str) -> None:
    """It leads, has compared the zones (or the only one), and all is written."""

    def look() -> bool:
        text = soadns.http("/metrics")[1]
        return all(
            f'soadns_skydns_keys{{zone="{zone}"}}' in text and f'behind_seconds{{zone="{zone}"}} 0.0' in text
            for zone in zones or (ZONE,)
        )

    assert eventually(look, within=30.0), soadns.process.tail()


def test_every_difference_of_coredns_is_listed_and_none_is_listed_in_vain(shown: Shown) -> None:
    found: dict[tuple[str, str, str], str] = {}
    answered = 0
    for kind, name in asked(shown.soadns):
        for qtype in TYPES:
            ours, theirs = (ask(port, name, qtype) for port in (shown.soadns.port, shown.coredns.port))
            answered += qtype in ("A", "AAAA") and ours == theirs and bool(ours[1])
            if what := difference(ours, theirs):
                found.setdefault((kind, qtype, what), f"{name}: {ours} / {theirs}")
    listed = {
        (kind, qtype, what): ""
        for line in block("scaling.md", "skydns").splitlines()
        for kinds, qtypes, what, why in [[cell.strip() for cell in line.split("|")]]
        for kind in kinds.split()
        for qtype in qtypes.split()
        if why
    }
    assert found.keys() == listed.keys(), "\n".join(
        f"{place}: {found.get(place, 'listed, and not there')}"
        for place in sorted(found.keys() ^ listed.keys())
    )
    assert answered >= 25, "addresses of nearly every name are the same"


def test_what_differs_in_an_answer_is_what_the_page_says(shown: Shown) -> None:
    services = texts = 0
    for kind, name in asked(shown.soadns):
        if kind == "service":
            ours, theirs = (ask(port, name, "SRV")[1] for port in (shown.soadns.port, shown.coredns.port))
            weight = 100 // len(ours)
            assert theirs == {line.replace(" srv 0 100 ", f" srv 10 {weight} ") for line in ours}, name
            services += 1
        elif kind == "owner":
            ours, theirs = (ask(port, name, "TXT")[1] for port in (shown.soadns.port, shown.coredns.port))
            strings = [set(re.findall(r'"[^"]*"', line)) for line in ours]
            assert {re.sub(".* txt ", "", line) for line in theirs} == set().union(*strings), name
            texts += len(theirs)
    assert services >= 10
    assert texts >= 40


def test_the_keys_that_the_page_shows_are_there(shown: Shown) -> None:
    lines = block("scaling.md", "etcdctl").splitlines()
    held = keys_below(shown.etcd)
    for key, value in zip(lines[::2], lines[1::2], strict=True):
        assert held[key] == value
    at_keys = [json.loads(value) for value in held.values()]
    assert all(value["soadns"] == "soadns" for value in at_keys)
    count = shown.soadns.metric(f'soadns_skydns_keys{{zone="{ZONE}"}}')
    assert count == len(held)
    assert shown.soadns.metric(f'soadns_skydns_left_out{{zone="{ZONE}"}}') >= 1, "com.Any.Odd"


def test_what_was_asked_before_is_answered_while_etcd_is_away(shown: Shown, tmp_path: Path) -> None:
    name = f"com.alipay.ledger.LedgerService.{ZONE}."
    cached = CoreDnsOfEtcd(tmp_path, ZONE, shown.etcd, cached=True)
    cached.start()
    try:
        _, before, _ = ask(cached.port, name, "A")
        assert {int(line.split()[1]) for line in before} == {5}
        shown.etcd.process.stop()
        # Which takes longer than the answer above may be kept for.
        assert ask(shown.coredns.port, name, "A")[0] == "SERVFAIL", "nothing but the cache knows it"
        expected = {line.replace(" 5 a ", " 0 a ") for line in before}
        assert (
            eventually(lambda: ask(cached.port, name, "A")[1], within=10.0, until=expected.__eq__) == expected
        )
        code, *_ = ask(cached.port, f"com.x.Any.{ZONE}.", "A")
        assert code == "SERVFAIL"
    finally:
        cached.stop()
        shown.etcd.start()


def asked(soadns: Soadns) -> Iterator[tuple[str, str]]:
    """Kinds and names: all of the zone, those between, and some beside them."""
    status, text = soadns.cli("export", "zonefile")
    assert status == 0, text
    owners = {line.split()[0] for line in text.splitlines() if not line.startswith(("$", ";", "@"))}
    between = set()
    for owner in owners:
        labels = owner.split(".")
        between |= {".".join(labels[at:]) for at in range(1, len(labels))}
    wild = {name for name in owners | between if "any" in name.lower().split(".")}
    for name in sorted(owners - wild):
        kind = "ns" if name == "ns" else "service" if name.startswith("_") else "owner"
        yield kind, f"{name}.{ZONE}."
    for name in sorted({name for name in between - wild if name not in owners}):
        yield "between", f"{name}.{ZONE}."
    yield from (
        ("wild-owner", f"{name}.{ZONE}.") for name in sorted(wild & owners) if not name.startswith("_")
    )
    yield "apex", f"{ZONE}."
    for name in ("apex.dns", "ns.dns"):
        yield "reserved", f"{name}.{ZONE}."
    for name in (
        "com.alipay.user.Nobody", "x.y.com.alipay.user.UserService", "A10.96.1.7.com.alipay.user.UserService",
        "E.UserService", "erService", "_bolt._tcp.com.alipay.user.UserService", "OrderService3",
    ):  # fmt: skip
        yield "nobody", f"{name}.{ZONE}."
    yield "wild", f"com.any.OrderService.{ZONE}."


def ask(port: int, name: str, qtype: str) -> Reply:
    query = dns.message.make_query(name, qtype, use_edns=0, payload=4_096)
    reply, _ = dns.query.udp_with_fallback(query, "127.0.0.1", port=port, timeout=10.0)
    sections = (reply.answer, reply.additional)
    answer, additional = (frozenset(_lines(section)) for section in sections)
    return dns.rcode.to_text(reply.rcode()), answer, additional


def _lines(section: list[Any]) -> Iterator[str]:
    for rrset in section:
        for rdata in rrset:
            kind = dns.rdatatype.to_text(rrset.rdtype)
            yield (
                f"{rrset.name} {rrset.ttl} {kind} {rdata}".lower()
                if kind != "TXT"
                else (f"{str(rrset.name).lower()} {rrset.ttl} txt {rdata}")
            )


def difference(ours: Reply, theirs: Reply) -> str:
    said = [f"rcode {ours[0]}/{theirs[0]}"] if ours[0] != theirs[0] else []
    said += ["answer"] if ours[1] != theirs[1] else []
    said += ["additional"] if ours[2] != theirs[2] else []
    return ", ".join(said)


# --------------------------------------------------------------------------- how it gets there


@dataclass
class Scene:
    """Two replicas that look at one ZooKeeper, an etcd, and the CoreDNS that answers from it."""

    stage: Stage
    etcd: Etcd
    coredns: CoreDnsOfEtcd
    replicas: list[Soadns]

    def leader(self) -> Soadns:
        """The replica that writes."""
        leaders = eventually(self._leaders, within=30.0, until=lambda found: len(found) == 1)
        assert len(leaders) == 1, "\n".join(replica.process.tail(15) for replica in self.replicas)
        return leaders[0]

    def _leaders(self) -> list[Soadns]:
        running = [replica for replica in self.replicas if replica.process.running]
        return [replica for replica in running if replica.metric("soadns_skydns_leads")]

    def answers(self, name: str, *expected: str, within: float = 30.0) -> None:
        """CoreDNS does, from etcd. Who writes may be another one each time: a lease is short, and a machine busy."""
        wanted = f"NOERROR {' '.join(sorted(expected))}".strip() if expected else "NXDOMAIN"

        def look() -> str:
            dug = dig(self.coredns.port, f"{name}.{ZONE}.", "A", patience_s=6)
            return f"{dug.status} {' '.join(sorted(dug.data))}".strip()

        got = eventually(look, within=within, until=wanted.__eq__)
        tails = "\n".join(replica.process.tail(15) for replica in self.replicas)
        assert got == wanted, f"{name}: {got}, expected {wanted}\n{tails}"


@pytest.fixture
def scene(registry_stage: Stage, tmp_path: Path) -> Iterator[Scene]:
    etcd = Etcd(tmp_path / "etcd")
    coredns = CoreDnsOfEtcd(tmp_path / "coredns", ZONE, etcd)
    replicas = [registry_stage.soadns_not_started(skydns=publishing(etcd)) for _ in range(2)]
    with ExitStack() as servers:
        for server in (etcd, coredns):
            servers.callback(server.process.stop)
            server.start()
        yield Scene(registry_stage, etcd, coredns, replicas)


def test_names_come_move_and_go_whoever_is_killed_meanwhile(scene: Scene) -> None:
    first = scene.stage.machine()
    first.registers(USER, "com.x.PayService")
    strangers = {
        f"{ZONE_KEYS}payservice/x/com/x1": {"host": "192.0.2.9", "ttl": 60},
        f"{ZONE_KEYS}payservice/x/com/A192.0.2.8": {"host": "192.0.2.8", "soadns": "another"},
    }
    put(scene.etcd, strangers)
    for replica in scene.replicas:
        replica.start()
    scene.answers(USER, first.host)
    scene.answers(
        "com.x.PayService", first.host, "192.0.2.9", "192.0.2.8"
    )  # what others write makes it wrong
    foreign = f'soadns_skydns_foreign{{zone="{ZONE}"}}'
    assert eventually(lambda: scene.leader().metric(foreign) == 2, within=10.0)
    assert eventually(lambda: scene.leader().logged("skydns-foreign", "keys=2"), within=10.0)

    second = scene.stage.machine()
    second.registers(USER)
    scene.answers(USER, first.host, second.host)

    # Who writes is killed, and the name changes before anybody else may write.
    leader = scene.leader()
    [other] = [replica for replica in scene.replicas if replica is not leader]
    leader.kill()
    third = scene.stage.machine()
    third.registers(USER)
    scene.answers(USER, first.host, second.host, third.host)
    assert scene.leader() is other

    # etcd goes away; what changes meanwhile is there when it is back.
    scene.etcd.process.stop()
    third.unregisters(USER)
    fourth = scene.stage.machine()
    fourth.registers("com.x.NewService")
    other.answers("com.x.NewService", fourth.host)
    assert eventually(lambda: other.metric("soadns_skydns_trouble") == 1, within=30.0)
    scene.etcd.start()
    scene.answers("com.x.NewService", fourth.host)
    # Of those seen within a minute at least half remain, so who is gone leaves at once.
    scene.answers(USER, first.host, second.host)
    fourth.unregisters()
    scene.answers("com.x.NewService")
    left = [key for key in keys_below(scene.etcd) if "newservice" in key]
    assert not left, "nor what led to it"

    # What a replica finds that should not be there goes, and what is missing comes.
    scene.leader().stop()
    held = keys_below(scene.etcd)
    assert addresses(scene.etcd) >= {f"{USER}.{ZONE} {one.host}".lower() for one in (first, second)}
    orphan = f"{ZONE_KEYS}gone/x/com/A10.9.9.9"
    put(
        scene.etcd,
        {orphan: {"host": "10.9.9.9", "port": -1, "group": f"com.x.gone.{ZONE}", "soadns": "soadns"}},
    )
    scene.answers("com.x.Gone", "10.9.9.9")
    fifth = scene.stage.machine()
    fifth.registers("com.x.LateService")
    leader.start()
    scene.answers("com.x.LateService", fifth.host)
    scene.answers("com.x.Gone")
    found = keys_below(scene.etcd)
    assert {key: found.get(key) for key in held} == held, "what was right was left as it was"
    assert all(json.loads(found[key]) == value for key, value in strangers.items())

    # Taken back: nothing of ours is left, and all of others'.
    leader.write_config(skydns=publishing(scene.etcd, mode="clear"))
    status, text = leader.cli("reload")
    assert status == 0, text
    remain = eventually(
        lambda: keys_below(scene.etcd), within=30.0, until=lambda held: held.keys() == strangers.keys()
    )
    assert remain.keys() == strangers.keys()
    assert eventually(lambda: leader.logged("skydns-cleared"), within=30.0)


def test_what_nobody_can_have_meant_waits_for_an_operator(scene: Scene, tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    soadns = Soadns(
        tmp_path / "held",
        {
            "static": [{"name": "files", "paths": [str(names)]}],
            "binding": {"linger": "1s"},
            "skydns": publishing(scene.etcd),
        },
    )
    names.write_text(json.dumps(many_names(30)))
    soadns.start()
    last, first = "com.acme.p0.Service29", "com.acme.p0.Service0"
    try:
        scene.answers(last, "10.0.0.29")
        caught_up(soadns)
        before = keys_below(scene.etcd)
        soadns.stop()
        # Another state, another file: as far as it knows there never were more.
        names.write_text(json.dumps(many_names(5)))
        (tmp_path / "held" / "state" / "snapshot").unlink()
        soadns.start()
        assert eventually(lambda: soadns.logged("skydns-held", "names=25", "of=30"), within=30.0)
        caught_up(soadns)
        assert soadns.metric(f'soadns_skydns_held{{zone="{ZONE}"}}') > 25, "with what leads to them"
        assert keys_below(scene.etcd) == before
        assert soadns.cli("release", "skydns")[0] == 0
        scene.answers(last)
        scene.answers(first, "10.0.0.0")
        assert eventually(lambda: len(addresses(scene.etcd)), within=10.0, until=(5).__eq__) == 5
    finally:
        soadns.process.stop()


def test_what_a_zone_leaves_behind_goes_and_waits_where_it_is_much(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path / "etcd")
    names = tmp_path / "names.json"
    names.write_text(json.dumps(many_names(30)))
    zones = [{"name": ZONE}, {"name": "old.test"}, {"name": "small.test", "unmapped": "nxdomain"}]
    theirs = {"/skydns/test/old/com/acme/x1": {"host": "192.0.2.9"}}
    settings = {
        "zones": zones,
        "static": [{"name": "files", "paths": [str(names)]}],
        "skydns": publishing(etcd, resync="1s"),
    }
    soadns = Soadns(tmp_path / "soadns", settings)
    etcd.start()
    put(etcd, theirs)
    soadns.start()
    try:
        caught_up(soadns, *(str(zone["name"]) for zone in zones))
        apex, old = "/skydns/test/small/dns/apex/E", "/skydns/test/old/"
        assert eventually(lambda: apex in keys_below(etcd, "/skydns/"), within=10.0)
        before = keys_below(etcd, old)
        assert len(before) > 30
        kept = keys_below(etcd)

        soadns.write_config(skydns=publishing(etcd, resync="1s", zones=[ZONE]))
        status, text = soadns.cli("reload")
        assert status == 0, text
        assert eventually(lambda: soadns.logged("skydns-removed", "zone=small.test"), within=30.0)
        assert apex not in keys_below(etcd, "/skydns/")
        assert eventually(lambda: soadns.logged("skydns-held", "zone=old.test", "names=30"), within=30.0)
        assert eventually(lambda: soadns.metric('soadns_skydns_held{zone="old.test"}') == 30, within=10.0)
        assert keys_below(etcd, old) == before
        status, text = soadns.cli("release", "skydns")
        assert status == 0, text
        left = eventually(lambda: keys_below(etcd, old), within=30.0, until=lambda held: len(held) == 1)
        assert left.keys() == theirs.keys()
        assert keys_below(etcd) == kept
    finally:
        soadns.process.stop()
        etcd.process.stop()


def test_it_writes_as_a_user_who_may_no_more_than_the_page_says(scene: Scene, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    with_users(scene.etcd, root="root", soadns="s3cret", stranger="s3cret")
    user = {"username": "soadns", "passwordFile": str(password)}
    [one, two] = scene.replicas
    one.write_config(skydns=publishing(scene.etcd, **user))
    two.write_config(skydns=publishing(scene.etcd, **user | {"username": "nobody"}))
    assert one.cli_json("check")["ok"]
    refused = [each for each in two.cli_json("check")["findings"] if each["source"] == "skydns"]
    assert [each["ok"] for each in refused] == [False, False]
    first, second = scene.stage.machine(), scene.stage.machine()
    first.registers(USER)
    one.start()

    def published() -> set[str]:
        return addresses(scene.etcd, token=token_of(scene.etcd, "root", "root"))

    expected = {f"{USER}.{ZONE} {machine.host}".lower() for machine in (first, second)}
    assert len(eventually(published, within=30.0)) == 1
    # Tokens end with the server that gave them.
    scene.etcd.process.stop()
    scene.etcd.start()
    second.registers(USER)
    assert eventually(published, within=60.0, until=expected.__eq__) == expected


def test_renewed_certificates_hold_without_a_reload_and_damaged_ones_do_not(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other")

    def files(ca: Authority, client: Authority, name: str) -> dict[str, str]:
        key, cert = client.sign(name)
        return {"ca": ca.certificate.read_text(), "key": key.read_text(), "cert": cert.read_text()}

    etcd = Etcd(tmp_path / "etcd", tls=(authority.certificate, *authority.sign("etcd")))
    secret = Mounted(tmp_path / "secret", **files(stranger, stranger, "soadns"))
    names = tmp_path / "names.json"
    names.write_text(json.dumps(many_names(1)))
    soadns = Soadns(
        tmp_path / "soadns",
        {
            "static": [{"name": "files", "paths": [str(names)]}],
            "skydns": publishing(etcd, tls={name: secret[name] for name in ("ca", "key", "cert")}),
        },
    )
    etcd.start()
    soadns.start()
    refused = 'soadns_credentials_refused{setting="skydns.tls"}'
    try:
        assert eventually(lambda: soadns.metric("soadns_skydns_trouble") == 1, within=30.0)
        assert soadns.metric(refused) == 0
        secret.put(**files(authority, authority, "renewed"))
        assert eventually(lambda: len(addresses(etcd)), within=40.0) == 1
        secret.put(**files(authority, authority, "mixed") | {"key": stranger.sign("odd")[0].read_text()})
        assert eventually(lambda: soadns.metric(refused) == 1, within=10.0)
        assert eventually(lambda: soadns.logged("credentials-refused", "what=skydns.tls"), within=5.0)
        names.write_text(json.dumps(many_names(2)))
        assert eventually(lambda: len(addresses(etcd)), within=40.0, until=(2).__eq__) == 2
        secret.put(**files(authority, authority, "again"))
        assert eventually(lambda: soadns.metric(refused) == 0, within=10.0)
    finally:
        soadns.process.stop()
        etcd.process.stop()


def test_it_asks_etcd_by_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    files = {
        "ours": (authority.certificate, *authority.sign("soadns")),
        "without a certificate": (authority.certificate, "", ""),
        "signed by another": (authority.certificate, *stranger.sign("soadns")),
        "of a server that another signed": (stranger.certificate, *authority.sign("client")),
    }
    etcd = Etcd(tmp_path / "etcd", tls=(authority.certificate, *authority.sign("etcd")))
    etcd.start()
    try:
        told = {}
        for what, (ca, key, cert) in files.items():
            settings = EtcdSettings((etcd.url,), ca=str(ca), cert=str(cert), key=str(key))
            tried = asyncio.run(probe(settings, "/skydns", "/skydns/SOADNS/soadns"))
            told[what] = [not problem for _, problem in tried]
        assert told == {what: [what == "ours"] * 2 for what in files}
    finally:
        etcd.process.stop()
