"""Files for Envoys without Istio: what is in them, in which order they change, and what is not written."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soadns.cli import main
from soadns.commands import envoyexport
from soadns.commands.envoyexport import Export, ExportError
from soadns.commands.envoyfolder import Folder, FolderError
from soadns.commands.routereading import Heard
from soadns.model import InterfaceId, ObjectRef
from soadns.reports import routeviews
from soadns.routemodel import ANY, Route, Target, Vip
from soadns.sidecar import envoy, envoychecks, envoyfiles
from soadns.sidecar.clusters import Cluster, cluster_name
from soadns.sidecar.envoy import CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, Setting
from soadns.sidecar.envoyfiles import Layout, Made, Resources
from tests.unit.http_site import site
from tests.unit.route_process import RouteProcess
from tests.unit.waiting import soon

pytestmark = pytest.mark.long

USER, ACCOUNT = (ObjectRef("home", "shop", name) for name in ("user", "account"))
LAYOUT = Layout("/envoy")


def goes(ref: ObjectRef, port: int = 20880) -> Target:
    return Target("service", ref, f"{ref.name}.{ref.namespace}.svc.cluster.local", port)


def vip(ip: str, ref: ObjectRef, *rules: Route, port: int = 20880) -> Vip:
    target = goes(ref, port)
    return Vip(ip, port, ref, "1", target.host, (*rules, Route(ANY, None, None, target, "own")))


MOVED = Route("com.x.User", None, None, goes(ACCOUNT), "moved")
REFUSED = Route("com.x.Split", None, None, None, "missing")
OLD_WORLD = Route(
    "com.x.Old", None, None, Target("providers", None, "", 20880, InterfaceId("com.x.Old")), "providers"
)
VIPS = [vip("10.96.0.1", USER, MOVED, OLD_WORLD, REFUSED), vip("10.96.0.2", ACCOUNT)]


def resources(vips: list[Vip], speaks: str = "dubbo", layout: Layout = LAYOUT) -> Resources:
    targets = {route.target for each in vips for route in each.routes if route.target is not None}
    clusters = [Cluster(cluster_name(target), (("10.1.0.1", 20880),)) for target in targets]
    return layout.resources(vips, {each.place: speaks for each in vips}, clusters)


def one_filter(listener: dict[str, Any]) -> dict[str, Any]:
    [chain] = listener["filter_chains"]
    [found] = chain["filters"]
    return dict(found["typed_config"])


def test_where_dubbo_is_spoken_requests_are_told_apart_by_rules_that_are_no_part_of_the_listener() -> None:
    told = resources(VIPS)
    listener = told[LISTENERS]["10.96.0.1_20880"]
    assert listener["address"]["socket_address"] == {"address": "10.96.0.1", "port_value": 20880}
    assert listener["bind_to_port"] is False
    drds = one_filter(listener)["drds"]
    assert drds["route_config_name"] == "10.96.0.1_20880"
    path = drds["config_source"]["path_config_source"]["path"]
    assert path == f"/envoy/{envoyfiles.routes_file('10.96.0.1_20880')}"
    assert [row["interface"] for row in told[ROUTES]["10.96.0.1_20880"]["route_config"]] == [
        "com.x.User", "com.x.Old", "com.x.Split", "*",
    ]  # fmt: skip
    assert envoychecks.problems(told) == []
    other = resources([replace(VIPS[0], routes=VIPS[0].routes[-1:])])
    assert other[LISTENERS]["10.96.0.1_20880"] == listener, "another rule cuts no connection"


def test_elsewhere_connections_go_to_the_service() -> None:
    told = resources(VIPS, "bolt")
    assert told[ROUTES] == {}
    settings = one_filter(told[LISTENERS]["10.96.0.1_20880"])
    assert settings["cluster"] == "outbound|20880||user.shop.svc.cluster.local"
    assert envoychecks.problems(told) == []


@pytest.mark.parametrize(
    ("unmatched", "cluster"), [("reset", "soadns-refused"), ("pass", "soadns-passed-on")]
)
def test_connections_to_where_no_listener_is(unmatched: str, cluster: str) -> None:
    told = resources(VIPS, layout=Layout("/envoy", Setting(unmatched=unmatched)))
    capturing = told[LISTENERS]["soadns-outbound"]
    assert capturing["use_original_dst"] is True
    assert one_filter(capturing)["cluster"] == cluster


def test_a_listener_for_ipv6_is_there_where_an_address_is() -> None:
    assert "soadns-outbound-6" not in resources(VIPS)[LISTENERS]
    told = resources([*VIPS, vip("fd00::1", USER)])
    assert told[LISTENERS]["soadns-outbound-6"]["address"]["socket_address"]["address"] == "::"
    assert envoychecks.problems(told) == []


NAMES = st.text(min_size=1, max_size=400)


@given(NAMES, NAMES)
def test_every_name_has_a_file_of_its_own(one: str, other: str) -> None:
    files = {envoyfiles.endpoints_file(name) for name in (one, other)}
    assert len(files) == len({one, other})
    assert all(len(file.rpartition("/")[2].encode()) <= 250 and file.count("/") == 1 for file in files)


# --------------------------------------------------------------------------- from one state to the next


def sound(files: dict[str, str]) -> None:
    """Whatever has a name in a file that is there is there as well."""
    found: Resources = {kind: {} for kind in (CLUSTERS, ENDPOINTS, LISTENERS, ROUTES)}
    for path, text in files.items():
        kind = {"listeners": LISTENERS, "clusters": CLUSTERS, "endpoints": ENDPOINTS, "routes": ROUTES}[
            path.partition("/")[0]
        ]
        found[kind] |= {envoyfiles.name_of(kind, each): each for each in envoyfiles.read(kind, text)}
    assert envoychecks.problems(found) == []


REFS = [ObjectRef("home", "shop", f"s{number}") for number in range(4)]


def estates() -> st.SearchStrategy[Resources]:
    rules = st.lists(
        st.tuples(st.sampled_from(["A", "B"]), st.sampled_from(REFS)).map(
            lambda drawn: Route(drawn[0], None, None, goes(drawn[1]), "moved")
        ),
        max_size=2,
    )
    place = st.tuples(st.integers(1, 4), st.sampled_from(REFS), rules).map(
        lambda drawn: vip(f"10.96.0.{drawn[0]}", drawn[1], *drawn[2])
    )
    vips = st.lists(place, max_size=4, unique_by=lambda each: each.place)
    return st.tuples(vips, st.sampled_from(["dubbo", "other"])).map(lambda drawn: resources(*drawn))


@given(st.lists(estates(), min_size=1, max_size=5))
def test_after_every_single_step_everything_that_is_named_is_there(states: list[Resources]) -> None:
    before: Resources = {kind: {} for kind in (CLUSTERS, ENDPOINTS, LISTENERS, ROUTES)}
    files: dict[str, str] = {}
    for after in states:
        for path, text in envoyfiles.steps(before, after):
            if text is None:
                del files[path]
            else:
                assert files.get(path) != text, "nothing is written that is as it was"
                files[path] = text
            sound(files)
        again: dict[str, str] = {}
        for path, text in envoyfiles.steps({kind: {} for kind in after}, after):
            assert text is not None
            again[path] = text
        assert {path: json.loads(text) for path, text in files.items()}.keys() >= again.keys()
        assert envoyfiles.steps(after, after) == []
        before = after


def test_so_many_listeners_as_nobody_means_stay() -> None:
    many = [vip(f"10.96.1.{number}", USER) for number in range(1, 101)]
    before = resources(many)
    assert envoyfiles.held(before, resources(many[:-19])) == 0
    assert envoyfiles.held(before, resources(many[:-21])) == 21
    assert envoyfiles.held(resources(many[:25]), resources([])) == 25
    assert envoyfiles.held(resources(many[:19]), resources([])) == 0
    kept = envoyfiles.kept(before, resources([*many[:50], vip("10.96.2.1", ACCOUNT)]))
    assert len(kept[LISTENERS]) == 102
    assert envoychecks.problems(kept) == []


WRONG = {
    "no method": (ROUTES, lambda told: told["10.96.0.1_20880"]["route_config"][0]["routes"][0]["match"].clear()),
    "no such cluster": (CLUSTERS, lambda told: told.pop("outbound|20880||account.shop.svc.cluster.local")),
    "no rules": (ROUTES, lambda told: told.pop("10.96.0.2_20880")),
    "no endpoints": (ENDPOINTS, lambda told: told.pop("outbound|20880||user.shop.svc.cluster.local")),
    "everything else first": (ROUTES, lambda told: told["10.96.0.1_20880"]["route_config"].reverse()),
    "no rule for everything else": (ROUTES, lambda told: told["10.96.0.1_20880"]["route_config"].pop()),
    "rules of another name": (ROUTES, lambda told: told["10.96.0.1_20880"].update(name="other")),
    "two of one address": (LISTENERS, lambda told: told.update(other=told["10.96.0.1_20880"])),
    "no prefix": (LISTENERS, lambda told: one(told["10.96.0.1_20880"]).update(stat_prefix="")),
    "a port that is none": (
        LISTENERS, lambda told: told["10.96.0.1_20880"]["address"]["socket_address"].update(port_value=0),
    ),
    "an endpoint without an address": (
        ENDPOINTS,
        lambda told: told["providers|20880||com.x.Old"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"][
            "socket_address"
        ].update(address="host.example"),
    ),
}  # fmt: skip


def one(listener: dict[str, Any]) -> dict[str, Any]:
    return listener["filter_chains"][0]["filters"][0]["typed_config"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_envoy_would_refuse_or_lead_to_nowhere_is_found(wrong: str) -> None:
    kind, damage = WRONG[wrong]
    told = json.loads(json.dumps(resources(VIPS)))
    damage(told[kind])
    assert envoychecks.problems(told)


# --------------------------------------------------------------------------- the folder


def heard_of(process: RouteProcess) -> Heard:
    heard = Heard()
    routing = process.routing
    state = routeviews.state("rpc.test", routing, routing.tables["rpc.test"].vips.values(), clusters=True)
    clusters = [routeviews.cluster_data(each) for each in routeviews.clusters("rpc.test", routing)]
    heard.take("state", json.loads(json.dumps(state | {"clusters": clusters})))
    return heard


def test_what_is_heard_is_what_is_told() -> None:
    process = RouteProcess()
    process.tell("register com.x.Old 192.0.2.1; register blue/com.x.Split:1 10.1.0.1; after 5s")
    process.tell("register com.x.Split:2 10.1.0.2; unregister com.x.Address 10.1.0.1; after 11m")
    heard = heard_of(process)
    assert heard.vips == process.routing.tables["rpc.test"].vips
    assert heard.clusters == process.routing.clusters["rpc.test"].clusters


def test_shares_of_calls_are_told_by_everybody() -> None:
    ends = (("192.0.2.1", 20880), ("192.0.2.2", 20880))
    told = Cluster("providers|20880||com.x.Old", ends, (3, 1))
    heard = Heard()
    heard.take("state", {"vips": [], "clusters": [routeviews.cluster_data(told)]})
    assert heard.clusters == {told.name: told}
    [at] = envoy.endpoints_of(told)["endpoints"]
    assert [end["load_balancing_weight"] for end in at["lb_endpoints"]] == [3, 1]


def test_a_folder_is_written_once_and_then_only_what_changed(tmp_path: Path) -> None:
    process = RouteProcess()
    export = Export(Folder(tmp_path), Layout(str(tmp_path)), accept_removals=False)
    assert export.bring(heard_of(process)).steps > 0
    assert export.bring(heard_of(process)).steps == 0
    process.tell("pods shop/user 10.1.0.1 10.1.0.9")
    assert export.bring(heard_of(process)).steps == 1
    process.tell("Service shop/third 10.96.0.3; pods shop/third 10.1.0.3; register New 10.1.0.3")
    assert export.bring(heard_of(process)).listeners == 4
    process.tell("delete shop/third; after 10s")
    assert export.bring(heard_of(process)).listeners == 3
    names = sorted(path.name for path in (tmp_path / "endpoints").iterdir())
    assert [name.split("-")[0] for name in names] == [
        "outbound_20880__account.shop.svc.cluster.local", "outbound_20880__user.shop.svc.cluster.local",
    ]  # fmt: skip


def test_one_that_takes_over_goes_on_with_the_files_that_are_there(tmp_path: Path) -> None:
    process, folder = RouteProcess(), Folder(tmp_path)
    Export(folder, Layout(str(tmp_path)), accept_removals=False).bring(heard_of(process))
    with pytest.raises(FolderError, match="another"):
        Folder(tmp_path)
    folder.close()
    (tmp_path / "routes" / "half.json.fresh").write_text("{")
    (tmp_path / "endpoints" / "damaged.json").write_text("{")
    again = Export(Folder(tmp_path), Layout(str(tmp_path)), accept_removals=False)
    assert [text.partition(": ")[0] for text in again.unread] == [f"{tmp_path}/endpoints/damaged.json"]
    assert again.bring(heard_of(process)).steps == 0
    assert not (tmp_path / "routes" / "half.json.fresh").exists()


def test_more_files_than_envoy_may_watch_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    export = Export(Folder(tmp_path), Layout(str(tmp_path)), accept_removals=False)
    done = export.bring(heard_of(RouteProcess()))
    assert done.watched == 6
    monkeypatch.setattr(envoyexport, "watchers_allowed", lambda: 128)
    assert done.news == []
    assert replace(done, watched=100).news == []
    monkeypatch.setattr(envoyexport, "watchers_allowed", lambda: 25)
    assert "a user has 25 on this machine" in done.news[0]


async def test_so_many_files_are_told_wherever_envoy_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(envoyexport, "watchers_allowed", lambda: 8192)
    monkeypatch.setattr(envoyexport, "MANY", 5)
    async with site(RouteProcess()) as port:
        command = ["export", "envoy", str(tmp_path), "--url", f"http://127.0.0.1:{port}", "-o", "json"]
        assert await in_thread(command) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["watched"] == 6
    assert "Envoy watches 6 files" in shown.err
    assert "fs.inotify.max_user_instances where they run" in shown.err
    assert "--ads needs none" in shown.err


def test_what_envoy_refuses_is_not_written(tmp_path: Path) -> None:
    refusing = tmp_path / "envoy"
    refusing.write_text("#!/bin/sh\necho it has no taste >&2\nexit 1\n")
    refusing.chmod(0o755)
    export = Export(Folder(tmp_path / "files"), Layout("/envoy"), accept_removals=False, envoy=str(refusing))
    with pytest.raises(ExportError, match="it has no taste"):
        export.bring(heard_of(RouteProcess()))
    assert not (tmp_path / "files" / envoyfiles.LISTENERS_FILE).exists()


async def test_the_verb_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with site(RouteProcess()) as port:
        status = await in_thread(["export", "envoy", str(tmp_path), "--url", f"http://127.0.0.1:{port}"])
    assert status == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path} has 3 listeners")
    start = json.loads((tmp_path / "bootstrap.json").read_text())
    path = start["dynamic_resources"]["lds_config"]["path_config_source"]["path"]
    assert path == str(tmp_path / envoyfiles.LISTENERS_FILE)
    assert main(["export", "envoy"]) == 2


def test_the_start_of_an_envoy_that_is_told_all_by_ads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "export",
        "envoy",
        str(tmp_path),
        "--ads",
        "soadns-0.x:15010,10.0.0.1:15010",
        "--node",
        "web-1.shop",
    ]
    assert main([*words, "--ads-tls", "/ca,/cert,/key", "--namespace", "shop", "--unmatched", "pass"]) == 0
    start = json.loads((tmp_path / "bootstrap.json").read_text())
    assert start["node"] == {
        "cluster": "soadns", "id": "web-1.shop", "metadata": {"SOADNS": "envoy", "NAMESPACE": "shop"},
    }  # fmt: skip
    assert start["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
    [listener] = start["static_resources"]["listeners"]
    assert one_filter(listener)["cluster"] == "soadns-passed-on"
    [ads] = [each for each in start["static_resources"]["clusters"] if each["name"] == "soadns-ads"]
    tls = ads["transport_socket"]["typed_config"]
    assert tls["sni"] == "soadns-0.x"
    assert tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": "soadns-0.x"}},
        {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.1"}},
    ]
    for wrong in (["--ads", "nowhere"], ["--ads", "a:1", "--ads-tls", "/ca"]):
        assert main(["export", "envoy", str(tmp_path), *wrong]) == 2


async def in_thread(words: list[str]) -> int:
    return await asyncio.to_thread(main, words)


async def test_who_follows_keeps_the_folder_up_to_date_and_what_it_has_while_nobody_answers(
    tmp_path: Path,
) -> None:
    process, third = RouteProcess(), tmp_path / "files" / "listeners" / "all.json"
    async with site(process) as port:
        words = ["export", "envoy", str(tmp_path / "files"), "--follow", "--url", f"http://127.0.0.1:{port}"]
        follower = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "soadns", *words, stderr=asyncio.subprocess.PIPE
        )
        assert follower.stderr is not None
        try:
            await soon(third.exists, within=60.0)
            process.tell("Service shop/third 10.96.0.3; pods shop/third 10.1.0.3; register New 10.1.0.3")
            await soon(lambda: "10.96.0.3_20880" in third.read_text(), within=60.0)
        except BaseException:
            follower.kill()
            raise
    said = (await follower.stderr.readline()).decode()
    assert said.startswith("soadns: the files stay as they are: ")
    assert "10.96.0.3_20880" in third.read_text()
    follower.terminate()
    assert await follower.wait() == 0


def test_what_did_not_change_is_the_very_same_and_is_not_looked_at_again() -> None:
    made, clusters = (
        Made(),
        [Cluster(cluster_name(goes(ref)), (("10.1.0.1", 20880),)) for ref in (USER, ACCOUNT)],
    )
    old_world = Cluster(cluster_name(OLD_WORLD.target), ()) if OLD_WORLD.target is not None else clusters[0]
    speaks = {each.place: "dubbo" for each in VIPS}
    told = LAYOUT.resources(VIPS, speaks, [*clusters, old_world], made)
    moved = [vip("10.96.0.1", USER), VIPS[1]]
    later = LAYOUT.resources(moved, speaks, [*clusters, old_world], made)
    fresh = {
        (kind, name)
        for kind, held in later.items()
        for name, each in held.items()
        if told[kind].get(name) is not each
    }
    assert fresh == {(ROUTES, "10.96.0.1_20880")}
    assert later == LAYOUT.resources(moved, speaks, [*clusters, old_world])
    assert envoychecks.problems(later, told) == []
    gone = LAYOUT.resources(moved, speaks, clusters[:1], made)
    assert any("which is no cluster" in text for text in envoychecks.problems(gone, later))
