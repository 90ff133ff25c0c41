"""The text of ``explain`` and ``list`` over the example files, and the lines of the log, as people read them."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from soadns import logs
from soadns.binding.estate import Estate
from soadns.composition import zone_settings
from soadns.model import InterfaceId, Trouble
from soadns.reports import views
from soadns.reports.explain import explain
from soadns.settings.configfile import parse
from soadns.sources.static import StaticSettings, StaticSource
from soadns.text import narrate, render
from tests.unit.demo_process import NOW, DemoProcess


@pytest.fixture
def estate() -> Estate:
    return DemoProcess().estate


def explained(estate: Estate, name: str) -> str:
    return "\n".join(narrate.explanation(explain(estate, name, NOW))) + "\n"


HALF_BOARDED = """\
com.alipay.stock.StockService in rpc.cluster.local
  answered with its providers' own addresses: no Service has it
  name      com.alipay.stock.StockService.rpc.cluster.local
  answer    10.244.1.61, 192.168.7.61, 192.168.7.62, 192.168.7.63 (TTL 5)
  ports     dubbo 20880
  evidence  registry
  since     2027-01-15T08:00:00Z (0 s ago): first seen
  flags     half-boarded
  candidates
    home/stock/stock: boarding, 1 of its own against 3 hosts of the old world
      10.96.1.60; 1 of 1 registered addresses provide it; 1 of 1 endpoints ready
      evidence: endpoint (provider address is an endpoint)
    old world: winner, 3 hosts at addresses that are no Service's endpoint
  providers (4)
    dubbo://10.244.1.61:20880   stock  home/stock/stock  used
    dubbo://192.168.7.61:20880  stock  old world         used
    dubbo://192.168.7.62:20880  stock  old world         used
    dubbo://192.168.7.63:20880  stock  old world         used
  sources
    static/demo: in sync
  history
    2027-01-15T08:00:00Z  nothing -> providers  (first seen, static/demo)
  to change that
    soadns.io/traffic: com.alipay.stock.StockService=mesh on Service stock/stock in the files of static/demo
      home/stock/stock takes the name now; by itself it does with 50% of all providers (binding.boardShare)
"""

CONFLICT = """\
com.alipay.order.OrderService in rpc.cluster.local
  answered with Service home/trade/order
  name           com.alipay.order.OrderService.rpc.cluster.local
  answer         10.96.1.40 (TTL 30)
  Istio host     order.trade.svc.cluster.local
  Istio cluster  outbound|20880||order.trade.svc.cluster.local
  evidence       endpoint (provider address is an endpoint)
  since          2027-01-15T08:00:00Z (0 s ago): chosen among the candidates
  flags          conflict
  candidates
    home/trade/order: winner
      10.96.1.40; 2 of 2 registered addresses provide it; 2 of 2 endpoints ready
      evidence: endpoint (provider address is an endpoint)
    home/trade/order-gray: conflict, it is the younger Service
      10.96.1.41; 2 of 2 registered addresses provide it; 2 of 2 endpoints ready
      evidence: endpoint (provider address is an endpoint)
"""

UNKNOWN = """\
com.alipay.user.UserServise: unknown
DNS answers NXDOMAIN in zones of this soadns
nearest known:
  com.alipay.user.UserService
"""

WOULD_EXIST = """\
it would exist with:
  a provider URL of com.alipay.user.UserServise in the files of static/demo
  or a Service with the annotation soadns.io/interfaces: com.alipay.user.UserServise
"""

BROKEN = """
kind: Providers
spec:
  dialect: dubbo
  providers:
    com.x.Port: ['dubbo://10.1.0.1:99999/com.x.Port']
    com.x.Pay: ['dubbo://10.9.0.1:20880/com.x.Pay']
    com.x.pay: ['dubbo://10.9.0.2:20880/com.x.pay']
    ns: ['dubbo://10.9.0.3:20880/ns']
---
kind: Service
apiVersion: v1
metadata: {name: cart, namespace: shop, annotations: {soadns.io/interfaces: 'com.x.Cart, bad name'}}
spec: {clusterIP: 10.96.0.1, ports: [{port: 20880}]}
"""


def test_explain_of_a_half_boarded_interface(estate: Estate) -> None:
    assert explained(estate, "com.alipay.stock.StockService") == HALF_BOARDED


def test_explain_of_a_conflict_begins_with_who_won(estate: Estate) -> None:
    assert explained(estate, "com.alipay.order.OrderService.rpc.cluster.local.").startswith(CONFLICT)


def test_explain_of_an_unknown_name_says_what_would_have_to_exist(estate: Estate) -> None:
    text = explained(estate, "com.alipay.user.UserServise")
    assert text.startswith(UNKNOWN)
    assert text.endswith(WOULD_EXIST)
    assert explained(estate, "_dubbo._tcp.com.alipay.user.UserServise.rpc.cluster.local.").endswith(
        WOULD_EXIST
    )


@pytest.fixture
def broken(estate: Estate, tmp_path: Path) -> Estate:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    estate.fold(StaticSource(StaticSettings("demo", (str(tmp_path),), "home")).poll(), NOW)
    estate.work(NOW)
    return estate


def test_explain_of_a_name_whose_every_provider_was_rejected_says_why(broken: Estate) -> None:
    text = explained(broken, "com.x.Port")
    assert text.startswith("com.x.Port: unknown\nDNS answers NXDOMAIN in zones of this soadns\nrejected\n")
    assert "com.x.Port: bad-port: " in text


def test_explain_of_an_unknown_name_shows_the_annotations_that_could_not_be_read(broken: Estate) -> None:
    text = explained(broken, "com.x.Cart")
    assert "\nrejected\n  home/shop/cart: annotation: soadns.io/interfaces: " in text


def test_names_that_differ_by_case_only_are_explained_each_by_its_own_spelling(broken: Estate) -> None:
    for name in ("com.x.Pay", "com.x.pay"):
        [zone] = explain(broken, name, NOW)["zones"]
        assert zone["interface"] == name


def test_a_name_that_can_not_be_in_dns_is_not_said_to_be_answered(broken: Estate) -> None:
    [zone] = explain(broken, "ns", NOW)["zones"]
    assert (zone["state"], zone["reason"], zone["names"], zone["addresses"]) == (
        "unbound",
        "reserved",
        [],
        [],
    )
    assert "answer" not in explained(broken, "ns").partition("candidates")[0]


def test_a_name_that_is_gone_is_explained_by_its_history(tmp_path: Path) -> None:
    found = Estate(zone_settings(parse("static: [{name: demo, paths: [x]}]", where="test")))
    source = StaticSource(StaticSettings("demo", (str(tmp_path),), "home"))
    (tmp_path / "broken.yaml").write_text(BROKEN)
    for moment in (NOW, NOW + 1):
        found.fold([*source.poll(), *source.poll()], moment)
        found.work(moment)
        (tmp_path / "broken.yaml").write_text("")
    assert explained(found, "com.x.Pay") == (
        "com.x.Pay in rpc.cluster.local\n"
        "  unbound, gone: nothing speaks for it any more\n"
        "  name   none\n"
        "  flags  unbound\n"
        "  history\n"
        "    2027-01-15T08:00:00Z  nothing -> providers  (first seen, static/demo)\n"
        "    2027-01-15T08:00:01Z  providers -> nothing  (removed)\n"
    )


def test_a_service_is_found_by_the_owner_name_of_its_port(estate: Estate) -> None:
    [zone] = explain(estate, "_dubbo._tcp.com.alipay.user.UserService.rpc.cluster.local", NOW)["zones"]
    assert zone["interface"] == "com.alipay.user.UserService"


@pytest.mark.parametrize(
    "spelling",
    [
        "blue/com.alipay.trade.TradeService:2.0.0",
        "com.alipay.trade.TradeService--g-blue--v-2-0-0",
        "COM.ALIPAY.trade.tradeservice--G-blue--v-2-0-0.RPC.cluster.local.",
    ],
)
def test_a_variant_is_found_by_every_spelling_of_it(estate: Estate, spelling: str) -> None:
    [zone] = explain(estate, spelling, NOW)["zones"]
    assert zone["interface"] == "blue/com.alipay.trade.TradeService:2.0.0"
    assert zone["variants"] == ["com.alipay.trade.TradeService"]


def test_lists_are_paged_without_a_gap(estate: Estate) -> None:
    whole = [row["interface"] for row in views.interfaces(estate)["items"]]
    paged, after = [], ""
    while True:
        page = views.interfaces(estate, limit=3, after=after)
        assert len(page["items"]) <= 3
        paged += [row["interface"] for row in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert paged == whole == sorted(whole)
    assert len(whole) == 10


def test_a_list_says_state_answer_and_service(estate: Estate) -> None:
    lines = render.interface_list(views.interfaces(estate, match="stock"))
    assert [line.split() for line in lines] == [
        ["INTERFACE", "ANSWER", "SERVICE", "STATE"],
        ["com.alipay.stock.StockService", "10.244.1.61,192.168.7.61,192.168.7.62,...", "(4)", "-", "providers",
         "half-boarded"],
    ]  # fmt: skip


def test_a_list_that_is_wider_than_the_terminal_has_two_lines_for_each_interface(estate: Estate) -> None:
    page = views.interfaces(estate, match="stock")
    assert render.interface_list(page, width=80) == [
        "com.alipay.stock.StockService",
        "  10.244.1.61,192.168.7.61,192.168.7.62,... (4)  -  providers half-boarded",
    ]
    assert len(render.interface_list(page, width=120)) == 2
    assert render.interface_list(page, width=120)[0].startswith("INTERFACE")


@pytest.mark.parametrize(
    ("narrowed", "said"),
    [
        (True, "no interface matches; all of them: soadns list"),
        (False, "no interface is known; what the sources hold: soadns list --sources"),
    ],
)
def test_an_empty_list_says_where_to_look(narrowed: bool, said: str) -> None:
    assert render.interface_list({"items": [], "waiting": []}, narrowed=narrowed) == [said]


def test_a_source_in_trouble_says_so_and_its_names_are_stale(estate: Estate) -> None:
    estate.fold([Trouble("static/demo", "the disk is gone")], NOW + 1)
    assert render.source_list(views.sources(estate, NOW + 2)["sources"]) == [
        "static/demo: stale, 37 observations",
        "  out of sync since 2027-01-15T08:00:01.000Z: the disk is gone",
    ]
    assert "stale" in explain(estate, "com.alipay.user.UserService", NOW + 2)["zones"][0]["flags"]


# --------------------------------------------------------------------------- the log


def logged(format_: str, monkeypatch: pytest.MonkeyPatch) -> str:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    try:
        logs.configure("info", format_)
        logs.log(
            "transition",
            interface=InterfaceId("com.x.User", "blue"),
            before="nothing",
            after="home/shop/user 10.96.0.1",
            source=None,
        )
        logs.log("quiet", level="debug")
        logs.log("odd", level="error", text='say "hi"\nthere', empty="", number=1.5)
    finally:
        root.setLevel(level)
    return stream.getvalue()


def test_the_log_is_key_value(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = logged("keyvalue", monkeypatch).splitlines()
    assert first.partition(" ")[2] == (
        'level=info event=transition interface=blue/com.x.User before=nothing after="home/shop/user 10.96.0.1"'
    )
    assert second.partition(" ")[2] == 'level=error event=odd text="say \\"hi\\"\\nthere" empty="" number=1.5'


def test_the_log_is_json_where_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (json.loads(line) for line in logged("json", monkeypatch).splitlines())
    assert first["event"] == "transition"
    assert first["interface"] == "blue/com.x.User"
    assert first["after"] == "home/shop/user 10.96.0.1"
    assert second["number"] == 1.5
    assert "source" not in first
    assert (second["level"], second["text"]) == ("error", 'say "hi"\nthere')


NESTED = """
static: [{name: demo, paths: [examples]}]
zones: [{name: rpc.test}, {name: userservice.rpc.test}]
"""


def test_a_name_that_a_zone_below_answers_is_not_shown_as_answered_here() -> None:
    estate = DemoProcess(NESTED).estate
    name = "com.alipay.user.UserService"
    here, below = explain(estate, name, NOW)["zones"]
    assert (here["zone"], here["state"], here["reason"], here["names"], here["addresses"]) == (
        "rpc.test", "unbound", "delegated", [], [],
    )  # fmt: skip
    assert (
        here["detail"] == f"{name}.rpc.test lies in the zone userservice.rpc.test, which alone may answer it"
    )
    assert (below["zone"], below["names"]) == ("userservice.rpc.test", [f"{name}.userservice.rpc.test"])
    unbound = views.interfaces(estate, zone="rpc.test", flag="unbound")["items"]
    assert name in {row["interface"] for row in unbound}


# --------------------------------------------------------------------------- soadns check


def finding(
    source: str, what: str, *, problem: str = "", note: str = "", cure: str = ""
) -> dict[str, object]:
    return {"source": source, "what": what, "ok": not problem, "problem": problem, "note": note, "cure": cure}


CHECKED = """\
ok   zookeeper/main: read /dubbo
FAIL kube/home: list and watch services: may not list services
note kube/home: list and watch nodes: may not, so node ports are not matched

missing permissions; apply this and bind it to soadns's ServiceAccount:
RULES

to have what is noted above as well, apply this and bind it likewise:
NODES"""


def test_a_check_prints_each_set_of_rules_once_and_the_optional_ones_last() -> None:
    rows = [
        finding("zookeeper/main", "read /dubbo"),
        finding("kube/home", "list and watch services", problem="may not list services", cure="RULES\n"),
        finding(
            "kube/home", "list and watch nodes", note="may not, so node ports are not matched", cure="NODES\n"
        ),
    ]
    assert "\n".join(render.findings(rows)) == CHECKED
    rows[2]["cure"] = "RULES\n"
    assert "\n".join(render.findings(rows)) == CHECKED.partition("\n\nto have")[0]
