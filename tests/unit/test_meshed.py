"""What of an estate a filter stands on, from real evidence to objects; and what people are told of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.request import urlopen

import pytest

from soadns.cli import main
from soadns.meshed import ports_of, subject
from soadns.model import ObjectRef
from soadns.reports.filterviews import Meshing, rendered
from soadns.sidecar.destinations import Destinations
from soadns.sidecar.envoyfilters import Rendered, applied_of
from soadns.sidecar.filterchecks import problems
from soadns.sidecar.tiers import PortFacts, Subject, Wishes
from soadns.text import renderfilters, renderroutes
from soadns.yamlfile import load_all
from tests.unit.http_site import site
from tests.unit.route_process import SHOP, RouteProcess
from tests.unit.routes_notation import RouteBook

USER, ACCOUNT = ObjectRef("home", "shop", "user"), ObjectRef("home", "shop", "account")
FIRST = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1"
BOTH = (
    f"{FIRST}; register User,Address 10.1.0.1",
    "Service shop/account 10.96.0.2; pods shop/account 10.1.0.2; register Pay,User 10.1.0.2",
)
MOVED = (*BOTH, "unregister User 10.1.0.1; after 5s")


def book(*rows: str) -> RouteBook:
    found = RouteBook()
    for row in rows:
        for statement in row.split(";"):
            found.say(statement.strip())
        found.flush()
    return found


def seen(*rows: str, ref: ObjectRef = USER) -> Subject:
    estate = book(*rows)
    found = subject(estate.zone, estate.table, ref)
    assert found is not None
    return found


def port(*rows: str, ref: ObjectRef = USER) -> PortFacts:
    [found] = seen(*rows, ref=ref).ports
    return found


def test_a_service_with_dubbo_providers() -> None:
    found = seen(f"{FIRST}; register User,Address 10.1.0.1")
    assert (found.service.ref, found.host) == (USER, "user.shop.svc.cluster.local")
    [facts] = found.ports
    assert (facts.protocols, facts.others, facts.registered) == (("dubbo",), (), True)
    assert [route.interface for route in facts.vip.routes] == ["*"]


def test_the_first_cluster_ip_counts() -> None:
    assert (
        port(FIRST.replace("10.96.0.1", "fd00::1 10.96.0.1"), "register User 10.1.0.1").vip.address
        == "fd00::1"
    )


@pytest.mark.parametrize(
    ("serialization", "others"),
    [("hessian2,fastjson2", ()), ("fastjson2,hessian2", ("fastjson2",)), ("protobuf", ("protobuf",))],
)
def test_what_providers_prefer(serialization: str, others: tuple[str, ...]) -> None:
    assert port(f"{FIRST}; register User 10.1.0.1 serialization={serialization}").others == others


def test_one_of_many_is_enough() -> None:
    pods = "Service shop/user 10.96.0.1; pods shop/user 10.1.0.1 10.1.0.2; register User 10.1.0.1"
    assert port(f"{pods}; register User 10.1.0.2 serialization=fastjson2,hessian2").others == ("fastjson2",)


def test_so_are_providers_that_a_rule_leads_to() -> None:
    new = BOTH[1].replace("Pay,User 10.1.0.2", "Pay,User 10.1.0.2 serialization=fastjson2")
    facts = port(BOTH[0], new, MOVED[2])
    assert [route.interface for route in facts.vip.routes] == ["User", "*"]
    assert facts.others == ("fastjson2",)


def test_ports_have_their_protocols() -> None:
    rows = "Service shop/user 10.96.0.1 port=20880,12200; pods shop/user 10.1.0.1 port=20880,12200"
    found = seen(f"{rows}; register User 10.1.0.1; register User 10.1.0.1:12200 protocol=bolt")
    assert [(facts.vip.port, facts.protocols) for facts in found.ports] == [
        (12200, ("bolt",)),
        (20880, ("dubbo",)),
    ]


def test_whether_calls_fail_without_a_rule() -> None:
    facts = port(*MOVED)
    assert [route.interface for route in facts.failing] == ["User"]
    declared = BOTH[1].replace("10.96.0.2", "10.96.0.2 interfaces=User traffic=mesh")
    facts = port(BOTH[0], declared)
    assert [route.interface for route in facts.vip.routes] == ["User", "*"]
    assert facts.failing == frozenset()  # it is provided here as well


def test_variants_fail_where_they_are_not_provided() -> None:
    facts = port(f"{FIRST}; register User:1 10.1.0.1", BOTH[1].replace("Pay,User", "User:2"))
    assert {(route.interface, route.version) for route in facts.failing} == {("User", "2")}


def test_a_service_that_everything_has_left_leads_on() -> None:
    rows = (
        f"{FIRST}; register User 10.1.0.1",
        BOTH[1],
        "unregister User 10.1.0.1; pods shop/user gone; after 15s",
    )
    facts = port(*rows)
    assert (facts.protocols, facts.registered) == (("dubbo",), True)
    assert [route.interface for route in facts.failing] == ["User"]
    assert made(*rows).tier == 2


def test_nothing_is_said_of_what_has_no_cluster_ip_of_its_own() -> None:
    headless = book("Service shop/user headless; pods shop/user 10.1.0.1; register User 10.1.0.1")
    assert subject(headless.zone, headless.table, USER) is None
    assert subject(headless.zone, headless.table, ACCOUNT) is None
    taken = book(f"{FIRST}; register User 10.1.0.1", "Service shop/account 10.96.0.1")
    assert subject(taken.zone, taken.table, USER) is None


def test_the_ports_of_a_host() -> None:
    estate = book("Service shop/user 10.96.0.1 port=80,443")
    ports = ports_of(estate.table, "home")
    assert ports("user.shop.svc.cluster.local") == (80, 443)
    for other in ("user.shop.svc.other", "user.web.svc.cluster.local", "user", "example.com"):
        assert ports(other) == ()


def made(*rows: str, wishes: Wishes | None = None) -> Rendered:
    estate = book(*rows)
    found = rendered(estate.zone, estate.table, USER, Meshing(wishes or Wishes(), Destinations()))
    assert found is not None
    assert [text for each in found.filters for text in problems(each, listeners=found.listeners)] == []
    return found


def test_a_move_brings_rules_by_itself_where_calls_would_fail() -> None:
    assert made(*BOTH).tier == 0
    assert made(*MOVED).tier == 2
    assert made(*MOVED, "Service shop/user moves=never").tier == 0
    assert made(*BOTH, "Service shop/user balancing=request").tier == 1
    assert made(*MOVED, "Service shop/user moves=never balancing=request").tier == 1


def test_a_bad_annotation_keeps_the_last_good_one() -> None:
    assert (
        made(*BOTH, "Service shop/user balancing=request", "Service shop/user balancing=nonsense").tier == 1
    )


def test_what_is_in_force_stays_when_all_providers_are_gone() -> None:
    estate = book(*BOTH, "Service shop/user balancing=request")
    first = rendered(estate.zone, estate.table, USER, Meshing(Wishes(), Destinations()))
    assert first is not None
    applied = applied_of(first.filters, "istio-system")
    for statement in (
        "Service shop/user balancing=",
        "pods shop/user gone",
        "unregister User,Address 10.1.0.1",
    ):
        estate.say(statement)
    estate.say("after 7d")
    again = rendered(estate.zone, estate.table, USER, Meshing(Wishes(), Destinations(), applied))
    assert again is not None
    assert again.tier == 1
    assert again.ports[0].harm


# --------------------------------------------------------------------------- what people are told


async def answer(process: RouteProcess, path: str) -> Any:
    async with site(process) as number:

        def read() -> Any:
            with urlopen(f"http://127.0.0.1:{number}{path}") as response:
                return json.load(response)

        return await asyncio.to_thread(read)


async def test_the_api_says_which_tier_and_why() -> None:
    data = await answer(RouteProcess(), "/v1/envoyfilters")
    assert (data["zone"], data["istioRead"], data["next"]) == ("rpc.test", False, None)
    account, user = data["items"]
    assert (account["service"], account["tier"], account["filters"]) == ("home/shop/account", 0, [])
    assert (user["service"], user["tier"], len(user["filters"])) == ("home/shop/user", 2, 1)
    assert user["ports"][0]["why"].startswith("calls of com.x.User would fail without rules")
    assert user["problems"] == []
    [one] = (await answer(RouteProcess(), "/v1/envoyfilters?service=shop/user"))["items"]
    assert one == user


async def test_resolve_and_explain_say_it_too() -> None:
    asked = "/v1/resolve?address=10.96.0.1&port=20880&interface=com.x.User"
    assert "istio" not in await answer(RouteProcess(), asked)
    data = await answer(RouteProcess(), f"{asked}&istio=1")
    assert data["istio"]["tier"] == 2
    [zone] = (await answer(RouteProcess(), "/v1/explain/com.x.User"))["zones"]
    assert [(row["service"], row["tier"]) for row in zone["istio"]] == [
        ("home/shop/account", 0),
        ("home/shop/user", 2),
    ]


async def test_no_more_ports_have_files_than_envoy_can_watch_whoever_asks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = RouteProcess()
    process.meshing = Meshing(Wishes(namespaces=("web",), most=1))
    data = await answer(process, "/v1/envoyfilters")
    assert data["files"] == {"namespaces": ["web"], "shards": 4, "most": 1}
    assert [[port["files"] for port in item["ports"]] for item in data["items"]] == [[[]], [["web"]]]
    [alone] = (await answer(process, "/v1/envoyfilters?service=shop/account"))["items"]
    assert alone["ports"][0]["full"].startswith("tier 3 is full in web: 1 ports")
    said = await answer(process, "/v1/resolve?address=10.96.0.2&port=20880&interface=com.x.User&istio=1")
    assert said["istio"] == alone["ports"][0]
    shown = "\n".join(renderroutes.resolved(said))
    assert shown.count("istio") >= 2
    assert "tier 3 is full in web" in shown
    async with site(process) as number:
        url = f"http://127.0.0.1:{number}"
        assert await asyncio.to_thread(main, ["export", "envoyfilters", "--url", url]) == 0
        printed = capsys.readouterr()
        assert await asyncio.to_thread(main, ["explain", "com.x.User", "--url", url]) == 0
        explained = capsys.readouterr().out
    assert "#   tier 3 is full in web" in printed.out
    assert "1 ports have no file of rules in some namespace, for no more than 1 of one may" in printed.err
    assert "      tier 3 is full in web" in explained


async def test_who_may_have_files_follows_what_moves() -> None:
    process = RouteProcess(SHOP[:2])
    process.meshing = Meshing(Wishes(namespaces=("web",), most=1))
    async with site(process) as number:

        def files() -> list[list[str]]:
            with urlopen(f"http://127.0.0.1:{number}/v1/envoyfilters") as response:
                return [port["files"] for item in json.load(response)["items"] for port in item["ports"]]

        assert await asyncio.to_thread(files) == [["web"]]
        process.tell("Service shop/pay 10.96.0.3; pods shop/pay 10.1.0.3; register com.x.Pay 10.1.0.3")
        assert await asyncio.to_thread(files) == [["web"], []], "pay, and user that has none yet"
        process.tell(SHOP[2])
        assert await asyncio.to_thread(files) == [[], [], ["web"]], "user needs rules"


async def test_export_prints_yaml_that_is_the_same_with_and_without_comments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = RouteProcess((*SHOP, "Service shop/account balancing=request"))
    async with site(process) as number:
        url = f"http://127.0.0.1:{number}"
        assert await asyncio.to_thread(main, ["export", "envoyfilters", "--url", url]) == 0
        shown = capsys.readouterr()
        assert await asyncio.to_thread(main, ["export", "envoyfilters", "-o", "json", "--url", url]) == 0
        whole = json.loads(capsys.readouterr().out)
    objects = load_all(shown.out, where="stdout")
    assert objects == [one for item in whole["items"] for one in item["filters"]]
    assert [one["metadata"]["annotations"]["soadns.io/service"] for one in objects] == [
        "shop/account",
        "shop/user",
    ]  # type: ignore[index]
    assert "# home/shop/user port 20880: tier 2: calls of com.x.User would fail" in shown.out
    assert "soadns: Services: 1 at tier 1, 1 at tier 2\n" in shown.err
    assert "VirtualServices and DestinationRules were not read" in shown.err


def turned(value: Any) -> Any:
    """The same with the keys of all mappings in another order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


async def test_an_order_of_keys_that_the_api_server_prefers_is_no_difference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = RouteProcess()
    async with site(process) as port:
        words = ["export", "envoyfilters", "--url", f"http://127.0.0.1:{port}"]
        assert await asyncio.to_thread(main, [*words, "-o", "json"]) == 0
        [after] = [one for item in json.loads(capsys.readouterr().out)["items"] for one in item["filters"]]
        before = turned({**after, "spec": {**after["spec"], "priority": 77}})
        row = {"namespace": "a", "name": "b", "before": before, "after": after, "waitsFor": "the moon"}
        found = [row]

        async def filter_changes(*_: object) -> list[Any]:
            return found

        monkeypatch.setattr(process, "filter_changes", filter_changes)
        assert await asyncio.to_thread(main, [*words, "--diff"]) == 1
        shown = capsys.readouterr()
        changed = [line for line in shown.out.splitlines()[2:] if line[0] in "+-"]
        assert changed == ["-  priority: 77", "+  priority: 10"]
        assert "soadns: a/b waits: the moon" in shown.err
        found.clear()
        assert await asyncio.to_thread(main, [*words, "--diff"]) == 0
        assert capsys.readouterr().out == ""


def test_other_exports_do_not_take_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "zonefile", "--service", "shop/user"]) == 2
    assert main(["export", "envoyfilters", "--everyone"]) == 2
    said = capsys.readouterr().err
    assert "--service is for export envoyfilters; export zonefile does not take it" in said
    assert "--everyone is for export resolve; export envoyfilters does not take it" in said


def test_what_stands_above_an_object_is_a_comment_whatever_somebody_registered() -> None:
    port = {
        "port": 1,
        "tier": 1,
        "why": "calls of a\nkind: Evil",
        "files": [],
        "lost": [],
        "harm": None,
        "full": None,
    }
    port |= {"crowded": None, "untold": ["b\x85---\x85kind: Evil", "c\u2028kind: Evil", "d\rkind: Evil"]}
    item = {
        "service": "shop/user",
        "ports": [port],
        "problems": ["e\nkind: Evil"],
        "withheld": ["f\nkind: Evil"],
    }
    text = "\n".join(renderfilters.comments(item))
    assert load_all(text, where="stdout") == []
    assert "calls of a\\nkind: Evil" in text
