"""Real Envoy and real MOSN told over TLS: who shows a certificate is told what its namespace may see, and no more; both
follow what moves on the connection that there is, share calls out by providers' weights, go on without soadns, and are
taken out by the commands of the pages.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.stage.certificates import Authority
from tests.scenarios.stage.dubbowire import OK, Call, Caller
from tests.scenarios.stage.envoys import PlainEnvoy
from tests.scenarios.stage.process import eventually
from tests.scenarios.stage.sidecars import ADMIN, Mosn, redirect
from tests.scenarios.stage.street import ADS_NAME, ADS_PORT, DUBBO_PORT, OTHER_NAME, House, Street

DOCS = Path(__file__).resolve().parents[2] / "docs"
USER, ACCOUNT, PAY, MAIL = (f"10.96.7.{number}" for number in range(1, 5))
STAYS, MOVES, PAYS, MAILS = "com.x.Address", "com.x.User", "com.x.Pay", "com.x.Mail"
KINDS = ("envoy", "mosn")
SEES = "shop,common"


class Told:
    """A street in which ``shop`` and ``pay`` are isolated from each other, and ``common`` is for all."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = Authority(folder / "ours"), Authority(folder / "theirs")
        key, chain = self.ours.sign("server")
        tls = {"cert": str(chain), "key": str(key), "ca": str(self.ours.certificate)}
        ads = {"tls": tls, "isolation": "namespace", "shared": ["common"]}
        self.street = Street(folder / "street", sidecar={"ads": ads})
        self.homes: dict[str, House] = {}
        self.envoys: dict[str, PlainEnvoy] = {}
        self.mosns: dict[str, Mosn] = {}
        try:
            self._furnish()
        except BaseException:
            self.street.end()
            raise

    def _furnish(self) -> None:
        street = self.street
        names = ("user", "account", "pay", "mail", "machine", "resting")
        self.user, self.account, self.pay, self.mail, *machines = map(street.provider, names)
        self.machine, self.resting = machines
        street.service("shop/user", USER, self.user)
        street.service("shop/account", ACCOUNT, self.account)
        street.service("pay/pay", PAY, self.pay)
        street.service("common/mail", MAIL, self.mail)
        for interface, provider in (
            (STAYS, self.user),
            (MOVES, self.user),
            (PAYS, self.pay),
            (MAILS, self.mail),
        ):
            street.registers(interface, provider)
        street.proxies()
        street.soadns.start()
        for address, interface, to in (
            (USER, MOVES, "home/shop/user"),
            (PAY, PAYS, "home/pay/pay"),
            (MAIL, MAILS, "home/common/mail"),
        ):
            street.goes(address, interface, to)

    # ------------------------------------------------------------------ who asks

    def certificate(self, name: str, namespace: str, *, by: Authority | None = None) -> str:
        """``--ads-tls`` of a node; one without a namespace is nobody's."""
        uri = f"spiffe://cluster.local/ns/{namespace}/sa/web" if namespace else ""
        key, chain = (by or self.ours).sign(name, uri=uri)
        return f"{self.ours.certificate},{chain},{key}"

    def envoy(self, name: str, tls: str, *, server: str = ADS_NAME, told: bool = True) -> PlainEnvoy:
        """An Envoy that starts with what the command writes; one that is not told anything is not waited for."""
        home = self.homes[name] = self.street.pod(name)
        folder = home.folder / "start"
        self.exported("envoy", str(folder), *_said(name, tls, server))
        self.envoys[name] = PlainEnvoy(home, folder / "bootstrap.json")
        self.envoys[name].start(told=told)
        return self.envoys[name]

    def mosn(self, name: str, tls: str, *, server: str = ADS_NAME, level: str = "WARN") -> Mosn:
        """The same for MOSN; ``level`` is that of its log."""
        home = self.homes[name] = self.street.pod(name)
        said = ("--namespace", "shop", "--namespaces", SEES, "--admin", f"{home.ip}:{ADMIN}")
        said += ("--log-level", level)
        file = self.exported("mosn", *_said(name, tls, server), *said)
        self.mosns[name] = Mosn(home.folder / "mosn", file, address=home.ip, place=home.place, over_tls=True)
        redirect(home.place, (DUBBO_PORT,))
        return self.mosns[name].start()

    def exported(self, *words: str) -> str:
        done = self.street.soadns.verb("export", *words)
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    def node(self, name: str) -> dict[str, Any]:
        """What soadns says of a node that is connected."""
        nodes = json.loads(self.street.soadns.http("/v1/nodes")[1])["nodes"]
        return next((dict(each) for each in nodes if each["node"] == name), {})

    def has_all(self, name: str) -> dict[str, Any]:
        """The same, when it has acknowledged all that there is."""
        row = eventually(
            lambda: self.node(name), within=60.0, until=lambda found: bool(found) and not found["behind"]
        )
        assert row, f"{name} is not connected\n{self.street.soadns.process.tail()}"
        assert not row["behind"], row
        return row


def _said(name: str, tls: str, server: str) -> tuple[str, ...]:
    return ("--ads", f"{server}:{ADS_PORT}", "--node", name, "--ads-tls", tls)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    found = Told(tmp_path_factory.mktemp("rights"))
    try:
        found.envoy("envoy", found.certificate("envoy", "shop"))
        found.mosn("mosn", found.certificate("mosn", "shop"))
        yield found
    finally:
        found.street.end()


@pytest.mark.parametrize("kind", KINDS)
def test_who_shows_a_certificate_is_told_what_its_namespace_may_see(told: Told, kind: str) -> None:
    row = told.has_all(kind)
    assert (row["kind"], row["namespace"], row["refusals"]) == (kind, "shop", 0)
    home = told.homes[kind]
    home.arrives(USER, STAYS, "user")
    home.arrives(MAIL, MAILS, "mail")
    assert home.asks(PAY, PAYS).status != OK, "it is another namespace's"
    if kind == "envoy":
        known = told.envoys[kind].get("/config_dump?include_eds")
    else:
        known = told.mosns[kind].ask("/api/v1/config_dump") + told.mosns[kind].config.read_text()
    assert {f"{USER}_{DUBBO_PORT}", f"{MAIL}_{DUBBO_PORT}"} <= set(re.findall(r"[\d.]+_\d+", known))
    for secret in (PAY, PAYS.lower(), "pay.pay.svc", told.pay.ip):
        assert secret not in known.lower(), secret


def test_who_shows_no_certificate_of_ours_or_nobodys_is_told_nothing(told: Told) -> None:
    soadns, failed = told.street.soadns, "cluster.soadns-ads.upstream_cx_connect_fail"
    stranger = told.envoy("stranger", told.certificate("stranger", "shop", by=told.theirs), told=False)
    nobody = told.envoy("nobody", told.certificate("nobody", ""), told=False)
    unnamed = told.mosn("unnamed", told.certificate("unnamed", ""))
    assert eventually(lambda: stranger.stat(failed), within=60.0)
    refused = "the certificate has no name spiffe://"
    assert eventually(
        lambda: soadns.metric('soadns_ads_cut_total{reason="unauthenticated"}') >= 2, within=60.0
    )
    assert soadns.logged("sidecar-refused", refused)
    for name in ("stranger", "nobody", "unnamed"):
        assert told.node(name) == {}
    for name, envoy in (("stranger", stranger), ("nobody", nobody)):
        assert f"{USER}_{DUBBO_PORT}" not in envoy.listeners()
        assert told.homes[name].asks(USER, STAYS).status != OK
        envoy.kill()
    told.homes["unnamed"].arrives(USER, STAYS, "user")  # it has its file
    unnamed.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_has_another_name_is_not_believed(told: Told, kind: str) -> None:
    """Any sidecar has a certificate of the CA: with it alone it could pass for soadns."""
    name = f"warned-{kind}"
    tls = told.certificate(name, "shop")
    if kind == "envoy":
        envoy = told.envoy(name, tls, server=OTHER_NAME, told=False)
        assert eventually(lambda: envoy.stat("cluster.soadns-ads.ssl.fail_verify_san"), within=60.0)
        envoy.kill()
    else:
        mosn = told.mosn(name, tls, server=OTHER_NAME, level="INFO")
        reason = f"not {OTHER_NAME}"
        assert eventually(lambda: reason in mosn.process.log.read_text(), within=60.0), mosn.process.tail()
        mosn.end()
    assert told.node(name) == {}


def test_the_commands_of_the_page_of_mosn(told: Told) -> None:
    """All but the one that takes it out, which is the last thing that happens here."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (DOCS / "mosn.md").read_text(), re.M | re.S)
    home, file = told.street.pod("page"), ""
    for line in "".join(blocks).splitlines():
        match shlex.split(line):
            case ["pip", "install", what]:
                assert what == "soadns[ads]"
                assert "ads" in (metadata("soadns").get_all("Provides-Extra") or ())
            case ["soadns", "export", *words, ">", _]:
                file = told.exported(*words, "--admin", f"{home.ip}:{ADMIN}")
            case ["mosn", *words]:
                here = [word.replace("/etc/mosn", str(home.folder / "mosn")) for word in words]
                with_file = Mosn(home.folder / "mosn", file, address=home.ip, place=home.place, words=here)
                with_file.start().end()
            case ["soadns", "mesh", "verify", _]:
                words = ["mesh", "verify", f"{told.homes['mosn'].ip}:{ADMIN}", "--namespaces", SEES]
                said = eventually(
                    lambda words=words: told.street.soadns.cli(*words),  # type: ignore[misc]
                    within=60.0,
                    until=lambda answer: answer[0] == 0,
                )
                assert said[0] == 0, said[1]
            case ["$", "nft", "insert", "rule", *_]:
                pass
            case words:
                raise AssertionError(f"nobody types {words}")


def test_requests_follow_what_moves_on_the_connection_that_there_is(told: Told) -> None:
    with told.homes["envoy"].call(USER) as by_envoy, told.homes["mosn"].call(USER) as by_mosn:
        for provider in (told.account, told.user):
            told.street.registers(MOVES, provider)
            for caller in (by_envoy, by_mosn):
                got = eventually(
                    lambda each=caller: answer(each, MOVES),  # type: ignore[misc]
                    within=60.0,
                    until=provider.name.__eq__,
                )
                assert got == provider.name
                assert answer(caller, STAYS) == "user"


def test_requests_go_to_the_pods_that_are_ready_now(told: Told) -> None:
    street = told.street
    with told.homes["envoy"].call(MAIL) as by_envoy, told.homes["mosn"].call(MAIL) as by_mosn:
        street.registers(MAILS, told.mail, told.resting)
        for provider in (told.resting, told.mail):
            street.service("common/mail", MAIL, provider)
            for caller in (by_envoy, by_mosn):
                said = lambda each=caller: answer(each, MAILS)  # type: ignore[misc]  # noqa: E731
                assert eventually(said, within=60.0, until=provider.name.__eq__) == provider.name
        street.registers(MAILS, told.mail)


def answer(caller: Caller, interface: str) -> str:
    """Who answers a call, which must succeed; a connection that was cut is a ConnectionError."""
    reply = caller.ask(Call(interface))
    assert reply.status == OK, reply
    return reply.said


def test_calls_that_go_to_the_registrys_providers_are_shared_out_by_their_weights(told: Told) -> None:
    """By ``traffic: registry`` as well as where no Service has the interface."""
    street = told.street
    street.service("shop/user", USER, told.user, traffic=f"{MOVES}=registry")
    street.goes(USER, MOVES, "the registry's providers")
    for kind in KINDS:
        home = told.homes[kind]
        for weights, shares in (((300, 100), (0.75, 0.25)), ((100, 300), (0.25, 0.75))):
            street.weighs(MOVES, {told.user: weights[0], told.machine: weights[1], told.resting: 0})

            def look(at: House = home) -> Counter[str]:
                with at.call(USER) as caller:
                    return Counter(answer(caller, MOVES) for _ in range(80))

            def fits(by: Counter[str], wanted: tuple[float, float] = shares) -> bool:
                near = all(
                    abs(by[name] / 80 - share) < 0.12
                    for name, share in zip(("user", "machine"), wanted, strict=True)
                )
                return near and set(by) == {"user", "machine"}

            got = eventually(look, within=60.0, until=fits)
            assert fits(got), (kind, weights, got)
    street.service("shop/user", USER, told.user)
    street.registers(MOVES, told.user)
    street.goes(USER, MOVES, "home/shop/user")


def test_both_go_on_without_soadns_and_mosn_starts_without_it(told: Told) -> None:
    told.street.soadns.process.kill()
    try:
        for kind in KINDS:
            told.homes[kind].arrives(USER, MOVES, "user")
        told.mosns["mosn"].end()
        told.mosns["mosn"].start()
        told.homes["mosn"].arrives(USER, MOVES, "user")
    finally:
        told.street.soadns.start()
    for kind in KINDS:
        told.has_all(kind)


@pytest.mark.parametrize(("kind", "page"), [("envoy", "envoy.md"), ("mosn", "mosn.md")])
def test_the_command_of_the_page_takes_a_sidecar_out(told: Told, kind: str, page: str) -> None:
    home = told.homes[kind]
    [command] = re.findall(r"^\$ (nft insert rule .*)$", (DOCS / page).read_text(), re.M)
    with home.call(USER) as before:
        assert answer(before, MOVES) == "user"
        told.street.nft(home.place, command.removeprefix("nft "))
        # Connections that there are stay where they are; to take the rule away instead would cut them.
        assert answer(before, MOVES) == "user"
        with home.call(USER) as after:
            assert answer(after, MOVES) == "user"
            (told.envoys[kind].kill if kind == "envoy" else told.mosns[kind].end)()
            assert answer(after, MOVES) == "user"  # it goes past the sidecar
        with pytest.raises(ConnectionError):
            answer(before, MOVES)
